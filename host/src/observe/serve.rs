//! Serves what is seen: `/metrics`, `/healthz`, `/readyz`, and the page.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use maud::Markup;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::actions;
use super::look::Observer;
use super::page;
use super::served::{Served, Shared};
use super::settings::Settings;
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};

impl Observer {
    /// Takes the address, so that one that is taken is told before anything is crawled.
    pub async fn bind(settings: &Settings, place: impl FnOnce() -> String) -> Result<TcpListener> {
        TcpListener::bind(settings.address).await.map_err(|error| {
            Failure::settings(format!("nothing can be served at {}: {error}", settings.address))
                .at(place())
                .next("choose another address: another worker of this machine may have it")
        })
    }

    /// Serves, and looks now and then, until `stop`.
    pub async fn serve(self, listener: TcpListener, settings: Settings, stop: CancellationToken) {
        let served = Arc::new(Served { observer: self, settings });
        if let Ok(address) = listener.local_addr() {
            tracing::info!("what this worker does is seen at http://{address}/");
        }
        let mut router = router(served.clone());
        if listener.local_addr().is_ok_and(|address| address.ip().is_loopback()) {
            router = router.layer(from_fn(of_this_machine));
        }
        tokio::select! {
            () = accept(listener, router) => {}
            () = served.observer.keep_looking() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Connections at once. A browser and a scraper have a few.
const CONNECTIONS: usize = 500;
/// How long one may take to ask.
const SILENCE: Duration = Duration::from_secs(10);
/// After this a connection is asked to end, and is ended by force after that: who asks again makes a new one.
const LONG: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(10);

/// Whoever holds a connection and does nothing with it gives its place back soon.
async fn accept(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut is_well = true;
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                is_well = true;
                let router = router.clone();
                tokio::spawn(async move {
                    serve(socket, router).await;
                    drop(place);
                });
            }
            Err(error) => {
                if std::mem::take(&mut is_well) {
                    tracing::warn!("nobody can connect to the status page for now: {error}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(SILENCE);
    let served = http.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    if tokio::time::timeout(LONG, served.as_mut()).await.is_err() {
        served.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LONGEST, served).await;
    }
}

fn router(served: Arc<Served>) -> Router {
    let pages = Router::new()
        .route("/", get(page))
        .route("/sign-in", get(sign_in).post(actions::sign_in))
        .route("/crawls/{connection}/{action}", post(actions::act))
        .layer(map_response(guarded));
    Router::new()
        .route("/style.css", get(style))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .merge(pages)
        .with_state(served)
}

/// No script, nothing from elsewhere, in no frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

async fn guarded(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without a referrer browsers do not say which page a form was on.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page of this machine is no page of another name that leads here: a browser would show it to that name's scripts.
async fn of_this_machine(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_here = name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_here {
        return next.run(request).await;
    }
    let why = "this is served to localhost only: name another `address` in [observe]\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

async fn page(State(served): Shared, headers: HeaderMap) -> Markup {
    let observer = &served.observer;
    let may = actions::may(&served.settings, &headers).await;
    let (seen, live) = tokio::join!(observer.now(), observer.live());
    page::page(&seen, &live, may, Timestamp::now())
}

async fn sign_in() -> Markup {
    page::sign_in()
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], page::STYLE).into_response()
}

async fn metrics(State(served): Shared) -> Response {
    match served.observer.metrics().await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
            .into_response(),
        Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{failure}\n")).into_response(),
    }
}

async fn ready(State(served): Shared) -> Response {
    match served.observer.not_ready().await {
        Ok(None) => "ready\n".into_response(),
        Ok(Some(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        Err(failure) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n")).into_response(),
    }
}
