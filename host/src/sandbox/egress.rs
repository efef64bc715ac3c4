//! Outgoing HTTP. Nothing is allowed: host grants do not exist yet, and `sheaf.toml` refuses them.
//!
//! The interface is linked all the same, because JavaScript components import it whether they use
//! it or not.

use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Refuses every request, after reading its body so that the guest does not hang on writing it.
#[derive(Debug)]
pub struct DenyAll {
    connection: String,
}

impl DenyAll {
    pub fn new(connection: &str) -> Self {
        Self { connection: connection.to_owned() }
    }
}

type Transmitted = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Response = (http::Response<WasiBody>, Transmitted);

impl WasiHttpHooks for DenyAll {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _options: Option<RequestOptions>,
        _transmitted: Transmitted,
    ) -> Box<dyn Future<Output = Result<Response, Error>> + Send> {
        let host = request.uri().host().unwrap_or("?").to_owned();
        tracing::warn!(
            connection = self.connection,
            host,
            "refused an HTTP request: this connection has no host grants"
        );
        Box::new(async move {
            let mut body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            Err(Error::HttpRequestDenied)
        })
    }
}
