//! The whole way of a request, with names of the test's own and a server on loopback.

use std::collections::BTreeMap;
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
use crate::sandbox::credentials::{self, ClientAuth, Form, OAuth, StandIns};
use crate::sandbox::policy::{Methods, Policy};
use crate::secret::Source;

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
async fn methods_that_are_unknown_or_not_granted_are_refused_before_a_credential_is_fetched() {
    let tokens = numbered_tokens().await;
    let source = Server::start(ok).await;
    let folder = tempfile::tempdir().expect("a folder");
    let host = format!("http://localhost:{}", source.port);
    let mut grant =
        Grant { credentials: oauth(tokens.port, None, folder.path()), ..grant(&host, &[]) };
    grant.policy.methods = Methods::only(&["GET".into()]).expect("methods");
    let egress = way_out(grant);
    let guest = guest(&egress);
    for (method, next) in [
        ("TRACE", "tell the connector's author"),
        ("CONNECT", "tell the connector's author"),
        ("X-INVENTED", "tell the connector's author"),
        ("DELETE", r#"in [connections.test.grants] write: methods = ["GET", "DELETE"]"#),
    ] {
        let body: WasiBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::builder().method(method).uri(&host);
        let request = request.header("authorization", guest.stand_ins.of("api").expect("one"));
        let request = request.body(body).expect("a request");
        let error = egress.send(&guest, request, None).await.expect_err("refused");
        assert!(matches!(error, Error::HttpRequestMethodInvalid), "{method}: {error}");
        let incident = guest.incidents.take().expect("told");
        assert!(incident.what.contains(&format!("may not send {method}")), "{incident}");
        assert_eq!(incident.next.as_deref(), Some(next));
    }
    assert_eq!((tokens.heads().len(), source.heads().len()), (0, 0));
    assert_eq!(get(&egress, &guest, &host).await.expect("granted").0, 200);
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

/// A credential from a token server on loopback.
fn oauth(
    port: u16,
    refresh_token: Option<Source>,
    base: &std::path::Path,
) -> BTreeMap<String, credentials::Grant> {
    let oauth = OAuth {
        token_url: format!("http://127.0.0.1:{port}/token").parse().expect("a URL"),
        client_id: "sheaf".into(),
        client_secret: Some(Source::Command(vec!["echo".into(), "client-secret".into()])),
        refresh_token,
        scope: Some("read".into()),
        audience: None,
        client_auth: ClientAuth::Basic,
    };
    let grant =
        credentials::Grant { form: Form::OAuth(oauth), hosts: Vec::new(), base: base.to_owned() };
    BTreeMap::from([("api".to_owned(), grant)])
}

/// Gives a new token to each who asks.
async fn numbered_tokens() -> Server {
    Server::start(|_, number| {
        answer(
            "200 OK",
            "",
            &format!(r#"{{"access_token":"token-number-{number}","expires_in":3600}}"#),
        )
    })
    .await
}

/// A new token is fetched so long after the last at the earliest.
const SETTLED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn forty_answers_of_401_fetch_no_second_token_within_ten_seconds() {
    let clock = Clock::stop();
    let tokens = numbered_tokens().await;
    let source = Server::start(|_, _| answer("401 Unauthorized", "", "")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let host = format!("http://localhost:{}", source.port);
    let grant = Grant { credentials: oauth(tokens.port, None, folder.path()), ..grant(&host, &[]) };
    let egress = way_out(grant);
    let guest = guest(&egress);
    for (seconds, fetched) in [(0, 1), (9, 1), (1, 2), (9, 2), (1, 3)] {
        clock.advance(Duration::from_secs(seconds));
        for _ in 0..8 {
            assert_eq!(get(&egress, &guest, &host).await.expect("an answer").0, 401);
        }
        assert_eq!(tokens.heads().len(), fetched);
    }
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_requests_and_again_when_the_source_refuses_it() {
    let clock = Clock::stop();
    let tokens = numbered_tokens().await;
    // The source takes the first token for a while, and then no more.
    let source = Server::start(|head, number| {
        if number > 8 && head.contains("token-number-1") {
            answer("401 Unauthorized", "", "")
        } else {
            answer("200 OK", "", "hello")
        }
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let host = format!("http://localhost:{}", source.port);
    let grant = Grant { credentials: oauth(tokens.port, None, folder.path()), ..grant(&host, &[]) };
    let egress = way_out(grant);
    let guest = guest(&egress);
    let all = (0..8).map(|_| get(&egress, &guest, &host));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.expect("an answer").0, 200);
    }
    assert_eq!(tokens.heads().len(), 1, "one token for all");
    assert!(tokens.heads()[0].contains("grant_type=client_credentials&scope=read"));
    assert!(
        source.heads().iter().all(|head| head.contains("authorization: bearer token-number-1"))
    );
    clock.advance(SETTLED);
    let all = (0..4).map(|_| get(&egress, &guest, &host));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.expect("an answer").0, 200, "with the second token");
    }
    assert_eq!(tokens.heads().len(), 2, "renewed once for all");
}

#[tokio::test]
async fn a_token_that_is_taken_no_more_with_403_is_fetched_again_and_what_is_forbidden_stays_so() {
    let clock = Clock::stop();
    let tokens = numbered_tokens().await;
    // Each token is taken for a while; one page is for others.
    let expired = Arc::new(AtomicUsize::new(0));
    let until = expired.clone();
    let source = Server::start(move |head, _| {
        let old = (1..=until.load(Ordering::SeqCst))
            .any(|n| head.contains(&format!("token-number-{n}\r")));
        if old || head.contains("get /forbidden") {
            answer("403 Forbidden", "", "")
        } else {
            answer("200 OK", "", "hello")
        }
    })
    .await;
    let folder = tempfile::tempdir().expect("a folder");
    let host = format!("http://localhost:{}", source.port);
    let grant = Grant { credentials: oauth(tokens.port, None, folder.path()), ..grant(&host, &[]) };
    let egress = way_out(grant);
    let guest = guest(&egress);
    // The first three tokens expire, one after the other, and each is renewed.
    for number in 0..4 {
        clock.advance(SETTLED);
        expired.store(number, Ordering::SeqCst);
        assert_eq!(get(&egress, &guest, &host).await.expect("an answer").0, 200);
        assert_eq!(tokens.heads().len(), number + 1);
    }
    clock.advance(SETTLED);
    let forbidden = format!("{host}/forbidden");
    for _ in 0..5 {
        assert_eq!(get(&egress, &guest, &forbidden).await.expect("an answer").0, 403);
        assert_eq!(get(&egress, &guest, &host).await.expect("an answer").0, 200);
    }
    assert_eq!(tokens.heads().len(), 5, "one more token, and then none for what is forbidden");
}

#[tokio::test]
async fn a_refresh_token_that_is_rotated_is_kept_in_its_file() {
    let clock = Clock::stop();
    let tokens = Server::start(|head, number| {
        // A refresh token counts once.
        if !head.contains(&format!("refresh_token=refresh-number-{number}")) {
            return answer("400 Bad Request", "", r#"{"error":"invalid_grant"}"#);
        }
        let next = number + 1;
        answer("200 OK", "", &format!(
            r#"{{"access_token":"token-number-{number}","expires_in":0,"refresh_token":"refresh-number-{next}"}}"#
        ))
    })
    .await;
    let source = Server::start(ok).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("refresh");
    std::fs::write(&file, "refresh-number-1\n").expect("written");
    let host = format!("http://localhost:{}", source.port);
    let credentials = oauth(tokens.port, Some(Source::File("refresh".into())), folder.path());
    // Two workers share the file.
    for _ in 0..2 {
        let grant = Grant { credentials: credentials.clone(), ..grant(&host, &[]) };
        let egress = way_out(grant);
        let guest = guest(&egress);
        for _ in 0..2 {
            clock.advance(SETTLED);
            assert_eq!(get(&egress, &guest, &host).await.expect("an answer").0, 200);
        }
    }
    assert_eq!(std::fs::read_to_string(&file).expect("there"), "refresh-number-5");
    // One that counts no more is told in words that quote nothing of it.
    std::fs::write(&file, "refresh-number-1").expect("written");
    let grant = Grant { credentials, ..grant(&host, &[]) };
    let egress = way_out(grant);
    let guest = guest(&egress);
    get(&egress, &guest, &host).await.expect_err("no token");
    let incident = guest.incidents.take().expect("told");
    assert!(incident.what.contains("400 Bad Request: invalid_grant"), "{incident}");
    assert!(!format!("{incident:?}").contains("refresh-number"), "{incident:?}");
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
        };
        get(&egress, &guest, &host).await.expect("an answer");
    }
    assert!(since.elapsed() >= Duration::from_millis(400), "{:?}", since.elapsed());
}
