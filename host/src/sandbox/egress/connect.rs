//! How the HTTP client gets its connections: dialled outside, and encrypted here.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::outside::{Outside, Undialled};

type Dialled = TokioIo<TcpStream>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Dialling and encrypting together take so long at most.
#[derive(Clone)]
pub(super) struct Connect {
    https: HttpsConnector<Dial>,
    timeout: Duration,
}

impl Connect {
    pub(super) fn new(outside: Arc<dyn Outside>, tls: ClientConfig, timeout: Duration) -> Self {
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Dial(outside));
        Self { https, timeout }
    }
}

impl Service<Uri> for Connect {
    type Response = MaybeHttpsStream<Dialled>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let (connected, timeout) = (self.https.call(to), self.timeout);
        Box::pin(async move {
            let connected = tokio::time::timeout(timeout, connected).await;
            connected.unwrap_or_else(|_| Err(Undialled::TimedOut.into()))
        })
    }
}

#[derive(Clone)]
struct Dial(Arc<dyn Outside>);

impl Service<Uri> for Dial {
    type Response = Dialled;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Dialled, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let outside = self.0.clone();
        Box::pin(async move {
            let scheme = to.scheme_str().unwrap_or("https");
            let host = to.host().unwrap_or_default();
            let port = to.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
            let stream = outside.dial(&format!("{scheme}://{host}:{port}")).await?;
            Ok(TokioIo::new(TcpStream::from_std(stream)?))
        })
    }
}
