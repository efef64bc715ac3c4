//! Crawls that failed for good are remembered, for `sheaf status`.

use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::history::CrawlRun;
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind};

impl Crawler {
    /// Remembers that a crawl failed for good. One that was stopped, or that found another at work,
    /// has not failed.
    pub async fn remember_failure(&self, attempt: CrawlRun<'_>, failure: &Failure) {
        if matches!(failure.kind, Kind::Interrupted | Kind::Busy) {
            return;
        }
        let at = Timestamp::now();
        let change = |state: &mut ConnectionState| state.history.failed(attempt, failure, at);
        // The failure itself is told by whoever crawls: not to be able to keep it hides nothing.
        if let Err(failure) = self.states.update(attempt.connection, change).await {
            tracing::warn!("that the crawl failed cannot be kept: {failure}");
        }
    }
}
