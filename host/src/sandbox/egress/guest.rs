//! What one guest has of its own on its way out.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::incidents::Incidents;
use super::requested::Requests;
use crate::sandbox::credentials::StandIns;

#[derive(Clone, Debug)]
pub(super) struct Guest {
    /// The requests that it may still open.
    pub(super) open: Arc<Semaphore>,
    pub(super) incidents: Incidents,
    pub(super) stand_ins: StandIns,
    pub(super) requests: Arc<Requests>,
}
