//! Which documents a cell has told of and not handed over yet, and so which batches hold which pages. Pure:
//! nothing of it is believed that can be counted here.

use std::collections::VecDeque;

use crate::intake::PageEnd;
use crate::text::count;

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Ids of documents that are in no batch yet.
    waiting: VecDeque<String>,
    /// Those of them that belong to pages before the one that is being handed over.
    older: usize,
    /// Batches so far.
    batches: u64,
}

impl Tally {
    /// A page: what its documents are called, and how many documents are in each of the batches before its
    /// end. `most`: how many may wait after that. Which batches hold the page, and how many do wait.
    pub(super) fn page(
        &mut self,
        ids: impl IntoIterator<Item = String>,
        cuts: &[usize],
        most: usize,
    ) -> Result<(PageEnd, usize), String> {
        self.older = self.waiting.len();
        self.waiting.extend(ids);
        let handed: usize = cuts.iter().fold(0, |sum, cut| sum.saturating_add(*cut));
        let left = self.waiting.len().checked_sub(handed);
        let left = left.ok_or("it hands over documents that it has not told of")?;
        if cuts.contains(&0) {
            return Err("it hands over a batch without documents".into());
        }
        if left > most {
            return Err(format!("it keeps back {}", count(left as u64, "document")));
        }
        let covers = self.batches + cuts.len() as u64;
        Ok((PageEnd { last: covers + u64::from(left > 0), covers }, left))
    }

    /// The ids of the next batch's documents, its number, and whether it holds none of the last page.
    pub(super) fn cut(&mut self, documents: usize) -> (Vec<String>, u64, bool) {
        let ids = self.waiting.drain(..documents.min(self.waiting.len())).collect();
        let ends_page = documents <= self.older;
        self.older = self.older.saturating_sub(documents);
        self.batches += 1;
        (ids, self.batches, ends_page)
    }

    /// The page has ended, and what waits has waited for long enough.
    pub(super) fn page_ended(&mut self) {
        self.older = self.waiting.len();
    }

    /// Documents that are in no batch yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn batches_and_pages_are_counted_here() {
        let mut tally = Tally::default();
        let end = |last, covers, left| Ok((PageEnd { last, covers }, left));
        assert_eq!(tally.page(ids(&["a", "b"]), &[], 3), end(1, 0, 2));
        assert_eq!(tally.page(ids(&["c", "d"]), &[3], 3), end(2, 1, 1));
        assert_eq!(tally.cut(3), (ids(&["a", "b", "c"]), 1, false));
        assert_eq!(tally.page(ids(&["e"]), &[1], 3), end(3, 2, 1));
        assert_eq!(tally.cut(1), (ids(&["d"]), 2, true));
        tally.page_ended();
        assert_eq!(tally.cut(1), (ids(&["e"]), 3, true), "it was waited for long enough");
        assert_eq!(tally.page(ids(&[]), &[], 0), end(3, 3, 0));
    }

    #[test]
    fn documents_are_neither_kept_back_nor_handed_over_untold() {
        let mut tally = Tally::default();
        assert!(tally.page(ids(&["a"]), &[2], 9).is_err());
        assert!(Tally::default().page(ids(&["a"]), &[0], 9).is_err());
        assert!(Tally::default().page(ids(&["a"]), &[usize::MAX, usize::MAX], 9).is_err());
        assert!(Tally::default().page(ids(&["a", "b"]), &[1], 0).is_err());
    }
}
