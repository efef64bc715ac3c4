//! Requests to one registry. Whatever it answers, our credentials go to no other host, and no more is read than may
//! come.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, StatusCode, Url};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::refusal::Refusal;
use super::login::Login;
use super::reference::{Repository, is_loopback};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::pace::retry_after;
use crate::secret::Secret;
use crate::text::short_line;

/// A registry that says nothing for so long is away.
const SILENCE: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);
/// What is slower than this, in bytes a second, is away, too.
const SLOWEST: u64 = 50_000;
/// Requests for one answer, where the registry has none now.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Other places that a registry may send us to for one answer.
const REDIRECTS: usize = 5;
/// Of what is said of an error.
const MAX_SAID: u64 = 64 << 10;

const CHUNK: usize = 256 << 10;

/// How much of a transfer is done, in bytes.
pub type Progress = dyn Fn(u64) + Send + Sync;

pub(super) struct Wire {
    pub(super) http: Clients,
    pub(super) repository: Repository,
    base: Url,
    pub(super) login: Login,
    /// What the registry gave us to show; nothing before it asked.
    shown: Mutex<Option<Secret>>,
    /// Whether we may have to write.
    pub(super) pushes: bool,
    /// Between two tries, where the registry names no time.
    pause: Duration,
    pub(super) silence: Duration,
}

/// Who asks. Whoever speaks plain HTTP needs no certificates, and to read the system's takes longer than a request.
#[derive(Default)]
pub(super) struct Clients {
    plain: OnceLock<reqwest::Client>,
    secure: OnceLock<reqwest::Client>,
    is_loopback: bool,
}

impl Clients {
    pub(super) fn of(&self, url: &Url) -> Result<&reqwest::Client> {
        let is_plain = url.scheme() == "http";
        let kept = if is_plain { &self.plain } else { &self.secure };
        if let Some(client) = kept.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder();
        let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
        // What is said to this machine goes through nobody else.
        let builder = if self.is_loopback { builder.no_proxy() } else { builder };
        let client = builder
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sheaf/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Failure::internal(format!("no HTTP client: {error}")))?;
        Ok(kept.get_or_init(|| client))
    }
}

/// What is asked for.
#[derive(Clone)]
pub(super) struct Ask {
    pub method: Method,
    pub url: Url,
    pub accept: Option<String>,
    pub body: Option<(String, Bytes)>,
    /// Whether the answer may come from another host, by its digest.
    pub from_anywhere: bool,
    /// Who is told how much of the body is sent.
    pub sent: Option<Arc<Progress>>,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url) -> Self {
        let (accept, body, from_anywhere, sent) = (None, None, false, None);
        Self { method, url, accept, body, from_anywhere, sent }
    }

    #[must_use]
    pub(super) fn accepting(self, accept: Option<String>) -> Self {
        Self { accept, ..self }
    }

    #[must_use]
    pub(super) fn anywhere(self) -> Self {
        Self { from_anywhere: true, ..self }
    }

    #[must_use]
    pub(super) fn with(self, kind: &str, body: Bytes) -> Self {
        Self { body: Some((kind.to_owned(), body)), ..self }
    }
}

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub(super) response: reqwest::Response,
    /// Whether it is the registry's own.
    pub(super) ours: bool,
}

impl Wire {
    pub(super) fn new(repository: Repository, login: Login, pushes: bool) -> Result<Self> {
        Self::patient(repository, login, pushes, SILENCE, PAUSE)
    }

    fn patient(
        repository: Repository,
        login: Login,
        pushes: bool,
        silence: Duration,
        pause: Duration,
    ) -> Result<Self> {
        crate::tls::choose_provider();
        let scheme = if repository.is_loopback() { "http" } else { "https" };
        let host = match repository.host.as_str() {
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        let base = Url::parse(&format!("{scheme}://{host}/v2/{}/", repository.name))
            .map_err(|error| Failure::settings(format!("`{repository}` is no address: {error}")))?;
        let http = Clients { is_loopback: repository.is_loopback(), ..Clients::default() };
        Ok(Self { http, repository, base, login, shown: Mutex::new(None), pushes, pause, silence })
    }

    /// A path below the repository.
    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let joined = self.base.join(path);
        joined.map_err(|error| Failure::internal(format!("`{path}` is no path: {error}")))
    }

    /// One of the registry's own addresses, as it names it.
    pub(super) fn own(&self, from: &Url, location: &str) -> Result<Url> {
        let url = from.join(location);
        let url = url.map_err(|_| self.nonsense("it names a place that is no address"))?;
        if is_same_place(&url, &self.base) {
            return Ok(url);
        }
        Err(Refusal::Elsewhere(place(&url)).of(&self.repository))
    }

    /// The answer, once there is one. What the registry refuses for now is asked for again.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<Answer> {
        let mut tries = 1;
        loop {
            let failure = match self.once(ask).await {
                Ok(answer) if !is_not_now(answer.status) => return Ok(answer),
                Ok(answer) => {
                    let after = retry_after(&answer.headers, Timestamp::now());
                    let what = format!("the registry {} answers {}", self.host(), answer.status);
                    Failure::new(Kind::Unreachable, what).retry_after(after)
                }
                Err(failure) if failure.kind == Kind::Unreachable => failure,
                Err(failure) => return Err(failure),
            };
            if tries == TRIES {
                return Err(failure.at(self.repository.to_string()).next("try again later"));
            }
            let pause = failure.retry_after.unwrap_or(self.pause * tries).min(LONGEST_PAUSE);
            tracing::warn!(?pause, "tries again: {failure}");
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    pub(super) fn host(&self) -> &str {
        &self.repository.host
    }

    async fn once(&self, ask: &Ask) -> Result<Answer> {
        let answer = self.follow(ask).await?;
        if answer.status != StatusCode::UNAUTHORIZED || !answer.ours {
            return Ok(answer);
        }
        // A token may be too old, or not yet there: once it is asked for.
        match self.log_in(&answer.headers).await? {
            Some(secret) => *self.shown.lock().await = Some(secret),
            None => return Ok(answer),
        }
        self.follow(ask).await
    }

    /// Asks, and goes where the registry sends us: with credentials only to itself.
    async fn follow(&self, ask: &Ask) -> Result<Answer> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS {
            let ours = is_same_place(&url, &self.base);
            let mut request = self.http.of(&url)?.request(ask.method.clone(), url.clone());
            let mut patience = self.silence;
            if let Some(accept) = &ask.accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(secret) = self.shown.lock().await.as_ref().filter(|_| ours) {
                request = request.header(AUTHORIZATION, &*secret.reveal());
            }
            if let Some((kind, body)) = &ask.body {
                request = request.header(CONTENT_TYPE, kind);
                patience += Duration::from_secs(body.len() as u64 / SLOWEST);
                request = match &ask.sent {
                    Some(sent) => {
                        request.header(CONTENT_LENGTH, body.len()).body(told(body.clone(), sent))
                    }
                    None => request.body(body.clone()),
                };
            }
            let response = self.in_time(patience, request.send()).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(Answer { status, headers, response, ours });
            }
            let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
            let location = location
                .ok_or_else(|| self.nonsense("it sends us on, and does not say where to"))?;
            let next = url.join(location);
            url = next.map_err(|_| self.nonsense("it sends us to a place that is no address"))?;
            let is_safe = url.scheme() == "https" || self.is_here(&url);
            let may = is_same_place(&url, &self.base) || (ask.from_anywhere && is_safe);
            if !may {
                return Err(Refusal::Elsewhere(place(&url)).of(&self.repository));
            }
        }
        Err(self.nonsense("it sends us from place to place"))
    }

    /// Whether both are on this machine.
    pub(super) fn is_here(&self, url: &Url) -> bool {
        self.repository.is_loopback() && url.host_str().is_some_and(is_loopback)
    }

    /// The whole body, of which no more than `most` may come.
    pub(super) async fn body(&self, answer: Answer, most: u64) -> Result<Vec<u8>> {
        self.transferred(answer, most, |_, _| {}).await?.ok_or_else(|| {
            self.nonsense(&format!("its answer is longer than {}", crate::text::bytes(most)))
        })
    }

    /// The same, told as it comes: each part, and how much came with it. Nothing where more came.
    pub(super) async fn transferred(
        &self,
        answer: Answer,
        most: u64,
        mut told: impl FnMut(&[u8], u64),
    ) -> Result<Option<Vec<u8>>> {
        let length = answer.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let length: u64 = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = Vec::with_capacity(usize::try_from(length.min(most)).unwrap_or(0));
        let mut chunks = answer.response.bytes_stream();
        let until = Instant::now() + self.silence + Duration::from_secs(most / SLOWEST);
        while let Some(chunk) = self.chunk(&mut chunks, until).await? {
            if (body.len() + chunk.len()) as u64 > most {
                return Ok(None);
            }
            body.extend_from_slice(&chunk);
            told(&chunk, body.len() as u64);
        }
        Ok(Some(body))
    }

    /// What comes next of a body: within a silence, and by then.
    async fn chunk(
        &self,
        chunks: &mut (impl Stream<Item = reqwest::Result<Bytes>> + Unpin),
        until: Instant,
    ) -> Result<Option<Bytes>> {
        let until = until.min(Instant::now() + self.silence);
        match tokio::time::timeout_at(until, chunks.next()).await {
            Ok(chunk) => chunk.transpose().map_err(|error| self.away(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    pub(super) async fn in_time(
        &self,
        patience: Duration,
        sent: impl Future<Output = reqwest::Result<reqwest::Response>>,
    ) -> Result<reqwest::Response> {
        match tokio::time::timeout(patience, sent).await {
            Ok(response) => response.map_err(|error| self.away(&error)),
            Err(_) => Err(self.silent()),
        }
    }

    fn silent(&self) -> Failure {
        let what = format!("the registry {} did not answer in time", self.host());
        Failure::new(Kind::Unreachable, what)
    }

    /// An answer that says no, for people.
    pub(super) async fn refused(&self, answer: Answer, what: &str) -> Failure {
        let status = answer.status;
        let said = self.transferred(answer, MAX_SAID, |_, _| {}).await.ok().flatten();
        let said = said.as_deref().and_then(errors).unwrap_or_default();
        let host = self.host();
        let failure = match status {
            StatusCode::UNAUTHORIZED => {
                let what = match self.login {
                    Login::Nobody => {
                        format!("the registry {host} gives {what} only to whom it knows ({status})")
                    }
                    _ => format!(
                        "the registry {host} did not take the credentials that are kept for it, for \
                         {what} ({status})"
                    ),
                };
                Failure::new(Kind::Unauthorized, what)
                    .next(format!("`docker login {host}` or `podman login {host}`"))
            }
            StatusCode::FORBIDDEN => {
                let what = format!("the registry {host} does not let us have {what} ({status})");
                Failure::new(Kind::Refused, what).next("ask whoever runs it for the right to it")
            }
            _ => Failure::new(
                Kind::Refused,
                format!("the registry {host} refused {what} ({status})"),
            ),
        };
        let failure = failure.at(self.repository.to_string());
        if said.is_empty() { failure } else { failure.detail(said) }
    }

    pub(super) fn nonsense(&self, why: &str) -> Failure {
        let what = format!("{} does not answer as a registry does: {why}", self.host());
        Failure::new(Kind::Refused, what)
            .at(self.repository.to_string())
            .next("see that the address is that of a registry")
    }

    fn away(&self, error: &reqwest::Error) -> Failure {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        let what =
            format!("the registry {} cannot be reached: {}", self.host(), short_line(&why, 300));
        Failure::new(Kind::Unreachable, what)
    }
}

/// A body that tells how much of it is gone.
fn told(body: Bytes, sent: &Arc<Progress>) -> reqwest::Body {
    let sent = sent.clone();
    let chunks = (0..body.len()).step_by(CHUNK).map(move |at| {
        let end = (at + CHUNK).min(body.len());
        sent(end as u64);
        Ok::<_, std::io::Error>(body.slice(at..end))
    });
    reqwest::Body::wrap_stream(futures::stream::iter(chunks))
}

/// What a registry says of its errors ("OCI distribution specification: error codes").
fn errors(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let texts = body["errors"].as_array()?.iter().take(3).map(|error| {
        let part = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        format!("{}: {}", part("code"), part("message"))
    });
    Some(texts.collect::<Vec<_>>().join("; "))
}

pub(super) fn is_not_now(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn is_same_place(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

pub(super) fn place(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_that_takes_a_request_and_says_nothing_is_away() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let held = taken.clone();
        tokio::spawn(async move {
            while let Ok(connection) = listener.accept().await {
                held.lock().await.push(connection);
            }
        });
        let repository = format!("oci://{address}/wiki").parse().expect("a place");
        let (silence, pause) = (Duration::from_millis(20), Duration::ZERO);
        let wire = Wire::patient(repository, Login::Nobody, false, silence, pause);
        let wire = wire.expect("a wire");
        let url = wire.url("tags/list").expect("a path");
        let failure = wire.ask(&Ask::new(Method::GET, url)).await.err().expect("away");
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!(failure.what.contains("did not answer in time"), "{failure}");
        assert_eq!(taken.lock().await.len(), 3, "it is asked so often");
    }
}
