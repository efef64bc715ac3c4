//! One request of a guest: checked, sent at its host's pace, and sent again where that helps.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy as client;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::{Finder, Metered, drain};
use super::client::Egress;
use super::error::Refusal;
use super::guest::Guest;
use super::hosts::Host;
use super::sender::Sender;
use super::substitutions::Substitutions;
use crate::sandbox::credentials::Refused;
use crate::sandbox::policy::{Denied, Target, without_query};
use crate::text::{bytes, cut};

/// How often a request that only reads is sent, where the server asks to wait.
const ATTEMPTS: u32 = 3;
/// A request's method and URL together.
const MOST_HEAD_BYTES: usize = 16 << 10;

type Response = http::Response<WasiBody>;

impl Egress {
    pub(super) async fn send(
        &self,
        guest: &Guest,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response, Error> {
        let (head, body) = request.into_parts();
        let mut body = Some(body);
        let started = Instant::now();
        let sent = Request { egress: self, guest, head: &head, options }.send(&mut body).await;
        let url = without_query(&head.uri.to_string());
        let connection = self.connection.as_str();
        let milliseconds = started.elapsed().as_millis();
        match sent {
            Ok(response) => {
                // What was refused before is not why a guest complains now.
                drop(guest.incidents.take());
                let status = response.status().as_u16();
                guest.requests.ended(head.method.as_str(), &url, Ok(status), started);
                tracing::debug!(connection, method = %head.method, url, status, milliseconds, "requested");
                Ok(response)
            }
            Err(Refusal { error, failure }) => {
                tracing::debug!(connection, method = %head.method, url, %error, milliseconds, "no response");
                let why = failure.as_ref().map_or_else(|| error.to_string(), |it| it.what.clone());
                guest.requests.ended(head.method.as_str(), &url, Err(why), started);
                if let Some(failure) = failure {
                    guest.incidents.record(*failure);
                }
                if let Some(body) = body
                    && !body.is_end_stream()
                {
                    drain(body, self.permit.limits.request_bytes).await;
                }
                Err(error)
            }
        }
    }
}

struct Request<'a> {
    egress: &'a Egress,
    guest: &'a Guest,
    head: &'a http::request::Parts,
    options: Option<RequestOptions>,
}

/// A request that may leave, and where to.
struct Checked {
    uri: Uri,
    target: Target,
    credentials: Substitutions,
    /// The length that the guest gave its body.
    length: Option<u64>,
    /// Its place among the guest's requests.
    open: OwnedSemaphorePermit,
}

/// What is known of a body before it is sent.
struct Opening {
    is_empty: bool,
    /// Its first piece, where that was asked for already.
    first: Option<Bytes>,
}

impl Request<'_> {
    /// The body is taken once it is on its way.
    async fn send(&self, body: &mut Option<WasiBody>) -> Result<Response, Refusal> {
        let checked = self.check()?;
        let sender = self.egress.sender().await;
        let sender = sender.map_err(|failure| Refusal::told(Error::ConfigurationError, failure))?;
        let host = self.egress.hosts.of(&checked.target, &self.egress.permit.limits);
        let patience = self.first_byte_timeout();
        let Some(turn) = host.turn(patience).await else {
            self.guest.incidents.slow("first_byte_timeout", patience);
            return Err(Error::ConnectionLimitReached.into());
        };
        let opening = self.opening(body.as_mut(), checked.length).await?;
        let answer = self.attempts(&checked, sender, &host, opening, body).await?;
        self.answered(answer, vec![checked.open, turn])
    }

    /// Everything that can be decided before anything of the request leaves.
    fn check(&self) -> Result<Checked, Refusal> {
        let denied = |denied: Denied| Refusal::denied(&denied, self.egress.denied(&denied));
        let (head, limits) = (self.head, &self.egress.permit.limits);
        let text = head.uri.to_string();
        if text.len() + head.method.as_str().len() > MOST_HEAD_BYTES {
            let why =
                format!("with its method it is longer than {}", bytes(MOST_HEAD_BYTES as u64));
            return Err(denied(Denied::Invalid { url: cut(&without_query(&text), 100), why }));
        }
        let (url, target, _) = self.egress.allows(&text).map_err(denied)?;
        let uri = url.as_str().parse().map_err(|_| Error::HttpRequestUriInvalid)?;
        self.egress.permit.policy.lets_out(&head.method, &target).map_err(denied)?;
        let places = &self.egress.permit.credentials;
        let found = self.guest.stand_ins.find(places, &text, &head.headers, &target);
        let credentials = Substitutions::new(found.map_err(denied)?, &self.egress.outside);
        let Ok(open) = self.guest.open.clone().try_acquire_owned() else {
            let what = format!("{} requests open at once", limits.open_requests);
            let failure = self.egress.over(&what, "open_requests");
            return Err(Refusal::told(Error::ConnectionLimitReached, failure));
        };
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        let length: Option<u64> = length.and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length| length > limits.request_bytes) {
            let error = Error::HttpRequestBodySize(Some(limits.request_bytes));
            let failure = self.egress.too_much("request", limits.request_bytes);
            return Err(Refusal::told(error, failure));
        }
        Ok(Checked { uri, target, credentials, length, open })
    }

    fn only_reads(&self) -> bool {
        matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    /// Whether there is a body. A guest may have opened one and put nothing in it: only its end tells.
    async fn opening(
        &self,
        body: Option<&mut WasiBody>,
        length: Option<u64>,
    ) -> Result<Opening, Error> {
        let Some(body) = body.filter(|body| !body.is_end_stream()) else {
            return Ok(Opening { is_empty: true, first: None });
        };
        if !self.only_reads() || length.unwrap_or(0) > 0 {
            return Ok(Opening { is_empty: false, first: None });
        }
        let frame = tokio::time::timeout(self.first_byte_timeout(), body.frame()).await;
        Ok(match frame.map_err(|_| Error::ConnectionWriteTimeout)? {
            None => Opening { is_empty: true, first: None },
            Some(frame) => Opening { is_empty: false, first: frame?.into_data().ok() },
        })
    }

    /// Sends a request that only reads once more, where the server asks for a pause or another
    /// credential may be had.
    async fn attempts(
        &self,
        checked: &Checked,
        sender: &Sender,
        host: &Host,
        mut opening: Opening,
        body: &mut Option<WasiBody>,
    ) -> Result<http::Response<Incoming>, Refusal> {
        let may_repeat = opening.is_empty && self.only_reads();
        let (mut attempt, mut renewed) = (0, None);
        loop {
            attempt += 1;
            host.pace().await;
            let headers = self.headers(checked).await?;
            let mut sent = headers.clone();
            let body = match body.take_if(|_| !opening.is_empty) {
                Some(body) => self.body(&mut sent, opening.first.take(), body, checked.length),
                None => Empty::new().map_err(|never| match never {}).boxed_unsync(),
            };
            let method = self.head.method.clone();
            let answer = self.answer(sender.send(method, checked.uri.clone(), sent, body)).await?;
            let refused = refused(answer.status());
            if refused.is_none() && renewed == Some(Refused::Forbidden) {
                checked.credentials.helped().await;
            }
            // The pause that a server asks for holds for other requests, too. Another credential is
            // asked for once.
            let helps = match refused {
                Some(refused) => {
                    renewed.is_none() && checked.credentials.forget(&headers, refused).await
                }
                None => host.asks_to_wait(&answer),
            };
            renewed = renewed.or(refused);
            if !helps || !may_repeat || attempt >= ATTEMPTS {
                return Ok(answer);
            }
        }
    }

    /// The guest's headers, with credentials in place of their stand-ins.
    async fn headers(&self, checked: &Checked) -> Result<HeaderMap, Refusal> {
        let mut headers = self.head.headers.clone();
        let applied = checked.credentials.apply(&mut headers).await;
        applied.map_err(|failure| {
            let failure = failure.at(self.egress.connection.clone());
            Refusal::told(Error::HttpRequestDenied, failure)
        })?;
        Ok(headers)
    }

    /// A guest's body goes out counted, and without stand-ins.
    fn body(
        &self,
        headers: &mut HeaderMap,
        first: Option<Bytes>,
        body: WasiBody,
        length: Option<u64>,
    ) -> WasiBody {
        if let (None, None, Some(length)) = (length, &first, body.size_hint().exact()) {
            headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let most = self.egress.permit.limits.request_bytes;
        let over = self.egress.too_much("request", most);
        let misplaced = self.egress.denied(&Denied::Credential {
            name: "in a body".into(),
            host: "its host".into(),
            why: "credentials go into headers only".into(),
        });
        let incidents = self.guest.incidents.clone();
        let mut finder = Finder::new(self.guest.stand_ins.all());
        let mut left = most;
        let whole = stream::iter(first.map(Ok)).chain(body.into_data_stream());
        let whole = whole.map(move |piece| {
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
            Ok(Frame::data(piece))
        });
        StreamBody::new(whole).boxed_unsync()
    }

    /// Sends it, and waits for the head of the answer.
    async fn answer(
        &self,
        sent: impl Future<Output = Result<http::Response<Incoming>, client::Error>>,
    ) -> Result<http::Response<Incoming>, Refusal> {
        let patience = self.first_byte_timeout();
        let sent = tokio::time::timeout(patience, sent).await;
        let sent = sent.map_err(|_| {
            self.guest.incidents.slow("first_byte_timeout", patience);
            Error::ConnectionReadTimeout
        })?;
        sent.map_err(|error| {
            let refusal = Refusal::of(&error, self.egress);
            if matches!(refusal.error, Error::ConnectionTimeout) {
                let limit = self.egress.permit.limits.connect_timeout;
                self.guest.incidents.slow("connect_timeout", limit);
            }
            refusal
        })
    }

    /// The guest's response. It keeps its turns until it has been read to its end.
    fn answered(
        &self,
        answer: http::Response<Incoming>,
        turns: Vec<OwnedSemaphorePermit>,
    ) -> Result<Response, Refusal> {
        let limits = &self.egress.permit.limits;
        let header_bytes: usize =
            answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > limits.response_header_bytes {
            let error = Error::HttpResponseHeaderSectionSize(u32::try_from(header_bytes).ok());
            return Err(Refusal::told(error, self.egress.too_many_headers()));
        }
        let most = limits.response_bytes;
        let over = self.egress.too_much("response", most);
        if answer.body().size_hint().exact().is_some_and(|length| length > most) {
            return Err(Refusal::told(Error::HttpResponseBodySize(Some(most)), over));
        }
        let wait = self.options.and_then(|options| options.between_bytes_timeout);
        let idle = shorter(wait, limits.body_timeout);
        let incidents = self.guest.incidents.clone();
        Ok(answer.map(|body| Metered::new(body, most, over, idle, incidents, turns).boxed_unsync()))
    }

    fn first_byte_timeout(&self) -> Duration {
        let wait = self.options.and_then(|options| options.first_byte_timeout);
        shorter(wait, self.egress.permit.limits.first_byte_timeout)
    }
}

/// What a guest asks for, as far as it is allowed.
fn shorter(asked: Option<Duration>, limit: Duration) -> Duration {
    asked.map_or(limit, |asked| asked.min(limit))
}

/// What an answer says to the credential that was sent.
fn refused(status: StatusCode) -> Option<Refused> {
    match status {
        StatusCode::UNAUTHORIZED => Some(Refused::Invalid),
        StatusCode::FORBIDDEN => Some(Refused::Forbidden),
        _ => None,
    }
}
