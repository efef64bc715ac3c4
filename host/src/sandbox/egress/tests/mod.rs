//! The whole way of a request, with names of the test's own and a server on loopback.

mod tokens;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, WasiBody};

use super::guest::Guest;
use super::resolve::Names;
use super::{Broker, Egress, Grant, Incidents, Outside as _};
use crate::clock::stopped::Clock;
use crate::sandbox::credentials::StandIns;
use crate::sandbox::policy::{Methods, Policy};

/// Answers each request with what `answer` says to its head, and counts connections.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answer: impl Fn(&str, usize) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (counted, noted, answer) = (connections.clone(), heads.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (noted, answer) = (noted.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while let Ok(byte) = stream.read_u8().await {
                        head.push(byte);
                        if head.ends_with(b"\r\n\r\n") {
                            let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
                            let length = text.split("content-length: ").nth(1);
                            let length =
                                length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
                            let mut body = vec![0; length.unwrap_or(0)];
                            if stream.read_exact(&mut body).await.is_err() {
                                return;
                            }
                            let text = text + &String::from_utf8_lossy(&body);
                            let number = {
                                let mut heads = noted.lock().expect("heads");
                                heads.push(text.clone());
                                heads.len()
                            };
                            if stream.write_all(answer(&text, number).as_bytes()).await.is_err() {
                                return;
                            }
                            head.clear();
                        }
                    }
                });
            }
        });
        Self { port, connections, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("heads").clone()
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn ok(_: &str, _: usize) -> String {
    answer("200 OK", "", "hello")
}

/// Names that lead where the test says, and elsewhere the next time.
struct Changing(Mutex<Vec<Vec<IpAddr>>>);

impl Changing {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse =
            |texts: &&[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
        Arc::new(Self(Mutex::new(answers.iter().rev().map(parse).collect())))
    }
}

impl Names for Changing {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let next = self.0.lock().expect("answers").pop();
        Box::pin(async move { next.ok_or_else(|| io::Error::other("asked once too often")) })
    }
}

/// A name's answer is used for so long.
const FRESH: Duration = Duration::from_secs(30);

/// For one host, or for none.
fn grant(host: &str, networks: &[&str]) -> Grant {
    let hosts = [host].into_iter().filter(|host| !host.is_empty());
    let patterns: Vec<_> = hosts.map(|host| host.parse().expect("a pattern")).collect();
    Grant {
        policy: Policy {
            granted: patterns.clone(),
            asked: patterns,
            networks: networks.iter().map(|text| text.parse().expect("a network")).collect(),
            methods: Methods::default(),
        },
        ..Grant::default()
    }
}

fn way_out(grant: Grant) -> Egress {
    let permit = grant.permit();
    Egress::new("test", permit, Arc::new(Broker::new("test", grant)))
}

fn guest(egress: &Egress) -> Guest {
    Guest {
        open: Arc::new(Semaphore::new(egress.permit.limits.open_requests)),
        incidents: Incidents::default(),
        stand_ins: StandIns::new(&egress.permit.credentials, &["api".into()]),
        requests: Arc::default(),
    }
}

async fn get(egress: &Egress, guest: &Guest, url: &str) -> Result<(u16, String), Error> {
    let body: WasiBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let mut request = http::Request::get(url);
    if let Some(stand_in) = guest.stand_ins.of("api") {
        request = request.header("authorization", stand_in);
    }
    let response = egress.send(guest, request.body(body).expect("a request"), None).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let clock = Clock::stop();
    // It closes each connection, so that each request resolves its name again.
    let server = Server::start(|_, _| answer("200 OK", "connection: close\r\n", "hello")).await;
    let host = format!("http://rebinding.example.com:{}", server.port);
    let names = Changing::new(&[
        &["127.0.0.1"],
        &["10.0.0.1", "127.0.0.1"],
        &["127.0.0.2"],
        &["169.254.169.254"],
    ]);
    let grant = grant(&host, &["127.0.0.1/32"]);
    let permit = grant.permit();
    let broker = Broker::with_names("test", grant, names);
    let egress = Egress::new("test", permit, Arc::new(broker));
    let guest = guest(&egress);
    assert_eq!(get(&egress, &guest, &host).await.expect("granted").0, 200);
    assert_eq!(get(&egress, &guest, &host).await.expect("the same answer").0, 200);
    clock.advance(FRESH);
    assert_eq!(get(&egress, &guest, &host).await.expect("one of two is granted").0, 200);
    // Then the name leads elsewhere.
    for address in ["127.0.0.2", "169.254.169.254"] {
        clock.advance(FRESH);
        let error = get(&egress, &guest, &host).await.expect_err("denied");
        assert!(matches!(error, Error::DestinationIpProhibited), "{error}");
        let incident = guest.incidents.take().expect("told");
        assert!(incident.what.contains(address), "{incident}");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_pooled_connection_does_not_outlive_its_grant() {
    let server = Server::start(ok).await;
    let host = format!("http://localhost:{}", server.port);
    let egress = way_out(grant(&host, &[]));
    let granted = guest(&egress);
    for _ in 0..2 {
        get(&egress, &granted, &host).await.expect("granted");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "it is pooled");
    let revoked = way_out(grant("", &[]));
    let error = get(&revoked, &guest(&revoked), &host).await.expect_err("denied");
    assert!(matches!(error, Error::HttpRequestDenied), "{error}");
    let again = way_out(grant(&host, &[]));
    get(&again, &guest(&again), &host).await.expect("granted");
    assert_eq!(server.connections.load(Ordering::SeqCst), 2, "another grant has another pool");
}

#[tokio::test]
async fn a_redirect_goes_back_to_the_guest() {
    let server =
        Server::start(|_, _| answer("302 Found", "location: http://169.254.169.254/\r\n", ""))
            .await;
    let host = format!("http://localhost:{}", server.port);
    let egress = way_out(grant(&host, &[]));
    assert_eq!(get(&egress, &guest(&egress), &host).await.expect("an answer").0, 302);
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn a_request_that_only_reads_waits_as_the_server_asks_and_others_go_back_to_the_guest() {
    let busy = |_: &str, number: usize| match number {
        1 => answer("429 Too Many Requests", "retry-after: 1\r\n", ""),
        2 => answer("503 Service Unavailable", "retry-after: 0\r\n", ""),
        _ => answer("200 OK", "", "hello"),
    };
    let server = Server::start(busy).await;
    let host = format!("http://localhost:{}", server.port);
    let egress = way_out(grant(&host, &[]));
    let guest_of = guest(&egress);
    let since = std::time::Instant::now();
    assert_eq!(get(&egress, &guest_of, &host).await.expect("an answer"), (200, "hello".into()));
    assert!(since.elapsed() >= Duration::from_secs(1), "the server asked for a second");
    assert_eq!(server.heads().len(), 3);
    let server = Server::start(busy).await;
    let host = format!("http://localhost:{}", server.port);
    let egress = way_out(grant(&host, &[]));
    let body: WasiBody = Full::new(Bytes::from("x")).map_err(|never| match never {}).boxed_unsync();
    let post = http::Request::post(&host).body(body).expect("a request");
    let answer = egress.send(&guest(&egress), post, None).await.expect("an answer");
    assert_eq!(answer.status(), 429);
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn the_host_header_is_the_one_that_was_checked() {
    let server = Server::start(ok).await;
    let egress = way_out(grant(&format!("http://localhost:{}", server.port), &[]));
    let url = format!("http://LOCALHOST.:{}/path", server.port);
    get(&egress, &guest(&egress), &url).await.expect("granted");
    let head = server.heads().remove(0);
    assert!(head.contains(&format!("host: localhost:{}\r\n", server.port)), "{head}");
}

#[tokio::test]
async fn a_request_says_who_sends_it_unless_the_guest_did() {
    let server = Server::start(ok).await;
    let host = format!("http://localhost:{}", server.port);
    let egress = way_out(grant(&host, &[]));
    get(&egress, &guest(&egress), &host).await.expect("granted");
    let body: WasiBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let request = http::Request::get(&host).header("user-agent", "mine").header("accept", "a/b");
    let request = request.body(body).expect("a request");
    egress.send(&guest(&egress), request, None).await.expect("granted");
    let usual = concat!("user-agent: sheaf/", env!("CARGO_PKG_VERSION"), "\r\n");
    let [first, second] = &server.heads()[..] else { panic!("two requests") };
    assert!(first.contains(usual) && first.contains("accept: */*\r\n"), "{first}");
    assert!(!first.contains("content-length") && !first.contains("transfer-encoding"), "{first}");
    let own = second.contains("user-agent: mine\r\n") && second.contains("accept: a/b\r\n");
    assert!(own && !second.contains("sheaf/"), "{second}");
}

#[tokio::test]
async fn a_method_and_a_url_that_are_too_long_are_refused() {
    let server = Server::start(ok).await;
    let host = format!("http://localhost:{}", server.port);
    let egress = way_out(grant(&host, &[]));
    let guest = guest(&egress);
    let long = format!("{host}/{}", "x".repeat(16 << 10));
    let error = get(&egress, &guest, &long).await.expect_err("refused");
    assert!(matches!(error, Error::HttpRequestUriInvalid), "{error}");
    let incident = guest.incidents.take().expect("told");
    assert!(incident.what.contains("it is longer than 16.0 KiB"), "{incident}");
    assert!(incident.what.len() < 300, "{incident}");
    assert!(incident.next.is_some(), "{incident:?}");
    get(&egress, &guest, &long[..15 << 10]).await.expect("granted");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn why_there_is_no_connection_reaches_the_guest() {
    // One port is nobody's, and on the other nobody says anything.
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = closed.local_addr().expect("an address").port();
    drop(closed);
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent_port = silent.local_addr().expect("an address").port();
    let refused = format!("http://127.0.0.1:{port}");
    let encrypted = format!("https://127.0.0.1:{silent_port}");
    let unknown = "http://unknown.example.com".to_owned();
    for (url, told) in
        [(refused, "ConnectionRefused"), (unknown, "DnsError"), (encrypted, "ConnectionTimeout")]
    {
        let mut grant = grant(&url, &[]);
        if told == "ConnectionTimeout" {
            grant.limits.connect_timeout = Duration::from_millis(50);
        }
        let permit = grant.permit();
        let broker = Broker::with_names("test", grant, Changing::new(&[]));
        let egress = Egress::new("test", permit, Arc::new(broker));
        let guest = guest(&egress);
        let error = get(&egress, &guest, &url).await.expect_err("no answer");
        assert!(format!("{error:?}").starts_with(told), "{url}: {error:?}");
        let hint = guest.incidents.take_hint();
        assert_eq!(hint.is_some(), told == "ConnectionTimeout", "{hint:?}");
    }
}

#[tokio::test]
async fn what_a_permit_allows_is_decided_again_where_it_is_dialled() {
    let server = Server::start(ok).await;
    let host = format!("http://localhost:{}", server.port);
    let permit = grant(&host, &[]).permit();
    let broker = Arc::new(Broker::new("test", grant("", &[])));
    let egress = Egress::new("test", permit, broker.clone());
    let guest = guest(&egress);
    let error = get(&egress, &guest, &host).await.expect_err("denied");
    assert!(matches!(error, Error::HttpRequestDenied), "{error}");
    assert!(guest.incidents.take().expect("told").what.contains("may not reach"));
    assert!(broker.credential("api").await.is_err(), "it is not granted");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn headers_that_are_too_large_are_told_with_their_limit() {
    // The first are refused by hyper, the second after it.
    for headers in ["x: y\r\n".repeat(300), format!("x: {}\r\n", "y".repeat(70 << 10))] {
        let server = Server::start(move |_, _| answer("200 OK", &headers, "")).await;
        let host = format!("http://localhost:{}", server.port);
        let egress = way_out(grant(&host, &[]));
        let guest = guest(&egress);
        let error = get(&egress, &guest, &host).await.expect_err("refused");
        assert!(matches!(error, Error::HttpResponseHeaderSectionSize(_)), "{error}");
        let incident = guest.incidents.take().expect("told");
        assert!(incident.what.contains("64.0 KiB of headers in one response"), "{incident}");
    }
}

#[tokio::test]
async fn requests_to_one_host_are_paced_and_counted_over_all_guests() {
    let server = Server::start(ok).await;
    let host = format!("http://localhost:{}", server.port);
    let mut grant = grant(&host, &[]);
    grant.limits.host_requests_per_second = 10.0;
    let egress = way_out(grant);
    let since = std::time::Instant::now();
    // Ten at once are a second's; the five after them are another half's.
    for _ in 0..15 {
        let guest = Guest {
            open: Arc::new(Semaphore::new(1)),
            incidents: Incidents::default(),
            stand_ins: StandIns::default(),
            requests: Arc::default(),
        };
        get(&egress, &guest, &host).await.expect("an answer");
    }
    assert!(since.elapsed() >= Duration::from_millis(400), "{:?}", since.elapsed());
}
