//! How far a crawl of a scope has come, what it did on the way, and how often it failed.
//!
//! Only what Glean acknowledged counts. What is kept of a scope is its [`Frontier`] and its [`Counts`];
//! what it waits for is [`Live`], for display only.

use serde::{Deserialize, Serialize};

use super::undefined::{Defined, Undefined};
use crate::clock::Timestamp;
use crate::failure::Failure;
use crate::intake::Row;
use crate::pace::Wait;
use crate::redact::redact;
use crate::text::{bounded, bounded_str};

/// Quarantined documents that are named; the others are only counted.
const SAMPLES: usize = 10;
/// The longest that is told of what is waited for: it travels.
const MAX_WAIT: usize = 500;

/// Where a scope stands: everything before it is in Glean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Frontier {
    /// Where the connector is resumed.
    pub checkpoint: Option<String>,
    /// Whether the upload session was opened.
    pub opened: bool,
    pub ending: Option<Ending>,
    /// How often the scope was restarted from its beginning.
    pub restarts: u32,
}

/// How a scope ended. Only `Complete` may lead to deletions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Complete { bookmark: Option<String> },
    Partial { reason: String },
}

/// What was done, of one scope or of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub pages: u64,
    /// Documents uploaded.
    pub documents: u64,
    pub deleted: u64,
    pub access_changes: u64,
    pub quarantined: u64,
    /// Those of the quarantined of which not even the id is known: whether Glean has them from before
    /// cannot be found out.
    pub nameless: u64,
    /// Documents whose access the connector does not know: indexed for nobody.
    pub access_unknown: u64,
    pub batches: u64,
    /// Bytes of encoded documents.
    pub bytes: u64,
    /// Time that guests computed, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory that one guest had, in bytes.
    pub memory: u64,
    /// Groups and users that documents name and nobody told Glean of.
    #[serde(skip_serializing_if = "is_all_defined")]
    pub undefined: Box<Undefined>,
    /// The first of the quarantined documents, with their reasons.
    pub samples: Vec<Quarantined>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    pub id: String,
    pub reason: String,
}

impl Counts {
    /// Of one page, before any of it is sent.
    pub fn of_page(rows: &[Row], defined: &Defined) -> Self {
        let mut counts = Self { pages: 1, ..Self::default() };
        for row in rows {
            if let Some(reason) = &row.quarantined {
                counts.quarantine(&row.id, reason);
                counts.nameless += u64::from(row.is_nameless);
            } else {
                counts.documents += 1;
                counts.access_unknown += u64::from(row.is_access_unknown);
                for named in &row.named {
                    counts.undefined.hear(named, defined);
                }
            }
        }
        counts
    }

    pub fn quarantine(&mut self, id: &str, reason: &str) {
        self.quarantined += 1;
        if self.samples.len() < SAMPLES {
            self.samples.push(Quarantined { id: sample(id, 250), reason: sample(reason, 300) });
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.pages += other.pages;
        self.documents += other.documents;
        self.deleted += other.deleted;
        self.access_changes += other.access_changes;
        self.quarantined += other.quarantined;
        self.nameless += other.nameless;
        self.access_unknown += other.access_unknown;
        self.batches += other.batches;
        self.bytes += other.bytes;
        self.cpu_ms += other.cpu_ms;
        self.memory = self.memory.max(other.memory);
        self.undefined.add(&other.undefined);
        let room = SAMPLES.saturating_sub(self.samples.len());
        self.samples.extend(other.samples.iter().take(room).cloned());
    }

    /// Only the numbers: what is long need not travel.
    #[must_use]
    pub fn without_samples(&self) -> Self {
        Self { samples: Vec::new(), undefined: Box::default(), ..self.clone() }
    }
}

#[allow(clippy::borrowed_box)]
fn is_all_defined(undefined: &Box<Undefined>) -> bool {
    undefined.is_empty()
}

/// What the journal says of a scope.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScopeHead {
    /// The scope's id.
    pub scope: String,
    #[serde(flatten)]
    pub frontier: Frontier,
    /// What was done until there.
    #[serde(flatten)]
    pub counts: Counts,
}

impl ScopeHead {
    /// A scope of which nothing was read yet.
    pub fn new(scope: &str) -> Self {
        Self { scope: scope.to_owned(), ..Self::default() }
    }
}

/// What is under way at this moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// What it waits for: a rate limit, or a server's `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// Batches on their way.
    #[serde(skip_serializing_if = "is_zero")]
    pub in_flight: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Live {
    pub fn wait(&mut self, wait: Option<Wait>) {
        self.waiting_since = wait.as_ref().map(|wait| wait.since);
        self.waiting = wait.map(|wait| bounded(wait.why, MAX_WAIT));
    }

    /// What it waits for and for how long, in words.
    pub fn waits(&self) -> Option<String> {
        let why = self.waiting.as_ref()?;
        let lasted = self.waiting_since.map(Timestamp::age).filter(|lasted| !lasted.is_zero());
        let lasted = lasted.map_or_else(String::new, |lasted| {
            format!(" ({})", humantime::format_duration(lasted))
        });
        Some(format!("waits for {why}{lasted}"))
    }
}

/// What a person is shown of a scope, or of several: what was done, and what is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    #[serde(flatten)]
    pub counts: Counts,
    #[serde(flatten)]
    pub live: Live,
}

impl Shown {
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.live.in_flight += other.live.in_flight;
    }
}

/// Failures in a row: of one scope, or of a step of a crawl.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempts {
    pub failures: u32,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Failure>>,
}

impl Attempts {
    /// Counts a failure. What is told of it, and whether it was the last that is allowed: then the
    /// first is told, which those after it may only have followed from.
    pub fn failed(&mut self, failure: Failure, attempts: u32) -> (Failure, bool) {
        self.failures += 1;
        let last = self.failures >= attempts;
        let cause = self.cause.take().map_or_else(|| failure.clone(), |cause| *cause);
        self.cause = Some(Box::new(Failure { detail: None, ..cause.clone() }));
        if !last || !failure.kind.is_retryable() || cause.says_the_same_as(&failure) {
            return (failure, last);
        }
        (cause.detail(format!("at last: {failure}")), last)
    }
}

/// What the journal keeps of a scope that failed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FailedScope {
    #[serde(flatten)]
    attempts: Attempts,
    /// Where it failed. Whoever comes further starts counting from nothing.
    checkpoint: Option<String>,
    restarts: u32,
    /// Where the crawl was resumed last.
    resumed: Option<String>,
    /// Why it is not tried again in this crawl.
    pub for_good: Option<Failure>,
}

impl FailedScope {
    /// It failed once more, and `allowed` failures in a row are the last.
    #[must_use]
    pub fn again(self, frontier: &Frontier, failure: Failure, allowed: u32) -> Self {
        let stands = self.checkpoint == frontier.checkpoint && self.restarts == frontier.restarts;
        let mut attempts = if stands { self.attempts } else { Attempts::default() };
        let retryable = failure.kind.is_retryable();
        let (told, last) = attempts.failed(failure, allowed);
        Self {
            attempts,
            checkpoint: frontier.checkpoint.clone(),
            restarts: frontier.restarts,
            resumed: self.resumed,
            for_good: (last || !retryable).then_some(told),
        }
    }

    /// The crawl is resumed, and the scope is tried again.
    #[must_use]
    pub fn resumed(self) -> Self {
        Self { resumed: self.checkpoint.or(self.resumed), ..Self::default() }
    }

    /// How often in a row.
    pub fn failures(&self) -> u32 {
        self.attempts.failures
    }

    /// Whether resuming it is worth more than crawling everything again: its source was away, and until
    /// then it was read further than before.
    pub fn is_worth_resuming(&self) -> bool {
        let away = self.for_good.as_ref().is_some_and(|failure| failure.kind.is_away());
        away && self.checkpoint.is_some() && self.checkpoint != self.resumed
    }
}

/// The beginning of a text, without secrets: whole ones are found only before it is cut, and what is far behind
/// the cut is not looked through.
fn sample(text: &str, most: usize) -> String {
    bounded(redact(bounded_str(text, 4 << 10)).into_owned(), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_counts_what_is_uploaded_and_what_is_quarantined() {
        let row = |quarantined: Option<&str>, is_nameless, is_access_unknown| Row {
            quarantined: quarantined.map(str::to_owned),
            is_nameless,
            is_access_unknown,
            ..Row::default()
        };
        let rows = [
            row(None, false, false),
            row(None, false, true),
            // Nobody is told of the access of what is not there.
            row(Some("no id"), true, true),
            row(Some("too large"), false, false),
        ];
        let Counts { pages, documents, quarantined, nameless, access_unknown, .. } =
            Counts::of_page(&rows, &Defined::default());
        assert_eq!((pages, documents, quarantined, nameless, access_unknown), (1, 2, 2, 1, 1));
    }
}
