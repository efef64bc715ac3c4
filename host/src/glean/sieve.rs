//! Which rows of a session are at fault when Glean refuses a page of them. Pure.
//!
//! A refused page is halved until the row at fault stands alone. What becomes of a session of which a page was refused
//! Glean does not say: so each try has a session of its own, which begins with what is in doubt and ends when all the
//! others are in it. A row is left out when it was refused alone in two sessions: the first may have been lost. What was
//! halved is never put together again: where no row is at fault, and all of them together are, each page gets smaller.
//!
//! Glean deletes what is left out of a list. So the search ends where too many of those that it had would be left out, and
//! where many sessions came to nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;

/// So many rows that are refused one after the other, and none that passes between them: then it is not the rows. As with
/// documents.
const IN_A_ROW: usize = 10;
/// Nor is it with so many in one session.
const MOST: usize = 100;
/// More than one in so many of the rows that Glean had are not left out, but for a handful.
const SHARE: usize = 10;
const HANDFUL: usize = 5;
/// So many sessions that are refused, and no row is found by them that is refused whatever else its session has. One of a
/// full page takes a dozen sessions, and two that are refused only together take twice as many.
const FRUITLESS: usize = 100;

/// What may be left out.
#[derive(Clone, Debug, Default)]
pub struct Leeway {
    /// Rows that Glean has from before, by their numbers: not too many of those.
    pub had: BTreeSet<usize>,
    /// Also all rows: then what Glean has of it is nothing.
    pub all: bool,
}

/// Rows are known by their numbers.
#[derive(Default)]
pub(super) struct Sieve {
    leeway: Leeway,
    /// Parts of pages that were refused, the next one last.
    parts: Vec<Vec<usize>>,
    left_out: BTreeMap<usize, Error>,
    /// Those that were refused alone, once: whatever passed since, the next time they are left out.
    once: BTreeSet<usize>,
    /// The last of them, if nothing has passed since.
    alone: Option<usize>,
    in_a_row: usize,
    fruitless: usize,
    /// Rows that begin a page, as what was before them was refused with them.
    begin: BTreeSet<usize>,
    /// Rows of a page, where more were too large.
    most: Option<usize>,
}

impl Sieve {
    pub(super) fn new(leeway: Leeway) -> Self {
        Self { leeway, ..Self::default() }
    }

    /// Whether a page was refused.
    pub(super) fn is_used(&self) -> bool {
        !self.begin.is_empty() || !self.once.is_empty()
    }

    /// What is to be tried next, before everything else.
    pub(super) fn next(&mut self) -> Option<Vec<usize>> {
        self.parts.pop()
    }

    /// Whether a row belongs to the pages: it is neither left out, nor to be tried by itself.
    pub(super) fn has(&self, row: usize) -> bool {
        !self.left_out.contains_key(&row)
    }

    pub(super) fn begins(&self, row: usize) -> bool {
        self.begin.contains(&row)
    }

    pub(super) fn most(&self) -> usize {
        self.most.unwrap_or(usize::MAX)
    }

    pub(super) fn passed(&mut self) {
        (self.in_a_row, self.alone) = (0, None);
    }

    /// A page was refused. The error is given back where it is not the rows.
    pub(super) fn refused(&mut self, mut page: Vec<usize>, error: Error) -> Result<(), Error> {
        self.fruitless += 1;
        if page.is_empty() || self.fruitless > FRUITLESS {
            return Err(error);
        }
        if let &[row] = page.as_slice() {
            if self.once.insert(row) {
                self.alone = Some(row);
                self.parts.push(page);
                return Ok(());
            }
            return self.leaves_out(row, error);
        }
        let second = page.split_off(page.len() / 2);
        self.begin.extend(second.first());
        if matches!(error, Error::TooLarge(_)) {
            self.most = Some(self.most().min(second.len()));
        }
        self.parts.push(second);
        self.parts.push(page);
        Ok(())
    }

    fn leaves_out(&mut self, row: usize, error: Error) -> Result<(), Error> {
        self.in_a_row += 1;
        if self.alone == Some(row) {
            self.fruitless = 0;
        }
        if matches!(error, Error::TooLarge(_)) {
            // It was this row, and not how many they were.
            self.most = None;
        }
        self.left_out.insert(row, error.clone());
        let had = &self.leeway.had;
        let lost = self.left_out.keys().filter(|row| had.contains(row)).count();
        if lost > HANDFUL.max(had.len() / SHARE) {
            let had = had.len();
            let what = format!("{lost} or more of the {had} that it had would be deleted with it");
            return Err(error.and_besides(&what));
        }
        if self.in_a_row >= IN_A_ROW || self.left_out.len() >= MOST {
            return Err(error);
        }
        Ok(())
    }

    /// Why nothing is left, if so, and that may not be.
    pub(super) fn nothing_left(&self) -> Option<&Error> {
        self.left_out.values().next().filter(|_| !self.leeway.all)
    }

    pub(super) fn left_out(&self) -> &BTreeMap<usize, Error> {
        &self.left_out
    }

    pub(super) fn into_left_out(self) -> BTreeMap<usize, Error> {
        self.left_out
    }
}

/// Whether a row of the page may be at fault. Another session in the way is no row's fault, nor are a token, an outage and
/// what somebody else answers.
pub(super) fn is_of_rows(error: &Error) -> bool {
    matches!(error, Error::BadRequest(_) | Error::TooLarge(_))
}

/// What passed in a session already.
pub(super) type Passed = BTreeSet<usize>;

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::super::error::Answer;
    use super::*;

    fn error() -> Error {
        Error::BadRequest(answer(400))
    }

    fn answer(status: u16) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer::new("http://glean", "/x", status, "no")
    }

    /// Sends all rows again and again until none of them is refused. How many pages that took.
    fn sifted(rows: usize, is_bad: impl Fn(usize) -> bool) -> (Result<Vec<usize>, Error>, usize) {
        let is_refused = |page: &[usize]| page.iter().any(|row| is_bad(*row)).then(error);
        pages_of(rows, is_refused)
    }

    fn pages_of(
        rows: usize,
        is_refused: impl Fn(&[usize]) -> Option<Error>,
    ) -> (Result<Vec<usize>, Error>, usize) {
        sessions_of(rows, Sieve::default(), |_, page| is_refused(page))
    }

    /// Whether a page is refused may depend on what its session has.
    fn sessions_of(
        rows: usize,
        mut sieve: Sieve,
        is_refused: impl Fn(&Passed, &[usize]) -> Option<Error>,
    ) -> (Result<Vec<usize>, Error>, usize) {
        let mut pages = 0;
        loop {
            let mut passed = Passed::new();
            let refused = loop {
                let page = sieve.next().unwrap_or_else(|| {
                    let rest = |row: &usize| sieve.has(*row) && !passed.contains(row);
                    let mut rest = (0..rows).filter(rest);
                    let first = rest.next();
                    let goes_on = |row: &usize| !sieve.begins(*row);
                    let others = rest.take_while(goes_on).take(sieve.most().min(1_000) - 1);
                    first.into_iter().chain(others).collect()
                });
                if page.is_empty() {
                    break None;
                }
                pages += 1;
                if let Some(error) = is_refused(&passed, &page) {
                    break Some((page, error));
                }
                sieve.passed();
                passed.extend(page);
            };
            let Some((page, error)) = refused else {
                return (Ok(sieve.into_left_out().into_keys().collect()), pages);
            };
            if let Err(error) = sieve.refused(page, error) {
                return (Err(error), pages);
            }
        }
    }

    #[test]
    fn just_the_rows_at_fault_are_left_out_and_in_few_pages() {
        for bad in [vec![], vec![0], vec![999], vec![49_999], vec![7, 8, 30_000], vec![1, 3, 5]] {
            let (found, pages) = sifted(50_000, |row| bad.contains(&row));
            assert_eq!(found.expect("found"), bad);
            assert!(pages < 80 + 120 * bad.len(), "{bad:?}: {pages} pages");
        }
    }

    #[test]
    fn where_many_are_refused_it_is_not_the_rows() {
        let (found, pages) = sifted(50_000, |_| true);
        assert!(found.is_err() && pages < 100, "{pages} pages");
        assert!(sifted(50_000, |row| row % 2 == 0).0.is_err());
    }

    #[test]
    fn where_pages_are_refused_and_none_of_their_rows_pages_get_smaller() {
        let too_large = |page: &[usize]| (page.len() > 300).then(|| Error::TooLarge(answer(413)));
        let (found, pages) = pages_of(20_000, too_large);
        assert!(found.expect("all").is_empty() && pages < 100, "{pages} pages");
        let together = |page: &[usize]| {
            (page.contains(&7) && page.contains(&8)).then(|| Error::BadRequest(answer(400)))
        };
        let (found, pages) = pages_of(20_000, together);
        assert!(found.expect("all").is_empty() && pages < 100, "{pages} pages");
    }

    #[test]
    fn a_row_that_was_refused_once_is_not_left_out_for_it() {
        let mut sieve = Sieve::default();
        sieve.refused(vec![4], error()).expect("once");
        assert!(sieve.is_used() && sieve.has(4));
        assert_eq!(sieve.next(), Some(vec![4]));
        sieve.passed();
        assert!(sieve.left_out().is_empty());
        // Whatever passed meanwhile.
        sieve.refused(vec![4], error()).expect("twice");
        assert!(!sieve.has(4));
    }

    #[test]
    fn the_search_ends_where_it_is_what_a_session_has_and_no_row() {
        let is_full =
            |passed: &Passed, page: &[usize]| (passed.len() + page.len() > 1_000).then(error);
        let (found, pages) = sessions_of(3_000, Sieve::default(), is_full);
        assert!(found.is_err() && pages < 2_000, "{pages} pages");
        // Two that are not taken together, on whatever pages they are.
        for two in [[7, 1_500], [7, 8], [999, 1_000]] {
            let clash = |passed: &Passed, page: &[usize]| {
                two.iter().all(|row| passed.contains(row) || page.contains(row)).then(error)
            };
            let (found, pages) = sessions_of(3_000, Sieve::default(), clash);
            let found = found.expect("one is enough");
            assert!(found.len() == 1 && two.contains(&found[0]), "{found:?}");
            assert!(pages < 1_000, "{pages} pages");
        }
    }

    #[test]
    fn more_than_a_tenth_of_what_glean_had_is_not_left_out() {
        let of = |had: usize, bad: usize| {
            let is_bad = |_: &Passed, page: &[usize]| {
                page.iter().any(|row| row % 7 == 3 && *row < bad * 7).then(error)
            };
            sessions_of(1_000, Sieve::new(Leeway { had: (0..had).collect(), all: false }), is_bad).0
        };
        assert_eq!(of(0, 40).expect("all are new").len(), 40);
        assert_eq!(of(400, 40).expect("a tenth").len(), 40);
        let many = of(390, 40).expect_err("more").to_string();
        assert!(many.contains("40 or more of the 390 that it had would be deleted"), "{many}");
        assert_eq!(of(35, 5).expect("a handful").len(), 5);
        assert!(of(42, 6).is_err());
    }

    #[test]
    fn pages_are_large_again_where_one_row_was_too_large() {
        let large = |page: &[usize]| page.contains(&20).then(|| Error::TooLarge(answer(413)));
        let (found, pages) = pages_of(20_000, large);
        assert_eq!(found.expect("found"), [20]);
        assert!(pages < 700, "{pages} pages");
    }
}
