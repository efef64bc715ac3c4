//! Moves pages, batches and commits: only here is it decided what is waited for.

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::delivery::Delivery;
use super::frontier::{Acknowledged, Next, Turns};
use super::keeper::{Commit, Due, Keeper, Passed, Unkept};
use super::page_records::{PageRecords, Records};
use super::parts::{Pipeline, Report};
use super::window::Window;
use crate::crawl::blame::{Result, Stopped, interrupted};
use crate::crawl::progress::{Counts, Ending, ScopeHead};
use crate::crawl::quarantine::QuarantineLog;
use crate::document::Progress;
use crate::failure::{self, Failure};
use crate::intake::{Announced, CheckedPage, Cut, Ended, Source, Whose};
use crate::text::bounded;
use crate::traces::Step;

/// How long batches on their way may still finish after a cancellation.
const DRAIN: Duration = Duration::from_secs(10);
/// The same while Glean does not answer.
const AWAY: Duration = Duration::from_secs(1);

/// Work that is under way beside the reading.
enum Done {
    Sent { number: u64, bytes: usize, outcome: failure::Result<Acknowledged> },
    Written { commit: Box<Commit>, outcome: failure::Result<()> },
}

/// A page that was read: what is kept of it once it passes.
struct Read {
    head: ScopeHead,
    records: Records,
}

struct Driver<'a> {
    parts: &'a Pipeline<'a>,
    delivery: Delivery,
    window: Window,
    turns: Turns<Read>,
    keeper: Keeper,
    records: PageRecords,
    log: QuarantineLog,
    /// Everything read so far; its batches and bytes are those that were acknowledged in turn.
    read: ScopeHead,
    /// What earlier attempts computed, in milliseconds.
    computed: u64,
    work: JoinSet<Done>,
}

impl Pipeline<'_> {
    /// Crawls to the end of the scope. On failure, what was acknowledged stands in the report.
    pub async fn run(
        &self,
        mut source: impl Source,
        mut delivery: Delivery,
        start: ScopeHead,
    ) -> Result<ScopeHead> {
        delivery.begin_at(start.frontier.opened, start.counts.pages).await?;
        let mut driver = Driver::new(self, delivery, start);
        let ended = tokio::select! {
            ended = driver.pump(&mut source) => ended,
            () = self.cancel.cancelled() => Err(interrupted().into()),
        };
        if ended.is_err() {
            driver.drain().await;
        }
        driver.log.tell(&driver.read.scope);
        ended?;
        Ok(self.report.borrow().head.clone())
    }
}

/// Ends then; never, where that is no time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

type Handed = std::result::Result<Announced, Ended>;

impl<'a> Driver<'a> {
    fn new(parts: &'a Pipeline<'a>, delivery: Delivery, start: ScopeHead) -> Self {
        let limits = delivery.limits(parts.limits);
        // Commits are as large for changes, of which one batch is on its way at a time.
        let unkept = Unkept::of(parts.journal.as_ref(), parts.limits.in_flight);
        Self {
            parts,
            delivery,
            window: Window::new(&limits, unkept.batches),
            turns: Turns::new(),
            keeper: Keeper::new(parts.journal.clone(), unkept),
            records: PageRecords::new(&start, parts.journal.is_some()),
            log: QuarantineLog::default(),
            computed: start.counts.cpu_ms,
            read: start,
            work: JoinSet::new(),
        }
    }

    async fn pump(&mut self, source: &mut impl Source) -> Result<()> {
        loop {
            let Announced { cuts, page, aged } = match self.pull(source).await? {
                Ok(announced) => announced,
                Err(Ended { cuts, failure, whose }) => {
                    self.dispatch(source, cuts).await?;
                    self.flush().await?;
                    return Err(match whose {
                        Whose::Source => Stopped::of_guest(failure),
                        Whose::Sheaf => Stopped::Crawl(failure),
                    });
                }
            };
            self.count(&page)?;
            self.dispatch(source, cuts).await?;
            let more = self.end_page(page).await?;
            self.dispatch(source, usize::from(aged)).await?;
            if !more {
                return self.flush().await;
            }
            self.settle()?;
        }
    }

    /// Waits until all that was sent is acknowledged and kept.
    async fn flush(&mut self) -> Result<()> {
        self.keeper.be_eager();
        self.settle()?;
        while !self.work.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    /// The next page or what has broken the source, while work beside it is finished.
    async fn pull(&mut self, source: &mut impl Source) -> Result<Handed> {
        loop {
            tokio::select! {
                page = source.next() => return Ok(page),
                Some(done) = self.work.join_next() => self.finished(done)?,
                () = at(self.keeper.until()) => self.keep(),
            }
        }
    }

    /// Counts what a page has before any of it is sent: what Glean refuses is a share of it.
    fn count(&mut self, page: &CheckedPage) -> Result<()> {
        let counts = &mut self.read.counts;
        for row in &page.rows {
            if let Some(reason) = &row.quarantined {
                self.log.add(&row.id, reason);
            }
        }
        counts.add(&Counts::of_page(&page.rows, self.parts.defined));
        let usage = &self.parts.usage;
        counts.memory = counts.memory.max(usage.memory());
        let computed = u64::try_from(usage.cpu().as_millis()).unwrap_or(u64::MAX);
        counts.cpu_ms = self.computed.saturating_add(computed);
        self.parts.tolerance.check(counts).map_err(Stopped::Scope)
    }

    /// A page's documents are on their way: does what it changes besides, and says what to keep of it once
    /// they are acknowledged. Whether more pages follow.
    async fn end_page(&mut self, page: CheckedPage) -> Result<bool> {
        if !page.deleted.is_empty() || !page.access_changes.is_empty() {
            // They come after the documents before them.
            while !self.window.is_empty() {
                self.wait_for_one().await?;
            }
        }
        let changed = self.delivery.change(&page).await?;
        for (id, reason) in &changed.refused {
            self.log.add(id, reason);
        }
        self.read.counts.add(&changed.counts);
        self.parts.tolerance.check(&self.read.counts).map_err(Stopped::Scope)?;
        let records = self.records.of(&page, &changed);
        let frontier = &mut self.read.frontier;
        let more = match page.progress {
            Progress::More(checkpoint) => {
                frontier.checkpoint = Some(checkpoint);
                true
            }
            Progress::Complete(bookmark) => {
                frontier.ending = Some(Ending::Complete { bookmark });
                false
            }
            Progress::Partial(reason) => {
                let reason = bounded(reason, 1_000);
                frontier.ending = Some(Ending::Partial { reason });
                false
            }
        };
        self.turns.page_ended(page.end, Read { head: self.read.clone(), records });
        Ok(more)
    }

    /// Sends so many batches of the source's.
    async fn dispatch(&mut self, source: &mut impl Source, cuts: usize) -> Result<()> {
        for _ in 0..cuts {
            let cut = source.cut().await.map_err(Stopped::of_guest)?;
            self.send(cut).await?;
        }
        Ok(())
    }

    /// Sends a batch, as soon as the window has room.
    async fn send(&mut self, cut: Cut) -> Result<()> {
        self.turns.dispatched(&cut);
        let Cut { number, batch, .. } = cut;
        let bytes = batch.bytes();
        if let Some(refused) = self.delivery.open(&batch).await? {
            self.turns.acknowledged(number, Acknowledged { bytes, refused });
            return self.settle();
        }
        while !self.has_room(number, bytes) {
            self.wait_for_one().await?;
        }
        self.window.sent(bytes);
        let step = Step::within("batch").says("number", number).says("bytes", bytes);
        let sent = step.run(self.delivery.send(batch));
        self.work.spawn(async move {
            let outcome = sent.await.map(|refused| Acknowledged { bytes, refused });
            Done::Sent { number, bytes, outcome: outcome.map_err(Failure::from) }
        });
        self.report_in_flight();
        Ok(())
    }

    fn has_room(&self, number: u64, bytes: usize) -> bool {
        let unkept = (number - 1).saturating_sub(self.keeper.kept());
        self.window.has_room(bytes, unkept, self.work.is_empty())
    }

    async fn wait_for_one(&mut self) -> Result<()> {
        match self.work.join_next().await {
            Some(done) => self.finished(done),
            None => Ok(()),
        }
    }

    fn finished(&mut self, done: std::result::Result<Done, JoinError>) -> Result<()> {
        let done = done.map_err(|error| Failure::internal(format!("an upload ended: {error}")))?;
        match done {
            Done::Sent { number, bytes, outcome } => {
                self.window.acknowledged(bytes);
                self.turns.acknowledged(number, outcome?);
            }
            Done::Written { commit, outcome } => {
                outcome?;
                let head = self.keeper.written(*commit);
                self.publish(head);
            }
        }
        self.settle()
    }

    /// Lets pass what is acknowledged in turn, and keeps it.
    fn settle(&mut self) -> Result<()> {
        while let Some(next) = self.turns.next() {
            match next {
                Next::Batch(Acknowledged { bytes, refused }) => {
                    self.read.counts.batches += 1;
                    self.read.counts.bytes += bytes as u64;
                    for document in refused {
                        self.log.add(&document.id, &document.reason);
                        self.records.refused(document);
                    }
                }
                Next::Page { page, covers } => self.pass(page, covers),
            }
        }
        self.keep();
        let counts = self.records.with_refused(&self.read.counts);
        self.parts.tolerance.check(&counts).map_err(Stopped::Scope)
    }

    /// A page of which every document is acknowledged.
    fn pass(&mut self, page: Read, covers: u64) {
        let Read { mut head, mut records } = page;
        self.records.settle(&mut records, &mut head.counts);
        head.counts.batches = self.read.counts.batches;
        head.counts.bytes = self.read.counts.bytes;
        head.frontier.opened = self.delivery.is_opened();
        self.keeper.pass(Passed { head, records, covers });
    }

    fn keep(&mut self) {
        let unkept = self.turns.dispatched_after(self.keeper.kept());
        match self.keeper.due(unkept) {
            Some(Due::Write(commit)) => {
                self.work.spawn(async move {
                    let (commit, outcome) = commit.write().await;
                    Done::Written { commit, outcome }
                });
            }
            Some(Due::Report(head)) => self.publish(head),
            None => {}
        }
    }

    fn publish(&mut self, head: ScopeHead) {
        let in_flight = self.window.sending();
        self.parts.report.send_replace(Report { head, in_flight });
    }

    fn report_in_flight(&self) {
        let in_flight = self.window.sending();
        self.parts.report.send_modify(|report| report.in_flight = in_flight);
    }

    /// Lets work under way finish, so that its checkpoints are not lost.
    async fn drain(&mut self) {
        self.keeper.be_eager();
        self.keep();
        let client = self.delivery.client();
        let finish = async {
            while let Some(done) = self.work.join_next().await {
                // The failure that stopped the crawl is told; others only hold up the frontier.
                let _ = self.finished(done);
            }
        };
        tokio::select! {
            () = finish => {}
            () = tokio::time::sleep(DRAIN) => {
                tracing::warn!("batches on their way did not finish in time; they are sent again");
            }
            // They would wait for as long as Glean is away; what it has acknowledged is still kept.
            () = async { client.away().await; tokio::time::sleep(AWAY).await } => {
                tracing::warn!("Glean does not answer now; batches on their way are sent again");
            }
        }
        self.parts.report.send_modify(|report| report.in_flight = 0);
    }
}
