//! Where checked pages come from.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::check::{Broken, Checked, Intake, Whose};
use crate::document::{Page, PageLimits, Progress};
use crate::failure::{Failure, Result};

/// A slow source's documents do not wait longer than this for a batch to fill.
const MAX_BATCH_AGE: Duration = Duration::from_secs(5);

/// Hands over a scope, page by page. After its last page, or what has broken it, nobody asks again.
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
    pages: mpsc::Receiver<Result<Page>>,
    reader: JoinHandle<()>,
    intake: Intake,
    cut_at: Instant,
}

impl Checking {
    pub fn new(mut pages: impl Pages + 'static, limits: PageLimits, intake: Intake) -> Self {
        let (sender, received) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            loop {
                let page = pages.next(limits).await;
                let more =
                    page.as_ref().is_ok_and(|page| matches!(page.progress, Progress::More(_)));
                if sender.send(page).await.is_err() || !more {
                    return;
                }
            }
        });
        Self { pages: received, reader, intake, cut_at: Instant::now() }
    }
}

impl Source for Checking {
    async fn next(&mut self) -> std::result::Result<Checked, Box<Broken>> {
        let page = self.pages.recv().await;
        let page = page
            .unwrap_or_else(|| Err(Failure::internal("the source's reader ended without a word")));
        let page = page.map_err(|failure| {
            // What was read before is not lost: it moves the checkpoint.
            self.intake.broken(Vec::new(), failure, Whose::Source)
        })?;
        let mut checked = self.intake.take(page)?;
        if !checked.cuts.is_empty() {
            self.cut_at = Instant::now();
        } else if self.cut_at.elapsed() > MAX_BATCH_AGE {
            self.cut_at = Instant::now();
            checked.aged = self.intake.cut();
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
