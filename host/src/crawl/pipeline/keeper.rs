//! Keeps what has passed: one commit at a time, and not for each page alone.

use std::time::Duration;

use tokio::time::Instant;

use super::page_records::Records;
use crate::crawl::progress::ScopeHead;
use crate::failure::Result;
use crate::ledger::ScopeJournal;

/// Pages that have passed.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) head: ScopeHead,
    pub(super) records: Records,
    /// Every batch up to this one is done with them.
    pub(super) covers: u64,
}

/// What is to be done with pages that have passed.
pub(super) enum Due {
    Write(Box<Commit>),
    /// There is no journal: they are reported at once.
    Report(ScopeHead),
}

/// A commit on its way.
pub(super) struct Commit {
    journal: ScopeJournal,
    passed: Passed,
}

impl Commit {
    pub(super) async fn write(mut self: Box<Self>) -> (Box<Self>, Result<()>) {
        let Passed { head, records, .. } = &self.passed;
        let written = self.journal.commit(records.bytes(), head).await;
        (self, written)
    }
}

/// How much may wait to be kept: what a worker that is killed sends again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unkept {
    /// Batches; it is written when half of them wait.
    pub(super) batches: u64,
    /// Bytes of records.
    bytes: usize,
    /// How long.
    lasts: Duration,
}

impl Unkept {
    /// In a folder a commit is a line more, and in a bucket a request that takes its time and costs money.
    pub(super) fn of(journal: Option<&ScopeJournal>, window: usize) -> Self {
        let window = window as u64;
        if journal.is_some_and(ScopeJournal::is_in_bucket) {
            return Self {
                batches: window.max(128),
                bytes: 2 << 20,
                lasts: Duration::from_secs(10),
            };
        }
        Self { batches: window, bytes: usize::MAX, lasts: Duration::from_secs(1) }
    }
}

pub(super) struct Keeper {
    /// Whether there is a journal at all: only a benchmark has none.
    keeps: bool,
    /// Absent while it is being written.
    journal: Option<ScopeJournal>,
    unkept: Unkept,
    /// Whether to write whatever there is, at once.
    eager: bool,
    waiting: Option<Passed>,
    /// Until when it waits.
    until: Option<Instant>,
    /// Every batch up to this one is kept: it will never be sent again.
    kept: u64,
}

impl Keeper {
    pub(super) fn new(journal: Option<ScopeJournal>, unkept: Unkept) -> Self {
        Self {
            keeps: journal.is_some(),
            journal,
            unkept,
            eager: false,
            waiting: None,
            until: None,
            kept: 0,
        }
    }

    /// From now on nothing waits for more to come.
    pub(super) fn be_eager(&mut self) {
        self.eager = true;
    }

    /// When what waits is to be written at the latest. Nothing while nothing waits, or what came before is
    /// being written.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until.filter(|_| self.journal.is_some() || !self.keeps)
    }

    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// Another page has passed.
    pub(super) fn pass(&mut self, page: Passed) {
        self.until.get_or_insert_with(|| Instant::now() + self.unkept.lasts);
        self.waiting = Some(match self.waiting.take() {
            None => page,
            Some(mut before) => {
                before.records.append(page.records);
                Passed { records: before.records, ..page }
            }
        });
    }

    /// What is to be done now. `unkept`: batches that were dispatched and are not kept.
    pub(super) fn due(&mut self, unkept: u64) -> Option<Due> {
        let large = self.waiting.as_ref()?.records.bytes().len() >= self.unkept.bytes;
        let late = self.until.is_some_and(|until| until <= Instant::now());
        if !late && !large && !self.eager && unkept * 2 < self.unkept.batches {
            return None;
        }
        if !self.keeps {
            let passed = self.waiting.take()?;
            self.until = None;
            self.kept = passed.covers;
            return Some(Due::Report(passed.head));
        }
        let journal = self.journal.take()?;
        self.until = None;
        let passed = self.waiting.take()?;
        Some(Due::Write(Box::new(Commit { journal, passed })))
    }

    /// A commit is written.
    pub(super) fn written(&mut self, commit: Commit) -> ScopeHead {
        let Commit { journal, passed } = commit;
        self.journal = Some(journal);
        self.kept = passed.covers;
        passed.head
    }
}
