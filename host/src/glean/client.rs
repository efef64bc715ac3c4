//! Sends requests to the Indexing API: one pooled client, deadlines, patience while Glean is away, and
//! the documented pace. What cannot be retried comes back as an [`Error`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{Answer, Error, Outage, Result, Verdict, is_html};
use super::patience::Patience;
use super::status::DatasourceStatus;
use super::token;
use crate::clock::Timestamp;
use crate::failure::{self, Failure, cause};
use crate::metrics::metrics;
use crate::pace::{Pace, Wait, WaitGuard, Waits, retry_after};
use crate::secret::{Rotating, Secret};
use crate::senders::{Limit, Senders, Working};
use crate::text::bounded;
use crate::traces::{self, Step};

/// Where Glean is, and how it may be used.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Such as `https://acme-be.glean.com`.
    pub server_url: String,
    /// An indexing token.
    pub token: Option<Arc<Rotating>>,
    /// The longest one request may take.
    pub timeout: Duration,
    /// How long a request that fails is sent again.
    pub patience: Duration,
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
            patience: Duration::from_secs(600),
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
    /// Who else sends to this Glean.
    senders: Option<Senders>,
    waits: Waits,
    /// Whether Glean itself has answered yet.
    heard: AtomicBool,
    /// Requests that Glean does not answer now, and that wait to be sent again.
    away: watch::Sender<usize>,
}

const REQUESTS: Limit = Limit { name: "requests", window: Duration::from_secs(1), told: false };
const DOCUMENTS: Limit = Limit { name: "documents", window: Duration::from_secs(60), told: true };

/// A token that is refused is asked for again so often for one request, if it is another one each time.
const MAX_RENEWALS: u32 = 3;

impl Client {
    pub fn new(endpoint: Endpoint) -> failure::Result<Self> {
        Self::among(endpoint, None)
    }

    /// One that shares Glean's limits with others.
    pub fn among(endpoint: Endpoint, senders: Option<Senders>) -> failure::Result<Self> {
        // The process's provider may be set already: by Temporal's client, or by a client before.
        crate::tls::choose_provider();
        let http = reqwest::Client::builder()
            .timeout(endpoint.timeout)
            .connect_timeout(Duration::from_secs(10))
            .pool_idle_timeout(Duration::from_secs(60))
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sheaf/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::internal(format!("no HTTP client: {error}")))?;
        Ok(Self(Arc::new(Inner {
            http,
            requests: Pace::per_second(endpoint.requests_per_second)
                .shared(senders.as_ref().map(|senders| senders.share(REQUESTS))),
            documents: Pace::per_minute(endpoint.documents_per_minute)
                .shared(senders.as_ref().map(|senders| senders.share(DOCUMENTS))),
            senders,
            endpoint,
            waits: Waits::default(),
            heard: AtomicBool::new(false),
            away: watch::Sender::new(0),
        })))
    }

    /// Says that a crawl sends, until the answer is dropped.
    pub fn working(&self) -> Working {
        Working::begin(self.0.senders.as_ref())
    }

    /// What requests wait for now, if they do.
    pub fn waiting(&self) -> Option<Wait> {
        self.0.waits.now()
    }

    /// Ends when a request is not answered, and waits to be sent again.
    pub async fn away(&self) {
        // The sender is ours: it does not go away while we ask.
        let _ = self.0.away.subscribe().wait_for(|away| *away > 0).await;
    }

    pub fn server_url(&self) -> &str {
        &self.0.endpoint.server_url
    }

    /// Waits until so many documents may go through `/indexdocuments`.
    pub async fn pace_documents(&self, documents: usize) {
        #[allow(clippy::cast_precision_loss)]
        let turn = self.0.documents.take(documents as f64, &self.0.waits, || {
            let rate = self.0.endpoint.documents_per_minute;
            format!("Glean's limit of {rate:.0} documents a minute outside full crawls")
        });
        metrics().throttled_by_glean(turn).await;
    }

    /// Sends a request that Glean answers with nothing but its status.
    pub async fn post(&self, path: &str, body: Vec<Bytes>) -> Result<()> {
        self.send(path, &body, nothing).await
    }

    /// Asks what Glean answers with JSON, which must be what the endpoint promises.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &Value,
        is: fn(&Value) -> bool,
    ) -> Result<Value> {
        let read = |answer: &[u8]| match serde_json::from_slice(answer) {
            Ok(value) if is(&value) => Ok(value),
            Ok(_) => Err("it is not what this endpoint answers with".to_owned()),
            Err(error) => Err(format!("it is not JSON: {error}")),
        };
        self.send(path, &[body.to_string().into()], read).await
    }

    /// Sends one request until it is answered, or patience is over.
    async fn send<T>(
        &self,
        path: &str,
        body: &[Bytes],
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T> {
        let mut tries = self.tries(path);
        loop {
            match self.send_once(path, body, &read).await {
                Ok(answer) => return Ok(tries.done(answer)),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Sends a request that must not be sent twice: what came of it may be unknown.
    pub(super) async fn post_once(&self, path: &str, body: &[Bytes]) -> Result<()> {
        self.send_once(path, body, nothing).await
    }

    /// What is tried until it is done or refused, or patience is over.
    pub(super) fn tries<'a>(&'a self, path: &'a str) -> Tries<'a> {
        let patience = Patience::new(self.0.endpoint.patience);
        Tries { client: self, path, patience, away: None }
    }

    /// Whether what came may be over soon. What is not Glean's answer is a proxy's while Glean is
    /// deployed, if this client has heard Glean before; if it never has, the address is wrong.
    fn may_pass(&self, error: &Error) -> bool {
        match error {
            Error::Unreachable(_) => true,
            Error::NotGlean(_) => self.0.heard.load(Ordering::Relaxed),
            _ => false,
        }
    }

    /// Sends a request once, at the pace that Glean allows; and again where another token is to be had
    /// in place of one that was refused.
    async fn send_once<T>(
        &self,
        path: &str,
        body: &[Bytes],
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T> {
        let rate = self.0.endpoint.requests_per_second;
        let why = || format!("Glean's limit of {rate:.0} requests a second");
        let mut renewals = 0;
        loop {
            metrics().throttled_by_glean(self.0.requests.take(1.0, &self.0.waits, why)).await;
            let source = self.0.endpoint.token.as_ref();
            let token = match source {
                Some(source) => Some(source.get().await?),
                None => None,
            };
            if let Some(token) = &token {
                token::check(token)?;
            }
            let step = Step::within("request to Glean").says("path", path);
            let sent = step.run(self.once(path, body, token.as_ref(), &read));
            let answered = Box::pin(sent).await;
            match (&answered, source, token) {
                (Err(Error::Unauthorized(_)), Some(source), Some(refused))
                    if renewals < MAX_RENEWALS && source.renew(&refused, Duration::ZERO).await =>
                {
                    renewals += 1;
                }
                _ => return answered,
            }
        }
    }

    async fn once<T>(
        &self,
        path: &str,
        body: &[Bytes],
        token: Option<&Secret>,
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
        if let Some(token) = token {
            request = request.bearer_auth(token.reveal());
        }
        let sent = request.send().await;
        let status = sent
            .as_ref()
            .map_or_else(|_| "none".into(), |answer| answer.status().as_u16().to_string());
        metrics().glean_responses.with_label_values(&[&status]).inc();
        traces::note("status", &status);
        let answer = sent.map_err(|error| self.unreachable(&error))?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), Timestamp::now());
        let content_type = answer.headers().get(CONTENT_TYPE).cloned();
        let body = answer.bytes().await.map_err(|error| self.unreachable(&error))?;
        let html = is_html(content_type.as_ref().and_then(|of| of.to_str().ok()), &body);
        let said = String::from_utf8_lossy(&body);
        let answer = Answer::new(self.server_url(), path, status, &said);
        let heard = |result: Result<T>| {
            self.0.heard.store(true, Ordering::Relaxed);
            result
        };
        match answer.clone().verdict(html) {
            Verdict::Done => match read(&body) {
                Ok(answer) => heard(Ok(answer)),
                Err(why) => {
                    let said = format!("{why} ({})", bounded(answer.said.clone(), 200));
                    Err(Error::NotGlean(Answer { said, ..answer }))
                }
            },
            Verdict::Passing => Err(Error::Unreachable(Outage {
                server: answer.server.clone(),
                what: answer.to_string(),
                retry_after,
            })),
            Verdict::Refused(error @ Error::NotGlean(_)) => Err(error),
            Verdict::Refused(error) => heard(Err(error)),
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

/// A stretch of time, for people.
fn rounded(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
}

/// One request's tries.
pub(super) struct Tries<'a> {
    client: &'a Client,
    path: &'a str,
    patience: Patience,
    away: Option<Away<'a>>,
}

impl Tries<'_> {
    /// It failed: waits for the next try, or gives the failure back where another one is no use.
    pub(super) async fn again(&mut self, error: Error) -> Result<()> {
        if !self.client.may_pass(&error) {
            return Err(error);
        }
        let retry_after = match &error {
            Error::Unreachable(outage) => outage.retry_after,
            _ => None,
        };
        let now = Instant::now();
        let Some(wait) = self.patience.next(now, retry_after, rand::random()) else {
            return Err(error.after(self.patience.tries(), self.patience.lasted(now)));
        };
        let (path, tries) = (self.path, self.patience.tries());
        if tries == 1 {
            tracing::warn!(path, "{error}; trying again");
        } else {
            tracing::debug!(path, tries, wait_ms = wait.as_millis(), "{error}; trying again");
        }
        let client = self.client;
        self.away.get_or_insert_with(|| Away::begin(&client.0)).says(&error);
        tokio::time::sleep(wait).await;
        Ok(())
    }

    pub(super) fn done<T>(&self, answer: T) -> T {
        if self.away.is_some() {
            let lasted = rounded(self.patience.lasted(Instant::now()));
            tracing::info!(path = self.path, "Glean answers again, after {lasted}");
        }
        answer
    }
}

/// Glean is away for one request: seen by people, and by whoever would wait for that request.
struct Away<'a> {
    client: &'a Inner,
    waiting: Option<WaitGuard>,
}

impl<'a> Away<'a> {
    fn begin(client: &'a Inner) -> Self {
        client.away.send_modify(|away| *away += 1);
        Self { client, waiting: None }
    }

    fn says(&mut self, error: &Error) {
        let why = format!("Glean, to try again: {error}");
        match &self.waiting {
            Some(waiting) => waiting.says(why),
            None => self.waiting = Some(self.client.waits.begin(why)),
        }
    }
}

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.client.away.send_modify(|away| *away -= 1);
    }
}
