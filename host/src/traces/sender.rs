//! Sends traces by this process's runtime, from the thread that gathers them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// A collector is near.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Sender {
    http: reqwest::Client,
    runtime: Handle,
    /// Whether the last ones came through, as far as it was told.
    away: AtomicBool,
}

impl Sender {
    pub(super) fn new() -> Result<Self, Box<dyn std::error::Error>> {
        crate::tls::choose_provider();
        let http = reqwest::Client::builder().timeout(PATIENCE).build()?;
        Ok(Self { http, runtime: Handle::try_current()?, away: AtomicBool::new(false) })
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let http = self.http.clone();
        let sent = self.runtime.spawn(async move {
            let answer = http.execute(request.try_into()?).await?;
            let status = answer.status();
            let mut response = Response::new(answer.bytes().await?);
            *response.status_mut() = status;
            Ok::<_, reqwest::Error>(response)
        });
        let sent = sent.await.map_err(HttpError::from).and_then(|sent| Ok(sent?));
        let away = !sent.as_ref().is_ok_and(|answer| answer.status().is_success());
        if away && !self.away.swap(true, Ordering::Relaxed) {
            let why = match &sent {
                Ok(answer) => format!("it answers {}", answer.status()),
                Err(error) => error.to_string(),
            };
            tracing::warn!(
                "traces do not come to the collector, and are lost until they do: {why}"
            );
        } else if !away && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("traces come to the collector again");
        }
        sent
    }
}
