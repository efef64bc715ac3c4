//! Crawls as workflows, on a real Temporal server with real workers.

use std::time::Duration;

use serde_json::json;
use sheaf::temporal::{connect, follow};
use sheaf_tests::temporal::{QUICK, in_the_middle, replay, replays, server, signal, worker};
use sheaf_tests::wait::until;
use sheaf_tests::{Site, files, odd};
use temporalio_client::WorkflowDescribeOptions;

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_leaves_the_same_documents_as_a_local_crawl() {
    let mut site = Site::new(&files("scope_per_folder = true")).await.connector("sheaf_files");
    for folder in ["a", "b", "c"] {
        for number in 0..20 {
            site.write(&format!("docs/{folder}/{number}.md"), &format!("# {folder} {number}"));
        }
    }
    site.sync("docs", 0).await;
    let local = site.glean.documents("docs").await.expect("documents");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    let ended = site.sheaf(&["sync", "docs", "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let json = ended.json();
    assert_eq!((&json["command"], &json["ok"]), (&json!("sync"), &json!(true)));
    let result = &json["result"];
    for key in [
        "connection",
        "datasource",
        "mode",
        "outcome",
        "upload_id",
        "documents",
        "deleted",
        "quarantined",
        "batches",
        "bytes",
        "seconds",
    ] {
        assert!(!result[key].is_null(), "{key}: {result}");
    }
    assert_eq!((&result["outcome"], &result["documents"]), (&json!("complete"), &json!(60)));
    assert_eq!(site.glean.documents("docs").await.expect("documents"), local);
    let status = site.sheaf(&["status"]).await;
    assert_eq!(status.code, 0, "{status:?}");
    let doctor = site.sheaf(&["doctor"]).await;
    assert_eq!(doctor.code, 0, "{doctor:?}");
    assert!(doctor.stdout.contains("✓ worker: sheaf-"), "{doctor:?}");
    assert!(status.stdout.contains("60 documents uploaded"), "{status:?}");
    assert!(status.stdout.contains("its guests used "), "{status:?}");
    assert!(result["memory"].as_u64() > Some(1 << 16) && result["cpu_ms"].is_u64(), "{result}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_connector_crawls_beside_evil_ones_in_one_worker() {
    let evil = |name: &str, misdeed: &str| {
        format!(
            "[connections.{name}]\nconnector = \"evil\"\ndatasource = \"{name}\"\n\
             settings = {{ misdeed = \"{misdeed}\" }}\n\
             [connections.{name}.limits]\nguests = 1\nwall_per_call = \"8s\"\ncpu_per_call = \"4s\"\n\n"
        )
    };
    let misdeeds = [
        "endless-loop",
        "hang",
        "memory-by-steps",
        "endless-recursion",
        "trap",
        "log-flood",
        "million-empty-documents",
        "loop-over-pages",
    ];
    let all: String = misdeeds.map(|misdeed| evil(&misdeed.replace('-', ""), misdeed)).concat();
    let mut site = Site::new(&format!("{QUICK}{}{all}", odd("pages = 200"))).await;
    site = site.connector("guest_odd").connector("guest_evil");
    let server = server(&mut site).await;
    let mut worker = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd", "--json"]).await.code, 0);
    let alone = site.glean.documents("odd").await.expect("documents");
    assert_eq!(alone.len(), 2000);
    let mut evils: Vec<_> = misdeeds
        .map(|misdeed| site.command(&["sync", &misdeed.replace('-', "")]).spawn().expect("a sync"))
        .into();
    for _ in 0..3 {
        let ended = site.sheaf(&["sync", "odd", "--json"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let documents = site.glean.documents("odd").await.expect("documents");
        assert_eq!(documents, alone);
    }
    assert!(worker.try_wait().expect("a process").is_none(), "the worker lives");
    let status = format!("/proc/{}/status", worker.id().expect("it runs"));
    let status = std::fs::read_to_string(status).expect("its status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 200 << 10, "{peak} KiB: what guests need is in their own processes");
    for child in &mut evils {
        child.kill().await.expect("ended");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_s_crawl_goes_on_with_another_in_the_same_session() {
    let connections = format!("{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let sync = in_the_middle(&site).await;
    signal(&first, "KILL");
    first.wait().await.expect("killed");
    let _second = worker(&site).await;
    let output = sync.wait_with_output().await.expect("an end");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    assert_eq!(sessions(&site).await, ["SUCCESSFUL"]);
    // At most a window was uploaded again.
    assert!(uploaded(&site).await <= 24_000, "{}", uploaded(&site).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_hands_its_crawl_over() {
    let connections = format!("{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let sync = in_the_middle(&site).await;
    signal(&first, "TERM");
    let ended = tokio::time::timeout(Duration::from_secs(60), first.wait()).await;
    assert_eq!(ended.expect("it ends").expect("a status").code(), Some(143));
    let _second = worker(&site).await;
    let output = sync.wait_with_output().await.expect("an end");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(sessions(&site).await, ["SUCCESSFUL"]);
    // It hands over what was acknowledged, to the last batch.
    assert_eq!(uploaded(&site).await, 20_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_datasource_is_never_crawled_twice_at_once() {
    let mut site = Site::new(&odd("pages = 3")).await.connector("guest_odd");
    let server = server(&mut site).await;
    // No worker yet: the first crawl waits.
    let first = site.command(&["sync", "odd", "--json"]).spawn().expect("a sync");
    let config = config(&site, &server.address);
    let client = connect::connect(&config.temporal).await.expect("a client");
    let handle = follow::handle(&client, &config.temporal, "odd");
    until("the first crawl is started", || async {
        handle.describe(WorkflowDescribeOptions::default()).await.is_ok()
    })
    .await;
    let second = site.sheaf(&["sync", "odd"]).await;
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains("being crawled already"), "{second:?}");
    assert!(second.stderr.contains("workflow sheaf-odd, run "), "{second:?}");
    let _worker = worker(&site).await;
    let output = first.wait_with_output().await.expect("an end");
    assert_eq!(output.status.code(), Some(0));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_end_a_crawl_by_the_policy_and_keep_their_words() {
    for (misdeed, code, what, kind) in [
        ("panic", 1, "the connector crashed: no page 3 today", "Trap"),
        ("retry", 4, "the source is asleep", "Source"),
        ("give-up", 4, "the source is gone", "SourceGaveUp"),
        ("fix-settings", 2, "the space does not exist", "Settings"),
    ] {
        let settings = format!("pages = 9, misdeed = \"{misdeed}\", after = 3");
        let connections = format!("{QUICK}{}", odd(&settings));
        let mut site = Site::new(&connections).await.connector("guest_odd");
        let server = server(&mut site).await;
        let _worker = worker(&site).await;
        let ended = site.sheaf(&["sync", "odd", "--json"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
        let json = ended.json();
        assert_eq!(json["error"]["kind"], kind, "{json}");
        assert!(json["error"]["what"].as_str().unwrap_or_default().contains(what), "{json}");
        assert_eq!(json["result"]["outcome"], "failed");
        let status = site.sheaf(&["status", "--json"]).await;
        assert_eq!(status.code, 1, "{status:?}");
        let failing = status.json()["result"]["connections"][0]["full"]["failing"].clone();
        assert_eq!((&failing["times"], &failing["failure"]["kind"]), (&json!(1), &json!(kind)));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workflow_code_replays_the_histories_of_its_own_crawls() {
    let mut site = Site::new(&files("scope_per_folder = true")).await.connector("sheaf_files");
    for folder in ["a", "b", "c", "d", "e"] {
        site.write(&format!("docs/{folder}/1.md"), "# One");
    }
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "docs"]).await.code, 0);
    replays(&server, "sheaf-docs", "five_scopes").await;
    server.stop().await;
}

/// Recorded by `replays` in other tests, with machines' names taken out.
#[tokio::test(flavor = "multi_thread")]
async fn workflow_code_replays_recorded_histories() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/histories");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).expect("histories") {
        replay(&std::fs::read(entry.expect("an entry").path()).expect("a history")).await;
        replayed += 1;
    }
    assert!(replayed > 0);
}

fn config(site: &Site, temporal: &str) -> sheaf::config::Config {
    let path = site.path("sheaf.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let mut config = sheaf::config::Config::parse(&path, &text, &|_| None).expect("valid");
    config.temporal.address = Some(temporal.to_owned());
    config
}

/// Documents uploaded in the newest session, those that came twice included.
async fn uploaded(site: &Site) -> u64 {
    let overview = site.glean.overview().await.expect("an overview");
    overview["sessions"][0]["documents"].as_u64().unwrap_or_default()
}

/// The states of the upload sessions, the newest first.
async fn sessions(site: &Site) -> Vec<String> {
    let overview = site.glean.overview().await.expect("an overview");
    overview["sessions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|session| session["state"].as_str().unwrap_or_default().to_owned())
        .collect()
}
