//! Where checked pages come from.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::check::{Broken, Checked, Intake, Whose};
use crate::clock::Timestamp;
use crate::document::{Page, PageLimits, Progress};
use crate::failure::{Failure, Result};

/// A slow source's documents do not wait longer than this for a batch to fill.
const MAX_BATCH_AGE: Duration = Duration::from_secs(5);

/// Hands over a scope, page by page. After its last page, or what has broken it, nobody asks again. Whoever
/// gives up waiting for a page loses none.
pub trait Source: Send {
    fn next(&mut self) -> impl Future<Output = std::result::Result<Checked, Box<Broken>>> + Send;
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
    cut_at: Instant,
}

impl Checking {
    pub fn new(mut pages: impl Pages + 'static, limits: PageLimits, intake: Intake) -> Self {
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
        Self { pages: received, reader, intake, cut_at: Instant::now() }
    }
}

impl Source for Checking {
    async fn next(&mut self) -> std::result::Result<Checked, Box<Broken>> {
        // Nothing is waited for after this.
        let page = self.pages.recv().await;
        let (read_at, page) = page.unwrap_or_else(|| {
            let ended = Failure::internal("the source's reader ended without a word");
            (Timestamp::now(), Err(ended))
        });
        let page = page.map_err(|failure| {
            // What was read before is not lost: it moves the checkpoint.
            self.intake.broken(Vec::new(), failure, Whose::Source)
        })?;
        let mut checked = self.intake.take(page, read_at)?;
        if !checked.cuts.is_empty() {
            self.cut_at = Instant::now();
        } else if self.cut_at.elapsed() > MAX_BATCH_AGE
            && let Some(cut) = self.intake.cut()
        {
            self.cut_at = Instant::now();
            checked.aged = Some(cut);
        }
        Ok(checked)
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
    use crate::intake::{Position, Rules};
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
        let intake = Intake::new(Rules::default(), "ds", most, Position::default());
        Checking::new(Failing(pages), PageLimits { documents: 1, bytes: 1 << 20 }, intake)
    }

    #[tokio::test]
    async fn documents_wait_five_seconds_for_their_batch_to_fill_and_no_failure_loses_them() {
        let mut source = checking(4);
        assert!(source.next().await.expect("a page").aged.is_none());
        let long_ago = source.cut_at.checked_sub(MAX_BATCH_AGE + Duration::from_secs(1));
        source.cut_at = long_ago.expect("this machine has run for seconds");
        let aged = source.next().await.expect("a page").aged.expect("a batch");
        assert_eq!((aged.batch.documents(), aged.ends_page), (2, true));
        for _ in 0..2 {
            assert!(source.next().await.expect("a page").aged.is_none());
        }
        let broken = source.next().await.expect_err("the source's failure");
        assert_eq!((broken.failure.kind, broken.whose), (Kind::Source, Whose::Source));
        assert_eq!(broken.cuts.iter().map(|cut| cut.batch.documents()).collect::<Vec<_>>(), [2]);
    }
}
