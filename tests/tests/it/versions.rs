//! One build of the workers takes another's place, and gives it back.

use std::path::PathBuf;

use serde_json::Value;
use sheaf_local_glean::Fault;
use sheaf_tests::temporal::{QUICK, in_the_middle, replays, server, signal, worker};
use sheaf_tests::wait::says;
use sheaf_tests::{Site, binary, odd};

fn build(id: &str) -> String {
    let version = format!("[worker]\ndeployment = \"sheaf\"\nbuild_id = \"{id}\"\n\n");
    format!("{QUICK}{version}{}", odd("pages = 1000"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_goes_on_with_the_next_build_and_after_a_rollback_with_the_one_before() {
    let mut site = Site::new(&build("one")).await.connector("guest_odd");
    let server = server(&mut site).await;
    let unknown = site.sheaf(&["rollout"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("start workers of that build first"), "{unknown:?}");
    let mut one = worker(&site).await;
    let first = site.sheaf(&["rollout", "--json"]).await;
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(first.json()["result"]["current"], "one");
    let sync = in_the_middle(&site).await;
    site.configure(&build("two"));
    let two = worker(&site).await;
    let second = site.sheaf(&["rollout", "--json"]).await;
    assert_eq!(second.json()["result"]["before"], "one", "{second:?}");
    signal(&one, "TERM");
    one.wait().await.expect("ended");
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(site.ids("odd").await.len(), 10_000);
    replays(&server, "sheaf-odd", "versions").await;
    // Back: the build before gets the work again, and is as good with what the later one has left.
    site.configure(&build("one"));
    let _one = worker(&site).await;
    let back = site.sheaf(&["rollout", "one", "--json"]).await;
    assert_eq!(back.json()["result"]["before"], "two", "{back:?}");
    signal(&two, "TERM");
    site.glean.drill().clear();
    let again = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!(again.json()["result"]["unchanged"], 10_000, "{again:?}");
    server.stop().await;
}

/// The program of the version before: `tools/upgrade-drill.sh` builds it. Without one the drill is a restart.
fn before() -> PathBuf {
    std::env::var_os("SHEAF_DRILL_BEFORE").map_or_else(|| binary().to_owned(), PathBuf::from)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_and_the_running_crawl_of_the_version_before_go_on_with_this_one_and_back() {
    let connections = format!("{QUICK}{}", odd("pages = 1000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let before = before();
    let mut old = site.command_of(&before, &["worker"]).spawn().expect("a worker");
    says(&mut old, "the worker is ready").await;
    let first = site.run(&before, &["sync", "odd", "--json"]).await;
    assert_eq!(first.json()["result"]["documents"], 10_000, "{first:?}");
    let path = "/bulkindexdocuments".to_owned();
    let slow = Fault { path, times: 30, delay_ms: 400, skip: 1, ..Fault::default() };
    site.glean.drill().add(slow);
    let sync = site.command_of(&before, &["sync", "odd", "--restart", "--json"]).spawn();
    says(&mut old, "crawling scopes").await;
    let new = worker(&site).await;
    signal(&old, "TERM");
    old.wait().await.expect("ended");
    let output = sync.expect("a sync").wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(json["result"]["unchanged"], 10_000, "{json}");
    replays(&server, "sheaf-odd", "upgraded").await;
    site.glean.drill().clear();
    assert_eq!(site.status().await["state"], "well");
    // And back: what this version has written the one before reads.
    let mut old = site.command_of(&before, &["worker"]).spawn().expect("a worker");
    says(&mut old, "the worker is ready").await;
    signal(&new, "TERM");
    let back = site.run(&before, &["sync", "odd", "--json"]).await;
    assert_eq!(back.json()["result"]["unchanged"], 10_000, "{back:?}");
    signal(&old, "TERM");
    old.wait().await.expect("ended");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_later_version_has_written_is_refused_and_stays_as_it_is() {
    let site = Site::new(&odd("pages = 1")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    let found = std::fs::read_dir(site.path(".sheaf/connections/odd")).expect("a folder");
    let glean = found.flatten().find(|entry| entry.path().join("state").exists()).expect("a state");
    let newest = || {
        let states = std::fs::read_dir(glean.path().join("state")).expect("a folder").flatten();
        states.map(|entry| entry.path()).max().expect("a version")
    };
    let before = newest();
    let mut state: Value =
        serde_json::from_slice(&std::fs::read(&before).expect("a state")).expect("JSON");
    assert_eq!(state["form"]["number"], 1);
    state["form"] = serde_json::json!({ "number": 99, "written_by": "7.0.0" });
    state["history"] = "another type by then".into();
    std::fs::write(&before, state.to_string()).expect("written");
    for arguments in [&["sync", "odd", "--local"][..], &["sync", "odd", "--local", "--incremental"]]
    {
        let ended = site.sheaf(arguments).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("was written by a later Sheaf (7.0.0)"), "{ended:?}");
        assert!(ended.stderr.contains("run that one, or a later one"), "{ended:?}");
    }
    let status = site.sheaf(&["status"]).await;
    assert_eq!(status.code, 1, "{status:?}");
    assert!(status.stdout.contains("was written by a later Sheaf (7.0.0)"), "{status:?}");
    assert_eq!(newest(), before);
    assert_eq!(std::fs::read_to_string(&before).expect("a state"), state.to_string());
}
