//! What is logged of documents that are set aside: one warning a kind, with a count.

use crate::text::bounded;
use std::collections::BTreeMap;

/// More kinds than these are only counted: the reasons of a connector may all differ.
const MOST: usize = 20;

/// Documents that a scope set aside, by the kind of the reason.
#[derive(Debug, Default)]
pub struct Kinds {
    kinds: BTreeMap<String, Kind>,
    others: u64,
}

#[derive(Debug)]
struct Kind {
    count: u64,
    id: String,
    reason: String,
}

impl Kinds {
    pub fn add(&mut self, id: &str, reason: &str) {
        tracing::debug!(id, reason, "a document is set aside");
        let name = kind(reason);
        if let Some(kind) = self.kinds.get_mut(&name) {
            kind.count += 1;
        } else if self.kinds.len() < MOST {
            let (id, reason) = (bounded(id.to_owned(), 250), bounded(reason.to_owned(), 300));
            self.kinds.insert(name, Kind { count: 1, id, reason });
        } else {
            self.others += 1;
        }
    }

    /// Says what was set aside, once for each kind.
    pub fn tell(&self, scope: &str) {
        for Kind { count, id, reason } in self.kinds.values() {
            if *count == 1 {
                tracing::warn!(scope, id, reason, "a document was set aside");
            } else {
                tracing::warn!(scope, count, first = id, reason, "documents were set aside");
            }
        }
        if self.others > 0 {
            tracing::warn!(scope, count = self.others, "more were set aside, for other reasons");
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
        let mut kinds = Kinds::default();
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
}
