//! Whether a list was seen whole, though its items move to other pages when some come or go.
//!
//! Where pages are counted, the number of items before an item decides on which page it is. When an item of a page
//! that was read is removed, the first item of the next page moves up to the page that was read, and is never seen.
//! So the list's end proves nothing. Two things do:
//!
//! - The source says how many items there are, the same number with each page, and as many were seen.
//! - The list was read twice, and the second reading saw everything that the first one saw. The first reading misses
//!   an item only when another is removed meanwhile, and that other one is missing from the second reading. What only
//!   the second reading sees is delivered then.
//!
//! Neither does where a reading has fewer rows than the source said that there are. Rows that come twice count twice
//! there, as the source counts them so. Of a list whose items do not move that is all that there is to prove.
//!
//! A process that resumes where another was interrupted does not know which items that one saw. It knows how many
//! there were, and the sum of their names' hashes. So it reads the list once more, and delivers nothing of it: the
//! same number and the same sum prove that the list is whole.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};

/// A list that changes during each of this many readings is not read again in this crawl.
const MOST_READINGS: u32 = 3;

/// How many items there were, and the sum of their names' hashes. A process that resumes knows that much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    items: u64,
    sum: (u64, u64),
}

/// The tallies of this reading, up to the page that the crawl is at, and of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tallies {
    now: Tally,
    before: Option<Tally>,
    /// The smallest number of items that the source named in this reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

impl Tally {
    fn add(&mut self, (high, low): (u64, u64)) {
        self.items += 1;
        self.sum = (self.sum.0.wrapping_add(high), self.sum.1.wrapping_add(low));
    }
}

/// What one process saw of a list.
pub(crate) struct Coverage {
    tallies: Tallies,
    /// In which reading each item was last seen.
    seen: HashMap<(u64, u64), u32>,
    reading: u32,
    /// Whether this process has seen the list from its first reading's first page on.
    whole: bool,
    /// How many items this reading saw, and how many of them the reading before saw, too.
    items: usize,
    again: usize,
    /// How many the reading before saw.
    before: Option<usize>,
    /// Whether the source named the same number each time.
    steady: bool,
    /// The page before, to notice one that comes again.
    page: Vec<(u64, u64)>,
    repeats: bool,
}

/// What is known at the end of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything was seen.
    Whole,
    /// Something may have been missed, which another reading would find.
    ReadAgain,
    /// The list changes too much.
    Unknown,
}

impl Coverage {
    /// `whole` if nobody read any of the list before; otherwise resumes with what that process noted.
    pub(crate) fn new(whole: bool, tallies: Tallies) -> Self {
        Self {
            tallies,
            seen: HashMap::new(),
            reading: if tallies.before.is_some() { 2 } else { 1 },
            whole,
            items: 0,
            again: 0,
            before: None,
            steady: true,
            page: Vec::new(),
            repeats: false,
        }
    }

    /// What a process needs to know that resumes after the pages so far.
    pub(crate) fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// An answer says how many items there are.
    pub(crate) fn said(&mut self, total: u64) {
        let least = self.tallies.total.get_or_insert(total);
        self.steady &= *least == total;
        *least = total.min(*least);
    }

    /// Takes a page's items, by their names. For each, whether it was delivered by an earlier reading, or may
    /// have been.
    pub(crate) fn page<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Vec<bool> {
        let page: Vec<_> = names.map(key).collect();
        let known = page.iter().map(|key| self.see(*key)).collect();
        self.repeats = !page.is_empty() && page == self.page;
        self.page = page;
        known
    }

    /// Whether the page that was taken last is the same as the one before it.
    pub(crate) fn repeats(&self) -> bool {
        self.repeats
    }

    fn see(&mut self, key: (u64, u64)) -> bool {
        self.tallies.now.add(key);
        let last = self.seen.insert(key, self.reading);
        if last != Some(self.reading) {
            self.items += 1;
            if last == Some(self.reading - 1) {
                self.again += 1;
            }
        }
        let proves_only = !self.whole && self.reading > 1;
        proves_only || last.is_some_and(|last| last < self.reading)
    }

    /// How many items the source says that there are, where it is more than came; and how many came.
    pub(crate) fn lacks(&self) -> Option<(u64, u64)> {
        let came = self.tallies.now.items;
        self.tallies.total.filter(|said| *said > came).map(|said| (said, came))
    }

    /// The list's last page was read. `shifts`: whether items move to other pages.
    pub(crate) fn end(&self, shifts: bool) -> Verdict {
        let Tallies { now, before, total } = self.tallies;
        let counted = self.steady && total == Some(self.items as u64);
        let proven = if self.lacks().is_some() {
            false
        } else if self.whole {
            // Nothing can have moved where there is nothing.
            !shifts || counted || self.items == 0 || self.before == Some(self.again)
        } else {
            // What another process did not deliver in its reading, this one does not deliver either.
            before == Some(now) || !shifts && before.is_none()
        };
        let another = if self.whole { self.reading < MOST_READINGS } else { before.is_none() };
        match (proven, another) {
            (true, _) => Verdict::Whole,
            (false, true) => Verdict::ReadAgain,
            (false, false) => Verdict::Unknown,
        }
    }

    /// Another reading begins.
    pub(crate) fn read_again(&mut self) {
        self.tallies = Tallies { before: Some(self.tallies.now), ..Tallies::default() };
        self.before = Some(self.items);
        self.reading += 1;
        self.items = 0;
        self.again = 0;
        self.steady = true;
        self.page.clear();
    }
}

/// A hash of 128 bits: short, as lists are long, and not the same for two names.
fn key(name: &str) -> (u64, u64) {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, name).hash(&mut hasher);
        hasher.finish()
    };
    (half(0), half(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a list of one page for each of these.
    fn read(coverage: &mut Coverage, pages: &[&[&str]], total: Option<u64>) -> Vec<String> {
        let mut new = Vec::new();
        for page in pages {
            if let Some(total) = total {
                coverage.said(total);
            }
            let known = coverage.page(page.iter().copied());
            let of_page = page.iter().zip(known).filter(|(_, known)| !known);
            new.extend(of_page.map(|(name, _)| (*name).to_owned()));
        }
        new
    }

    #[test]
    fn a_list_is_whole_when_a_second_reading_sees_all_of_the_first() {
        let mut coverage = Coverage::new(true, Tallies::default());
        read(&mut coverage, &[&["a", "b"], &["c"]], None);
        assert_eq!(coverage.end(true), Verdict::ReadAgain);
        coverage.read_again();
        // What has come meanwhile is no sign of something missed.
        assert_eq!(read(&mut coverage, &[&["n", "a"], &["b", "c"]], None), ["n"]);
        assert_eq!(coverage.end(true), Verdict::Whole);
    }

    #[test]
    fn what_moved_to_a_page_that_was_read_is_found_by_the_next_reading() {
        let mut coverage = Coverage::new(true, Tallies::default());
        // `a` was removed after the first page, and `c` took the place of `b`.
        read(&mut coverage, &[&["a", "b"], &["d", "e"]], None);
        coverage.read_again();
        assert_eq!(read(&mut coverage, &[&["b", "c"], &["d", "e"]], None), ["c"]);
        assert_eq!(coverage.end(true), Verdict::ReadAgain, "`a` is gone: something may be missing");
        coverage.read_again();
        assert!(read(&mut coverage, &[&["b", "c"], &["d", "e"]], None).is_empty());
        assert_eq!(coverage.end(true), Verdict::Whole);
    }

    #[test]
    fn a_list_that_loses_items_under_each_reading_is_not_whole() {
        let mut coverage = Coverage::new(true, Tallies::default());
        read(&mut coverage, &[&["a", "b"], &["d"]], None);
        coverage.read_again();
        read(&mut coverage, &[&["b", "c"]], None);
        coverage.read_again();
        read(&mut coverage, &[&["c"]], None);
        assert_eq!(coverage.end(true), Verdict::Unknown);
    }

    #[test]
    fn a_total_that_stays_the_same_and_was_seen_needs_one_reading() {
        let verdict = |first: u64, last: u64| {
            let mut coverage = Coverage::new(true, Tallies::default());
            read(&mut coverage, &[&["a", "b"]], Some(first));
            read(&mut coverage, &[&["c"]], Some(last));
            coverage.end(true)
        };
        assert_eq!(verdict(3, 3), Verdict::Whole);
        assert_eq!(verdict(4, 4), Verdict::ReadAgain, "one was not seen");
        assert_eq!(verdict(4, 3), Verdict::ReadAgain, "one was removed meanwhile");
    }

    #[test]
    fn a_list_that_is_shorter_than_its_total_is_not_whole_however_often_it_is_read() {
        let mut coverage = Coverage::new(true, Tallies::default());
        for _ in 1..MOST_READINGS {
            read(&mut coverage, &[&["a", "b"], &["c"]], Some(4));
            assert_eq!(coverage.end(true), Verdict::ReadAgain);
            coverage.read_again();
        }
        read(&mut coverage, &[&["a", "b"], &["c"]], Some(4));
        for shifts in [true, false] {
            assert_eq!((coverage.end(shifts), coverage.lacks()), (Verdict::Unknown, Some((4, 3))));
        }
        let mut none = Coverage::new(true, Tallies::default());
        read(&mut none, &[&[]], Some(4));
        assert_eq!(none.end(true), Verdict::ReadAgain);
    }

    #[test]
    fn whoever_resumes_reads_once_more_delivers_nothing_of_it_and_compares() {
        let taken_over = |pages: &[&[&str]]| {
            let mut first = Coverage::new(true, Tallies::default());
            read(&mut first, &[&["a", "b"]], None);
            let mut other = Coverage::new(false, first.tallies());
            assert_eq!(read(&mut other, &[&["c"]], Some(1)), ["c"]);
            assert_eq!(other.end(true), Verdict::ReadAgain, "one process did not see all of it");
            other.read_again();
            assert!(read(&mut other, &pages[..1], None).is_empty(), "perhaps it was delivered");
            // It is interrupted, too.
            let mut last = Coverage::new(false, other.tallies());
            assert!(read(&mut last, &pages[1..], None).is_empty());
            last.end(true)
        };
        assert_eq!(taken_over(&[&["a", "b"], &["c"]]), Verdict::Whole);
        assert_eq!(taken_over(&[&["b", "x"], &["c"]]), Verdict::Unknown);
    }

    #[test]
    fn an_empty_list_is_whole_and_a_page_that_comes_again_is_noticed() {
        let mut coverage = Coverage::new(true, Tallies::default());
        read(&mut coverage, &[&[]], None);
        assert_eq!(coverage.end(true), Verdict::Whole);
        read(&mut coverage, &[&["a", "b"]], None);
        assert!(!coverage.repeats());
        read(&mut coverage, &[&["a", "b"]], None);
        assert!(coverage.repeats());
    }

    #[test]
    fn rows_that_come_twice_are_rows_of_the_total() {
        let mut coverage = Coverage::new(true, Tallies::default());
        read(&mut coverage, &[&["a", "a"]], Some(2));
        assert_eq!((coverage.lacks(), coverage.end(false)), (None, Verdict::Whole));
        // Where items move it may be one that moved: another was missed, perhaps.
        assert_eq!(coverage.end(true), Verdict::ReadAgain);
        coverage.read_again();
        read(&mut coverage, &[&["a", "a"]], Some(2));
        assert_eq!(coverage.end(true), Verdict::Whole);
    }

    #[test]
    fn the_smallest_total_of_a_reading_is_remembered_by_whoever_resumes_too() {
        let mut coverage = Coverage::new(true, Tallies::default());
        for last in [Verdict::ReadAgain, Verdict::ReadAgain, Verdict::Unknown] {
            read(&mut coverage, &[&["a"]], Some(4));
            read(&mut coverage, &[&["b"]], Some(3));
            read(&mut coverage, &[&[]], Some(5));
            assert_eq!((coverage.lacks(), coverage.end(false)), (Some((3, 2)), last));
            coverage.read_again();
        }
        let mut first = Coverage::new(true, Tallies::default());
        read(&mut first, &[&["a", "b"]], Some(4));
        let other = |rest: &[&str]| {
            let mut other = Coverage::new(false, first.tallies());
            read(&mut other, &[rest], None);
            (other.lacks(), other.end(false))
        };
        assert_eq!(other(&["c"]), (Some((4, 3)), Verdict::ReadAgain));
        assert_eq!(other(&["c", "d"]), (None, Verdict::Whole));
    }

    #[test]
    fn whoever_resumes_and_finds_more_in_another_reading_has_not_delivered_it() {
        let mut other = Coverage::new(false, Tallies::default());
        read(&mut other, &[&["a"]], Some(2));
        assert_eq!(other.end(false), Verdict::ReadAgain);
        other.read_again();
        assert!(read(&mut other, &[&["a", "b"]], Some(2)).is_empty());
        assert_eq!(other.end(false), Verdict::Unknown);
    }
}
