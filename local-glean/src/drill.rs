//! Misbehaviour on demand, the token's check, and the record of requests.
//!
//! A drill is put in by `POST /drill` with `{"path": "/bulkindexdocuments", "skip": 2, "times": 1,
//! "status": 503, "retryAfter": 1, "delayMs": 100, "drop": "before"}`: after so many requests to the
//! path, so many get that answer instead. `drop` closes the connection before or after the request
//! took effect; `half` breaks off in the middle of the answer. An answer with a `delayMs` and nothing else is only late.

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

use crate::App;
use crate::answer::Refusal;

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
    record: Option<std::fs::File>,
    requests: u64,
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

    /// Requests to the Indexing API so far, those that were made to fail included.
    pub fn requests(&self) -> u64 {
        self.inner().requests
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that this request meets, if any.
    fn meet(&self, path: &str) -> Option<Fault> {
        let mut inner = self.inner();
        inner.requests += 1;
        let at =
            inner.faults.iter().position(|fault| fault.path.is_empty() || fault.path == path)?;
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

    fn record(&self, path: &str, body: &[u8]) {
        if let Some(file) = &mut self.inner().record {
            let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
            let line = json!({ "path": format!("/api/index/v1{path}"), "body": body });
            if let Err(error) = writeln!(file, "{line}") {
                tracing::warn!(%error, "a request was not recorded");
            }
        }
    }

    fn records(&self) -> bool {
        self.inner().record.is_some()
    }
}

pub fn routes() -> Router<App> {
    Router::new().route("/drill", post(add))
}

async fn add(State(app): State<App>, Json(fault): Json<Fault>) {
    app.drill.add(Fault { times: fault.times.max(1), ..fault });
}

/// Around each request to the Indexing API.
pub async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    if let Some(token) = &app.token {
        let sent =
            request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if sent.and_then(|sent| sent.strip_prefix("Bearer ")) != Some(token) {
            return Refusal(StatusCode::UNAUTHORIZED, "the token is not valid".into())
                .into_response();
        }
    }
    let path = request.uri().path().to_owned();
    let request = if app.drill.records() {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        app.drill.record(&path, &body);
        Request::from_parts(parts, Body::from(body))
    } else {
        request
    };
    let Some(fault) = app.drill.meet(&path) else {
        return next.run(request).await;
    };
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    match (fault.drop, fault.status) {
        (Some(dropped), _) => {
            if dropped != Dropped::Before {
                next.run(request).await;
            }
            let mut response = broken();
            if dropped == Dropped::Half {
                response
                    .headers_mut()
                    .insert(header::CONTENT_LENGTH, HeaderValue::from_static("2"));
            }
            response
        }
        (None, Some(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, "this is a drill").into_response();
            if let Some(after) =
                fault.retry_after.and_then(|after| HeaderValue::try_from(after).ok())
            {
                response.headers_mut().insert(header::RETRY_AFTER, after);
            }
            response
        }
        (None, None) => next.run(request).await,
    }
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
