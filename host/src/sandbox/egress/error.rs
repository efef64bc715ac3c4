//! Why there is no response: what the guest is told, and what the operator reads of it.

use hyper_util::client::legacy as client;
use wasmtime_wasi_http::Error;

use super::client::Egress;
use super::outside::Undialled;
use crate::failure::{Failure, Kind, cause};
use crate::sandbox::policy::Denied;

/// A guest learns that it got no response; the operator is told why, where that is theirs to know.
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) failure: Option<Box<Failure>>,
}

impl Refusal {
    pub(super) fn told(error: Error, failure: Failure) -> Self {
        Self { error, failure: Some(Box::new(failure)) }
    }

    pub(super) fn denied(denied: &Denied, failure: Failure) -> Self {
        Self::told(of_denied(denied), failure)
    }

    /// Of a request that was sent, and failed on the way.
    pub(super) fn of(error: &client::Error, egress: &Egress) -> Self {
        if let Some(Undialled::Blocked(denied)) = find(error) {
            return Self::denied(denied, egress.denied(denied));
        }
        let told = wasi_error(error);
        let failure = match &told {
            Error::HttpResponseHeaderSectionSize(_) => Some(egress.too_many_headers()),
            Error::TlsCertificateError => Some(distrusted(error, &egress.connection)),
            _ => None,
        };
        Self { error: told, failure: failure.map(Box::new) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, failure: None }
    }
}

fn distrusted(error: &client::Error, connection: &str) -> Failure {
    let what = format!("the source's certificate is not trusted: {}", cause(error));
    Failure::new(Kind::Settings, what).at(connection).next(format!(
        "if it is the company's own, name its authority: `tls = {{ ca = \"FILE.pem\" }}` in \
         [connections.{connection}.grants]"
    ))
}

fn of_denied(denied: &Denied) -> Error {
    match denied {
        Denied::Address { .. } => Error::DestinationIpProhibited,
        Denied::Invalid { .. } => Error::HttpRequestUriInvalid,
        Denied::Method { .. } => Error::HttpRequestMethodInvalid,
        _ => Error::HttpRequestDenied,
    }
}

fn of_undialled(why: &Undialled) -> Error {
    match why {
        Undialled::Blocked(denied) => of_denied(denied),
        Undialled::Unresolved(why) => Error::DnsError { rcode: Some(why.clone()), info_code: None },
        Undialled::Refused => Error::ConnectionRefused,
        Undialled::TimedOut => Error::ConnectionTimeout,
        Undialled::Other(_) => Error::DestinationUnavailable,
    }
}

/// What a guest is told of an error on the way.
pub(super) fn wasi_error(error: &(dyn std::error::Error + 'static)) -> Error {
    if let Some(why) = find(error) {
        return of_undialled(why);
    }
    if find::<rustls::Error>(error).is_some_and(is_about_a_certificate) {
        return Error::TlsCertificateError;
    }
    let text = cause(error);
    if text.contains(HEAD_TOO_LARGE) {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    let is_connect = find(error).is_some_and(client::Error::is_connect);
    let kind = find(error).map(std::io::Error::kind);
    let is_timeout = kind == Some(std::io::ErrorKind::TimedOut)
        || find(error).is_some_and(hyper::Error::is_timeout);
    match kind {
        _ if is_timeout && is_connect => Error::ConnectionTimeout,
        _ if is_timeout => Error::ConnectionReadTimeout,
        Some(std::io::ErrorKind::ConnectionRefused) => Error::ConnectionRefused,
        Some(
            std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof,
        ) => Error::ConnectionTerminated,
        _ if is_connect => Error::DestinationUnavailable,
        _ => Error::InternalError(Some(text)),
    }
}

/// What hyper says of too many headers and of too large ones: it tells only servers so by a type.
/// `headers_that_are_too_large_are_told_with_their_limit` fails where it says something else.
const HEAD_TOO_LARGE: &str = "message head is too large";

fn is_about_a_certificate(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented
    )
}

/// An error that is somewhere behind another.
fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // The source of an I/O error is not what it holds, but what is behind that.
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}
