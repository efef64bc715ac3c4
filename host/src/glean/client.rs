//! Sends requests to the Indexing API: one pooled client, deadlines, retries with full jitter, and
//! the documented pace. What cannot be retried comes back as a [`Failure`] with the next step.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Value, json};

use super::wire::DatasourceStatus;
use crate::failure::{Failure, Kind, Result, bounded, cause};
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

/// A request that Glean answered with a refusal, or a failure.
#[derive(Debug)]
pub enum CallError {
    /// 413: less at once may pass.
    TooLarge(Failure),
    /// 400: some document in it may be at fault.
    BadRequest(Failure),
    Other(Failure),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TooLarge(failure)
            | CallError::BadRequest(failure)
            | CallError::Other(failure) => failure,
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
    pub fn new(endpoint: Endpoint) -> Result<Self> {
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

    /// Sends one request as often as its retries allow.
    pub async fn post(&self, path: &str, body: Vec<Bytes>) -> Result<Bytes, CallError> {
        let mut attempt = 1;
        loop {
            let rate = self.0.endpoint.requests_per_second;
            let why = || format!("Glean's limit of {rate:.0} requests a second");
            self.0.requests.take(1.0, &self.0.waits, why).await;
            let (failure, after) = match self.once(path, &body).await {
                Ok(answer) => return Ok(answer),
                Err(Refusal::Final(error)) => return Err(error),
                Err(Refusal::Passing { failure, after }) => (failure, after),
            };
            if attempt >= self.0.endpoint.attempts
                || after.is_some_and(|after| after > MAX_RETRY_AFTER)
            {
                return Err(CallError::Other(failure.retry_after(after)));
            }
            let wait = after.unwrap_or_else(|| jittered(attempt));
            tracing::warn!(path, attempt, wait_ms = wait.as_millis(), "{failure}; trying again");
            let _waiting = self.0.waits.begin(format!("Glean, to try again: {failure}"));
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn once(&self, path: &str, body: &[Bytes]) -> Result<Bytes, Refusal> {
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
        let after = retry_after(answer.headers(), SystemTime::now());
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(self.refusal(path, status, after, &body))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Refusal {
        let reason = if error.is_timeout() {
            format!("no answer within {:?}", self.0.endpoint.timeout)
        } else {
            cause(error)
        };
        Refusal::Passing {
            failure: Failure::new(Kind::Unreachable, format!("Glean does not answer: {reason}"))
                .at(self.server_url())
                .next("check `server_url` in [glean], and the network; `sheaf doctor` tries it"),
            after: None,
        }
    }

    fn refusal(
        &self,
        path: &str,
        status: StatusCode,
        after: Option<Duration>,
        body: &[u8],
    ) -> Refusal {
        let text = bounded(String::from_utf8_lossy(body).trim().to_owned(), 1_000);
        let said = if text.is_empty() { String::new() } else { format!(": {text}") };
        let failure = |kind, what: String| Failure::new(kind, what).at(self.server_url());
        match status.as_u16() {
            408 | 429 | 500..=599 => Refusal::Passing {
                failure: failure(Kind::Unreachable, format!("Glean answered {status} to {path}{said}"))
                    .next("it is tried again; if it stays, see Glean's status"),
                after,
            },
            401 | 403 => Refusal::Final(CallError::Other(
                failure(Kind::Unauthorized, format!("Glean refused the token ({status}){said}")).next(
                    "set GLEAN_INDEXING_API_TOKEN to an indexing token that is not expired and whose \
                     scopes and IP list cover this datasource",
                ),
            )),
            413 => Refusal::Final(CallError::TooLarge(
                failure(Kind::Refused, format!("Glean finds the request too large{said}"))
                    .next("lower `batch_bytes` in [glean]"),
            )),
            400 => Refusal::Final(CallError::BadRequest(
                failure(Kind::Refused, format!("Glean refused the request to {path}{said}"))
                    .next("mend what it names"),
            )),
            _ => Refusal::Final(CallError::Other(
                failure(Kind::Refused, format!("Glean answered {status} to {path}{said}"))
                    .next("check `server_url` in [glean]; it is the address of Glean's backend"),
            )),
        }
    }

    async fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.post(path, vec![body.to_string().into()]).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|error| {
            Failure::new(Kind::Refused, format!("Glean's answer to {path} is not JSON: {error}"))
                .at(self.server_url())
                .next("check `server_url` in [glean]; something else may be answering there")
        })
    }

    /// Registers or changes a datasource.
    pub async fn add_datasource(&self, config: &Value) -> Result<()> {
        self.call("/adddatasource", config).await.map(drop)
    }

    pub async fn datasource_config(&self, datasource: &str) -> Result<Value> {
        self.call("/getdatasourceconfig", &json!({ "datasource": datasource })).await
    }

    pub async fn datasource_status(&self, datasource: &str) -> Result<DatasourceStatus> {
        let answer = self.call(&format!("/debug/{datasource}/status"), &json!({})).await?;
        serde_json::from_value(answer).map_err(|error| {
            Failure::new(
                Kind::Refused,
                format!("Glean's datasource status is not understood: {error}"),
            )
            .at(datasource)
        })
    }

    pub async fn document_count(&self, datasource: &str) -> Result<u64> {
        let answer = self.call("/getdocumentcount", &json!({ "datasource": datasource })).await?;
        answer["documentCount"].as_u64().ok_or_else(|| {
            Failure::new(Kind::Refused, "Glean does not say how many documents it has")
                .at(datasource)
                .next("check `server_url` in [glean]; something else may be answering there")
        })
    }

    /// What Glean says of one document.
    pub async fn document_status(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
    ) -> Result<Value> {
        let body = json!({ "objectType": object_type, "docId": id });
        self.call(&format!("/debug/{datasource}/document"), &body).await
    }

    /// Succeeds when the document is not there, too.
    pub async fn delete_document(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
    ) -> Result<()> {
        let body = json!({ "datasource": datasource, "objectType": object_type, "id": id });
        self.call("/deletedocument", &body).await.map(drop)
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
        self.call("/updatepermissions", &body).await.map(drop)
    }
}

enum Refusal {
    Passing { failure: Failure, after: Option<Duration> },
    Final(CallError),
}

/// A random part of a wait that doubles: many clients do not come back at once.
fn jittered(attempt: u32) -> Duration {
    let most = BACKOFF.saturating_mul(1 << attempt.min(10).saturating_sub(1)).min(MAX_BACKOFF);
    most.mul_f64(rand::random::<f64>())
}
