//! The HTTP client of one connection.

use std::sync::Arc;

use http::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wasmtime_wasi_http::WasiBody;

use super::certificates::Certificates;
use super::connect::Connect;
use super::manners;
use super::outside::Outside;
use crate::sandbox::limits::HttpLimits;

/// It follows no redirects, uses no proxies, and sends nothing a second time.
pub(super) struct Sender(Client<Connect, WasiBody>);

impl Sender {
    pub(super) fn new(
        outside: Arc<dyn Outside>,
        certificates: &Certificates,
        limits: &HttpLimits,
    ) -> Result<Self, rustls::Error> {
        let connect = Connect::new(outside, certificates.config()?, limits.connect_timeout);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(manners::POOL_IDLE)
            .http1_max_headers(manners::MOST_HEADERS)
            .http2_max_header_list_size(manners::header_bytes(limits))
            .build(connect);
        Ok(Self(client))
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        method: Method,
        uri: Uri,
        mut headers: HeaderMap,
        body: WasiBody,
    ) -> Result<http::Response<Incoming>, Error> {
        for (name, usual) in [(ACCEPT, "*/*"), (USER_AGENT, manners::USER_AGENT)] {
            headers.entry(name).or_insert(HeaderValue::from_static(usual));
        }
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.0.request(request).await
    }
}
