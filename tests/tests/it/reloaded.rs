//! A worker's sheaf.toml changes under it: as a whole or not at all, and what is granted no more counts at once.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use sheaf_tests::temporal::{QUICK, client, in_the_middle, lists, server, signal, worker_and_log};
use sheaf_tests::wait::until;
use sheaf_tests::web::Web;
use sheaf_tests::{Site, odd};

use super::observed::{address, text};

async fn said(log: &Arc<Mutex<String>>, text: &str) {
    until(text, async || log.lock().expect("a log").contains(text)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_counts_as_a_whole_or_not_at_all() {
    let observe = "[observe]\naddress = \"127.0.0.1:0\"\n\n";
    let connections = format!("{observe}{}", odd("pages = 1"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let (worker, log) = worker_and_log(&site).await;
    site.configure(&format!("{connections}[connections.odd.schedules]\nfull = {{ every = 1 }}\n"));
    said(&log, "is not taken, all stays as it was").await;
    said(&log, "sheaf.toml:").await;
    let metrics = format!("{}/metrics", address(&log.lock().expect("a log")));
    let refused = async || text(&metrics).await.contains("\nsheaf_configuration_refused 1\n");
    assert!(refused().await);
    let schedules = "[connections.odd.schedules]\nfull = { every = \"24h\" }\n";
    site.configure(&format!("{connections}{schedules}"));
    said(&log, "the schedules are those of the file").await;
    assert!(!refused().await);
    lists(&client(&server).await, &["sheaf-odd.full"]).await;
    signal(&worker, "HUP");
    said(&log, "was read again: it is as it was").await;
    // The worker lives, and works with what was right.
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    // Whoever empties a file by mistake loses no schedule.
    site.configure(observe);
    said(&log, "has no connections any more").await;
    site.configure(&connections);
    said(&log, "not in the file any more, and still there: sheaf-odd.full").await;
    lists(&client(&server).await, &["sheaf-odd.full"]).await;
    assert_eq!(site.sheaf(&["schedules", "apply"]).await.code, 0);
    lists(&client(&server).await, &[]).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_no_more_counts_at_once() {
    let web = Web::start().await;
    let granted = |hosts: &str| {
        format!(
            "{QUICK}[connections.evil]\nconnector = \"evil\"\ndatasource = \"evil\"\n\
             settings = {{ misdeed = \"get\", server = \"{url}\", target = \"{url}/drip\" }}\n\
             [connections.evil.grants]\nhosts = [{hosts}]\n",
            url = web.url()
        )
    };
    let mut site = Site::new(&granted(&format!("\"{}\"", web.url()))).await.connector("guest_evil");
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let sync = site.command(&["sync", "evil", "--json"]).spawn().expect("a sync");
    until("it has asked", async || !web.requests().is_empty()).await;
    site.configure(&granted(""));
    said(&log, "its grants have changed: its guests end").await;
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(2), "{json}");
    let what = json["error"]["what"].as_str().expect("a reason");
    assert!(what.contains("the host is not granted"), "{json}");
    assert_eq!(web.requests().len(), 1, "nothing more was asked of it");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_whose_grants_become_others_goes_on_and_loses_nothing() {
    let connections = format!("{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let sync = in_the_middle(&site).await;
    let granted = "[connections.odd.grants]\nhosts = [\"wiki.example.com\"]\n";
    site.configure(&format!("{connections}{granted}"));
    said(&log, "its grants have changed: its guests end").await;
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_no_more_is_used_by_no_other_scope_and_whoever_reads_the_file_first() {
    let web = Web::start().await;
    let granted = |hosts: &str, more: &str| {
        format!(
            "{QUICK}[connections.evil]\nconnector = \"evil\"\ndatasource = \"evil\"\n\
             settings = {{ misdeed = \"get\", server = \"{url}\", target = \"{url}/drip\" }}\n\
             [connections.evil.grants]\nhosts = [{hosts}]\n\n{more}",
            url = web.url()
        )
    };
    let host = format!("\"{}\"", web.url());
    let more = odd("pages = 1");
    let mut site =
        Site::new(&granted(&host, &more)).await.connector("guest_evil").connector("guest_odd");
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let sync = site.command(&["sync", "evil", "--json"]).spawn().expect("a sync");
    until("it has asked", async || !web.requests().is_empty()).await;
    site.configure(&granted("", &more));
    // Another crawl begins at once, and has the worker read the file.
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    said(&log, "its grants have changed: its guests end").await;
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(2), "{json}");
    assert_eq!(web.requests().len(), 1, "nothing more was asked of it");
    server.stop().await;
}
