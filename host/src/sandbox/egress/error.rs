//! What a guest is told of an error on the way.

use wasmtime_wasi_http::Error;

use super::resolve::{Blocked, Unresolved};
use crate::failure::cause;

/// An error that is somewhere behind another.
pub fn find<'a, E: std::error::Error + 'static>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What a guest is told of an error on the way.
pub fn wasi_error(error: &reqwest::Error) -> Error {
    if find::<Blocked>(error).is_some() {
        return Error::DestinationIpProhibited;
    }
    if let Some(unresolved) = find::<Unresolved>(error) {
        return Error::DnsError { rcode: Some(unresolved.0.clone()), info_code: None };
    }
    let text = cause(error);
    if text.contains("certificate") {
        return Error::TlsCertificateError;
    }
    if text.contains("message head is too large") {
        return Error::HttpResponseHeaderSectionSize(None);
    }
    if error.is_timeout() {
        return if error.is_connect() {
            Error::ConnectionTimeout
        } else {
            Error::ConnectionReadTimeout
        };
    }
    match find::<std::io::Error>(error).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::ConnectionRefused) => Error::ConnectionRefused,
        Some(
            std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof,
        ) => Error::ConnectionTerminated,
        _ if error.is_connect() => Error::DestinationUnavailable,
        _ => Error::InternalError(Some(text)),
    }
}
