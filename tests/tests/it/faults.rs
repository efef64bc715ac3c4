//! Whatever Glean's side does, at whichever page: the same index at the end, or a stated outcome.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use sheaf_local_glean::{Dropped, Fault, LocalGlean, Options};
use sheaf_tests::temporal::{QUICK, server, worker};
use sheaf_tests::wait::{says, until};
use sheaf_tests::{Site, files, odd};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

fn connections(site: &Site, fault: &Fault, salt: &str, more: &str) -> String {
    let glean = site.glean.url();
    // A request that takes long because the machine is busy is none of the faults.
    let timeout = if fault.delay_ms > 0 { "1s" } else { "60s" };
    format!(
        "[glean]\nserver_url = \"{glean}\"\nrequests_per_second = 1000.0\ntimeout = \"{timeout}\"\n\n{more}{}",
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

/// So many faults one after the other, each at each position.
async fn locally(faults: &[(&str, Fault)]) {
    let site = Site::new("").await.connector("guest_odd");
    for (name, fault) in faults {
        for skip in POSITIONS {
            let salt = format!("{name} after {skip}");
            site.write("sheaf.toml", &connections(&site, fault, &salt, ""));
            let path = "/bulkindexdocuments".to_owned();
            site.glean.drill().clear();
            site.glean.drill().add(Fault { path, skip, ..fault.clone() });
            let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
            if is_refusal(name, skip) {
                assert_eq!(ended.code, 4, "{salt}: {ended:?}");
                assert!(is_whole(&site, &salt).await, "{salt}: what was uploaded stays");
                continue;
            }
            assert_eq!(ended.code, 0, "{salt}: {ended:?}");
            assert_eq!(ended.json()["result"]["outcome"], "complete", "{salt}");
            assert!(is_whole(&site, &salt).await, "{salt}");
        }
    }
}

/// Most of each is to wait for Glean: so many have their turns while others have theirs.
const IN_A_ROW: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_page_leaves_the_same_index_locally() {
    join_all(faults().chunks(IN_A_ROW).map(locally)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_at_each_page_leaves_the_same_index_on_temporal() {
    join_all(faults().chunks(IN_A_ROW).map(on_temporal)).await;
}

/// The same by a worker.
async fn on_temporal(faults: &[(&str, Fault)]) {
    let mut site = Site::new("").await.connector("guest_odd");
    let policy = "[temporal.policy]\ninitial_interval = \"100ms\"\nmax_interval = \"300ms\"\n\n";
    site.write("sheaf.toml", &connections(&site, &Fault::default(), "first", policy));
    let server = server(&mut site).await;
    // The salt is the worker's: it reads its own file at its start.
    for (name, fault) in faults {
        for skip in POSITIONS {
            let salt = format!("{name} after {skip}");
            site.write("sheaf.toml", &connections(&site, fault, &salt, policy));
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
        site.write("sheaf.toml", &connections(&site, &Fault::default(), "salt", ""));
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

/// `[glean]` of a site, with more keys.
fn glean(site: &Site, keys: &str) -> String {
    format!(
        "[glean]\nserver_url = \"{}\"\nrequests_per_second = 1000.0\n{keys}\n\n",
        site.glean.url()
    )
}

fn answers(path: &str, status: u16, times: u32) -> Fault {
    Fault { path: path.to_owned(), status: Some(status), times, ..Fault::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_glean_s_answer_changes_nothing() {
    let site = Site::new("").await.connector("guest_odd");
    let toml = |settings: &str| {
        let keys = "documents_per_minute = 1000000.0";
        site.write("sheaf.toml", &format!("{}{}", glean(&site, keys), odd(settings)));
    };
    toml("pages = 400");
    site.sync("odd", 0).await;
    let incremental = ["sync", "odd", "--local", "--incremental", "--json"];
    // A proxy's page in place of an answer, as the first that is heard: the address may be wrong.
    for status in [200, 302, 404, 410] {
        for path in ["/getdatasourceconfig", "/adddatasource"] {
            site.glean.drill().clear();
            site.glean.drill().add(answers(path, status, 1));
            let ended = site.sheaf(&incremental).await;
            if path == "/getdatasourceconfig" {
                assert_eq!(ended.code, 3, "{status}: {ended:?}");
                assert!(ended.stdout.contains("something that is not Glean"), "{ended:?}");
            } else {
                assert_eq!(ended.code, 0, "{status}, after Glean was heard: {ended:?}");
            }
            // Nothing is forgotten for it.
            let result = site.sheaf(&incremental).await.json()["result"].clone();
            assert_eq!(result["mode"], "incremental", "{status}: {result}");
        }
        // In the middle of a crawl it is waited for, and takes no document for uploaded.
        toml(&format!("pages = 400, salt = \"{status}\""));
        for path in ["/bulkindexdocuments", "/debug/odd/status"] {
            site.glean.drill().add(Fault { skip: 1, ..answers(path, status, 2) });
        }
        assert_eq!(site.sync("odd", 0).await["outcome"], "complete", "{status}");
        assert!(is_whole(&site, &status.to_string()).await, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datasource_that_glean_says_it_does_not_know_is_crawled_in_full() {
    let site = Site::new(&odd("pages = 4")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    let other = LocalGlean::start(Options::default()).await.expect("another Glean");
    let incremental = ["sync", "odd", "--local", "--incremental", "--json"];
    // The same address to Sheaf, and another Glean behind it.
    let url = site.glean.url();
    let text = |to: &str| format!("[glean]\nserver_url = \"{to}\"\n\n{}", odd("pages = 4"));
    site.write("sheaf.toml", &text(&url));
    assert_eq!(site.sheaf(&incremental).await.json()["result"]["mode"], "incremental");
    site.write("sheaf.toml", &text(&other.url()));
    assert_eq!(site.sheaf(&incremental).await.json()["result"]["mode"], "full");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_more_than_a_few_tries_fails_nothing() {
    let site = Site::new(&odd("pages = 4")).await.connector("guest_odd");
    let away = Fault { retry_after: Some("0".into()), ..answers("", 503, 12) };
    site.glean.drill().add(away);
    assert_eq!(site.sync("odd", 0).await["documents"], 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_waits_for_glean_says_so_and_is_interrupted_at_once() {
    let site = Site::new(&odd("pages = 400")).await.connector("guest_odd");
    // The first page of the session is taken, and then Glean is away for good.
    site.glean.drill().add(Fault { skip: 1, ..answers("/bulkindexdocuments", 503, 100_000) });
    let mut sync = site.command(&["sync", "odd", "--local", "--json"]).spawn().expect("a sync");
    let said = says(&mut sync, "for Glean, to try again: Glean answered 503").await;
    assert!(said.lines().last().is_some_and(|line| line.contains("waits")), "{said}");
    sheaf_tests::temporal::signal(&sync, "INT");
    let output = sync.wait_with_output().await.expect("an end");
    assert_eq!(output.status.code(), Some(130));
    site.glean.drill().clear();
    // What was acknowledged is not uploaded again.
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_rotated_is_asked_for_again_when_it_is_refused() {
    let options = Options { token: Some("the-second-token".into()), ..Options::default() };
    let local = LocalGlean::start(options).await.expect("a local Glean");
    let site = Site::with("", local).connector("guest_odd");
    // What is printed first is old.
    let script = "[ -e asked ] && echo the-second-token || { touch asked; echo the-first-token; }";
    let token = format!("token = {{ command = [\"sh\", \"-c\", \"{script}\"] }}");
    site.write("sheaf.toml", &format!("{}{}", glean(&site, &token), odd("pages = 4")));
    assert_eq!(site.sync("odd", 0).await["documents"], 40);
    assert!(site.path("asked").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_at_fault_sets_no_document_aside_and_moves_no_bookmark() {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    let incremental = ["sync", "docs", "--local", "--incremental", "--json"];
    // What an incremental crawl has seen is old: it brings only what is written after this.
    let grow_old = |names: &[String]| {
        for name in names {
            let file = std::fs::File::options().append(true).open(site.path(name)).expect("opened");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
        }
    };
    site.write("docs/old.md", "# Old");
    grow_old(&["docs/old.md".to_owned()]);
    site.sync("docs", 0).await;
    for documents in [1, 2, 5] {
        let names: Vec<_> = (0..documents).map(|n| format!("docs/{documents}/{n}.md")).collect();
        for name in &names {
            site.write(name, "# New");
        }
        site.glean.drill().add(answers("/indexdocuments", 400, 100));
        let ended = site.sheaf(&incremental).await;
        assert_eq!(ended.code, 4, "{documents}: {ended:?}");
        assert!(ended.stdout.contains("this is a drill"), "{ended:?}");
        site.glean.drill().clear();
        let result = site.sheaf(&incremental).await.json()["result"].clone();
        assert_eq!((&result["documents"], &result["quarantined"]), (&json!(documents), &json!(0)));
        grow_old(&names);
    }
    // One document alone that is refused, where the same request passes without it.
    site.write("docs/bad.md", "# Bad");
    site.glean.drill().add(answers("/indexdocuments", 400, 1));
    let result = site.sheaf(&incremental).await.json()["result"].clone();
    assert_eq!((&result["documents"], &result["quarantined"]), (&json!(0), &json!(1)), "{result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_glean_refuses_of_a_page_is_a_share_of_the_whole_page() {
    let site = Site::new("").await.connector("guest_odd");
    let quarantine = "\n[connections.odd.quarantine]\nmax_percent = 10.0\nmin_documents = 1\n";
    let glean = glean(&site, "batch_documents = 5\nbatches_in_flight = 1");
    site.write("sheaf.toml", &format!("{glean}{}{quarantine}", odd("pages = 4")));
    // Of the first page's ten documents one is refused, in a batch that comes back before the other is sent.
    site.glean.drill().add(answers("/bulkindexdocuments", 400, 3));
    let result = site.sync("odd", 0).await;
    assert_eq!((&result["documents"], &result["quarantined"]), (&json!(39), &json!(1)), "{result}");
}

/// The requests so far that took the place of a session.
fn restarts(site: &Site) -> Vec<Value> {
    let record = std::fs::read_to_string(site.path("record")).expect("a record");
    let requests = record.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    requests.map(|mut line| line["body"].take()).filter(is_restart).collect()
}

fn is_restart(request: &Value) -> bool {
    request["forceRestartUpload"] == true
}

/// Carries out a request that its sender has given up.
async fn late_copy(site: &Site, request: &Value) {
    let body = request.to_string();
    let at = site.glean.url();
    let at = at.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(at).await.expect("connected");
    let text = format!(
        "POST /api/index/v1/bulkindexdocuments HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A site with a session that was left unfinished, and a restart whose first try is never answered.
async fn unfinished() -> Site {
    let folder = tempfile::tempdir().expect("a folder");
    let record = folder.path().join("record");
    let options = Options { record: Some(record), ..Options::default() };
    let local = LocalGlean::start(options).await.expect("a local Glean");
    let mut site = Site::with("", local).connector("guest_odd");
    std::fs::rename(folder.path().join("record"), site.path("record")).expect("moved");
    let keys = "batch_documents = 500\nbatches_in_flight = 1";
    let toml = |settings: &str| format!("{}{QUICK}{}", glean(&site, keys), odd(settings));
    site.write("sheaf.toml", &toml("pages = 400, misdeed = \"give-up\", after = 150"));
    site.sync("odd", 4).await;
    site.write("sheaf.toml", &toml("pages = 400, salt = \"second\""));
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault {
        path: path.clone(),
        drop: Some(Dropped::Before),
        times: 1,
        ..Fault::default()
    });
    site.glean.drill().add(Fault { path, delay_ms: 300, times: 1000, ..Fault::default() });
    site.environment.clear();
    site
}

/// Documents of the second crawl that Glean has.
async fn arrived(site: &Site) -> usize {
    let documents = site.glean.documents("odd").await.expect("documents");
    documents.iter().filter(|(_, json)| json.contains("second")).count()
}

/// While `sync` runs, Glean carries out the restart that was not answered.
async fn is_right_all_the_same(site: &Site, mut sync: tokio::process::Child) {
    until("documents arrive", || async { arrived(site).await >= 1000 }).await;
    let sent = restarts(site);
    late_copy(site, &sent[0]).await;
    site.glean.drill().clear();
    let mut said = String::new();
    sync.stdout.take().expect("its result").read_to_string(&mut said).await.expect("read");
    assert_eq!(sync.wait().await.expect("ended").code(), Some(0), "{said}");
    let result = serde_json::from_str::<Value>(&said).expect("JSON")["result"].clone();
    assert_eq!((&result["outcome"], &result["documents"]), (&json!("complete"), &json!(4000)));
    assert!(is_whole(site, "second").await, "a document is gone: {result}");
    // The one that came late, the one that it replaced, the copy of the first, and the second session's.
    let restarts = restarts(site);
    let ids: BTreeSet<_> = restarts.iter().map(|one| one["uploadId"].to_string()).collect();
    assert_eq!((sent.len(), restarts.len()), (2, 4));
    assert_eq!(ids.len(), 3, "an upload id was restarted twice: {ids:?}");
    assert!(
        restarts.iter().all(|one| one["documents"] == json!([])),
        "it brings no documents back"
    );
    assert_eq!(result["upload_id"], restarts[3]["uploadId"], "{restarts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_glean_carries_out_late_costs_a_session_and_no_document() {
    let site = unfinished().await;
    let sync = site.command(&["sync", "odd", "--local", "--json"]).spawn().expect("a sync");
    is_right_all_the_same(&site, sync).await;
    // After the end it opens a session that nobody uses, and the next crawl takes its place.
    late_copy(&site, &restarts(&site)[0]).await;
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
    assert!(is_whole(&site, "second").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_glean_carries_out_late_costs_a_session_and_no_document_on_temporal() {
    let mut site = unfinished().await;
    let server = server(&mut site).await;
    let mut worker = worker(&site).await;
    let sync = site.command(&["sync", "odd", "--json"]).spawn().expect("a sync");
    is_right_all_the_same(&site, sync).await;
    sheaf_tests::temporal::replays(&server, "sheaf-odd", "session_lost").await;
    worker.kill().await.expect("ended");
    server.stop().await;
}
