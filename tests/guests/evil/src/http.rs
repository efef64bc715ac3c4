//! Tries to get out over HTTP, and to get at credentials.

use sheaf_sdk::{Error, Page, Result, http};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, Method, OutgoingRequest, Scheme};

use crate::done;

pub(crate) fn get(url: &str) -> Result<Page> {
    done(http::get(url)?.send_any()?.text())
}

/// As if nothing had happened.
pub(crate) fn get_quietly(url: &str) -> Result<Page> {
    match http::get(url)?.send_any() {
        Ok(response) => done(response.text()),
        Err(_) => done("nothing"),
    }
}

/// The same address in every spelling; the first that works counts.
pub(crate) fn spellings(port: &str) -> Result<Page> {
    let mut last = Error::give_up("nothing was tried");
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "0",
        "ip6-localhost",
        "granted.example.com@127.0.0.1",
        "%31%32%37.0.0.1",
        "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
    ] {
        match raw(host, port) {
            Ok(()) => return done(format!("reached as {host}")),
            Err(error) => last = error,
        }
    }
    // What is granted works, in a spelling of its own.
    raw("LOCALHOST.", port)
        .map_err(|error| Error::retry(format!("not even localhost: {error}")))?;
    Err(last)
}

/// Without the SDK, which might clean it.
fn raw(host: &str, port: &str) -> Result<()> {
    let request = OutgoingRequest::new(Fields::new());
    let wrong = |()| Error::give_up("no such request");
    request.set_method(&Method::Get).map_err(wrong)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
    request.set_authority(Some(&format!("{host}:{port}"))).map_err(wrong)?;
    request.set_path_with_query(Some("/")).map_err(wrong)?;
    let pending = handle(request, None).map_err(|code| Error::give_up(code.to_string()))?;
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(_))) => Ok(()),
        Some(Ok(Err(code))) => Err(Error::give_up(code.to_string())),
        _ => Err(Error::give_up("no answer")),
    }
}

/// Follows a redirect, wherever it leads.
pub(crate) fn follow(url: &str) -> Result<Page> {
    done(http::get(url)?.send_any()?.text())
}

/// Opens requests and reads none of their answers.
pub(crate) fn flood(server: &str) -> Result<Page> {
    let url: sheaf_sdk::url::Url = server.parse()?;
    let authority = &url[sheaf_sdk::url::Position::BeforeHost..sheaf_sdk::url::Position::AfterPort];
    let mut open = Vec::new();
    for _ in 0..500 {
        let request = OutgoingRequest::new(Fields::new());
        let wrong = |()| Error::give_up("no such request");
        request.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
        request.set_authority(Some(authority)).map_err(wrong)?;
        request.set_path_with_query(Some("/slow-answer")).map_err(wrong)?;
        open.push(handle(request, None).map_err(|code| Error::give_up(code.to_string()))?);
    }
    for pending in &open {
        pending.subscribe().block();
        if let Some(Ok(Err(code))) = pending.get() {
            return Err(Error::give_up(code.to_string()));
        }
    }
    done("all open")
}

/// Prepares requests that it never sends, each with as much of a body as the host keeps.
pub(crate) fn hoard() -> Result<Page> {
    let mut hoard = Vec::new();
    loop {
        let request = OutgoingRequest::new(Fields::new());
        let body = request.body().map_err(|()| Error::give_up("no body"))?;
        let stream = body.write().map_err(|()| Error::give_up("no stream"))?;
        while let Ok(room) = stream.check_write() {
            if room == 0 {
                break;
            }
            let some = usize::try_from(room.min(1 << 20)).unwrap_or_default();
            stream.write(&vec![b'x'; some])?;
        }
        // What it wrote stays with the request.
        drop(stream);
        std::mem::forget(body);
        hoard.push(request);
    }
}

/// Requests that are never sent, each with a method of megabytes.
pub(crate) fn hoard_methods() -> Result<Page> {
    let long = Method::Other("X".repeat(4 << 20));
    let mut hoard = Vec::new();
    loop {
        let request = OutgoingRequest::new(Fields::new());
        request.set_method(&long).map_err(|()| Error::give_up("no method"))?;
        hoard.push(request);
    }
}

/// Sends the stand-in with a method of its choice.
pub(crate) fn method(server: &str, method: &str) -> Result<Page> {
    let url: sheaf_sdk::url::Url = server.parse()?;
    let authority = &url[sheaf_sdk::url::Position::BeforeHost..sheaf_sdk::url::Position::AfterPort];
    let wrong = |()| Error::give_up("no such request");
    let fields = Fields::new();
    let appended = fields.append("authorization", stand_in()?.as_bytes());
    appended.map_err(|error| Error::give_up(error.to_string()))?;
    let request = OutgoingRequest::new(fields);
    let method = match method {
        "TRACE" => Method::Trace,
        "CONNECT" => Method::Connect,
        "DELETE" => Method::Delete,
        other => Method::Other(other.to_owned()),
    };
    request.set_method(&method).map_err(wrong)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
    request.set_authority(Some(authority)).map_err(wrong)?;
    request.set_path_with_query(Some("/echo")).map_err(wrong)?;
    let pending = handle(request, None).map_err(|code| Error::give_up(code.to_string()))?;
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(_))) => done("sent"),
        Some(Ok(Err(code))) => Err(Error::give_up(code.to_string())),
        _ => Err(Error::give_up("no answer")),
    }
}

/// Never comes to the end of what it sends.
pub(crate) fn slow_write(server: &str) -> Result<Page> {
    let url: sheaf_sdk::url::Url = server.parse()?;
    let authority = &url[sheaf_sdk::url::Position::BeforeHost..sheaf_sdk::url::Position::AfterPort];
    let request = OutgoingRequest::new(Fields::new());
    let wrong = |()| Error::give_up("no such request");
    request.set_method(&Method::Post).map_err(wrong)?;
    request.set_scheme(Some(&Scheme::Http)).map_err(wrong)?;
    request.set_authority(Some(authority)).map_err(wrong)?;
    request.set_path_with_query(Some("/echo")).map_err(wrong)?;
    let body = request.body().map_err(wrong)?;
    let pending = handle(request, None).map_err(|code| Error::give_up(code.to_string()))?;
    let stream = body.write().map_err(wrong)?;
    loop {
        stream.blocking_write_and_flush(b"x")?;
        std::thread::sleep(std::time::Duration::from_millis(100));
        if let Some(Ok(Err(code))) = pending.get() {
            return Err(Error::give_up(code.to_string()));
        }
    }
}

pub(crate) fn huge_request(server: &str) -> Result<Page> {
    let body = vec![b'x'; 8 << 20];
    done(http::post(&format!("{server}/echo"), "text/plain", body)?.send_any()?.text())
}

pub(crate) fn huge_headers(server: &str) -> Result<Page> {
    let mut request = http::get(&format!("{server}/echo"))?;
    for number in 0..1000 {
        request = request.header(&format!("x-{number}"), &"x".repeat(1000));
    }
    done(request.send_any()?.text())
}

/// Sends the stand-in, and keeps what comes back.
pub(crate) fn credential(server: &str, header: &str) -> Result<Page> {
    done(http::get(&format!("{server}/echo"))?.credential_in(header, "api")?.send_any()?.text())
}

/// Sends it, and keeps nothing of what comes back.
pub(crate) fn credential_unread(server: &str) -> Result<Page> {
    let response = http::get(&format!("{server}/echo"))?.credential("api")?.send_any()?;
    done(response.status.to_string())
}

/// Says what comes back wherever it can.
pub(crate) fn echo_fault(server: &str, header: &str) -> Result<Page> {
    let response =
        http::get(&format!("{server}/echo"))?.credential_in(header, "api")?.send_any()?;
    let text = response.text();
    sheaf_sdk::log::error!("{text}");
    println!("{text}");
    eprintln!("{text}");
    Err(Error::give_up(text))
}

fn stand_in() -> Result<String> {
    sheaf_sdk::bindings::sheaf::connector::host::credential("api").map_err(Error::give_up)
}

pub(crate) fn credential_in_url(server: &str) -> Result<Page> {
    done(http::get(&format!("{server}/echo?token={}", stand_in()?))?.send_any()?.text())
}

pub(crate) fn credential_in_body(server: &str) -> Result<Page> {
    let body = format!("{}{}", "x".repeat(4090), stand_in()?);
    done(http::post(&format!("{server}/echo"), "text/plain", body)?.send_any()?.text())
}

/// One that it does not ask for in its manifest.
pub(crate) fn another_credential() -> Result<Page> {
    let got = sheaf_sdk::bindings::sheaf::connector::host::credential("secret");
    done(got.map_err(Error::give_up)?)
}
