//! Glean's limits hold over all who send to it with one store.

use std::time::Duration;

use sheaf_tests::forward::Gate;
use sheaf_tests::wait::until;
use sheaf_tests::{Ended, Site};

/// Requests that all of them may send in a second.
const LIMIT: usize = 10;
/// Longer than a stall of the machine, after which what had to wait comes at once.
const STRETCH: Duration = Duration::from_secs(5);
/// Batches that three processes have on their way.
const ON_THEIR_WAY: usize = 12;

/// A machine of its own: a folder for its locks.
fn configure(site: &Site, gate: &Gate, name: &str, pages: u32) {
    let text = format!(
        "state_folder = \"state-{name}\"\nstate_store = \"{}\"\n\n[glean]\nserver_url = \"{}\"\n\
         requests_per_second = {LIMIT}.0\nbatch_documents = 10\n\n\
         [connections.{name}]\nconnector = \"odd\"\ndatasource = \"{name}\"\nsettings = {{ pages = {pages} }}\n",
        site.path("shared").display(),
        gate.url
    );
    site.write(&format!("{name}.toml"), &text);
}

async fn crawl(site: &Site, name: &str) -> Ended {
    let config = format!("{name}.toml");
    site.sheaf(&["sync", name, "--local", "--json", "--config", &config]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_that_share_a_store_keep_the_limit_of_one_token() {
    let site = Site::new("").await.connector("guest_odd");
    let gate = Gate::before(site.glean.url()).await;
    std::fs::create_dir(site.path("shared")).expect("a folder");
    for (name, pages) in [("first", 250), ("second", 40), ("third", 40)] {
        configure(&site, &gate, name, pages);
    }
    let others = async |name: &str| {
        until("the first one sends", async || gate.came().len() > 20).await;
        crawl(&site, name).await
    };
    let ended = tokio::join!(crawl(&site, "first"), others("second"), others("third"));
    for (ended, documents) in [(&ended.0, 2_500), (&ended.1, 400), (&ended.2, 400)] {
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.json()["result"]["documents"], documents, "{ended:?}");
    }
    let came = gate.came();
    let most = LIMIT * usize::try_from(STRETCH.as_secs()).expect("short") + LIMIT + ON_THEIR_WAY;
    for (number, from) in came.iter().enumerate() {
        let until = came[number..].partition_point(|at| *at < *from + STRETCH);
        assert!(until <= most, "{until} of {most} in {STRETCH:?} after {number}");
    }
    assert!(site.path("shared/senders").is_dir(), "they told each other");
}
