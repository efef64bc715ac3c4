//! What Glean does after a full crawl's last page, which may be long after it.
//!
//! Glean deletes what a session did not contain some time after the session's end, and holds the deletion
//! back where it finds it too much: `DELETION PAUSED` may come hours later than the crawl's answer. So
//! the end is remembered until Glean says that it is done, and looked at again by each crawl that begins
//! and by `sheaf status`. Until then the runs of the ledger that the crawl replaced are kept: if the
//! deletion is paused, they are the ledger again.
//!
//! Until then, too, nobody knows whether a document that comes by an incremental crawl is spared: it
//! is not in the session. So such a crawl does not move its bookmark, and the next one brings the
//! same again.

use std::sync::Arc;
use std::time::Duration;

use super::connection_state::{ConnectionState, States};
use super::guard::Intent;
use super::pending_end::{PAUSED, PendingEnd};
use super::plan::Plan;
use super::result::{CrawlResult, Outcome};
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean::upload::{Processing, Upload};
use crate::glean::{self, Client};

/// A pause lasts for 7 days; what is not done some days after is not going to be.
const PATIENCE: Duration = Duration::from_secs(14 * 24 * 3600);

impl PendingEnd {
    /// `state` is what was remembered before the crawl ended.
    pub fn new(
        plan: &Plan,
        result: &CrawlResult,
        deletes: &Intent,
        state: &ConnectionState,
        processing: Processing,
    ) -> Self {
        let paused = processing == Processing::Paused;
        let titles = plan.scopes.iter().map(|scope| (scope.id.clone(), scope.title.clone()));
        Self {
            upload_id: plan.upload_id.clone(),
            datasource: plan.datasource.clone(),
            at: Timestamp::now(),
            paused,
            deleted: deletes.deleted(),
            foreign: deletes.foreign,
            added: deletes.difference.added,
            runs: plan.runs.clone(),
            // What is put in place when that changes.
            scopes: if paused { titles.collect() } else { state.scopes.clone() },
            whole: if paused { Some(result.documents) } else { state.whole },
        }
    }

    /// The deletion is paused: what it was to delete is still there.
    fn pause(mut self, state: &mut ConnectionState) {
        let missing = self.runs.iter().filter(|run| !state.runs.contains(run));
        state.runs = missing.chain(&state.runs).cloned().collect();
        std::mem::swap(&mut state.scopes, &mut self.scopes);
        std::mem::swap(&mut state.whole, &mut self.whole);
        state.unsettled += self.added;
        state.census.undone(Timestamp::now(), self.deleted, self.foreign);
        self.tell(state, Outcome::Held, 0, Some(PAUSED));
        self.paused = true;
        state.closing = Some(self);
    }

    /// It is done, after a pause: now they are gone.
    fn resume(mut self, state: &mut ConnectionState) {
        state.runs.retain(|run| !self.runs.contains(run));
        std::mem::swap(&mut state.scopes, &mut self.scopes);
        std::mem::swap(&mut state.whole, &mut self.whole);
        state.bookmarks.retain(|scope, _| state.scopes.contains_key(scope));
        state.unsettled = 0;
        state.census.closed(Timestamp::now(), self.deleted);
        self.tell(state, Outcome::Complete, self.deleted, None);
    }

    /// How the crawl ended is not what was said then.
    fn tell(
        &self,
        state: &mut ConnectionState,
        outcome: Outcome,
        deleted: u64,
        reason: Option<&str>,
    ) {
        let kept = [state.last.as_mut(), state.history.full.last.as_mut()].into_iter().flatten();
        for result in kept.filter(|result| result.upload_id == self.upload_id) {
            result.outcome = outcome;
            result.deleted = deleted;
            result.reason = reason.map(str::to_owned);
        }
    }
}

/// Whether what was to be done at that time is not going to be.
fn is_given_up(at: Timestamp) -> bool {
    at.age() > PATIENCE
}

/// Looks at the end of the last full crawl again, if Glean has not done it yet. Whether it is still so.
pub async fn look_again(client: &Client, states: &States, connection: &str) -> Result<bool> {
    let Some(closing) = states.of(connection).await?.closing else { return Ok(false) };
    let upload = Upload {
        client: client.clone(),
        datasource: closing.datasource.clone(),
        upload_id: closing.upload_id.clone(),
        beside: None,
        accepted: Arc::default(),
    };
    let processing = match upload.processing().await {
        // It has lost the datasource, and its documents.
        Err(glean::Error::UnknownDatasource(_)) => Processing::Done,
        processing => processing?,
    };
    let late = is_given_up(closing.at);
    if !late
        && (processing == Processing::Paused) == closing.paused
        && processing != Processing::Done
    {
        return Ok(true);
    }
    if processing == Processing::Paused {
        tracing::warn!(connection, upload_id = closing.upload_id.as_str(), "{PAUSED}");
    }
    let state = states
        .update(connection, |state| {
            let ours = state.closing.take_if(|now| now.upload_id == closing.upload_id);
            match (ours, processing) {
                (Some(ours), Processing::Paused) if !ours.paused && !late => ours.pause(state),
                (Some(ours), Processing::Done) if ours.paused => ours.resume(state),
                // It goes on after the pause: what it deletes is seen when it is done.
                (Some(ours), Processing::UnderWay) if !late => state.closing = Some(ours),
                _ => {}
            }
        })
        .await?;
    Ok(state.closing.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stopped::Clock;

    #[test]
    fn the_end_of_a_crawl_is_looked_at_for_two_weeks() {
        let clock = Clock::stop();
        let ended = Timestamp::now();
        clock.advance(PATIENCE);
        assert!(!is_given_up(ended));
        clock.advance(Duration::from_secs(1));
        assert!(is_given_up(ended));
    }
}
