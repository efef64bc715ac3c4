//! Sources of several scopes, and of very many: what one of them costs the others.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sheaf::temporal::connect::connect_to;
use sheaf_tests::temporal::{ONCE, QUICK, replays, server, signal, worker, worker_and_log};
use sheaf_tests::wait::until;
use sheaf_tests::{Site, odd};
use temporalio_client::{UntypedWorkflow, WorkflowFetchHistoryOptions};

fn reason(result: &Value) -> &str {
    result["reason"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_failed_for_good_costs_the_others_nothing() {
    let site = Site::new(&odd("pages = 2, scopes = 4")).await.connector("guest_odd");
    assert_eq!(site.sync("odd", 0).await["documents"], 80);
    // The first page of the broken scope came before it broke.
    let broken = "pages = 2, scopes = 4, only = 1, after = 1, salt = \"new\"";
    for misdeed in ["give-up", "fix-settings", "panic", "retry"] {
        let misdoes = odd(&format!("{broken}, misdeed = \"{misdeed}\""));
        site.configure(&format!("{ONCE}{misdoes}"));
        let result = site.sync("odd", 5).await;
        assert_eq!(result["outcome"], "partial", "{misdeed}: {result}");
        assert_eq!((&result["documents"], &result["deleted"]), (&json!(70), &json!(0)));
        assert!(reason(&result).starts_with("Scope 1: the connector "), "{misdeed}: {result}");
        assert_eq!(site.ids("odd").await.len(), 80, "{misdeed}: nothing was deleted");
    }
    let documents = site.glean.documents("odd").await.expect("documents");
    assert_eq!(documents.iter().filter(|(_, json)| json.contains("new")).count(), 70);
    site.configure(&odd("pages = 2, scopes = 4"));
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete", "it is tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_fault_for_all_scopes_ends_the_crawl_at_once() {
    let site = Site::new(&odd("pages = 2, scopes = 3")).await.connector("guest_odd");
    let fault = sheaf_local_glean::Fault {
        path: "/bulkindexdocuments".into(),
        skip: 1,
        status: Some(401),
        times: u32::MAX,
        ..sheaf_local_glean::Fault::default()
    };
    site.glean.drill().add(fault);
    let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["error"]["kind"]), (4, &json!("Unauthorized")));
    site.glean.drill().clear();
    assert_eq!(site.sync("odd", 0).await["documents"], 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_many_scopes_of_a_source_that_is_away() {
    let settings = odd("pages = 2, scopes = 80, misdeed = \"retry\", after = 1");
    let mut site = Site::new(&format!("{QUICK}{settings}")).await.connector("guest_odd");
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let ended = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["error"]["kind"]), (4, &json!("Source")), "{ended:?}");
    assert_eq!(site.ids("odd").await.len(), 800, "each was tried");
    let log = log.lock().expect("a log").clone();
    let third = log.matches("attempt=3").count();
    assert!((50..=53).contains(&third), "of fifty, and of those beside them: {third}");
    replays(&server, "sheaf-odd", "away").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_neighbours_that_are_away_stop_no_other_scope() {
    let settings = odd("pages = 2, scopes = 40, misdeed = \"retry\", first = 30");
    let site = Site::new(&format!("{ONCE}{settings}")).await.connector("guest_odd");
    let result = site.sync("odd", 5).await;
    assert_eq!((&result["outcome"], &result["documents"]), (&json!("partial"), &json!(200)));
    // Those that came no further than their beginning are crawled anew, with all others.
    let again = site.sync("odd", 5).await;
    assert_ne!(again["upload_id"], result["upload_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_whose_source_went_away_in_the_middle_is_gone_on_with() {
    let settings = odd("pages = 4, scopes = 3, misdeed = \"retry-once\", after = 2, only = 1");
    let site = Site::new(&format!("{ONCE}{settings}")).await.connector("guest_odd");
    let first = site.sync("odd", 5).await;
    assert_eq!((&first["outcome"], &first["documents"]), (&json!("partial"), &json!(100)));
    assert_eq!(first["resumable"], true, "{first}");
    let second = site.sync("odd", 0).await;
    assert_eq!(second["upload_id"], first["upload_id"]);
    assert_eq!((&second["outcome"], &second["documents"]), (&json!("complete"), &json!(120)));
    let overview = site.glean.overview().await.expect("an overview");
    assert_eq!(overview["sessions"][0]["documents"], 120, "nothing was uploaded twice");
    // Whoever begins anew, or comes later, finds that all of it is known.
    site.configure(&format!("{ONCE}{}", settings.replace("pages = 4", "pages = 5")));
    let partial = site.sync("odd", 5).await;
    let again = site.sheaf(&["sync", "odd", "--local", "--restart", "--json"]).await;
    let result = &again.json()["result"];
    assert_eq!((again.code, &result["outcome"]), (5, &json!("partial")), "{again:?}");
    assert_ne!(result["upload_id"], partial["upload_id"]);
    assert_eq!(
        site.sync("odd", 0).await["outcome"],
        "complete",
        "and nothing is taken for others'"
    );
    // One that comes no further is crawled anew, with all others.
    site.configure(&format!("{ONCE}{}", settings.replace("retry-once", "retry")));
    let [first, second, third] =
        [site.sync("odd", 5).await, site.sync("odd", 5).await, site.sync("odd", 5).await];
    assert_eq!(first["upload_id"], second["upload_id"]);
    assert_eq!(second["resumable"], json!(null), "{second}");
    assert_ne!(second["upload_id"], third["upload_id"]);
    assert_eq!(site.ids("odd").await.len(), 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_was_deleted_and_comes_back_is_read_from_its_beginning() {
    let site = Site::new(&odd("pages = 3, scopes = 2, misdeed = \"changes\"")).await;
    let site = site.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 3, scopes = 2, misdeed = \"lost-scope\""));
    site.sync("odd", 5).await;
    assert_eq!(site.approve("odd").await.json()["result"]["deleted"], 30);
    site.configure(&odd("pages = 3, scopes = 2, misdeed = \"changes\""));
    let ended = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
    let result = &ended.json()["result"];
    assert_eq!((&result["mode"], &result["documents"]), (&json!("incremental"), &json!(32)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_of_which_every_scope_failed_is_failed_and_each_is_tried_again() {
    let settings = odd("pages = 4, scopes = 3, misdeed = \"retry-once\", after = 2");
    let site = Site::new(&format!("{ONCE}{settings}")).await.connector("guest_odd");
    let first = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!((first.code, &first.json()["error"]["kind"]), (4, &json!("Source")), "{first:?}");
    assert_eq!(first.json()["result"]["documents"], 60, "each scope's first pages: {first:?}");
    // Whoever goes on begins behind them, and then the source answers.
    let second = site.sync("odd", 0).await;
    assert_eq!(second["upload_id"], first.json()["result"]["upload_id"]);
    assert_eq!((&second["outcome"], &second["documents"]), (&json!("complete"), &json!(120)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_are_of_each_scope_and_one_that_fails_holds_no_other_up() {
    let broken = odd("pages = 3, scopes = 3, misdeed = \"forbidden-scope\"");
    let site = Site::new(&broken).await.connector("guest_odd");
    let first = site.sync("odd", 5).await;
    assert_eq!((&first["mode"], &first["documents"]), (&json!("full"), &json!(60)));
    let incremental = ["sync", "odd", "--local", "--incremental", "--json"];
    for _ in 0..2 {
        let ended = site.sheaf(&incremental).await;
        let result = &ended.json()["result"];
        assert_eq!((ended.code, &result["mode"]), (5, &json!("incremental")), "{ended:?}");
        // Two changed in each of the two others: neither is read from its beginning.
        assert_eq!(result["documents"], 4, "{ended:?}");
        assert!(reason(result).contains("Scope 1: "), "{ended:?}");
    }
    site.configure(&odd("pages = 3, scopes = 3, misdeed = \"changes\""));
    let ended = site.sheaf(&incremental).await;
    let result = &ended.json()["result"];
    assert_eq!((ended.code, &result["mode"]), (0, &json!("incremental")), "{ended:?}");
    assert_eq!(result["documents"], 34, "the scope without a bookmark is read in full: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_temporal_a_scope_is_tried_by_the_policy_and_the_others_are_crawled() {
    let settings = odd("pages = 3, scopes = 3, misdeed = \"retry\", only = 1, after = 2");
    let mut site = Site::new(&format!("{QUICK}{settings}")).await.connector("guest_odd");
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    let ended = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!(ended.code, 5, "{ended:?}");
    let result = &ended.json()["result"];
    assert_eq!((&result["outcome"], &result["documents"]), (&json!("partial"), &json!(80)));
    assert!(reason(result).contains("Scope 1: the connector reports: the source is asleep"));
    replays(&server, "sheaf-odd", "failed_scope").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_scopes_make_a_small_history_and_a_killed_worker_s_are_not_crawled_again() {
    // `tools/scopes-drill.sh` does it with ten thousand.
    let scopes: u32 =
        std::env::var("SHEAF_DRILL_SCOPES").map_or(600, |text| text.parse().expect("a number"));
    let settings = odd(&format!("pages = 1, scopes = {scopes}"));
    let mut site = Site::new(&format!("{QUICK}{settings}")).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let others = [worker(&site).await, worker(&site).await];
    let sync = site.command(&["sync", "odd", "--json"]).spawn().expect("a sync");
    until("documents arrive", || async { site.ids("odd").await.len() >= 1000 }).await;
    signal(&first, "KILL");
    first.wait().await.expect("killed");
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let (result, documents) = (&json["result"], 10 * u64::from(scopes));
    assert_eq!((&result["outcome"], &result["documents"]), (&json!("complete"), &json!(documents)));
    let overview = site.glean.overview().await.expect("an overview");
    let uploaded = overview["sessions"][0]["documents"].as_u64().expect("a number");
    assert!(uploaded <= documents + 4 * 10, "one scope of each lane at most: {uploaded}");

    let client = connect_to(&server.address).await.expect("a client");
    let handle = client.get_workflow_handle::<UntypedWorkflow>("sheaf-odd");
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::default());
    let history = history.to_json().await.expect("a history");
    let history: Value = serde_json::from_slice(&history).expect("JSON");
    let events = history["events"].as_array().map_or(0, Vec::len);
    // However many scopes there are, they make about so many activities.
    assert!(events < 250 * 7, "{events} events");
    let largest = largest_payload(&history);
    assert!((1..100_000).contains(&largest), "{largest} bytes");
    let started = events_of(&history, "ActivityTaskStartedEventAttributes");
    let by: BTreeSet<_> = started.filter_map(|event| event["identity"].as_str()).collect();
    assert!(by.len() >= 2, "they share the work: {by:?}");
    println!("{scopes} scopes: {events} events, the largest payload {largest} bytes in base64");
    let computed = others.each_ref().map(cpu_ms);
    println!("{:.1} CPU-ms a scope in those two", computed.iter().sum::<f64>() / f64::from(scopes));
    replays(&server, "sheaf-odd", "many_scopes").await;
    server.stop().await;
}

/// What a worker has computed so far; nothing where the kernel does not say.
fn cpu_ms(worker: &tokio::process::Child) -> f64 {
    let stat = worker.id().map(|id| std::fs::read_to_string(format!("/proc/{id}/stat")));
    let stat = stat.and_then(Result::ok).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // Linux counts a hundred ticks a second for whoever asks.
    ticks * 10.0
}

/// What the history has of these events.
fn events_of<'a>(history: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    history["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(move |event| event["attributes"].get(kind))
}

/// The length of the longest text in base64.
fn largest_payload(history: &Value) -> usize {
    match history {
        Value::Object(fields) => {
            let data = fields.get("data").and_then(Value::as_str).map_or(0, str::len);
            fields.values().map(largest_payload).max().unwrap_or(0).max(data)
        }
        Value::Array(values) => values.iter().map(largest_payload).max().unwrap_or(0),
        _ => 0,
    }
}
