//! Whatever Glean's side does, at whichever page: the same index at the end, or a stated outcome.

use sheaf_local_glean::{Dropped, Fault};
use sheaf_tests::temporal::{server, worker};
use sheaf_tests::{Site, odd};

/// Four batches and the last page.
const POSITIONS: [u32; 3] = [0, 2, 4];

fn faults() -> Vec<(&'static str, Fault)> {
    let status = |status| Fault { status: Some(status), times: 2, ..Fault::default() };
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    vec![
        ("429", status(429)),
        ("429 with seconds", Fault { retry_after: Some("1".into()), ..status(429) }),
        ("429 with a date", Fault { retry_after: Some(date), ..status(429) }),
        ("408", status(408)),
        ("500", status(500)),
        ("502", status(502)),
        ("503", Fault { retry_after: Some("0".into()), ..status(503) }),
        ("504", status(504)),
        ("dropped before", Fault { drop: Some(Dropped::Before), times: 2, ..Fault::default() }),
        ("dropped after", Fault { drop: Some(Dropped::After), times: 1, ..Fault::default() }),
        ("half a body", Fault { drop: Some(Dropped::Half), times: 2, ..Fault::default() }),
        ("slow", Fault { delay_ms: 1_500, times: 2, ..Fault::default() }),
        ("half open", Fault { delay_ms: 60_000, times: 1, ..Fault::default() }),
        ("413", Fault { times: 1, ..status(413) }),
        ("400", Fault { times: 1, ..status(400) }),
    ]
}

fn connections(site: &Site, salt: &str, more: &str) -> String {
    let glean = site.glean.url();
    format!(
        "[glean]\nserver_url = \"{glean}\"\nrequests_per_second = 1000.0\ntimeout = \"1s\"\n\n{more}{}",
        odd(&format!("pages = 400, salt = \"{salt}\""))
    )
}

/// Whether each document is there, in the version of this crawl.
async fn is_whole(site: &Site, salt: &str) -> bool {
    let documents = site.glean.documents("odd").await.expect("documents");
    documents.len() == 4000 && documents.iter().all(|(_, json)| json.contains(salt))
}

/// 400 and 413 for an empty last page cannot be bisected: they are Glean's no.
fn is_refusal(name: &str, skip: u32) -> bool {
    skip == 4 && (name == "400" || name == "413")
}

async fn each(site: &Site, more: &str, arguments: &[&str]) {
    for (name, fault) in faults() {
        for skip in POSITIONS {
            let salt = format!("{name} after {skip}");
            site.write("sheaf.toml", &connections(site, &salt, more));
            let path = "/bulkindexdocuments".to_owned();
            site.glean.drill().clear();
            site.glean.drill().add(Fault { path, skip, ..fault.clone() });
            let ended = site.sheaf(arguments).await;
            if is_refusal(name, skip) {
                assert_eq!(ended.code, 4, "{salt}: {ended:?}");
                assert!(is_whole(site, &salt).await, "{salt}: what was uploaded stays");
                continue;
            }
            assert_eq!(ended.code, 0, "{salt}: {ended:?}");
            assert_eq!(ended.json()["result"]["outcome"], "complete", "{salt}");
            assert!(is_whole(site, &salt).await, "{salt}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_page_leaves_the_same_index_locally() {
    let site = Site::new("").await.connector("guest_odd");
    each(&site, "", &["sync", "odd", "--local", "--json"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_page_leaves_the_same_index_on_temporal() {
    let mut site = Site::new("").await.connector("guest_odd");
    let policy = "[temporal.policy]\ninitial_interval = \"100ms\"\nmax_interval = \"300ms\"\n\n";
    site.write("sheaf.toml", &connections(&site, "first", policy));
    let server = server(&mut site).await;
    // The salt is the worker's: it reads its own file at its start.
    for (name, fault) in faults() {
        for skip in POSITIONS {
            let salt = format!("{name} after {skip}");
            site.write("sheaf.toml", &connections(&site, &salt, policy));
            let mut worker = worker(&site).await;
            site.glean.drill().clear();
            let path = "/bulkindexdocuments".to_owned();
            site.glean.drill().add(Fault { path, skip, ..fault.clone() });
            let ended = site.sheaf(&["sync", "odd", "--json"]).await;
            let code = if is_refusal(name, skip) { 4 } else { 0 };
            assert_eq!(ended.code, code, "{salt}: {ended:?}");
            assert!(is_whole(&site, &salt).await, "{salt}");
            worker.kill().await.expect("ended");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_in_the_middle_stops_at_once() {
    let site = Site::new("").await.connector("guest_odd");
    for status in [401, 403] {
        site.write("sheaf.toml", &connections(&site, "salt", ""));
        site.glean.drill().clear();
        let path = "/bulkindexdocuments".to_owned();
        let times = 1;
        site.glean.drill().add(Fault {
            path,
            skip: 2,
            status: Some(status),
            times,
            ..Fault::default()
        });
        let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
        assert_eq!(ended.code, 4, "{ended:?}");
        assert_eq!(ended.json()["error"]["kind"], "Unauthorized");
        // It goes on where it was.
        assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
    }
}
