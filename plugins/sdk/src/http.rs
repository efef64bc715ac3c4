//! HTTP requests, to the hosts that the operator granted.
//!
//! ```no_run
//! # fn pages() -> sheaf_sdk::Result<serde_json::Value> {
//! use sheaf_sdk::http;
//!
//! http::get("https://wiki.example.com/api/pages?limit=100")?.credential("wiki")?.send()?.json()
//! # }
//! ```
//!
//! An answer that is no success is an [`Error`] with the remedy it calls for: 401 and 403 ask for
//! another credential, 404 and 410 for other settings, 408, 425, 429 and 5xx are tried again. The host keeps
//! pace and `Retry-After`, and lets requests reach granted hosts only; another one is an error of the settings.

use std::fmt;
use std::time::SystemTime;

use serde::de::DeserializeOwned;
use url::Url;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    Scheme,
};
use wasip2::io::streams::{InputStream, StreamError};

use crate::bindings::sheaf::connector::host;
use crate::error::{Error, Result};
pub use crate::link::next_link;
use crate::retry_after;

/// More bytes than these are not read of one answer; see [`Request::most`].
const MOST_BYTES: usize = 32 << 20;
/// So many redirects are followed.
const REDIRECTS: usize = 5;

/// A request that reads. An error is a text that is not a URL: one of the settings.
pub fn get(url: &str) -> Result<Request> {
    Request::new(Method::Get, url)
}

/// A request that sends something, such as a search. Redirects are not followed. An error is a text that is not a
/// URL.
pub fn post(url: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Request> {
    let mut request = Request::new(Method::Post, url)?.header("content-type", content_type);
    request.body = body.into();
    Ok(request)
}

/// A request that is not sent yet.
#[derive(Debug)]
pub struct Request {
    method: Method,
    url: Url,
    headers: Vec<(String, Vec<u8>)>,
    /// Those of them that hold a credential.
    credentials: Vec<String>,
    body: Vec<u8>,
    most: usize,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Response {
    /// Where it came from, after redirects.
    pub url: Url,
    /// The status, such as 200.
    pub status: u16,
    /// Names are lower-case.
    headers: Vec<(String, String)>,
    /// The bytes as they came.
    pub body: Vec<u8>,
}

impl Request {
    fn new(method: Method, url: &str) -> Result<Self> {
        let url = url
            .parse()
            .map_err(|error| Error::fix_settings(format!("`{url}` is not a URL: {error}")))?;
        let (headers, credentials) = (Vec::new(), Vec::new());
        Ok(Self { method, url, headers, credentials, body: Vec::new(), most: MOST_BYTES })
    }

    /// Sends a header. Secrets belong into [`credential`](Self::credential).
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_bytes().to_vec()));
        self
    }

    /// Sends a granted credential as `Authorization`, by the name that the manifest asks for. The connector holds a
    /// stand-in only: the host puts the credential in its place. One that is not granted is an error of the settings.
    pub fn credential(self, name: &str) -> Result<Self> {
        self.credential_in("authorization", name)
    }

    /// Sends a granted credential in another header; otherwise as [`credential`](Self::credential) does.
    pub fn credential_in(mut self, header: &str, name: &str) -> Result<Self> {
        let stand_in = host::credential(name).map_err(Error::fix_settings)?;
        self.credentials.push(header.to_ascii_lowercase());
        Ok(self.header(header, &stand_in))
    }

    /// Reads at most so many bytes of the body, 32 MiB unless said; a longer answer is an error.
    #[must_use]
    pub fn most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Sends it and reads the answer, which must be a success: see [`Response::success`]. Up to five redirects of a
    /// [`get`] are followed; a credential goes only to the scheme, host and port that it was meant for.
    pub fn send(self) -> Result<Response> {
        self.send_any()?.success()
    }

    /// Sends it and reads the answer, whatever its status is. An error is one of the way there, such as a host that
    /// is not granted or does not answer. Redirects are as with [`send`](Self::send).
    pub fn send_any(mut self) -> Result<Response> {
        for _ in 0..=REDIRECTS {
            let response = self.once()?;
            let leads = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.header("location").filter(|_| leads) else {
                return Ok(response);
            };
            if !matches!(self.method, Method::Get) {
                return Ok(response);
            }
            let next = self.url.join(location).map_err(|error| {
                Error::retry(format!("{} leads to `{location}`: {error}", shown(&self.url)))
            })?;
            if next.origin() != self.url.origin() {
                let credentials = std::mem::take(&mut self.credentials);
                self.headers.retain(|(name, _)| !credentials.contains(name));
            }
            self.url = next;
        }
        Err(Error::retry(format!("{} leads elsewhere again and again", shown(&self.url))))
    }

    fn once(&self) -> Result<Response> {
        let Self { method, url, headers, body, most, .. } = self;
        let failed = |code: &dyn fmt::Display| Error::retry(format!("{}: {code}", shown(url)));
        let mut headers = headers.clone();
        if !body.is_empty() {
            headers.push(("content-length".into(), body.len().to_string().into_bytes()));
        }
        let fields = Fields::from_list(&headers).map_err(|error| failed(&error))?;
        let request = OutgoingRequest::new(fields);
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let wrong = |()| Error::fix_settings(format!("`{url}` cannot be requested"));
        request.set_method(method).map_err(wrong)?;
        request.set_scheme(Some(&scheme)).map_err(wrong)?;
        request.set_authority(Some(authority)).map_err(wrong)?;
        request.set_path_with_query(Some(path)).map_err(wrong)?;
        let outgoing = request.body().map_err(wrong)?;
        let pending = outgoing_handler::handle(request, None).map_err(|code| fault(url, &code))?;
        write(outgoing, body).map_err(|error| failed(&error))?;
        pending.subscribe().block();
        let response = match pending.get() {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(code))) => return Err(fault(url, &code)),
            _ => return Err(failed(&"there was no answer")),
        };
        let status = response.status();
        let headers = response.headers().entries().into_iter();
        let headers = headers
            .map(|(name, value)| {
                (name.to_lowercase(), String::from_utf8_lossy(&value).into_owned())
            })
            .collect();
        let body = read(response, url, *most)?;
        Ok(Response { url: url.clone(), status, headers, body })
    }
}

impl Response {
    /// The value of the first header of a name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The values of all headers of a name, joined by commas, as HTTP allows.
    pub fn headers(&self, name: &str) -> Option<String> {
        let all = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let all: Vec<_> = all.map(|(_, value)| value.as_str()).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The address of the next page, where the source names one in a `Link` header with `rel="next"`. One on another
    /// host is followed only if that is granted, too.
    pub fn next_page(&self) -> Option<Url> {
        let link = next_link(&self.headers("link")?)?;
        self.url.join(&link).ok()
    }

    /// Itself, if its status is 2xx; otherwise an error that says what the host shall do, with the pause that
    /// `Retry-After` asks for, in seconds or by a date.
    pub fn success(self) -> Result<Self> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let what = format!("{} answered {}", shown(&self.url), self.status);
        let after = self.header("retry-after");
        let after = after.and_then(|text| retry_after::seconds(text, SystemTime::now()));
        let error = match self.status {
            401 | 403 => Error::reauthenticate(format!("{what}: it wants another credential")),
            408 | 425 | 429 | 500..=599 => Error::retry(what),
            404 | 410 => Error::fix_settings(format!("{what}: there is nothing at this address")),
            _ => {
                let said = String::from_utf8_lossy(&self.body);
                let said: String = said.chars().take(200).collect();
                Error::give_up(format!("{what}: {}", said.trim()))
            }
        };
        Err(match after {
            Some(seconds) => error.after(seconds),
            None => error,
        })
    }

    /// The body as UTF-8; bytes that are not are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON. What is none, or lacks what `T` has, is an error to retry: a source that is overloaded may
    /// answer with a page for people.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Error::retry(format!(
                "the answer of {} is not the JSON expected: {error}",
                shown(&self.url)
            ))
        })
    }
}

/// Queries may hold what no log should.
fn shown(url: &Url) -> &str {
    &url[..url::Position::AfterPath]
}

fn fault(url: &Url, code: &ErrorCode) -> Error {
    let host = url.host_str().unwrap_or_default();
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => {
            Error::fix_settings(format!("the connection may not reach {host}"))
        }
        ErrorCode::HttpRequestUriInvalid => {
            Error::fix_settings(format!("`{}` is no URL that can be granted", shown(url)))
        }
        ErrorCode::ConfigurationError => Error::fix_settings("the connection's grants do not work"),
        code => Error::retry(format!("{}: {}", shown(url), said(code))),
    }
}

/// What the commonest codes mean, in words.
fn said(code: &ErrorCode) -> String {
    match code {
        ErrorCode::DnsError(error) => {
            let why = error.rcode.as_deref().unwrap_or("no reason given");
            format!("its name cannot be resolved ({why})")
        }
        ErrorCode::DnsTimeout => "its name was not resolved in time".into(),
        ErrorCode::ConnectionRefused => "it refused the connection".into(),
        ErrorCode::ConnectionTimeout => "it could not be connected in time".into(),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            "it did not answer in time".into()
        }
        ErrorCode::ConnectionTerminated => "it closed the connection".into(),
        ErrorCode::TlsCertificateError => "its certificate is not trusted".into(),
        ErrorCode::InternalError(Some(why)) => why.clone(),
        code => code.to_string(),
    }
}

fn write(outgoing: OutgoingBody, body: &[u8]) -> Result<(), String> {
    if !body.is_empty() {
        let stream = outgoing.write().map_err(|()| "its body cannot be written")?;
        for piece in body.chunks(4096) {
            stream.blocking_write_and_flush(piece).map_err(|error| error.to_string())?;
        }
    }
    OutgoingBody::finish(outgoing, None).map_err(|code| code.to_string())
}

fn read(response: IncomingResponse, url: &Url, most: usize) -> Result<Vec<u8>> {
    let failed = |what: &dyn fmt::Display| Error::retry(format!("{}: {what}", shown(url)));
    let incoming = response.consume().map_err(|()| failed(&"its body cannot be read"))?;
    let stream = incoming.stream().map_err(|()| failed(&"its body cannot be read"))?;
    let read = read_stream(&stream, most).map_err(|what| failed(&what));
    // A stream ends before its body does.
    drop(stream);
    drop(IncomingBody::finish(incoming));
    drop(response);
    read
}

fn read_stream(stream: &InputStream, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(256 << 10) {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
        if bytes.len() > most {
            return Err(format!("the answer has more than {most} bytes"));
        }
    }
}
