//! Which rows of a session are at fault when Glean refuses a page of them. Pure.
//!
//! A refused page is halved until the row at fault stands alone. What becomes of a session of which a page was refused
//! Glean does not say: so each try has a session of its own, which begins with what is in doubt and ends when all the
//! others are in it. A row is left out when it was refused alone in two sessions: the first may have been lost. What was
//! halved is never put together again: where no row is at fault, and all of them together are, each page gets smaller.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Error;

/// So many rows that are refused one after the other, and none that passes between them: then it is not the rows. As with
/// documents.
const IN_A_ROW: usize = 10;
/// Nor is it with so many in one session.
const MOST: usize = 100;

/// Rows are known by their numbers.
#[derive(Default)]
pub(super) struct Sieve {
    /// Parts of pages that were refused, the next one last.
    parts: Vec<Vec<usize>>,
    left_out: BTreeMap<usize, Error>,
    /// One that was refused alone, once.
    alone: Option<usize>,
    in_a_row: usize,
    /// Rows that begin a page, as what was before them was refused with them.
    begin: BTreeSet<usize>,
    /// Rows of a page, where more were too large.
    most: Option<usize>,
}

impl Sieve {
    /// Whether a page was refused.
    pub(super) fn is_used(&self) -> bool {
        !self.begin.is_empty() || !self.left_out.is_empty() || self.alone.is_some()
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

    pub(super) fn passed(&mut self, page: &[usize]) {
        self.in_a_row = 0;
        self.alone.take_if(|alone| page.contains(alone));
    }

    /// A page was refused. The error is given back where it is not the rows.
    pub(super) fn refused(&mut self, mut page: Vec<usize>, error: Error) -> Result<(), Error> {
        match page.as_slice() {
            [] => return Err(error),
            &[row] if self.alone == Some(row) => {
                self.alone = None;
                self.in_a_row += 1;
                self.left_out.insert(row, error.clone());
                if self.in_a_row >= IN_A_ROW || self.left_out.len() >= MOST {
                    return Err(error);
                }
            }
            &[row] => {
                self.alone = Some(row);
                self.parts.push(page);
            }
            _ => {
                let second = page.split_off(page.len() / 2);
                self.begin.extend(second.first());
                if matches!(error, Error::TooLarge(_)) {
                    self.most = Some(self.most().min(second.len()));
                }
                self.parts.push(second);
                self.parts.push(page);
            }
        }
        Ok(())
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
        let (mut sieve, mut pages) = (Sieve::default(), 0);
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
                if let Some(error) = is_refused(&page) {
                    break Some((page, error));
                }
                sieve.passed(&page);
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
        sieve.passed(&[4]);
        assert!(!sieve.is_used() && sieve.left_out().is_empty());
    }
}
