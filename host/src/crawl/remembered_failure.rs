//! Crawls that failed for good are remembered, for `sheaf status`.

use std::time::SystemTime;

use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::history::CrawlRun;
use super::plan::Begun;
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind};
use crate::traces;

impl Crawler {
    /// Remembers that a crawl failed for good. One that was stopped, or that found another at work,
    /// has not failed. Whether that is new.
    pub async fn remember_failure(&self, attempt: CrawlRun<'_>, failure: &Failure) -> bool {
        if matches!(failure.kind, Kind::Interrupted | Kind::Busy) {
            return false;
        }
        let at = Timestamp::now();
        let mut is_new = false;
        let change =
            |state: &mut ConnectionState| is_new = state.history.failed(attempt, failure, at);
        // The failure itself is told by whoever crawls: not to be able to keep it hides nothing.
        if let Err(failure) = self.states.update(attempt.connection, change).await {
            tracing::warn!("that the crawl failed cannot be kept: {failure}");
        }
        is_new
    }

    /// Tells the whole of a crawl that did not come to its end, for its trace. `since`: where it has no journal, when the
    /// step was begun that says so.
    pub async fn trace_whole(
        &self,
        connection: &str,
        upload_id: &str,
        since: SystemTime,
        outcome: &str,
    ) {
        if !traces::are_sent() {
            return;
        }
        let begun = self.journal(connection, upload_id).begun::<Begun>().await;
        let began = begun.ok().flatten().map_or(since, |begun| begun.at.into());
        traces::whole_crawl(upload_id, connection, began, outcome);
    }
}
