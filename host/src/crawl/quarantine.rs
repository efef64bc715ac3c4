//! Quarantined documents: how many a crawl may have, and what is logged of them.

use std::collections::BTreeMap;

use super::progress::Counts;
use crate::failure::{Failure, Kind, Result};
use crate::text::short_line;

/// More kinds than these are only counted: the reasons of a connector may all differ.
const MOST: usize = 20;
/// Documents of a scope that are logged one by one; the others are only counted.
const LOGGED: u64 = 200;
/// So much of an id and of a reason is logged, and kept until the scope ends.
const MAX_ID: usize = 250;
const MAX_REASON: usize = 300;

/// How much may be quarantined before the crawl is stopped: then the connector is wrong, not the
/// documents. `[connections.X.quarantine]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Quarantined documents stop a crawl when they are more than this share ...
    pub max_percent: f64,
    /// ... of at least so many.
    pub min_documents: u64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { max_percent: 10.0, min_documents: 100 }
    }
}

impl Tolerance {
    pub fn check(&self, counts: &Counts) -> Result<()> {
        let quarantined = counts.quarantined;
        let of = counts.documents + quarantined;
        if of < self.min_documents || percent(quarantined, of) <= self.max_percent {
            return Ok(());
        }
        let sample = counts.samples.first();
        let sample =
            sample.map_or_else(String::new, |first| format!("{}: {}", first.id, first.reason));
        Err(Failure::new(
            Kind::Quarantine,
            format!("{quarantined} of {of} documents cannot be indexed; for example {sample}"),
        )
        .next(
            "mend the connector or its settings, or raise `max_percent` in the connection's \
             [quarantine]; nothing was deleted",
        ))
    }
}

#[allow(clippy::cast_precision_loss)]
pub fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 * 100.0 / of as f64 }
}

/// What is logged of a scope's quarantined documents: one warning for each kind of reason, with a count,
/// and at first a line for each of them.
#[derive(Debug, Default)]
pub struct QuarantineLog {
    documents: u64,
    kinds: BTreeMap<String, Reasons>,
    others: u64,
}

#[derive(Debug)]
struct Reasons {
    count: u64,
    id: String,
    reason: String,
}

impl QuarantineLog {
    pub fn add(&mut self, id: &str, reason: &str) {
        let (id, reason) = (short_line(id, MAX_ID), short_line(reason, MAX_REASON));
        self.documents += 1;
        if self.documents <= LOGGED {
            tracing::debug!(id, reason, "a document is quarantined");
        }
        let name = kind(&reason);
        if let Some(kind) = self.kinds.get_mut(&name) {
            kind.count += 1;
        } else if self.kinds.len() < MOST {
            self.kinds.insert(name, Reasons { count: 1, id, reason });
        } else {
            self.others += 1;
        }
    }

    /// Says what was quarantined, once for each kind.
    pub fn tell(&self, scope: &str) {
        for Reasons { count, id, reason } in self.kinds.values() {
            if *count == 1 {
                tracing::warn!(scope, id, reason, "a document was quarantined");
            } else {
                tracing::warn!(scope, count, first = id, reason, "documents were quarantined");
            }
        }
        if self.others > 0 {
            tracing::warn!(scope, count = self.others, "more were quarantined, for other reasons");
        }
        if self.documents > LOGGED {
            let count = self.documents - LOGGED;
            tracing::debug!(scope, count, "more were quarantined than are logged one by one");
        }
    }
}

/// A reason without what differs from document to document: numbers, addresses, quoted texts.
fn kind(reason: &str) -> String {
    let mut kind = String::with_capacity(reason.len());
    for (number, quoted) in reason.split(['`', '"']).enumerate() {
        if number % 2 == 1 {
            kind.push('…');
            continue;
        }
        for word in quoted.split_inclusive(' ') {
            if word.contains("://") || word.bytes().any(|byte| byte.is_ascii_digit()) {
                kind.push_str("… ");
            } else {
                kind.push_str(word);
            }
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_and_names_are_of_one_kind() {
        let mut kinds = QuarantineLog::default();
        for number in 0..1000 {
            kinds.add(&number.to_string(), &format!("its id has {number} characters"));
            kinds.add("x", &format!("its view URL https://x/{number} does not match"));
            kinds.add("x", &format!("`file {number}` is locked"));
        }
        assert_eq!(kinds.kinds.len(), 3, "{kinds:?}");
        let mut counts = kinds.kinds.values().map(|kind| (kind.count, kind.id.as_str()));
        assert!(counts.any(|count| count == (1000, "0")), "{kinds:?}");
        for letter in ('a'..='z').chain('A'..='Z') {
            kinds.add("x", &letter.to_string().repeat(3));
        }
        assert_eq!((kinds.kinds.len(), kinds.others), (20, 35));
    }

    // That each line of the log is cut, and how many there are, is asked of the binary: `evil.rs`.
    #[test]
    fn what_is_kept_of_quarantined_documents_is_cut() {
        let mut log = QuarantineLog::default();
        let long = "\u{1b}x".repeat(50_000);
        for letter in ('a'..='z').chain('A'..='Z') {
            log.add(&format!("{letter} {long}"), &format!("{letter} {long}"));
        }
        assert_eq!((log.kinds.len(), log.others), (MOST, 52 - MOST as u64));
        let dots = "……".len();
        for (name, kept) in &log.kinds {
            assert!(kept.id.len() <= MAX_ID + dots, "{kept:?}");
            assert!(kept.reason.len() <= MAX_REASON + dots, "{kept:?}");
            assert!(name.len() <= MAX_REASON + dots, "{name}");
        }
    }

    #[test]
    fn a_tenth_of_a_hundred_may_be_set_aside() {
        let of = |quarantined, documents| {
            Tolerance::default().check(&Counts { documents, quarantined, ..Counts::default() })
        };
        assert!(of(99, 0).is_ok());
        assert!(of(10, 90).is_ok());
        assert!(of(11, 89).is_err());
    }
}
