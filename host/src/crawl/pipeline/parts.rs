//! What a pipeline is given, and what it tells.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::window::UploadLimits;
use crate::crawl::progress::ScopeHead;
use crate::crawl::quarantine::Tolerance;
use crate::crawl::undefined::Defined;
use crate::ledger::ScopeJournal;
use crate::sandbox::limits::Usage;

/// How far a scope is: always what is acknowledged and kept.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub head: ScopeHead,
    /// Batches on their way.
    pub in_flight: u32,
}

/// Everything one scope's crawl needs besides its source and its [`super::Delivery`].
pub struct Pipeline<'a> {
    pub tolerance: &'a Tolerance,
    pub limits: &'a UploadLimits,
    pub report: &'a watch::Sender<Report>,
    pub cancel: &'a CancellationToken,
    /// Where acknowledged documents and checkpoints are kept. Only a benchmark has none.
    pub journal: Option<ScopeJournal>,
    /// The groups and users that Glean was told of.
    pub defined: &'a Defined,
    /// What the source's guest uses.
    pub usage: Arc<Usage>,
}
