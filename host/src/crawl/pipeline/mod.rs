//! One scope's way from the connector into Glean.
//!
//! [`intake`] checks the connector's pages and its [`cutter`] makes batches of them; a bounded number of
//! batches, and of bytes, is on its way at a time ([`window`]), and the connector waits while the window
//! is full. [`delivery`] sends them. A page passes when every batch that holds a document of it is
//! acknowledged ([`frontier`]), and counts when the journal has it ([`keeper`], [`page_records`]): what a
//! crash costs is at most one window, or one page if that is larger, to be uploaded again.
//!
//! What is behind the cutter knows no guest, and what is before it neither Glean's client nor the ledger.
//! [`driver`] is the only part that waits for anything.

mod cutter;
mod delivery;
mod driver;
mod frontier;
mod intake;
mod keeper;
mod page_records;
mod window;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use delivery::Delivery;
pub use window::UploadLimits;

use super::fault::Result;
use super::progress::ScopeHead;
use super::quarantine::Tolerance;
use super::rules::Rules;
use crate::connector::Cursor;
use crate::document::{Page, PageLimits};
use crate::failure;
use crate::ledger::ScopeJournal;
use crate::sandbox::limits::Usage;

/// Where pages come from: a guest's cursor, or native code in a benchmark.
pub trait Source: Send {
    fn next(&mut self, limits: PageLimits) -> impl Future<Output = failure::Result<Page>> + Send;
}

impl Source for Cursor {
    async fn next(&mut self, limits: PageLimits) -> failure::Result<Page> {
        Self::next(self, limits).await
    }
}

/// How far a scope is: always what is acknowledged and kept.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub head: ScopeHead,
    /// Batches on their way.
    pub in_flight: u32,
}

/// Everything one scope's crawl needs besides its source and its [`Delivery`].
pub struct Pipeline<'a> {
    pub rules: &'a Rules,
    pub tolerance: &'a Tolerance,
    pub limits: &'a UploadLimits,
    pub page: PageLimits,
    pub report: &'a watch::Sender<Report>,
    pub cancel: &'a CancellationToken,
    /// Where acknowledged documents and checkpoints are kept. Only a benchmark has none.
    pub journal: Option<ScopeJournal>,
    /// What the source's guest uses.
    pub usage: Arc<Usage>,
}

impl Pipeline<'_> {
    /// Crawls to the end of the scope. On failure, what was acknowledged stands in the report.
    pub async fn run(
        &self,
        source: impl Source + 'static,
        delivery: Delivery,
        start: ScopeHead,
    ) -> Result<ScopeHead> {
        driver::run(self, source, delivery, start).await?;
        Ok(self.report.borrow().head.clone())
    }
}
