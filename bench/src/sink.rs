//! A server that takes every upload and keeps nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tokio::net::TcpListener;

use crate::Failure;

/// Serves until its parent ends it, after printing its address.
pub(crate) async fn serve() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback(take)).await?;
    Ok(())
}

async fn take(request: Request<Body>) -> &'static str {
    // It knows no session: whoever asks opens the first one.
    let asks = request.uri().path().ends_with("/status");
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(_)) = futures_next(&mut body).await {}
    if asks { r#"{"documents":{}}"# } else { "{}" }
}

/// The next chunk of a body.
async fn futures_next(
    body: &mut axum::body::BodyDataStream,
) -> Option<Result<axum::body::Bytes, axum::Error>> {
    std::future::poll_fn(|context| {
        futures_core::Stream::poll_next(std::pin::Pin::new(&mut *body), context)
    })
    .await
}

/// The server as a process of its own.
pub(crate) struct Sink {
    child: Child,
    pub url: String,
}

impl Sink {
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut child =
            Command::new(std::env::current_exe()?).arg("sink").stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut url = String::new();
        BufReader::new(stdout).read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned() })
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}
