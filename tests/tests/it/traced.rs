//! A crawl as one trace, whichever workers did its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use sheaf_tests::people_api::{Api, people};
use sheaf_tests::temporal::{ONCE, QUICK, in_the_middle, server, signal, worker};
use sheaf_tests::{Site, odd};

type Spans = Arc<Mutex<Vec<Span>>>;

async fn taken(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let all = request.resource_spans.into_iter().flat_map(|of| of.scope_spans);
    spans.lock().expect("spans").extend(all.flat_map(|of| of.spans));
}

/// A collector, and what comes to it.
async fn collector() -> (String, Spans) {
    let spans = Spans::default();
    let routes = Router::new().route("/v1/traces", post(taken)).with_state(spans.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, spans)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_two_workers_did_is_one_trace() {
    let (url, spans) = collector().await;
    let observe = format!("[observe]\ntraces = \"{url}\"\n\n");
    let connections = format!("{observe}{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut first = worker(&site).await;
    let sync = in_the_middle(&site).await;
    signal(&first, "TERM");
    first.wait().await.expect("ended");
    let mut second = worker(&site).await;
    let output = sync.wait_with_output().await.expect("an end");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    signal(&second, "TERM");
    second.wait().await.expect("ended");
    let spans = std::mem::take(&mut *spans.lock().expect("spans"));
    let traces: BTreeSet<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
    assert_eq!(traces.len(), 1, "{spans:?}");
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span.span_id.clone(), span)).collect();
    let parent = |span: &Span| by_id.get(&span.parent_span_id).map(|span| span.name.as_str());
    for (name, within, least) in [
        ("crawl", None, 1),
        ("configure", Some("crawl"), 1),
        ("crawl scopes", Some("crawl"), 2),
        ("scope", Some("crawl scopes"), 2),
        ("batch", Some("scope"), 10),
        ("request to Glean", Some("batch"), 10),
        ("complete", Some("crawl"), 1),
    ] {
        let found = spans.iter().filter(|span| span.name == name && parent(span) == within);
        assert!(found.count() >= least, "{name} within {within:?}: {spans:?}");
    }
    let whole = spans.iter().find(|span| span.name == "crawl").expect("a whole");
    let (from, to) = (whole.start_time_unix_nano, whole.end_time_unix_nano);
    assert!(from < to, "{whole:?}");
    server.stop().await;
}

/// What a span says of something.
fn said<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_guests_are_parts_of_a_crawl_and_one_that_failed_is_whole() {
    let (collector, spans) = collector().await;
    let (api, url) = Api::start().await;
    api.says("/documents", json!({}));
    let connections = people(&url, &["all"], "").replace(QUICK, ONCE);
    let observe = format!("[observe]\ntraces = \"{collector}\"\n\n");
    let mut site = Site::new(&format!("{observe}{connections}")).await.connector("sheaf_rest");
    let server = server(&mut site).await;
    let mut worker = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "people"]).await.code, 0);
    api.answers("/documents", 500, json!({}));
    assert_eq!(site.sheaf(&["sync", "people"]).await.code, 4);
    signal(&worker, "TERM");
    worker.wait().await.expect("ended");
    let spans = std::mem::take(&mut *spans.lock().expect("spans"));
    let parent = |span: &Span| spans.iter().find(|one| one.span_id == span.parent_span_id);
    let requests: Vec<_> =
        spans.iter().filter(|span| span.name == "request of the guest").collect();
    for status in ["200", "500"] {
        let found = requests.iter().find(|span| said(span, "status") == Some(status));
        let request = found.unwrap_or_else(|| panic!("{status}: {requests:?}"));
        assert_eq!(said(request, "method"), Some("GET"));
        assert_eq!(said(request, "url"), Some(format!("{url}/documents").as_str()));
        assert!(request.start_time_unix_nano < request.end_time_unix_nano, "{request:?}");
        let scope = parent(request).expect("a part of something");
        assert_eq!(scope.name, "scope");
        assert!(scope.start_time_unix_nano <= request.start_time_unix_nano, "{scope:?}");
    }
    let wholes = spans.iter().filter(|span| span.name == "crawl");
    let outcomes: Vec<_> = wholes.filter_map(|span| said(span, "outcome")).collect();
    assert_eq!(outcomes, ["complete", "failed"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_was_cancelled_is_whole() {
    let (collector, spans) = collector().await;
    let observe = format!("[observe]\ntraces = \"{collector}\"\n\n");
    let connections = format!("{observe}{QUICK}{}", odd("pages = 2000"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut worker = worker(&site).await;
    let sync = in_the_middle(&site).await;
    assert_eq!(site.sheaf(&["cancel", "odd"]).await.code, 0);
    drop(sync.wait_with_output().await.expect("an end"));
    signal(&worker, "TERM");
    worker.wait().await.expect("ended");
    let spans = std::mem::take(&mut *spans.lock().expect("spans"));
    let whole: Vec<_> = spans.iter().filter(|span| span.name == "crawl").collect();
    assert_eq!(whole.len(), 1, "{whole:?}");
    assert_eq!(said(whole[0], "outcome"), Some("cancelled"));
    let parts = spans.iter().filter(|span| span.parent_span_id == whole[0].span_id);
    assert!(parts.count() >= 2, "{spans:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_no_crawl() {
    let connections = format!("[observe]\ntraces = \"http://127.0.0.1:9\"\n\n{}", odd("pages = 5"));
    let mut site = Site::new(&connections).await.connector("guest_odd");
    let server = server(&mut site).await;
    let mut worker = worker(&site).await;
    assert_eq!(site.sheaf(&["sync", "odd"]).await.code, 0);
    signal(&worker, "TERM");
    assert_eq!(worker.wait().await.expect("ended").code(), Some(143));
    site.configure("[observe]\ntraces = \"nowhere\"\n");
    let ended = site.sheaf(&["worker"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("`nowhere` is not the address of a collector"), "{ended:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_json_log_says_which_crawl_and_scope_it_is_about() {
    let mut site = Site::new(&odd("pages = 5")).await.connector("guest_odd");
    let server = server(&mut site).await;
    site.environment.push(("RUST_LOG".into(), "sheaf=debug".into()));
    let command = ["worker", "--log-format", "json"];
    let mut child =
        site.command(&command).stdout(std::process::Stdio::null()).spawn().expect("a worker");
    sheaf_tests::wait::says(&mut child, "the worker is ready").await;
    let upload = site.sheaf(&["sync", "odd", "--json"]).await.json()["result"]["upload_id"].clone();
    let log = sheaf_tests::wait::says(&mut child, "the scopes are crawled").await;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let about: Vec<_> =
        lines.map(|line| line["span"].clone()).filter(|span| !span.is_null()).collect();
    assert!(
        about.iter().any(|span| span["crawl"] == upload && span["connection"] == "odd"),
        "{log}"
    );
    server.stop().await;
}
