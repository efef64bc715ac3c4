//! A web server on loopback that answers in every way a source may, the bad ones included.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Version};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{any, get, post};
use axum::serve::Listener;
use futures::stream;
use rustls::ServerConfig;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// It ends when it is dropped.
pub struct Web {
    pub port: u16,
    seen: Seen,
    server: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Seen {
    requests: Arc<Mutex<Vec<Requested>>>,
}

/// `GET /path`, and `Authorization`.
type Requested = (String, Option<String>);

#[derive(Deserialize)]
struct To {
    to: String,
}

impl Web {
    pub async fn start() -> Self {
        let seen = Seen::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = routes(seen.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves");
        });
        Self { port, seen, server }
    }

    /// The same over TLS.
    pub async fn start_tls(config: ServerConfig) -> Self {
        let seen = Seen::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = routes(seen.clone());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let server = tokio::spawn(async move {
            axum::serve(Tls { listener, acceptor }, routes).await.expect("serves");
        });
        Self { port, seen, server }
    }

    /// `http://localhost:PORT`, which is how a grant names this machine.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// What was requested so far.
    pub fn requests(&self) -> Vec<Requested> {
        self.seen.requests.lock().expect("requests").clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Accepts connections, and leaves out those whose handshake fails.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.expect("a connection");
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn routes(seen: Seen) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", any(echo))
        .route("/redirect", get(redirect))
        .route("/slow-answer", get(slow_answer))
        .route("/drip", get(|| async { endless(Duration::from_secs(3600), b"x") }))
        .route("/endless", get(|| async { endless(Duration::ZERO, &X) }))
        .route("/headers", get(headers))
        .route("/half", get(half))
        .route("/busy", get(busy))
        .route("/feed.xml", get(feed))
        .route("/korean.xml", get(korean))
        .route(
            "/klingon.xml",
            // As bytes: a charset that the server names would go before the declaration.
            get(|| async { &b"<?xml version=\"1.0\" encoding=\"klingon\"?><rss/>"[..] }),
        )
        .route("/sitemap.xml", get(|headers: HeaderMap| async move { sitemap(&headers, 20) }))
        .route("/sitemap-long.xml", get(|headers: HeaderMap| async move { sitemap(&headers, 300) }))
        .route("/page/{number}", get(page))
        .route("/token", post(token))
        .route(
            "/token-refused",
            post(|body: String| async move { (StatusCode::BAD_REQUEST, body) }),
        )
        .route("/version", get(|version: Version| async move { format!("{version:?}") }))
        .layer(axum::middleware::from_fn_with_state(seen.clone(), note))
        .with_state(seen)
}

async fn note(
    State(seen): State<Seen>,
    request: Request,
    next: axum::middleware::Next,
) -> Response {
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let line = format!("{} {}", request.method(), request.uri());
    seen.requests.lock().expect("requests").push((line, authorization));
    next.run(request).await
}

/// All that came, the headers included: what an allowed host may do with a credential.
async fn echo(headers: HeaderMap, body: Bytes) -> String {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    format!("{}\n\n{}", headers.join("\n"), String::from_utf8_lossy(&body))
}

/// A feed that has not changed since it was read.
async fn feed(headers: HeaderMap) -> Response {
    let tag = "\"one\"";
    if headers.get("if-none-match").is_some_and(|seen| seen.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let entry = |name: &str| {
        format!(
            "<item><title>The {name} entry</title><link>https://blog.example.com/{name}</link>\
             <guid>https://blog.example.com/{name}</guid><description>About {name}</description>\
             <pubDate>Fri, 12 Jan 2024 12:00:00 GMT</pubDate></item>"
        )
    };
    let entries = ["first", "second", "third"].map(entry).concat();
    let text =
        format!("<rss version=\"2.0\"><channel><title>Blog</title>{entries}</channel></rss>");
    ([("content-type", "application/rss+xml"), ("etag", tag)], text).into_response()
}

/// A feed in EUC-KR, which says so.
async fn korean() -> Bytes {
    let mut feed =
        b"<?xml version=\"1.0\" encoding=\"EUC-KR\"?><rss><channel><item><title>".to_vec();
    feed.extend(b"\xc7\xd1\xb1\xb9\xbe\xee");
    feed.extend(b"</title><link>https://blog.example.com/korean</link></item></channel></rss>");
    feed.into()
}

fn sitemap(headers: &HeaderMap, pages: u32) -> Response {
    let host = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = |number| {
        format!("<url><loc>http://{host}/page/{number}</loc><lastmod>2024-01-12</lastmod></url>")
    };
    let urls: String = (0..pages).map(url).collect();
    let text =
        format!("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{urls}</urlset>");
    ([("content-type", "application/xml")], text).into_response()
}

async fn page(Path(number): Path<u32>) -> Html<String> {
    Html(format!(
        "<html><head><title>The title of page {number}</title></head><body><p>{}</p></body></html>",
        "Text. ".repeat(50)
    ))
}

/// A token server that rotates refresh tokens.
async fn token(State(seen): State<Seen>) -> String {
    let number = seen.requests.lock().expect("requests").len();
    format!(
        "{{\"access_token\":\"marked-secret-token-{number}\",\"expires_in\":60,\
         \"refresh_token\":\"marked-secret-rotated-{number}\"}}"
    )
}

async fn redirect(Query(To { to }): Query<To>) -> Response {
    (StatusCode::FOUND, [("location", to)]).into_response()
}

async fn slow_answer() -> &'static str {
    tokio::time::sleep(Duration::from_secs(3600)).await;
    "at last"
}

static X: [u8; 64 << 10] = [b'x'; 64 << 10];

/// A body without an end, a piece every so often.
fn endless(pause: Duration, piece: &'static [u8]) -> Response {
    let pieces = stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(piece)), ()))
    });
    Response::new(Body::from_stream(pieces))
}

/// More headers than anybody reads.
async fn headers() -> Response {
    let mut response = Response::new(Body::from("hello"));
    for number in 0..100 {
        let name: axum::http::HeaderName = format!("x-{number}").parse().expect("a name");
        response.headers_mut().insert(name, "x".repeat(2000).parse().expect("a value"));
    }
    response
}

/// Promises more than it sends.
async fn half() -> Response {
    let mut response = Response::new(Body::from_stream(stream::iter([
        Ok(Bytes::from_static(b"half")),
        Err(std::io::Error::other("gone")),
    ])));
    response.headers_mut().insert("content-length", 8.into());
    response
}

/// Asks for a pause once, and answers then.
async fn busy(State(seen): State<Seen>) -> Response {
    let requests = seen.requests.lock().expect("requests");
    let before = requests.iter().filter(|(line, _)| line.ends_with("/busy")).count();
    if before > 1 {
        return "not busy any more".into_response();
    }
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response()
}
