//! Where wasmtime hands over a guest's request.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::client::Egress;
use super::guest::Guest;
use super::incidents::Incidents;
use super::permit::Permit;
use super::requested::Requests;
use crate::sandbox::credentials::StandIns;
use crate::sandbox::policy::Denied;

/// One guest's way out.
pub(crate) struct Hooks {
    egress: Option<Arc<Egress>>,
    guest: Guest,
}

impl Hooks {
    /// Without an egress nothing is reached: a connector that only describes itself has none.
    pub(crate) fn new(
        egress: Option<Arc<Egress>>,
        asked: &[String],
        requests: Arc<Requests>,
    ) -> Self {
        let (open, stand_ins) = match &egress {
            Some(egress) => {
                let Permit { limits, credentials, .. } = &egress.permit;
                (limits.open_requests, StandIns::new(credentials, asked))
            }
            None => (0, StandIns::default()),
        };
        let open = Arc::new(Semaphore::new(open));
        let incidents = Incidents::default();
        Self { egress, guest: Guest { open, incidents, stand_ins, requests } }
    }

    pub(crate) fn stand_in(&self, name: &str) -> Option<&str> {
        self.guest.stand_ins.of(name)
    }

    /// What went wrong with this call's requests.
    pub(crate) fn incidents(&self) -> &Incidents {
        &self.guest.incidents
    }
}

type Transmitted = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Response = (http::Response<WasiBody>, Transmitted);

impl WasiHttpHooks for Hooks {
    /// The host's name comes from the URL that was checked, in its one spelling.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// What the host keeps of a body that is being written: a guest may have many, and send none.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        16 << 10
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmitted: Transmitted,
    ) -> Box<dyn Future<Output = Result<Response, Error>> + Send> {
        let egress = self.egress.clone();
        let guest = self.guest.clone();
        Box::new(async move {
            let Some(egress) = egress else {
                let host = request.uri().host().unwrap_or_default().to_owned();
                let denied = Denied::NotGranted { host };
                guest.incidents.record(denied.failure("describe", &[]));
                return Err(Error::HttpRequestDenied);
            };
            let response = egress.send(&guest, request, options).await?;
            let done: Transmitted = Box::new(async { Ok(()) });
            Ok((response, done))
        })
    }
}
