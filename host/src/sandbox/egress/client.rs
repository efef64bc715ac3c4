//! Sends a guest's request after everything was checked, at the pace of its connection.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use reqwest::Url;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Finder, Metered, drain};
use super::error::{find, wasi_error};
use super::resolve::{Blocked, Filtered, Names, System};
use super::rules::Policy;
use super::target::{Target, without_query};
use super::{Denied, Incidents};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result, cause};
use crate::pace::{Pace, Wait, Waits, retry_after};
use crate::sandbox::credentials::{self, Credentials, Refused, StandIns};
use crate::text::bytes;

/// How much HTTP a connection's guests may do, each under its key in `[connections.NAME.limits]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests that one guest has open at once, responses that are not read to their end included.
    pub open_requests: usize,
    /// Requests to one host at once, of all crawls of the connection in this process. More wait.
    pub host_requests: usize,
    /// Requests to one host in a second. More wait.
    pub host_requests_per_second: f64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// All headers of a response together.
    pub response_header_bytes: usize,
    pub connect_timeout: Duration,
    /// Until the first byte of the response: resolving, connecting and sending included.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a response.
    pub body_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_requests: 16,
            host_requests: 8,
            host_requests_per_second: 20.0,
            request_bytes: 16 << 20,
            response_bytes: 64 << 20,
            response_header_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
        }
    }
}

/// Certificates, from PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// This client's certificate and its key.
    pub client_certificate: Option<PathBuf>,
}

/// All that decides what a connection may do over HTTP.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    pub policy: Policy,
    pub limits: Limits,
    pub tls: Tls,
    pub credentials: BTreeMap<String, credentials::Grant>,
}

/// A server asks for more patience than this: the guest is told, and its crawl tries again later.
const PATIENCE: Duration = Duration::from_secs(30);
/// Headers of one response.
const MOST_HEADERS: usize = 256;
/// Hosts whose pace is remembered.
const MOST_HOSTS: usize = 1_000;
/// How often a request that only reads is sent, where the server asks to wait.
const ATTEMPTS: u32 = 3;

/// One connection's HTTP: shared by all its guests of this process.
pub struct Egress {
    pub connection: String,
    pub grant: Grant,
    pub credentials: Credentials,
    client: OnceLock<Result<Clients>>,
    names: Arc<dyn Names>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    waits: Waits,
}

struct Clients {
    /// For guests: it reaches only what the policy allows.
    guests: reqwest::Client,
    /// For tokens, from the addresses that the operator wrote down.
    tokens: reqwest::Client,
}

/// What all requests to one host share.
struct Host {
    turns: Arc<Semaphore>,
    pace: Pace,
    not_before: Mutex<Option<Instant>>,
}

/// What one guest has of its own.
#[derive(Clone, Debug)]
pub struct Guest {
    pub open: Arc<Semaphore>,
    pub incidents: Incidents,
    pub stand_ins: StandIns,
}

type Response = http::Response<WasiBody>;

/// Why there is no response: what the guest is told, and the operator, where it is theirs to know.
struct Refusal(Error, Option<Box<Failure>>);

impl Refusal {
    fn told(error: Error, failure: Failure) -> Self {
        Self(error, Some(Box::new(failure)))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self(error, None)
    }
}

fn refused(status: StatusCode) -> Option<Refused> {
    match status {
        StatusCode::UNAUTHORIZED => Some(Refused::Invalid),
        StatusCode::FORBIDDEN => Some(Refused::Forbidden),
        _ => None,
    }
}

impl Egress {
    pub fn new(connection: &str, grant: Grant) -> Self {
        Self::with_names(connection, grant, Arc::new(System))
    }

    pub(super) fn with_names(connection: &str, grant: Grant, names: Arc<dyn Names>) -> Self {
        Self {
            connection: connection.to_owned(),
            credentials: Credentials::new(&grant.credentials),
            grant,
            client: OnceLock::new(),
            names,
            hosts: Mutex::default(),
            waits: Waits::default(),
        }
    }

    /// What requests wait for now, for people.
    pub fn waiting(&self) -> Option<Wait> {
        self.waits.now()
    }

    /// Whether everything that was granted is really there.
    pub async fn check(&self) -> Result<()> {
        if !self.grant.policy.granted.is_empty() {
            self.clients()?;
        }
        for name in self.grant.credentials.keys() {
            if let Some(credential) = self.credentials.get(name) {
                credential.check().await?;
            }
        }
        Ok(())
    }

    /// Whether a URL could be requested, and by which grant.
    pub fn allows(&self, url: &str) -> Result<(Url, Target, super::Allowed), Denied> {
        let (url, target) = Target::parse(url)?;
        let allowed = self.grant.policy.allows(&target)?;
        Ok((url, target, allowed))
    }

    /// Where a name that is allowed leads now.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<std::net::IpAddr>> {
        if let Some(address) = target.address() {
            return Ok(vec![address]);
        }
        let name = target.host.to_string();
        let found = self.names.lookup(&name).await.map_err(|error| {
            Failure::new(Kind::Source, format!("{name} cannot be resolved: {error}"))
        })?;
        self.grant
            .policy
            .dialled(&name, &super::Allowed::name(&name), found)
            .map_err(|denied| denied.failure(&self.connection, &self.grant.policy.granted))
    }

    pub(super) async fn send(
        &self,
        guest: &Guest,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response, Error> {
        let (head, body) = request.into_parts();
        let mut body = Some(body);
        let started = Instant::now();
        let sent = self.send_checked(guest, &head, &mut body, options).await;
        let url = without_query(&head.uri.to_string());
        let connection = self.connection.as_str();
        let milliseconds = started.elapsed().as_millis();
        match sent {
            Ok(response) => {
                // What was refused before is not why a guest complains now.
                drop(guest.incidents.take());
                let status = response.status().as_u16();
                tracing::debug!(connection, method = %head.method, url, status, milliseconds, "requested");
                Ok(response)
            }
            Err(Refusal(error, failure)) => {
                tracing::debug!(connection, method = %head.method, url, %error, milliseconds, "no response");
                if let Some(failure) = failure {
                    guest.incidents.record(*failure);
                }
                if let Some(body) = body
                    && !body.is_end_stream()
                {
                    drain(body, self.grant.limits.request_bytes).await;
                }
                Err(error)
            }
        }
    }

    async fn send_checked(
        &self,
        guest: &Guest,
        head: &http::request::Parts,
        body: &mut Option<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response, Refusal> {
        let denied = |denied: Denied| {
            let error = match &denied {
                Denied::Address { .. } => Error::DestinationIpProhibited,
                Denied::Invalid { .. } => Error::HttpRequestUriInvalid,
                _ => Error::HttpRequestDenied,
            };
            Refusal::told(error, denied.failure(&self.connection, &self.grant.policy.granted))
        };
        let text = head.uri.to_string();
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            // The one is a tunnel, the other sends credentials back.
            let why = format!("{} is not let out", head.method);
            return Err(denied(Denied::Invalid { url: without_query(&text), why }));
        }
        let (url, target, _) = self.allows(&text).map_err(denied)?;
        let found = self.credentials.find(&guest.stand_ins, &text, &head.headers, &target);
        let found = found.map_err(denied)?;
        let limits = &self.grant.limits;
        let Ok(open) = guest.open.clone().try_acquire_owned() else {
            let what = format!("{} requests open at once", limits.open_requests);
            let failure = self.over(&what, "open_requests");
            return Err(Refusal::told(Error::ConnectionLimitReached, failure));
        };
        let declared = head.headers.get(http::header::CONTENT_LENGTH);
        let declared: Option<u64> = declared.and_then(|value| value.to_str().ok()?.parse().ok());
        if declared.is_some_and(|length| length > limits.request_bytes) {
            let error = Error::HttpRequestBodySize(Some(limits.request_bytes));
            return Err(Refusal::told(error, self.too_much("request", limits.request_bytes)));
        }
        let clients =
            self.clients().map_err(|failure| Refusal::told(Error::ConfigurationError, failure))?;
        let host = self.host(&target);
        let wait = options.and_then(|options| options.first_byte_timeout);
        let first_byte =
            wait.map_or(limits.first_byte_timeout, |wait| wait.min(limits.first_byte_timeout));
        let turn = match host.turns.clone().try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => self.turn(guest, &host, &target, first_byte).await?,
        };
        let only_reads = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let mut first = None;
        let mut is_empty = body.as_ref().is_none_or(http_body::Body::is_end_stream);
        if only_reads && !is_empty && declared.unwrap_or(0) == 0 {
            // A guest may have opened a body and put nothing in it: only its end tells.
            let opened = body.as_mut().map(http_body_util::BodyExt::frame);
            if let Some(frame) = opened {
                let frame = tokio::time::timeout(first_byte, frame).await;
                match frame.map_err(|_| Error::ConnectionWriteTimeout)? {
                    None => is_empty = true,
                    Some(frame) => first = frame?.into_data().ok(),
                }
            }
        }
        let reads = is_empty && only_reads;
        let (mut attempt, mut renewed) = (0, None);
        let answer = loop {
            attempt += 1;
            self.pace(&host, &target).await;
            let mut headers = head.headers.clone();
            found.apply(&mut headers, &clients.tokens).await.map_err(|failure| {
                Refusal::told(Error::HttpRequestDenied, failure.at(self.connection.clone()))
            })?;
            let mut request =
                clients.guests.request(head.method.clone(), url.clone()).headers(headers.clone());
            if !is_empty && let Some(body) = body.take() {
                if let (None, None, Some(length)) = (declared, &first, body.size_hint().exact()) {
                    request = request.header(http::header::CONTENT_LENGTH, length);
                }
                request = request.body(self.metered(first.take(), body, guest));
            }
            let sent = tokio::time::timeout(first_byte, request.send()).await;
            let answer = sent.map_err(|_| {
                guest.incidents.slow("first_byte_timeout", first_byte);
                Error::ConnectionReadTimeout
            })?;
            let answer = answer.map_err(|error| self.refusal(&error, guest))?;
            let refused = refused(answer.status());
            if refused.is_none() && renewed == Some(Refused::Forbidden) {
                found.helped().await;
            }
            // What the server asks for holds for those that follow, too. A credential is asked for anew once.
            let helps = match refused {
                Some(refused) => renewed.is_none() && found.forget(&headers, refused).await,
                None => Self::asks_to_wait(&host, &answer),
            };
            renewed = renewed.or(refused);
            if !helps || !reads || attempt >= ATTEMPTS {
                break answer;
            }
        };
        self.answered(answer, guest, options, vec![open, turn])
    }

    /// Whether the server asked for a moment, and a request that only reads should be sent once more after it.
    fn asks_to_wait(host: &Host, answer: &reqwest::Response) -> bool {
        if !matches!(
            answer.status(),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            return false;
        }
        let Some(after) = retry_after(answer.headers(), Timestamp::now()) else { return false };
        // The others wait as well, even if this one is not sent again.
        let until = Instant::now() + after.min(PATIENCE);
        let mut not_before = host.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = Some(not_before.map_or(until, |earlier| earlier.max(until)));
        after <= PATIENCE
    }

    /// Waits until one of the connection's other requests to this host has been read to its end.
    async fn turn(
        &self,
        guest: &Guest,
        host: &Host,
        target: &Target,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let most = self.grant.limits.host_requests;
        let why = format!("{target}: {most} requests to it are open already");
        tracing::debug!(connection = self.connection, "waits for {why}");
        let _waiting = self.waits.begin(why);
        let turn = tokio::time::timeout(patience, host.turns.clone().acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            guest.incidents.slow("first_byte_timeout", patience);
            return Err(Error::ConnectionLimitReached.into());
        };
        Ok(turn)
    }

    /// Waits for the host's turn.
    async fn pace(&self, host: &Host, target: &Target) {
        loop {
            let until = *host.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(until) = until.filter(|until| *until > Instant::now()) else { break };
            let _waiting = self.waits.begin(format!("{target}, which asked for a pause"));
            tokio::time::sleep_until(until).await;
        }
        host.pace.take(1.0, &self.waits, || format!("the pace of {target}")).await;
    }

    fn host(&self, target: &Target) -> Arc<Host> {
        let limits = &self.grant.limits;
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MOST_HOSTS {
            // A pattern may allow names without number: those that rest are forgotten.
            hosts.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = hosts.entry(target.to_string()).or_insert_with(|| {
            let rate = limits.host_requests_per_second;
            Arc::new(Host {
                turns: Arc::new(Semaphore::new(limits.host_requests)),
                pace: Pace::per_second(rate),
                not_before: Mutex::default(),
            })
        });
        host.clone()
    }

    /// A guest's body on its way: counted, and without stand-ins.
    fn metered(&self, first: Option<Bytes>, body: WasiBody, guest: &Guest) -> reqwest::Body {
        let most = self.grant.limits.request_bytes;
        let over = self.too_much("request", most);
        let incidents = guest.incidents.clone();
        let mut finder = Finder::new(guest.stand_ins.all());
        let misplaced = Denied::Credential {
            name: "in a body".into(),
            host: "its host".into(),
            why: "credentials go into headers only".into(),
        };
        let misplaced = misplaced.failure(&self.connection, &self.grant.policy.granted);
        let mut left = most;
        let whole = stream::iter(first.map(Ok)).chain(body.into_data_stream());
        let pieces = whole.map(move |piece| {
            let piece = piece?;
            let Some(rest) = left.checked_sub(piece.len() as u64) else {
                incidents.record(over.clone());
                return Err(Error::HttpRequestBodySize(Some(most)));
            };
            left = rest;
            if finder.finds_in(&piece) {
                incidents.record(misplaced.clone());
                return Err(Error::HttpRequestDenied);
            }
            Ok(piece)
        });
        reqwest::Body::wrap_stream(pieces)
    }

    fn answered(
        &self,
        answer: reqwest::Response,
        guest: &Guest,
        options: Option<RequestOptions>,
        turns: Vec<OwnedSemaphorePermit>,
    ) -> Result<Response, Refusal> {
        let limits = &self.grant.limits;
        let header_bytes: usize =
            answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > limits.response_header_bytes {
            let what = format!(
                "{} of headers in one response",
                bytes(limits.response_header_bytes as u64)
            );
            let error = Error::HttpResponseHeaderSectionSize(u32::try_from(header_bytes).ok());
            return Err(Refusal::told(error, self.over(&what, "response_header_bytes")));
        }
        let most = limits.response_bytes;
        let over = self.too_much("response", most);
        if answer.content_length().is_some_and(|length| length > most) {
            return Err(Refusal::told(Error::HttpResponseBodySize(Some(most)), over));
        }
        let wait = options.and_then(|options| options.between_bytes_timeout);
        let idle = wait.map_or(limits.body_timeout, |wait| wait.min(limits.body_timeout));
        let answer = http::Response::<reqwest::Body>::from(answer);
        Ok(answer.map(|body| {
            Metered::new(body, most, over, idle, guest.incidents.clone(), turns).boxed_unsync()
        }))
    }

    fn refusal(&self, error: &reqwest::Error, guest: &Guest) -> Refusal {
        let wasi = wasi_error(error);
        if matches!(wasi, Error::ConnectionTimeout) {
            guest.incidents.slow("connect_timeout", self.grant.limits.connect_timeout);
        }
        let failure = find::<Blocked>(error)
            .map(|blocked| blocked.0.failure(&self.connection, &self.grant.policy.granted))
            .or_else(|| match &wasi {
                _ if cause(error).contains("too many headers") => Some(
                    Failure::new(Kind::Limit, format!("a response has more than {MOST_HEADERS} headers"))
                        .at(self.connection.clone())
                        .next("ask whoever runs the source: no limit of Sheaf's allows more"),
                ),
                Error::HttpResponseHeaderSectionSize(_) => Some(self.over(
                    &format!("{} of headers in one response", bytes(self.grant.limits.response_header_bytes as u64)),
                    "response_header_bytes",
                )),
                Error::TlsCertificateError => Some(
                    Failure::new(Kind::Settings, format!("the source's certificate is not trusted: {}", cause(error)))
                        .at(self.connection.clone())
                        .next(format!("if it is the company's own, name its authority: `tls = {{ ca = \"FILE.pem\" }}` in [connections.{}.grants]", self.connection)),
                ),
                _ => None,
            });
        Refusal(wasi, failure.map(Box::new))
    }

    fn too_much(&self, which: &str, most: u64) -> Failure {
        self.over(&format!("{} in one {which}", bytes(most)), &format!("{which}_bytes"))
    }

    fn over(&self, what: &str, key: &str) -> Failure {
        crate::sandbox::limits::over(&self.connection, what, key)
    }

    fn clients(&self) -> Result<&Clients> {
        self.client.get_or_init(|| self.build()).as_ref().map_err(Clone::clone)
    }

    fn build(&self) -> Result<Clients> {
        let limits = &self.grant.limits;
        let resolver = Filtered {
            policy: Arc::new(self.grant.policy.clone()),
            names: self.names.clone(),
            timeout: limits.connect_timeout,
        };
        let guests = self.builder()?.dns_resolver(resolver);
        let unusable = |error: reqwest::Error| {
            Failure::settings(format!("no HTTP client: {}", cause(&error)))
                .at(self.connection.clone())
                .next("see the certificates in `tls` of the connection's grants")
        };
        let guests = guests.build().map_err(unusable)?;
        let tokens = self.builder()?.build().map_err(unusable)?;
        Ok(Clients { guests, tokens })
    }

    fn builder(&self) -> Result<reqwest::ClientBuilder> {
        crate::tls::choose_provider();
        let limits = &self.grant.limits;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(limits.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .pool_idle_timeout(Duration::from_secs(60))
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(
                u32::try_from(limits.response_header_bytes).unwrap_or(u32::MAX),
            )
            .user_agent(concat!("sheaf/", env!("CARGO_PKG_VERSION")));
        let place = |path: &PathBuf, what: &str| {
            Failure::settings(format!("the certificate cannot be used: {what}"))
                .at(path.display().to_string())
                .next("give a PEM file; a client's holds its certificate and its key")
        };
        if let Some(path) = &self.grant.tls.ca {
            let text = std::fs::read(path).map_err(|error| place(path, &error.to_string()))?;
            let found = reqwest::Certificate::from_pem_bundle(&text)
                .map_err(|error| place(path, &cause(&error)))?;
            if found.is_empty() {
                return Err(place(path, "there is none in it"));
            }
            builder = builder.tls_certs_merge(found);
        }
        if let Some(path) = &self.grant.tls.client_certificate {
            let text = std::fs::read(path).map_err(|error| place(path, &error.to_string()))?;
            let identity =
                reqwest::Identity::from_pem(&text).map_err(|error| place(path, &cause(&error)))?;
            builder = builder.identity(identity);
        }
        Ok(builder)
    }
}
