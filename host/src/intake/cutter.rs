//! Cuts documents into batches that know which pages they hold. Pure.

use crate::document::Document;
use crate::failure::Result;
use crate::wire::Batch;
use crate::wire::batch::{Batcher, Most, Pushed};

/// A batch that is to be sent.
#[derive(Debug)]
pub struct Cut {
    /// The first is 1.
    pub number: u64,
    pub batch: Batch,
    /// It was cut after a page had ended, and holds nothing of a later one.
    pub ends_page: bool,
}

/// Which batches hold a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageEnd {
    /// The last of them. It may hold documents of later pages, too.
    pub last: u64,
    /// Every batch up to this one holds no document of a later page.
    pub covers: u64,
}

/// What became of a document.
#[derive(Debug)]
pub(super) enum Put {
    /// It is in a batch; the one before was full, perhaps.
    In(Option<Cut>),
    /// It is larger than any request may be; its encoded size.
    TooLarge(usize),
}

#[derive(Debug)]
pub(super) struct Cutter {
    batcher: Batcher,
    /// The number of the batch that is being filled.
    filling: u64,
    /// Documents in it that came after the last page's end.
    tail: usize,
}

impl Cutter {
    pub(super) fn new(datasource: &str, most: Most) -> Self {
        Self { batcher: Batcher::new(datasource, most), filling: 1, tail: 0 }
    }

    pub(super) fn push(&mut self, document: &Document) -> Result<Put> {
        let cut = match self.batcher.push(document)? {
            Pushed::Fits => None,
            Pushed::Filled(batch) => Some(self.number(batch)),
            Pushed::TooLarge(size) => return Ok(Put::TooLarge(size)),
        };
        self.tail += 1;
        Ok(Put::In(cut))
    }

    /// The document that was pushed last, as it is sent.
    pub(super) fn last(&self) -> &[u8] {
        self.batcher.last()
    }

    /// What is left, if anything.
    pub(super) fn cut(&mut self) -> Option<Cut> {
        let batch = self.batcher.take()?;
        Some(self.number(batch))
    }

    pub(super) fn end_page(&mut self) -> PageEnd {
        self.tail = 0;
        let covers = self.filling - 1;
        // The batch that is being filled holds the page's end; it may get documents of later pages.
        let last = if self.batcher.is_empty() { covers } else { self.filling };
        PageEnd { last, covers }
    }

    fn number(&mut self, batch: Batch) -> Cut {
        let number = self.filling;
        self.filling += 1;
        let ends_page = std::mem::take(&mut self.tail) == 0;
        Cut { number, batch, ends_page }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Access;

    /// Pages of so many documents each; batches of three.
    fn ends(pages: &[usize]) -> (Vec<PageEnd>, Vec<(u64, usize, bool)>) {
        let most = Most { bytes: 1 << 20, documents: 3, document_bytes: 1 << 20 };
        let mut cutter = Cutter::new("ds", most);
        let document = Document::new("a", "Page", "https://example.com/", Access::Everyone);
        let (mut ends, mut cuts) = (Vec::new(), Vec::new());
        for documents in pages {
            for _ in 0..*documents {
                match cutter.push(&document).expect("encodes") {
                    Put::In(cut) => cuts.extend(cut),
                    Put::TooLarge(size) => panic!("{size} bytes"),
                }
            }
            ends.push(cutter.end_page());
        }
        cuts.extend(cutter.cut());
        let told = |cut: Cut| (cut.number, cut.batch.documents(), cut.ends_page);
        (ends, cuts.into_iter().map(told).collect())
    }

    #[test]
    fn a_page_knows_its_batches_and_a_batch_whether_it_ends_a_page() {
        let end = |last, covers| PageEnd { last, covers };
        for (pages, expected, cuts) in [
            (&[2][..], vec![end(1, 0)], vec![(1, 2, true)]),
            (&[3, 1], vec![end(1, 0), end(2, 1)], vec![(1, 3, true), (2, 1, true)]),
            // A batch with documents of two pages is not the end of the first one.
            (&[2, 2], vec![end(1, 0), end(2, 1)], vec![(1, 3, false), (2, 1, true)]),
            (&[7], vec![end(3, 2)], vec![(1, 3, false), (2, 3, false), (3, 1, true)]),
            (&[0, 1, 0], vec![end(0, 0), end(1, 0), end(1, 0)], vec![(1, 1, true)]),
        ] {
            assert_eq!(ends(pages), (expected, cuts), "{pages:?}");
        }
    }
}
