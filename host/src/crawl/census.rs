//! What Glean counts, held against what the ledger accounts for: how many documents of others there are.
//!
//! The end of a full crawl deletes what others put into the datasource too, and no ledger names those.
//! Only Glean's counts show them (`/debug/{datasource}/status`), and they "may be cached and could be up
//! to 3 hours stale". So a count says what was there at *some* moment of the last hours, nobody knows
//! which; and in these hours our own crawls added and deleted documents. From that follows what a count
//! can say and what it cannot:
//!
//! - The ledger's value at that moment lies between its least and its most in these hours. Documents
//!   beyond the most are others' for certain, and there are never more of others than what lies beyond
//!   the least. What lies between may be lag: it raises no alarm.
//! - A crawl that brings many documents hides others' behind the lag: a count of 490 says nothing once
//!   1,000 of ours may be among them. So the count that was taken before the crawl began is held against
//!   the ledger of that time, and what was found is kept until a later count refutes it, not merely
//!   until one could be explained without it.
//!
//! So `foreign` is moved by each count no further than the count forces it: up to the certain ones, down
//! to the possible ones. A ledger that lay still for [`LAG`] makes both the same, and a count exact.
//!
//! What this cannot see: documents that others add and a count does not show yet. Where the state was
//! lost, a crawl that brings everything again is held once, as long as the counts may be older than it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ledger::Difference;

/// How old a count may be. Glean: 3 hours; an hour more for deletions that it does later than told.
pub const LAG: Duration = Duration::from_secs(4 * 3600);

/// Moves are remembered for so long: a crawl that began a day ago may still be resumed.
const REMEMBERED: Duration = Duration::from_secs(2 * 24 * 3600);

/// What Glean counted, and when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub documents: u64,
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Census {
    /// Documents that a count has shown, that are in no ledger, and that no count has refuted since.
    foreign: u64,
    /// How the ledger moved lately, the oldest first.
    moves: Vec<Move>,
}

/// By how much the ledger's value rose and fell, at the most, until a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Move {
    at: Timestamp,
    rose: u64,
    fell: u64,
}

impl Census {
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Hears a count. `known`: what the ledger accounted for when it was asked for. Whether the count
    /// leaves no doubt about the documents of others.
    pub fn hear(&mut self, counted: Counted, known: u64) -> bool {
        let Counted { documents, at } = counted;
        let lately = at - LAG..=at;
        let (mut least, mut most) = (known, known);
        for step in self.moves.iter().filter(|step| lately.contains(&step.at)) {
            least = least.saturating_sub(step.rose);
            most = most.saturating_add(step.fell);
        }
        let (certain, possible) = (documents.saturating_sub(most), documents.saturating_sub(least));
        self.foreign = self.foreign.clamp(certain, possible);
        self.foreign == certain
    }

    /// The ledger's value changed until `at`. More than it really was is never wrong, only vague.
    pub fn moved(&mut self, at: Timestamp, rose: u64, fell: u64) {
        if rose > 0 || fell > 0 {
            self.moves.retain(|step| step.at + REMEMBERED > at);
            self.moves.push(Move { at, rose, fell });
        }
    }

    /// A full crawl read and uploaded everything: what Glean counted before it and after it, and what it
    /// found different. Whether the documents of others are known without doubt.
    pub fn crawled(
        &mut self,
        before: Option<Counted>,
        after: Option<Counted>,
        found: &Difference,
        at: Timestamp,
    ) -> bool {
        if let Some(before) = before {
            self.hear(before, found.before + found.deleted);
        }
        // What it brought was there when it was counted afterwards, however late that is told here.
        let at = after.map_or(at, |after| after.at.min(at));
        self.moved(at, found.added, 0);
        after.is_none_or(|after| self.hear(after, found.before + found.added))
    }

    /// What was said of the end of a session is not so: nothing was deleted.
    pub fn undone(&mut self, at: Timestamp, deleted: u64, foreign: u64) {
        self.moved(at, deleted, 0);
        self.foreign = foreign;
    }

    /// A full crawl's session was ended: what others put there goes with the rest, in Glean's counts
    /// some hours later.
    pub fn closed(&mut self, at: Timestamp, deleted: u64) {
        self.moved(at, 0, deleted);
        self.foreign = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(number: u64) -> Timestamp {
        Timestamp::from_seconds(number * 3600)
    }

    fn counted(documents: u64, at: Timestamp) -> Counted {
        Counted { documents, at }
    }

    #[test]
    fn a_count_that_lags_behind_what_was_added_or_deleted_alarms_nobody() {
        let mut census = Census::default();
        census.moved(hour(10), 100, 0);
        // 60 of them were deleted; Glean still counts 100, then something in between.
        census.closed(hour(11), 60);
        for documents in [0, 40, 70, 100] {
            census.hear(counted(documents, hour(12)), 40);
            assert_eq!(census.foreign(), 0, "{documents}");
        }
        // But no lag explains more than there ever were, or what still is there after hours.
        assert!(census.hear(counted(101, hour(12)), 40));
        assert_eq!(census.foreign(), 1);
        assert!(census.hear(counted(100, hour(16)), 40));
        assert_eq!(census.foreign(), 60);
    }

    #[test]
    fn others_documents_are_not_hidden_by_what_a_crawl_brings_while_counts_stand_still() {
        let mut census = Census::default();
        // Asked before the crawl began.
        assert!(census.hear(counted(490, hour(1)), 0));
        assert_eq!(census.foreign(), 490);
        census.moved(hour(2), 1000, 0);
        // It stands still, or has counted some of ours: nothing is refuted.
        for documents in [490, 700, 1490] {
            census.hear(counted(documents, hour(2)), 1000);
            assert_eq!(census.foreign(), 490, "{documents}");
        }
        // Long after, the count is of now: most of theirs were ours, or were taken over by ours.
        assert!(census.hear(counted(1003, hour(7)), 1000));
        assert_eq!(census.foreign(), 3);
    }

    #[test]
    fn what_is_told_a_moment_after_the_count_was_there_when_it_was_counted() {
        let mut census = Census::default();
        let brought = Difference { added: 200, ..Difference::default() };
        let (before, after) = (counted(100, hour(1)), counted(100, hour(2)));
        let later = Timestamp::from_seconds(2 * 3600 + 1);
        census.crawled(Some(before), Some(after), &brought, later);
        assert_eq!(census.foreign(), 100);
        // The next one finds the same.
        let same = Difference { before: 200, ..Difference::default() };
        let (before, after) = (counted(100, hour(3)), counted(100, hour(3)));
        census.crawled(Some(before), Some(after), &same, hour(3));
        assert_eq!(census.foreign(), 100);
    }

    #[test]
    fn what_others_had_and_a_person_let_go_is_not_asked_about_again() {
        let mut census = Census::default();
        census.hear(counted(100, hour(1)), 0);
        census.moved(hour(1), 10, 0);
        census.closed(hour(1), 100);
        assert!(census.hear(counted(110, hour(2)), 10));
        assert_eq!(census.foreign(), 0);
        // Deleted by others themselves.
        census.hear(counted(30, hour(9)), 10);
        assert_eq!(census.foreign(), 20);
        census.hear(counted(15, hour(10)), 10);
        assert_eq!(census.foreign(), 5);
    }
}
