//! What a worker shows of itself: metrics, health, and a page on which crawls can be paused and ended.

use reqwest::StatusCode;
use serde_json::{Value, json};
use sheaf_tests::temporal::{QUICK, in_the_middle, replays, server, signal, worker_and_log};
use sheaf_tests::wait::until;
use sheaf_tests::{Site, odd, root};
use tokio::io::AsyncWriteExt as _;

const TOKEN: &str = "a-word-for-the-page";

/// A site whose worker is looked at: on a port of its own, which its log names.
async fn observed(connections: &str, more: &str) -> Site {
    let toml = format!("[observe]\naddress = \"127.0.0.1:0\"\n{more}\n{connections}");
    let mut site = Site::new(&toml).await.connector("guest_odd");
    site.environment.push(("SHEAF_STATUS_TOKEN".into(), TOKEN.into()));
    site
}

/// Where the worker that wrote this log can be looked at.
pub(crate) fn address(log: &str) -> String {
    let said = "what this worker does is seen at ";
    let line = log.lines().find_map(|line| line.split_once(said)).expect("it says where");
    line.1.split_whitespace().next().expect("an address").trim_end_matches('/').to_owned()
}

/// Without a proxy, and without following where an answer points to.
fn browser() -> reqwest::Client {
    let none = reqwest::redirect::Policy::none();
    reqwest::Client::builder().no_proxy().redirect(none).build().expect("a client")
}

/// The page's form, filled in.
fn sign_in(at: &str, token: &str) -> reqwest::RequestBuilder {
    let form = browser().post(format!("{at}/sign-in")).body(format!("token={token}"));
    form.header("content-type", "application/x-www-form-urlencoded")
}

/// The newest claim on the connection `odd`, as the store has it.
fn claim(site: &Site) -> String {
    let gleans = std::fs::read_dir(site.path(".sheaf/connections/odd")).expect("a folder");
    let claims =
        gleans.filter_map(|glean| glean.expect("a folder").path().join("claims").read_dir().ok());
    let claims = claims.flatten().map(|claim| claim.expect("a claim").path());
    claims
        .max()
        .map_or_else(String::new, |claim| std::fs::read_to_string(claim).unwrap_or_default())
}

pub(crate) async fn text(url: &str) -> String {
    let answer = browser().get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{url}");
    answer.text().await.expect("a text")
}

/// The value of one metric: `name{labels}`.
fn value(metrics: &str, metric: &str) -> Option<f64> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let found = lines.filter_map(|line| line.rsplit_once(' ')).find(|(name, _)| *name == metric);
    found.and_then(|(_, value)| value.parse().ok())
}

/// What dashboards and alerts ask for is there; of some things only once they have happened.
fn has_all_that_is_asked_for(metrics: &str) {
    let names = std::fs::read_to_string(root().join("deploy/metrics.txt")).expect("a list");
    let first = [
        "sheaf_crawl_held_since_timestamp_seconds",
        "sheaf_source_throttled_seconds_total",
        "temporal_activity_execution_failed_total",
        "temporal_long_request_failure_total",
        "temporal_request_failure_total",
        "temporal_workflow_task_execution_failed_total",
    ];
    for name in names.lines().filter(|name| !first.contains(name)) {
        assert!(metrics.contains(&format!("\n# TYPE {name} ")), "{name}:\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_tells_prometheus_of_itself_and_of_its_connections() {
    let schedules = "[connections.odd.schedules]\nfull = { every = \"24h\" }\n";
    let mut site = observed(&format!("{}{schedules}", odd("pages = 20")), "").await;
    let server = server(&mut site).await;
    assert_eq!(site.sheaf(&["schedules", "apply"]).await.code, 0);
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
    let (_worker, log) = worker_and_log(&site).await;
    let at = address(&log.lock().expect("a log"));
    assert_eq!(text(&format!("{at}/healthz")).await, "ok\n");
    until("it is ready", async || {
        let answer = browser().get(format!("{at}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    })
    .await;
    assert_eq!(site.sheaf(&["sync", "odd", "--restart"]).await.code, 0);
    // Scrapes within a second are one.
    let mut metrics = String::new();
    until("what was done is counted", async || {
        metrics = text(&format!("{at}/metrics")).await;
        value(&metrics, "sheaf_documents_total{connection=\"odd\"}") == Some(200.0)
    })
    .await;
    for (metric, expected) in [
        ("sheaf_documents_total{connection=\"odd\"}", 200.0),
        ("sheaf_last_crawl_documents{connection=\"odd\"}", 200.0),
        ("sheaf_connection_state{connection=\"odd\",state=\"well\"}", 1.0),
        ("sheaf_crawl_failures{connection=\"odd\",kind=\"full\"}", 0.0),
        ("sheaf_last_crawl_quarantined_ratio{connection=\"odd\"}", 0.0),
        ("sheaf_guests{connection=\"odd\"}", 0.0),
        ("sheaf_refused_changes{connection=\"odd\"}", 0.0),
    ] {
        assert_eq!(value(&metrics, metric), Some(expected), "{metric}:\n{metrics}");
    }
    let at_least = |metric: &str, least: f64| {
        assert!(
            value(&metrics, metric).is_some_and(|value| value >= least),
            "{metric}:\n{metrics}"
        );
    };
    at_least("sheaf_batches_total{connection=\"odd\"}", 1.0);
    at_least("sheaf_bytes_total{connection=\"odd\"}", 1_000.0);
    at_least("sheaf_glean_responses_total{status=\"200\"}", 3.0);
    at_least("sheaf_guest_cpu_seconds_total{connection=\"odd\"}", 0.000_1);
    at_least("sheaf_ledger_bytes{connection=\"odd\"}", 1_000.0);
    at_least("sheaf_guest_memory_bytes{connection=\"odd\"}", 65_536.0);
    at_least("process_resident_memory_bytes", 1e6);
    at_least("process_cpu_seconds_total", 0.01);
    let complete = "sheaf_crawl_last_complete_timestamp_seconds{connection=\"odd\",kind=\"full\"}";
    at_least(complete, 1.7e9);
    assert!(
        metrics.contains(
            "sheaf_connection_info{connection=\"odd\",datasource=\"odd\",connector=\"odd\""
        )
    );
    has_all_that_is_asked_for(&metrics);
    // Each name stands there once.
    let mut families: Vec<_> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let all = families.len();
    families.sort_unstable();
    families.dedup();
    assert_eq!(families.len(), all, "{families:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_connections_open_keeps_nobody_from_the_page() {
    let mut site = observed(&odd("pages = 1"), "").await;
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let at = address(&log.lock().expect("a log"));
    let to = at.trim_start_matches("http://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..600 {
        let mut socket = tokio::net::TcpStream::connect(&to).await.expect("a connection");
        // Some say nothing, some not all that they began to.
        if silent.len() % 2 == 0 {
            let begun = socket.write_all(b"POST /sign-in HTTP/1.1\r\nhost: localhost\r\n");
            begun.await.expect("sent");
        }
        silent.push(socket);
    }
    assert_eq!(text(&format!("{at}/healthz")).await, "ok\n");
    drop(silent);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_told_before_anything_is_crawled() {
    let site = observed(&odd("pages = 1"), "").await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address");
    site.configure(&format!("[observe]\naddress = \"{address}\"\n{}", odd("pages = 1")));
    let mut site = site;
    let server = server(&mut site).await;
    let ended = site.sheaf(&["worker"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains(&format!("nothing can be served at {address}")), "{ended:?}");
    assert!(ended.stderr.contains("sheaf.toml:6, observe.address"), "{ended:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_is_paused_resumed_and_cancelled_and_loses_nothing() {
    let mut site = observed(
        &format!("{QUICK}{}", odd("pages = 2000")),
        "token = { env = \"SHEAF_STATUS_TOKEN\" }",
    )
    .await;
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let at = address(&log.lock().expect("a log"));
    let sync = in_the_middle(&site).await;
    let paused = site.sheaf(&["pause", "odd"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let there = site.ids("odd").await.len();
    assert!(there < 20_000, "{there}: it was still under way");
    let status = site.sheaf(&["status", "odd"]).await;
    assert!(status.stdout.contains("paused by process"), "{status:?}");
    assert!(status.stdout.contains("`sheaf resume odd` goes on with it"), "{status:?}");
    // What it has done is still seen, and by no other name of this machine.
    assert!(!status.stdout.contains(" 0 documents"), "{status:?}");
    let other = browser().get(&at).header("host", "evil.example.com").send().await;
    assert_eq!(other.expect("an answer").status(), StatusCode::MISDIRECTED_REQUEST);
    // Whoever only looks may not act, and sees no button.
    let page = text(&at).await;
    assert!(page.contains("paused by process") && page.contains("Sign in"), "{page}");
    assert!(!page.contains("formaction"), "{page}");
    let ask = |what: &str| browser().post(format!("{at}/crawls/odd/{what}"));
    assert_eq!(ask("resume").send().await.expect("an answer").status(), StatusCode::FORBIDDEN);
    let wrong = sign_in(&at, "a-guess");
    assert_eq!(wrong.send().await.expect("an answer").status(), StatusCode::FORBIDDEN);
    let signed = sign_in(&at, TOKEN).send().await;
    let signed = signed.expect("an answer");
    assert_eq!(signed.status(), StatusCode::SEE_OTHER);
    let cookie = signed.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    // Another site's page has the cookie sent, and is refused.
    let other =
        ask("resume").header("cookie", &cookie).header("origin", "https://evil.example.com");
    assert_eq!(other.send().await.expect("an answer").status(), StatusCode::FORBIDDEN);
    let hidden = ask("resume").header("cookie", &cookie).header("origin", "null");
    assert_eq!(hidden.send().await.expect("an answer").status(), StatusCode::FORBIDDEN);
    // A browser says which page a form was on, where it may.
    let policy =
        browser().get(&at).send().await.expect("a page").headers()["referrer-policy"].clone();
    assert_eq!(policy, "same-origin");
    let resumed = ask("resume")
        .header("cookie", &cookie)
        .header("origin", &at)
        .send()
        .await
        .expect("an answer");
    assert_eq!(resumed.status(), StatusCode::SEE_OTHER);
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    replays(&server, "sheaf-odd", "paused").await;
    let nothing = ask("pause").header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(nothing.status(), StatusCode::NOT_FOUND);
    let nobody = ask("pause").bearer_auth("a-guess").send().await.expect("an answer");
    assert_eq!(nobody.status(), StatusCode::FORBIDDEN);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_crawl_that_is_cancelled_is_resumed_by_the_next() {
    let mut site = observed(&format!("{QUICK}{}", odd("pages = 2000")), "").await;
    let server = server(&mut site).await;
    let (worker, _log) = worker_and_log(&site).await;
    let sync = in_the_middle(&site).await;
    assert_eq!(site.sheaf(&["pause", "odd"]).await.code, 0);
    until("its claim is held for hours", async || claim(&site).contains("\"lasts\":7200")).await;
    let local = site.sheaf(&["sync", "odd", "--local"]).await;
    assert!(local.stderr.contains("a crawl of `odd` is paused: workflow"), "{local:?}");
    assert!(local.stderr.contains("`sheaf resume odd`"), "{local:?}");
    let cancelled = site.sheaf(&["cancel", "odd", "--json"]).await;
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    assert_eq!(cancelled.json()["result"]["cancelled"], json!(true));
    drop(sync.wait_with_output().await.expect("an end"));
    replays(&server, "sheaf-odd", "paused_and_cancelled").await;
    site.glean.drill().clear();
    let next = site.sheaf(&["sync", "odd", "--json"]).await;
    assert_eq!(next.json()["result"]["outcome"], "complete", "{next:?}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    signal(&worker, "TERM");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_whose_worker_is_killed_while_it_is_paused_is_resumed_by_another() {
    let mut site = observed(&format!("{QUICK}{}", odd("pages = 2000")), "").await;
    let server = server(&mut site).await;
    let (mut first, _log) = worker_and_log(&site).await;
    let sync = in_the_middle(&site).await;
    signal(&first, "KILL");
    first.wait().await.expect("killed");
    let mut pause = site.command(&["pause", "odd"]).spawn().expect("a command");
    let (_second, _log) = worker_and_log(&site).await;
    assert!(pause.wait().await.expect("an end").success());
    assert_eq!(site.sheaf(&["resume", "odd"]).await.code, 0);
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["result"]["outcome"], "complete", "{json}");
    assert_eq!(site.ids("odd").await.len(), 20_000);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connectors_are_gone_lives_and_is_not_ready() {
    let mut site = observed(&odd("pages = 1"), "").await;
    let server = server(&mut site).await;
    let (worker, log) = worker_and_log(&site).await;
    let at = address(&log.lock().expect("a log"));
    let gone = site.path("connectors").join("guest_odd.wasm");
    std::fs::remove_file(gone).expect("removed");
    // Another connection makes it look again.
    let more = odd("pages = 1")
        .replace("connections.odd", "connections.more")
        .replace("datasource = \"odd\"", "datasource = \"more\"")
        .replace("connector = \"odd\"", "connector = \"none\"");
    let toml = format!("[observe]\naddress = \"127.0.0.1:0\"\n{}\n{more}", odd("pages = 1"));
    site.configure(&toml);
    signal(&worker, "HUP");
    until("it is not ready", async || {
        // The page looks at once.
        drop(browser().get(&at).send().await);
        let answer = browser().get(format!("{at}/readyz")).send().await.expect("an answer");
        answer.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    assert_eq!(text(&format!("{at}/healthz")).await, "ok\n");
    server.stop().await;
}
