//! The kill drill: workers are killed at random moments, and the index ends as if they were not.
//!
//! Five kills over small documents here; `tools/kill-drill.sh` makes it thirty over a real corpus.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::time::Duration;

use sheaf_local_glean::Fault;
use sheaf_tests::Site;
use sheaf_tests::temporal::{server, signal, worker};
use sheaf_tests::wait::until;

const BATCH: u64 = 50;
const IN_FLIGHT: u64 = 4;

fn connections(site: &Site, folder: &Path, include: &str) -> String {
    format!(
        "[glean]\nserver_url = \"{}\"\nrequests_per_second = 1000.0\nbatch_documents = {BATCH}\n\
         batches_in_flight = {IN_FLIGHT}\n\n\
         [temporal.policy]\ninitial_interval = \"100ms\"\nmax_interval = \"300ms\"\n\
         heartbeat_timeout = \"3s\"\n\n\
         [connections.docs]\nconnector = \"files\"\ndatasource = \"docs\"\n\n\
         [connections.docs.settings]\nroot = \"/content\"\nbase_url = \"https://docs.example.com\"\n\
         access = \"everyone\"\ninclude = [{include}]\n\n\
         [connections.docs.limits]\npage_documents = 25\n\n\
         [connections.docs.grants]\nfolders = {{ \"/content\" = \"{}\" }}\n",
        site.glean.url(),
        folder.display()
    )
}

fn setting(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_killed_leave_the_same_index_and_repeat_at_most_a_window_each_time() {
    let kills: u64 = setting("SHEAF_DRILL_KILLS", "5").parse().expect("a number");
    let delay_ms: u64 = setting("SHEAF_DRILL_DELAY_MS", "700").parse().expect("a number");
    let include = setting("SHEAF_DRILL_INCLUDE", "\"**/*.md\"");
    let undisturbed = Site::new("").await.connector("sheaf_files");
    let folder = if let Some(folder) = std::env::var_os("SHEAF_DRILL_FOLDER") {
        folder.into()
    } else {
        for number in 0..2_000 {
            let text = format!("# Page {number}\n\n{}", "words ".repeat(number % 50));
            undisturbed.write(&format!("docs/{}/{number}.md", number % 7), &text);
        }
        undisturbed.path("docs")
    };
    undisturbed.write("sheaf.toml", &connections(&undisturbed, &folder, &include));
    let documents = undisturbed.sync("docs", 0).await["documents"].as_u64().expect("a number");

    let mut site = Site::new("").await.connector("sheaf_files");
    site.write("sheaf.toml", &connections(&site, &folder, &include));
    let server = server(&mut site).await;
    let mut workers = [worker(&site).await, worker(&site).await];
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, times: u32::MAX, delay_ms, ..Fault::default() });
    let mut sync = site.command(&["sync", "docs", "--json"]).spawn().expect("a sync");
    until("documents arrive", || async { !site.ids("docs").await.is_empty() }).await;
    let random = RandomState::new();
    for kill in 0..kills {
        let number = random.hash_one(kill);
        // The moment is what is tested, not what is waited for.
        tokio::time::sleep(Duration::from_millis(200 + number % 2_300)).await;
        assert!(sync.try_wait().expect("a status").is_none(), "it ended after {kill} kills");
        let chosen = &mut workers[usize::from(number % 3 == 0)];
        signal(chosen, "KILL");
        chosen.wait().await.expect("killed");
        *chosen = worker(&site).await;
    }
    site.glean.drill().clear();
    let output = sync.wait_with_output().await.expect("an end");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    let whole = undisturbed.glean.documents("docs").await.expect("documents");
    assert_eq!(whole.len() as u64, documents);
    assert!(site.glean.documents("docs").await.expect("documents") == whole, "the same index");
    let overview = site.glean.overview().await.expect("an overview");
    assert_eq!(overview["sessions"].as_array().map(Vec::len), Some(1), "one session: {overview}");
    let uploaded = overview["sessions"][0]["documents"].as_u64().expect("a number");
    let repeated = uploaded - documents;
    println!(
        "{kills} kills: {documents} documents, {repeated} uploaded again, at most {} allowed",
        kills * BATCH * IN_FLIGHT
    );
    assert!(repeated <= kills * BATCH * IN_FLIGHT, "{repeated}");
    server.stop().await;
}
