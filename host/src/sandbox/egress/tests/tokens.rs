//! Requests with credentials, which a token server on loopback gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use wasmtime_wasi_http::{Error, WasiBody};

use super::{Server, answer, get, grant, guest, ok, way_out};
use crate::clock::stopped::Clock;
use crate::sandbox::credentials::{self, ClientAuth, Form, OAuth};
use crate::sandbox::egress::guest::Guest;
use crate::sandbox::egress::{Egress, Grant};
use crate::sandbox::policy::Methods;
use crate::secret::Source;

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

/// A guest's way to a source that takes tokens.
fn to(source: &Server, tokens: &Server, base: &std::path::Path) -> (String, Egress, Guest) {
    let host = format!("http://localhost:{}", source.port);
    let grant = Grant { credentials: oauth(tokens.port, None, base), ..grant(&host, &[]) };
    let egress = way_out(grant);
    let guest = guest(&egress);
    (host, egress, guest)
}

#[tokio::test]
async fn forty_answers_of_401_fetch_no_second_token_within_ten_seconds() {
    let clock = Clock::stop();
    let tokens = numbered_tokens().await;
    let source = Server::start(|_, _| answer("401 Unauthorized", "", "")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (host, egress, guest) = to(&source, &tokens, folder.path());
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
    let (host, egress, guest) = to(&source, &tokens, folder.path());
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
    let (host, egress, guest) = to(&source, &tokens, folder.path());
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
