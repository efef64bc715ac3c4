//! Misbehaviour on demand, and the record of requests.
//!
//! `POST /drill` with `{"path": "/bulkindexdocuments", "skip": 2, "times": 1, "status": 503,
//! "retryAfter": "1", "delayMs": 100, "drop": "before", "hold": 3}` puts in a fault: after so many
//! requests to the path, so many get that answer instead. `drop` closes the connection before or after
//! the request took effect; `half` breaks off in the middle of the answer. With a `status` that is the
//! answer instead, `after` the request took effect. A `delayMs` and nothing else
//! is only late. `hold` keeps the request and carries it out later, whether or not its client still
//! waits: before the answer to the third request to that path after it, or with 0 only when
//! `POST /drill` with `{"release": true}` says so.
//!
//! `{"path": "/bulkindexusers", "row": "ann@example.com", "times": 9}` refuses pages of users, groups or members that have a
//! row with that text. Glean does not say what becomes of their session, so it is the worst: a first page leaves an open
//! session behind, which is in the way of the next, and after any other page the session is gone.
//!
//! `POST /drill` also sets how Glean lags: `{"counts": "frozen"}`, `{"counts": {"lagging": 3}}` and
//! `{"counts": "live"}` for the counts in `/debug/{datasource}/status`, and
//! `{"staleCheckAfterReads": 2}` for the check that follows the last page of an upload.

use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::App;
use crate::answer::{Answer, read};
use crate::lag::{self, Counts};

/// What shall go wrong.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Fault {
    /// The endpoint, such as `/bulkindexdocuments`; empty for each.
    pub path: String,
    pub skip: u32,
    pub times: u32,
    pub status: Option<u16>,
    pub retry_after: Option<String>,
    pub delay_ms: u64,
    pub drop: Option<Dropped>,
    /// Carried out before the answer to so many further requests to `path`; 0: when it is released.
    pub hold: Option<u32>,
    /// Only pages that have a row with this text, and those are refused.
    pub row: Option<String>,
}

impl Fault {
    fn is_of(&self, path: &str) -> bool {
        self.path.is_empty() || self.path == path
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dropped {
    Before,
    After,
    /// It takes effect, and the answer has half of the bytes that it promised.
    Half,
}

#[derive(Clone, Default)]
pub struct Drill(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    faults: Vec<Fault>,
    held: Vec<Held>,
    record: Option<std::fs::File>,
    requests: u64,
    stale_check_after_reads: u32,
}

/// A request that waits to be carried out.
struct Held {
    path: String,
    /// Further requests that it waits for; 0 for none in particular.
    after: u32,
    is_due: bool,
    go: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

/// How Glean lags behind what it was told.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Lag {
    counts: Option<Counts>,
    stale_check_after_reads: Option<u32>,
    release: bool,
}

impl Drill {
    pub(crate) fn new(record: Option<&Path>) -> std::io::Result<Self> {
        let record = record.map(std::fs::File::create).transpose()?;
        Ok(Self(Arc::new(Mutex::new(Inner { record, ..Inner::default() }))))
    }

    pub fn add(&self, fault: Fault) {
        self.inner().faults.push(fault);
    }

    /// Takes away the faults that were not met.
    pub fn clear(&self) {
        self.inner().faults.clear();
    }

    /// Faults that are still to be met.
    pub fn armed(&self) -> usize {
        self.inner().faults.len()
    }

    /// Requests to the Indexing API so far, those that were made to fail included.
    pub fn requests(&self) -> u64 {
        self.inner().requests
    }

    /// Requests that are held now.
    pub fn held(&self) -> usize {
        self.inner().held.len()
    }

    /// Carries out the requests that are held; how many there were.
    pub async fn release(&self) -> usize {
        let held = std::mem::take(&mut self.inner().held);
        carry_out(held).await
    }

    /// After the last page of an upload, stale documents stay and its state is `UPLOAD COMPLETED`, until
    /// the datasource's status was read so often: then they are deleted, or the deletion is paused.
    pub fn check_stale_after_reads(&self, reads: u32) {
        self.inner().stale_check_after_reads = reads;
    }

    pub(crate) fn stale_check_after_reads(&self) -> u32 {
        self.inner().stale_check_after_reads
    }

    /// A request of the client was carried out: what was held until then comes next.
    async fn passed(&self, path: &str) {
        let due: Vec<_> = {
            let mut inner = self.inner();
            for held in &mut inner.held {
                if held.after > 0 && (held.path.is_empty() || held.path == path) {
                    held.after -= 1;
                    if held.after == 0 {
                        held.is_due = true;
                    }
                }
            }
            inner.held.extract_if(.., |held| held.is_due).collect()
        };
        carry_out(due).await;
    }

    /// Keeps a request; whoever still waits for its answer gets it when it was carried out.
    async fn hold(&self, path: &str, after: u32, request: Request, next: Next) -> Response {
        let (go, told) = oneshot::channel();
        let (finished, done) = oneshot::channel();
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return broken();
        };
        self.inner().held.push(Held { path: path.to_owned(), after, is_due: false, go, done });
        // A task of its own: it outlives the client's connection.
        let carried_out = tokio::spawn(async move {
            // A drill that is gone releases nothing.
            told.await.ok()?;
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            let _ = finished.send(());
            Some(response)
        });
        carried_out.await.ok().flatten().unwrap_or_else(broken)
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that this request meets, if any.
    fn meet(&self, path: &str) -> Option<Fault> {
        let mut inner = self.inner();
        inner.requests += 1;
        let at = inner.faults.iter().position(|fault| fault.row.is_none() && fault.is_of(path))?;
        let fault = inner.faults.get_mut(at)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        let met = fault.clone();
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            inner.faults.remove(at);
        }
        Some(met)
    }

    /// The first of these rows that is refused, if one is.
    pub(crate) fn refuses(&self, path: &str, rows: &[String]) -> Option<String> {
        let mut inner = self.inner();
        let refused = |fault: &Fault| {
            let text = fault.row.as_ref().filter(|_| fault.is_of(path))?;
            rows.iter().find(|row| row.contains(text)).cloned()
        };
        let (at, row) =
            inner.faults.iter().enumerate().find_map(|(at, fault)| Some((at, refused(fault)?)))?;
        let fault = inner.faults.get_mut(at)?;
        fault.times = fault.times.saturating_sub(1);
        if fault.times == 0 {
            inner.faults.remove(at);
        }
        Some(row)
    }

    fn record(&self, path: &str, body: &[u8]) {
        if let Some(file) = &mut self.inner().record {
            let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
            let line = json!({ "path": path, "body": body });
            if let Err(error) = writeln!(file, "{line}") {
                tracing::warn!(%error, "a request was not recorded");
            }
        }
    }

    fn records(&self) -> bool {
        self.inner().record.is_some()
    }
}

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/drill", post(add))
}

async fn add(State(app): State<App>, body: Bytes) -> Answer<Json<Value>> {
    let order: Value = read(&body)?;
    if !["counts", "staleCheckAfterReads", "release"].iter().any(|key| order.get(key).is_some()) {
        let fault: Fault = read(&body)?;
        app.drill.add(Fault { times: fault.times.max(1), ..fault });
        return Ok(Json(json!({})));
    }
    let lag: Lag = read(&body)?;
    if let Some(counts) = lag.counts {
        app.store.with(move |database| lag::set_counts(database, counts)).await?;
    }
    if let Some(reads) = lag.stale_check_after_reads {
        app.drill.check_stale_after_reads(reads);
    }
    let released = if lag.release { app.drill.release().await } else { 0 };
    Ok(Json(json!({ "released": released })))
}

async fn carry_out(held: Vec<Held>) -> usize {
    let count = held.len();
    for held in held {
        if held.go.send(()).is_ok() {
            let _ = held.done.await;
        }
    }
    count
}

/// Around each request to the Indexing API, of which there are parts under more than one address.
pub(crate) async fn around(
    State((app, base)): State<(App, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = answer(&app, base, request, next).await;
    // Glean's own client takes no other for some of its answers.
    if let Some(kind) = response.headers_mut().get_mut(header::CONTENT_TYPE)
        && kind == "application/json"
    {
        *kind = HeaderValue::from_static("application/json; charset=UTF-8");
    }
    response
}

async fn answer(app: &App, base: &str, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let request = if app.drill.records() {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        app.drill.record(&format!("{base}{path}"), &body);
        Request::from_parts(parts, Body::from(body))
    } else {
        request
    };
    let Some(fault) = app.drill.meet(&path) else {
        let response = next.run(request).await;
        app.drill.passed(&path).await;
        return response;
    };
    if let Some(after) = fault.hold {
        return app.drill.hold(&fault.path, after, request, next).await;
    }
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    if fault.drop == Some(Dropped::After) && fault.status.is_some() {
        next.run(request).await;
        app.drill.passed(&path).await;
        return refused(&fault);
    }
    match (fault.drop, fault.status) {
        (Some(dropped), _) => {
            if dropped != Dropped::Before {
                next.run(request).await;
                app.drill.passed(&path).await;
            }
            let mut response = broken();
            if dropped == Dropped::Half {
                response
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, HeaderValue::from_static("2"));
            }
            response
        }
        (None, Some(_)) => refused(&fault),
        (None, None) => {
            let response = next.run(request).await;
            app.drill.passed(&path).await;
            response
        }
    }
}

fn refused(fault: &Fault) -> Response {
    let status = fault.status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, "this is a drill").into_response();
    let after = fault.retry_after.as_ref().and_then(|after| HeaderValue::try_from(after).ok());
    if let Some(after) = after {
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

/// An answer that breaks off: the client sees its connection dropped.
fn broken() -> Response {
    let parts: Vec<Result<Bytes, std::io::Error>> = vec![
        Ok(Bytes::from_static(b"{")),
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "this is a drill")),
    ];
    Response::new(Body::from_stream(Parts(parts.into_iter())))
}

struct Parts(std::vec::IntoIter<Result<Bytes, std::io::Error>>);

impl futures_core::Stream for Parts {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
