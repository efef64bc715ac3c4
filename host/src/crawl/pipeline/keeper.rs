//! Keeps what has passed: one commit at a time, and not for each page alone.

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

pub(super) struct Keeper {
    /// Whether there is a journal at all: only a benchmark has none.
    keeps: bool,
    /// Absent while it is being written.
    journal: Option<ScopeJournal>,
    /// Batches that may be acknowledged and not yet kept.
    window: u64,
    /// Whether to write whatever there is, at once.
    eager: bool,
    waiting: Option<Passed>,
    /// Every batch up to this one is kept: it will never be sent again.
    kept: u64,
}

impl Keeper {
    pub(super) fn new(journal: Option<ScopeJournal>, window: usize) -> Self {
        Self {
            keeps: journal.is_some(),
            journal,
            window: window as u64,
            eager: false,
            waiting: None,
            kept: 0,
        }
    }

    /// From now on nothing waits for more to come.
    pub(super) fn be_eager(&mut self) {
        self.eager = true;
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// Another page has passed.
    pub(super) fn pass(&mut self, page: Passed) {
        self.waiting = Some(match self.waiting.take() {
            None => page,
            Some(mut before) => {
                before.records.append(page.records);
                Passed { records: before.records, ..page }
            }
        });
    }

    /// What is to be done now. `unkept`: batches that were dispatched and are not kept; half of the window waits
    /// for more, unless it waits for too long (`now`).
    pub(super) fn due(&mut self, unkept: u64, now: bool) -> Option<Due> {
        if !now && !self.eager && unkept * 2 < self.window {
            return None;
        }
        if !self.keeps {
            let passed = self.waiting.take()?;
            self.kept = passed.covers;
            return Some(Due::Report(passed.head));
        }
        let journal = self.journal.take()?;
        if let Some(passed) = self.waiting.take() {
            return Some(Due::Write(Box::new(Commit { journal, passed })));
        }
        self.journal = Some(journal);
        None
    }

    /// A commit is written.
    pub(super) fn written(&mut self, commit: Commit) -> ScopeHead {
        let Commit { journal, passed } = commit;
        self.journal = Some(journal);
        self.kept = passed.covers;
        passed.head
    }
}
