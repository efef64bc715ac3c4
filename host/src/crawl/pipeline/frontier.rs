//! Batches are acknowledged in whatever order; pages pass in their own. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::glean::upload::Refused;
use crate::intake::{Cut, PageEnd};

/// A batch that Glean has acknowledged.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    pub(super) bytes: usize,
    pub(super) refused: Vec<Refused>,
}

/// What comes next, in turn.
#[derive(Debug)]
pub(super) enum Next<P> {
    Batch(Acknowledged),
    /// Every document of this page is acknowledged.
    Page {
        page: P,
        /// Every batch up to this one is done with it, and need never be sent again.
        covers: u64,
    },
}

/// What is read and not yet acknowledged, in order.
#[derive(Debug)]
pub(super) struct Turns<P> {
    /// Every batch up to this one is acknowledged.
    acknowledged: u64,
    /// The last batch that was dispatched.
    last: u64,
    /// Batches that were acknowledged out of turn.
    early: BTreeMap<u64, Acknowledged>,
    pages: VecDeque<(PageEnd, P)>,
}

impl<P> Turns<P> {
    pub(super) fn new() -> Self {
        Self { acknowledged: 0, last: 0, early: BTreeMap::new(), pages: VecDeque::new() }
    }

    /// A batch is about to be sent.
    pub(super) fn dispatched(&mut self, cut: &Cut) {
        self.last = cut.number;
        if cut.ends_page
            && let Some((end, _)) = self.pages.back_mut()
        {
            end.covers = cut.number;
        }
    }

    pub(super) fn page_ended(&mut self, end: PageEnd, page: P) {
        self.pages.push_back((end, page));
    }

    pub(super) fn acknowledged(&mut self, number: u64, batch: Acknowledged) {
        self.early.insert(number, batch);
    }

    pub(super) fn next(&mut self) -> Option<Next<P>> {
        if let Some((end, page)) = self.pages.pop_front_if(|(end, _)| end.last <= self.acknowledged)
        {
            return Some(Next::Page { page, covers: end.covers });
        }
        let batch = self.early.remove(&(self.acknowledged + 1))?;
        self.acknowledged += 1;
        Some(Next::Batch(batch))
    }

    /// Batches after this one that were dispatched.
    pub(super) fn dispatched_after(&self, number: u64) -> u64 {
        self.last.saturating_sub(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Batch;

    enum Does {
        Cut(u64, bool),
        Ends(u64, u64, &'static str),
        Acknowledges(u64),
    }

    /// What passes after each step: `2` for a batch of two bytes, `a@1` for a page that covers one.
    fn passes(steps: &[Does]) -> Vec<String> {
        let mut turns = Turns::new();
        let mut passed = Vec::new();
        for step in steps {
            match step {
                Does::Cut(number, ends_page) => {
                    let (number, ends_page) = (*number, *ends_page);
                    turns.dispatched(&Cut { number, batch: Batch::default(), ends_page });
                }
                Does::Ends(last, covers, page) => {
                    turns.page_ended(PageEnd { last: *last, covers: *covers }, *page);
                }
                Does::Acknowledges(number) => {
                    let bytes = usize::try_from(*number).expect("small");
                    turns.acknowledged(*number, Acknowledged { bytes, refused: Vec::new() });
                }
            }
            let mut now = Vec::new();
            while let Some(next) = turns.next() {
                now.push(match next {
                    Next::Batch(batch) => batch.bytes.to_string(),
                    Next::Page { page, covers } => format!("{page}@{covers}"),
                });
            }
            passed.push(now.join(" "));
        }
        passed
    }

    #[test]
    fn a_page_passes_when_all_its_batches_are_acknowledged_whatever_their_order() {
        use Does::{Acknowledges, Cut, Ends};
        for (steps, expected) in [
            // Without documents it passes at once.
            (vec![Ends(0, 0, "a")], vec!["a@0"]),
            (vec![Ends(1, 0, "a"), Cut(1, true), Acknowledges(1)], vec!["", "", "1 a@1"]),
            // The second batch holds the end of one page and the beginning of the next.
            (
                vec![
                    Cut(1, false),
                    Ends(2, 1, "a"),
                    Cut(2, false),
                    Ends(3, 2, "b"),
                    Cut(3, true),
                    Acknowledges(3),
                    Acknowledges(2),
                    Acknowledges(1),
                ],
                vec!["", "", "", "", "", "", "", "1 2 a@1 3 b@3"],
            ),
            // A page that ends after its batches were acknowledged.
            (vec![Cut(1, false), Acknowledges(1), Ends(1, 1, "a")], vec!["", "1", "a@1"]),
        ] {
            assert_eq!(passes(&steps), expected);
        }
    }

    #[test]
    fn what_is_dispatched_and_not_kept_is_counted() {
        let mut turns = Turns::<()>::new();
        turns.dispatched(&Cut { number: 1, batch: Batch::default(), ends_page: true });
        turns.dispatched(&Cut { number: 2, batch: Batch::default(), ends_page: true });
        assert_eq!(
            (turns.dispatched_after(0), turns.dispatched_after(2), turns.dispatched_after(3)),
            (2, 0, 0)
        );
    }
}
