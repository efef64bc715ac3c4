//! Sends requests to the Indexing API: one pooled client, deadlines, retries with full jitter, and
//! the documented pace. What cannot be retried comes back as an [`Error`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::error::{Answer, Error, Outage, Result, Verdict, is_html};
use super::wire::DatasourceStatus;
use crate::failure::{self, Failure, bounded, cause};
use crate::pace::{Pace, Waits, retry_after};

/// Where Glean is, and how it may be used.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Such as `https://acme-be.glean.com`.
    pub server_url: String,
    /// An indexing token.
    pub token: Option<Arc<str>>,
    /// The longest one request may take.
    pub timeout: Duration,
    /// How often one request is sent before it is given up.
    pub attempts: u32,
    /// Glean: 30 requests per second and token.
    pub requests_per_second: f64,
    /// Glean: 600 documents per minute through `/indexdocuments`.
    pub documents_per_minute: f64,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            server_url: String::new(),
            token: None,
            timeout: Duration::from_secs(60),
            attempts: 6,
            requests_per_second: 30.0,
            documents_per_minute: 600.0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    endpoint: Endpoint,
    requests: Pace,
    documents: Pace,
    waits: Waits,
}

/// The first wait; doubled with each attempt, and cut at random.
const BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A server may ask for more patience than this; the activity's retry has it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

impl Client {
    pub fn new(endpoint: Endpoint) -> failure::Result<Self> {
        // The process's provider may be set already: by Temporal's client, or by a client before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(endpoint.timeout)
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sheaf/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::internal(format!("no HTTP client: {error}")))?;
        let requests = Pace::new(endpoint.requests_per_second, endpoint.requests_per_second);
        let documents =
            Pace::new(endpoint.documents_per_minute / 60.0, endpoint.documents_per_minute);
        let waits = Waits::default();
        Ok(Self(Arc::new(Inner { http, endpoint, requests, documents, waits })))
    }

    /// What requests wait for now, if they do.
    pub fn waiting(&self) -> Option<String> {
        self.0.waits.now()
    }

    pub fn server_url(&self) -> &str {
        &self.0.endpoint.server_url
    }

    /// Waits until so many documents may go through `/indexdocuments`.
    pub async fn pace_documents(&self, documents: usize) {
        #[allow(clippy::cast_precision_loss)]
        self.0
            .documents
            .take(documents as f64, &self.0.waits, || {
                let rate = self.0.endpoint.documents_per_minute;
                format!("Glean's limit of {rate:.0} documents a minute outside full crawls")
            })
            .await;
    }

    /// Sends a request that Glean answers with nothing but its status.
    pub async fn post(&self, path: &str, body: Vec<Bytes>) -> Result<()> {
        self.send(path, &body, nothing).await
    }

    /// Asks what Glean answers with JSON, which must be what the endpoint promises.
    async fn ask(&self, path: &str, body: &Value, is: fn(&Value) -> bool) -> Result<Value> {
        let read = |answer: &[u8]| match serde_json::from_slice(answer) {
            Ok(value) if is(&value) => Ok(value),
            Ok(_) => Err("it is not what this endpoint answers with".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        };
        self.send(path, &[body.to_string().into()], read).await
    }

    /// Sends one request as often as its retries allow.
    async fn send<T>(
        &self,
        path: &str,
        body: &[Bytes],
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let rate = self.0.endpoint.requests_per_second;
            let why = || format!("Glean's limit of {rate:.0} requests a second");
            self.0.requests.take(1.0, &self.0.waits, why).await;
            let outage = match self.once(path, body, &read).await {
                Ok(answer) => return Ok(answer),
                Err(Error::Unreachable(outage)) => outage,
                Err(error) => return Err(error),
            };
            let after = outage.retry_after;
            if attempt >= self.0.endpoint.attempts
                || after.is_some_and(|after| after > MAX_RETRY_AFTER)
            {
                return Err(Error::Unreachable(outage));
            }
            let wait = after.unwrap_or_else(|| jittered(attempt));
            let what = &outage.what;
            tracing::warn!(path, attempt, wait_ms = wait.as_millis(), "{what}; trying again");
            let _waiting = self.0.waits.begin(format!("Glean, to try again: {what}"));
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn once<T>(
        &self,
        path: &str,
        body: &[Bytes],
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T> {
        let endpoint = &self.0.endpoint;
        let url = format!("{}/api/index/v1{path}", endpoint.server_url);
        let length: usize = body.iter().map(Bytes::len).sum();
        let parts: Vec<_> = body.iter().cloned().map(Ok::<_, std::io::Error>).collect();
        let mut request = self
            .0
            .http
            .post(&url)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(stream::iter(parts)));
        if let Some(token) = &endpoint.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        let html = is_html(content_type.as_ref().and_then(|of| of.to_str().ok()), &body);
        let said = String::from_utf8_lossy(&body);
        let answer = Answer::new(self.server_url(), path, status, &said);
        match answer.clone().verdict(html) {
            Verdict::Done => read(&body).map_err(|why| {
                let said = format!("{why} ({})", bounded(answer.said.clone(), 200));
                Error::NotGlean(Answer { said, ..answer })
            }),
            Verdict::Passing => Err(Error::Unreachable(Outage {
                server: answer.server.clone(),
                what: answer.to_string(),
                retry_after,
            })),
            Verdict::Refused(error) => Err(error),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let reason = if error.is_timeout() {
            format!("no answer within {:?}", self.0.endpoint.timeout)
        } else {
            cause(error)
        };
        Error::Unreachable(Outage {
            server: self.server_url().to_owned(),
            what: format!("Glean does not answer: {reason}"),
            retry_after: None,
        })
    }

    /// Registers or changes a datasource.
    pub async fn add_datasource(&self, config: &Value) -> Result<()> {
        self.post("/adddatasource", vec![config.to_string().into()]).await
    }

    /// How a datasource is registered.
    pub async fn datasource_config(&self, datasource: &str) -> Result<Value> {
        let body = json!({ "datasource": datasource });
        let config = self.ask("/getdatasourceconfig", &body, |config| config["name"].is_string());
        config.await.map_err(|error| error.about(datasource))
    }

    pub async fn datasource_status(&self, datasource: &str) -> Result<DatasourceStatus> {
        // Each part may be left out; an object with none of them is something else's.
        let parts = |status: &Value| {
            ["documents", "identity", "datasourceVisibility"]
                .iter()
                .any(|part| status.get(part).is_some())
                && DatasourceStatus::deserialize(status).is_ok()
        };
        let path = format!("/debug/{datasource}/status");
        let status = self.ask(&path, &json!({}), parts).await;
        let status = status.map_err(|error| error.about(datasource))?;
        DatasourceStatus::deserialize(status).map_err(|error| {
            Failure::internal(format!("a status was read twice, and differs: {error}")).into()
        })
    }

    pub async fn document_count(&self, datasource: &str) -> Result<u64> {
        let body = json!({ "datasource": datasource });
        let is = |answer: &Value| answer["documentCount"].is_u64();
        let answer = self.ask("/getdocumentcount", &body, is).await?;
        Ok(answer["documentCount"].as_u64().unwrap_or_default())
    }

    /// What Glean says of one document.
    pub async fn document_status(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
    ) -> Result<Value> {
        let body = json!({ "objectType": object_type, "docId": id });
        self.ask(&format!("/debug/{datasource}/document"), &body, Value::is_object).await
    }

    /// Succeeds when the document is not there, too.
    pub async fn delete_document(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
    ) -> Result<()> {
        let body = json!({ "datasource": datasource, "objectType": object_type, "id": id });
        self.post("/deletedocument", vec![body.to_string().into()]).await
    }

    pub async fn update_permissions(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
        permissions: &Value,
    ) -> Result<()> {
        let body = json!({
            "datasource": datasource, "objectType": object_type, "id": id, "permissions": permissions,
        });
        self.post("/updatepermissions", vec![body.to_string().into()]).await
    }
}

/// The endpoints that change something promise no body. An empty one is that, and so is JSON, which an
/// endpoint may come to answer with; a page or a text is another's.
fn nothing(body: &[u8]) -> Result<(), String> {
    let empty = body.trim_ascii().is_empty();
    let json = || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    (empty || json())
        .then_some(())
        .ok_or_else(|| "it has a text where this endpoint answers with none".to_owned())
}

/// A random part of a wait that doubles: many clients do not come back at once.
fn jittered(attempt: u32) -> Duration {
    let most = BACKOFF.saturating_mul(1 << attempt.min(10).saturating_sub(1)).min(MAX_BACKOFF);
    most.mul_f64(rand::random::<f64>())
}
