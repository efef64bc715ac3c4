//! Passes requests on to a server, for what stands between.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::http;

/// What a server answers to a request.
pub(crate) async fn carry_out(
    behind: &str,
    method: Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let mut request = http().request(method, format!("{behind}{uri}")).body(body);
    for (name, value) in headers {
        if name != "host" && name != "content-length" {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.expect("the server answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.expect("a body");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in &headers {
        if name != "transfer-encoding" && name != "connection" {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// Stands before a server, and remembers when each request came. It ends when it is dropped.
pub struct Gate {
    pub url: String,
    came: Came,
    serving: JoinHandle<()>,
}

type Came = Arc<Mutex<Vec<Instant>>>;

impl Gate {
    pub async fn before(behind: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let came = Came::default();
        let state = (came.clone(), behind);
        let routes = Router::new().fallback(pass).with_state(state);
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves");
        });
        Self { url, came, serving }
    }

    /// When each request came, in order.
    pub fn came(&self) -> Vec<Instant> {
        self.came.lock().expect("times").clone()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(State((came, behind)): State<(Came, String)>, request: Request) -> Response {
    came.lock().expect("times").push(Instant::now());
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    carry_out(&behind, parts.method, &parts.uri, &parts.headers, body).await
}

/// A line to a server of this machine, which can be cut.
pub struct Line {
    pub port: u16,
    serving: JoinHandle<()>,
}

impl Line {
    pub async fn to(server: u16) -> Self {
        Self::between((Ipv4Addr::LOCALHOST.into(), 0), server).await
    }

    /// The same from an address of this machine.
    pub async fn between(from: (IpAddr, u16), server: u16) -> Self {
        let listener = TcpListener::bind(from).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let serving = tokio::spawn(async move {
            // What is under way on it ends with it.
            let mut calls = JoinSet::new();
            loop {
                let (mut here, _) = listener.accept().await.expect("a connection");
                calls.spawn(async move {
                    let Ok(mut there) = TcpStream::connect(("127.0.0.1", server)).await else {
                        return;
                    };
                    // Either side may end it.
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                });
            }
        });
        Self { port, serving }
    }

    pub fn cut(&self) {
        self.serving.abort();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.cut();
    }
}
