//! Which requests may be a stranger's web page: they are refused before anything is looked at.
//!
//! A page that a browser of this machine shows may send requests here, whatever its origin. Of a request
//! with JSON the browser asks first, and is not answered; what it sends without asking is text, a form or
//! nothing. A page whose own name was made to lead here (DNS rebinding) is asked nothing at all; but its
//! name stands in `Host`. And wherever a browser names the page's origin, it is to be ours.

use std::net::{IpAddr, SocketAddr};

use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::answer::Refusal;

/// Lets through what is asked of us by our own name, and by none but our own pages.
pub(crate) async fn only(
    State(bound): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match check(bound, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn check(bound: SocketAddr, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    // HTTP/2 has it in the request's own line.
    let host = text(headers, HOST.as_str()).or(request.uri().authority().map(Authority::as_str));
    let host = host.unwrap_or_default();
    if !is_ours(host, bound) {
        let what = format!(
            "this is no name of local Glean's: {host:?}; it is localhost:{}, or the address that it \
             listens at",
            bound.port()
        );
        return Err(Refusal(StatusCode::MISDIRECTED_REQUEST, what));
    }
    if let Some(origin) = text(headers, ORIGIN.as_str())
        && origin.strip_prefix("http://") != Some(host)
    {
        let what = format!("a page of {origin:?} may not ask local Glean for anything");
        return Err(Refusal(StatusCode::FORBIDDEN, what));
    }
    if !request.body().is_end_stream() && !is_json(text(headers, CONTENT_TYPE.as_str())) {
        let what = "the body must be JSON, and say so: content-type: application/json";
        return Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, what.into()));
    }
    Ok(())
}

/// A header's value; one that is no text is another's.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Whether a request is for what is bound: by an address that means this machine, by that address itself,
/// or as `localhost`. No other name is ours: whose it is, who can make it lead here.
fn is_ours(host: &str, bound: SocketAddr) -> bool {
    let Ok(host) = host.parse::<Authority>() else { return false };
    let name = host.host();
    let address: Option<IpAddr> = name.trim_matches(['[', ']']).parse().ok();
    let known = match address {
        // Bound to all addresses of a machine, it is at each of them.
        Some(address) => {
            address.is_loopback() || address == bound.ip() || bound.ip().is_unspecified()
        }
        None => name.eq_ignore_ascii_case("localhost"),
    };
    !host.as_str().contains('@') && known && host.port_u16().unwrap_or(80) == bound.port()
}

fn is_json(kind: Option<&str>) -> bool {
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_names_of_this_machine_and_what_is_bound_are_ours() {
        let loopback: SocketAddr = "127.0.0.1:7717".parse().expect("an address");
        let network: SocketAddr = "10.1.2.3:7717".parse().expect("an address");
        let all: SocketAddr = "0.0.0.0:7717".parse().expect("an address");
        for (host, bound, ours) in [
            ("127.0.0.1:7717", loopback, true),
            ("localhost:7717", loopback, true),
            ("LOCALHOST:7717", loopback, true),
            ("[::1]:7717", loopback, true),
            ("10.1.2.3:7717", network, true),
            ("localhost:7717", network, true),
            ("10.1.2.3:7717", all, true),
            ("10.1.2.3:7717", loopback, false),
            ("10.1.2.4:7717", network, false),
            ("127.0.0.1", loopback, false),
            ("127.0.0.1:80", loopback, false),
            ("127.0.0.1:7718", loopback, false),
            ("rebound.example.com:7717", loopback, false),
            ("rebound.example.com:7717", all, false),
            ("localhost.example.com:7717", loopback, false),
            ("127.0.0.1.example.com:7717", loopback, false),
            ("evil@localhost:7717", loopback, false),
            ("", loopback, false),
        ] {
            assert_eq!(is_ours(host, bound), ours, "{host} at {bound}");
        }
        assert!(is_ours("localhost", "127.0.0.1:80".parse().expect("an address")));
    }

    #[test]
    fn what_a_page_of_another_origin_can_send_unasked_is_refused() {
        let bound: SocketAddr = "127.0.0.1:7717".parse().expect("an address");
        let json = Some("application/json; charset=utf-8");
        for (host, origin, kind, body, status) in [
            ("127.0.0.1:7717", None, json, "{}", None),
            ("localhost:7717", Some("http://localhost:7717"), json, "{}", None),
            ("127.0.0.1:7717", None, None, "", None),
            ("rebound.example.com:7717", None, json, "{}", Some(421)),
            ("127.0.0.1:7717", Some("https://evil.example.com"), json, "{}", Some(403)),
            ("127.0.0.1:7717", Some("http://localhost:7717"), json, "{}", Some(403)),
            ("127.0.0.1:7717", Some("null"), None, "", Some(403)),
            ("127.0.0.1:7717", None, None, "{}", Some(415)),
            ("127.0.0.1:7717", None, Some("text/plain"), "{}", Some(415)),
            ("127.0.0.1:7717", None, Some("text/plain; application/json"), "{}", Some(415)),
            ("127.0.0.1:7717", None, Some("application/x-www-form-urlencoded"), "{}", Some(415)),
        ] {
            let mut request = Request::post("/api/index/v1/deletedocument").header(HOST, host);
            for (name, value) in [(ORIGIN, origin), (CONTENT_TYPE, kind)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let request = request.body(Body::from(body)).expect("a request");
            let refused = check(bound, &request).err().map(|refusal| refusal.0.as_u16());
            assert_eq!(refused, status, "{host} {origin:?} {kind:?} {body:?}");
        }
    }
}
