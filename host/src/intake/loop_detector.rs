//! What a connector cannot honestly mean: the same page again and again, two documents with one id.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::document::Progress;
use crate::failure::{Failure, Kind, Result};

/// The same page so many times is a loop.
const MAX_REPEATS: u8 = 3;
/// A source may have nothing to say for a while, but not for ever.
const MAX_EMPTY_PAGES: u32 = 10_000;
/// Keys that are remembered to find doubles before they are uploaded. Those further apart are found
/// when the journal is sorted.
const RECENT: usize = 32 << 10;
/// Why a second document with one id is quarantined, whatever its object type.
pub const DOUBLE: &str =
    "a document with its id, or one equal without case, came before it in this crawl";
/// Pages that are remembered to find loops.
const PAGES: usize = 1 << 20;

/// Remembers what a scope delivered. Its memory is bounded, whatever the number of documents.
#[derive(Debug)]
pub struct LoopDetector {
    full: bool,
    recent: HashSet<u64, Plain>,
    before: HashSet<u64, Plain>,
    page: u64,
    pages: HashMap<u64, u8, Plain>,
    empty: u32,
}

/// A checkpoint must not hash to what an id hashes to: the two would cancel each other out.
const OTHER_THAN_KEYS: u64 = 0x5eaf;

/// Keys are hashes already.
#[derive(Clone, Debug, Default)]
pub struct PlainHasher(u64);

type Plain = BuildHasherDefault<PlainHasher>;

impl Hasher for PlainHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl LoopDetector {
    /// Only a full crawl delivers each document once.
    pub fn new(full: bool) -> Self {
        Self {
            full,
            recent: HashSet::default(),
            before: HashSet::default(),
            page: 0,
            pages: HashMap::default(),
            empty: 0,
        }
    }

    /// A page has a document with this key. Why it is quarantined, if its id came before.
    pub fn document(&mut self, key: u128) -> Option<String> {
        #[allow(clippy::cast_possible_truncation)]
        let key = key as u64;
        self.page = self.page.rotate_left(5) ^ key;
        if !self.full {
            return None;
        }
        if self.before.contains(&key) || !self.recent.insert(key) {
            return Some(DOUBLE.to_owned());
        }
        if self.recent.len() >= RECENT {
            self.before = std::mem::take(&mut self.recent);
        }
        None
    }

    /// A page ends. `first` is the id of its first document, and it holds so much besides documents.
    pub fn page(&mut self, first: Option<&str>, besides: usize, progress: &Progress) -> Result<()> {
        let mut page = std::mem::take(&mut self.page);
        let Progress::More(checkpoint) = progress else { return Ok(()) };
        if first.is_some() || besides > 0 {
            self.empty = 0;
        } else {
            self.empty += 1;
        }
        let loops = |what: String| {
            Failure::new(Kind::Contract, what).next(
                "mend the connector: its checkpoints must lead to an end. Nothing was deleted",
            )
        };
        // Only a full crawl delivers a document once; elsewhere it is the checkpoint that must move.
        if !self.full || besides > 0 || first.is_none() {
            page ^= xxh3_64_with_seed(checkpoint.as_bytes(), OTHER_THAN_KEYS);
        }
        if self.empty > MAX_EMPTY_PAGES {
            return Err(loops(format!(
                "the connector delivered {MAX_EMPTY_PAGES} empty pages in a row"
            )));
        }
        if self.pages.len() >= PAGES {
            self.pages.clear();
        }
        let times = self.pages.entry(page).or_default();
        *times += 1;
        if *times >= MAX_REPEATS {
            let what = first.map_or_else(
                || format!("an empty page with the checkpoint `{checkpoint}`"),
                |first| format!("the page that begins with `{first}`"),
            );
            return Err(loops(format!("the connector loops: it delivered {what} {times} times")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_came_before_is_a_double_in_a_full_crawl_only() {
        let mut full = LoopDetector::new(true);
        assert_eq!(full.document(crate::document::key("a")), None);
        for number in 0..RECENT {
            assert_eq!(full.document(crate::document::key(&number.to_string())), None);
        }
        assert!(
            full.document(crate::document::key("A")).is_some(),
            "the generation before counts too"
        );
        let mut incremental = LoopDetector::new(false);
        assert_eq!(incremental.document(1), None);
        assert_eq!(incremental.document(1), None);
    }

    #[test]
    fn the_same_page_for_the_third_time_is_a_loop() {
        let more = |checkpoint: &str| Progress::More(checkpoint.to_owned());
        let mut seen = LoopDetector::new(true);
        for (number, ok) in [(1, true), (2, true), (3, false)] {
            let _ = seen.document(7);
            let ended = seen.page(Some("a"), 0, &more(&number.to_string()));
            assert_eq!(ended.is_ok(), ok, "{number}");
        }
        // A change may come again and again in an incremental crawl that moves.
        let mut seen = LoopDetector::new(false);
        for number in 0..10 {
            let _ = seen.document(7);
            seen.page(Some("a"), 0, &more(&number.to_string())).expect("fine");
        }
        // Nor does a checkpoint that is called as the page's document is cancel it out.
        let mut seen = LoopDetector::new(false);
        for number in 0..10 {
            let name = number.to_string();
            let _ = seen.document(crate::document::key(&name));
            seen.page(Some(&name), 0, &more(&name)).expect("fine");
        }
        // Empty pages may follow each other as long as their checkpoints move.
        let mut seen = LoopDetector::new(false);
        for number in 0..10 {
            seen.page(None, 0, &more(&number.to_string())).expect("fine");
        }
        seen.page(None, 0, &more("x")).expect("fine");
        seen.page(None, 0, &more("x")).expect("fine");
        assert!(seen.page(None, 0, &more("x")).is_err());
    }
}
