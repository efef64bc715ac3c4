//! Where checked pages come from.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::check::{Broken, Checked, CheckedPage, Intake, Reading, Whose};
use super::cutter::Cut;
use super::rules::Rules;
use crate::clock::Timestamp;
use crate::document::{Page, PageLimits, Progress};
use crate::failure::{Failure, Result};

/// Hands over a scope, page by page, and the batches of each one by one: nobody holds more of them than are
/// sent. After its last page, or what has broken it, nobody asks for another. Whoever gives up waiting for a
/// page loses none.
pub trait Source: Send {
    /// The next page, once all batches of the one before were taken.
    fn next(&mut self) -> impl Future<Output = std::result::Result<Announced, Ended>> + Send;

    /// The next batch of those that were announced.
    fn cut(&mut self) -> impl Future<Output = Result<Cut>> + Send;
}

/// A page whose batches are there to be taken.
#[derive(Debug)]
pub struct Announced {
    /// How many are to be sent before the page can end.
    pub cuts: usize,
    pub page: CheckedPage,
    /// Whether another one is to be sent when it has.
    pub aged: bool,
}

/// There is no other page. What was cut before is there to be taken.
#[derive(Debug)]
pub struct Ended {
    pub cuts: usize,
    pub failure: Failure,
    pub whose: Whose,
}

/// Pages as a connector delivers them: a guest's, or native code's in a benchmark.
pub trait Pages: Send {
    fn next(&mut self, limits: PageLimits) -> impl Future<Output = Result<Page>> + Send;
}

/// Pages that are checked when they come. One page is read ahead: the source works while the page before is
/// encoded.
pub struct Checking {
    pages: mpsc::Receiver<(Timestamp, Result<Page>)>,
    reader: JoinHandle<()>,
    intake: Intake,
    cuts: VecDeque<Cut>,
}

impl Checking {
    pub fn new(mut pages: impl Pages + 'static, rules: Rules, reading: &Reading) -> Self {
        let (limits, intake) = (reading.limits, Intake::new(rules, reading));
        let (sender, received) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            loop {
                let asked = Timestamp::now();
                let page = pages.next(limits).await;
                let more =
                    page.as_ref().is_ok_and(|page| matches!(page.progress, Progress::More(_)));
                if sender.send((asked, page)).await.is_err() || !more {
                    return;
                }
            }
        });
        Self { pages: received, reader, intake, cuts: VecDeque::new() }
    }
}

impl Source for Checking {
    async fn next(&mut self) -> std::result::Result<Announced, Ended> {
        // Nothing is waited for after this.
        let page = self.pages.recv().await;
        let (read_at, page) = page.unwrap_or_else(|| {
            let ended = Failure::internal("the source's reader ended without a word");
            (Timestamp::now(), Err(ended))
        });
        let checked = match page {
            Ok(page) => self.intake.take(page, read_at),
            // What was read before is not lost: it moves the checkpoint.
            Err(failure) => Err(self.intake.broken(Vec::new(), failure, Whose::Source)),
        };
        match checked {
            Ok(Checked { cuts, page, aged }) => {
                let announced = Announced { cuts: cuts.len(), page, aged: aged.is_some() };
                self.cuts.extend(cuts.into_iter().chain(aged));
                Ok(announced)
            }
            Err(broken) => {
                let Broken { cuts, failure, whose } = *broken;
                let ended = Ended { cuts: cuts.len(), failure, whose };
                self.cuts.extend(cuts);
                Err(ended)
            }
        }
    }

    async fn cut(&mut self) -> Result<Cut> {
        self.cuts.pop_front().ok_or_else(|| Failure::internal("more batches than there are"))
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        // A guest that computes or waits is dropped where it is.
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Access, Document};
    use crate::failure::Kind;
    use crate::intake::Position;
    use crate::wire::batch::Most;

    /// Pages with a document each, so many, and then a failure.
    struct Failing(u32);

    impl Pages for Failing {
        async fn next(&mut self, _: PageLimits) -> Result<Page> {
            let number = self.0.checked_sub(1);
            self.0 = number.ok_or_else(|| Failure::new(Kind::Source, "it is away"))?;
            let url = "https://example.com/";
            Ok(Page {
                documents: vec![Document::new(&self.0.to_string(), "Page", url, Access::Everyone)],
                deleted: Vec::new(),
                access_changes: Vec::new(),
                unreadable: Vec::new(),
                progress: Progress::More(self.0.to_string()),
            })
        }
    }

    fn checking(pages: u32) -> Checking {
        let most = Most { bytes: 1 << 20, documents: 100, document_bytes: 1 << 20 };
        let (limits, at) = (PageLimits { documents: 1, bytes: 1 << 20 }, Position::default());
        let reading = Reading { limits, datasource: "ds".into(), most, at };
        Checking::new(Failing(pages), Rules::default(), &reading)
    }

    #[tokio::test]
    async fn no_failure_loses_what_was_read_before_it() {
        let mut source = checking(2);
        for _ in 0..2 {
            let page = source.next().await.expect("a page");
            assert_eq!((page.cuts, page.aged), (0, false));
        }
        let ended = source.next().await.expect_err("the source's failure");
        assert_eq!((ended.failure.kind, ended.whose), (Kind::Source, Whose::Source));
        assert_eq!(ended.cuts, 1);
        assert_eq!(source.cut().await.expect("a batch").batch.documents(), 2);
    }
}
