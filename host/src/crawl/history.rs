//! How a connection's crawls ended: the last of each mode that came to an end, and the failures since.
//!
//! It is kept by whoever crawled, in the connection's state: a crawl that fails each night must not
//! look like one that nobody started, and an incremental crawl must not hide the full one before it.

use serde::{Deserialize, Serialize};

use super::lease::Coordinator;
use super::request::ModeName;
use super::result::{CrawlResult, Outcome};
use crate::clock::Timestamp;
use crate::failure::Failure;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    pub full: OfMode,
    pub incremental: OfMode,
    /// Whether a workflow ever crawled it.
    pub temporal: bool,
}

/// The crawls of one mode.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OfMode {
    /// The last one that came to an end, complete or not.
    pub last: Option<CrawlResult>,
    /// When the last complete one ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Timestamp>,
    /// Those that failed since.
    pub failing: Option<Failing>,
}

/// Failures in a row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failing {
    /// When the first of them was.
    pub since: Timestamp,
    pub times: u64,
    /// When the last one was, and of what it failed.
    pub at: Timestamp,
    pub failure: Failure,
    /// Which run failed last: a workflow's run id, or an upload id.
    pub run: String,
}

/// A crawl as it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct CrawlRun<'a> {
    pub connection: &'a str,
    pub mode: ModeName,
    /// Tells it from every other: a workflow's run id, or the upload id it was given.
    pub run: &'a str,
    pub coordinator: Coordinator,
}

impl History {
    pub fn of(&self, mode: ModeName) -> &OfMode {
        match mode {
            ModeName::Full => &self.full,
            ModeName::Incremental => &self.incremental,
        }
    }

    fn of_mut(&mut self, mode: ModeName) -> &mut OfMode {
        match mode {
            ModeName::Full => &mut self.full,
            ModeName::Incremental => &mut self.incremental,
        }
    }

    /// A crawl came to an end.
    pub fn ended(&mut self, result: &CrawlResult, coordinator: Coordinator) {
        self.temporal |= coordinator == Coordinator::Temporal;
        // What waits for a person is kept once, beside this.
        let last = Some(CrawlResult { held: None, ..result.clone() });
        let complete = self.complete(result.mode);
        let complete =
            if result.outcome == Outcome::Complete { Some(result.ended_at) } else { complete };
        *self.of_mut(result.mode) = OfMode { last, complete, failing: None };
        if result.mode == ModeName::Full {
            // It did all that an incremental one would have.
            self.incremental.failing = None;
        }
    }

    /// A crawl that was held ended otherwise, by a person's word.
    pub fn decided(&mut self, result: &CrawlResult) {
        if let Some(last) = &mut self.full.last
            && last.upload_id == result.upload_id
        {
            *last = CrawlResult { held: None, ..result.clone() };
            if result.outcome == Outcome::Complete {
                self.full.complete = Some(result.ended_at);
            }
        }
    }

    /// When the last complete crawl of a mode ended. Earlier versions kept only how the last one did.
    pub fn complete(&self, mode: ModeName) -> Option<Timestamp> {
        let OfMode { last, complete, .. } = self.of(mode);
        let last = last.as_ref().filter(|last| last.outcome == Outcome::Complete);
        complete.or_else(|| last.map(|last| last.ended_at))
    }

    /// Whether it was not known before.
    pub(super) fn failed(
        &mut self,
        attempt: CrawlRun<'_>,
        failure: &Failure,
        at: Timestamp,
    ) -> bool {
        self.temporal |= attempt.coordinator == Coordinator::Temporal;
        let of = self.of_mut(attempt.mode);
        // Several parts of one crawl may fail: the first is what the others may have followed from.
        if of.failing.as_ref().is_some_and(|failing| failing.run == attempt.run) {
            return false;
        }
        let (since, times) =
            of.failing.as_ref().map_or((at, 0), |failing| (failing.since, failing.times));
        of.failing = Some(Failing {
            since,
            times: times + 1,
            at,
            failure: Failure { detail: None, ..failure.clone() },
            run: attempt.run.to_owned(),
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    fn attempt(mode: ModeName, run: &str) -> CrawlRun<'_> {
        CrawlRun { connection: "docs", mode, run, coordinator: Coordinator::Process }
    }

    #[test]
    fn failures_are_counted_once_a_crawl_and_end_with_one_that_ends() {
        let at = Timestamp::from_seconds;
        let mut history = History::default();
        let first = Failure::new(Kind::Source, "asleep");
        let (full, incremental) = (ModeName::Full, ModeName::Incremental);
        history.failed(attempt(full, "a"), &first, at(10));
        history.failed(attempt(full, "a"), &Failure::new(Kind::Source, "another scope"), at(11));
        history.failed(attempt(full, "b"), &Failure::new(Kind::Trap, "crashed"), at(20));
        history.failed(attempt(incremental, "c"), &first, at(30));
        let failing = history.full.failing.clone().expect("it fails");
        assert_eq!((failing.since, failing.at, failing.times), (at(10), at(20), 2));
        assert_eq!(failing.failure.what, "crashed");
        let ended = |mode| -> CrawlResult {
            serde_json::from_value(serde_json::json!({
                "connection": "docs", "datasource": "docs", "mode": mode, "outcome": "complete",
                "upload_id": "u", "connector": "files 1", "digest": "sha256:", "documents": 1,
                "deleted": 0, "quarantined": 0, "access_unknown": 0, "batches": 1, "bytes": 1,
                "seconds": 1.0,
            }))
            .expect("a result")
        };
        history.ended(&ended(incremental), Coordinator::Process);
        assert!(history.full.failing.is_some(), "an incremental crawl heals no full one");
        history.failed(attempt(incremental, "d"), &first, at(40));
        history.ended(&ended(full), Coordinator::Process);
        assert!(history.full.failing.is_none() && history.incremental.failing.is_none());
        assert!(history.incremental.last.is_some());
    }
}
