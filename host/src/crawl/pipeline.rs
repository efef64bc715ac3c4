//! One scope's way from the connector into Glean.
//!
//! The host pulls pages and cuts them into batches; a bounded number of batches, and of bytes, is on
//! its way at a time, and the connector waits while the window is full. A checkpoint is reported only
//! when every batch that holds a document before it is acknowledged, and the journal has both: what a
//! crash costs is at most one window, or one page if that is larger, to be uploaded again.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::changes::{self, Change, Keeper, Want};
use super::check::{Rules, Suspicion, Tolerance};
use super::fault::{Result, Stopped};
use super::progress::{Ending, ScopeProgress};
use super::quarantine::Kinds;
use super::recorder::{Recorder, Records};
use crate::connector::Cursor;
use crate::document::{Access, AccessChange, Document, DocumentRef};
use crate::document::{Mode, Page, PageLimits, Progress, Unreadable};
use crate::failure::{self, Failure, Kind};
use crate::glean::batch::{Batch, Batcher, Pushed};
use crate::glean::upload::{Refused, Upload};
use crate::ledger::{self, ScopeJournal, State};
use crate::sandbox::limits::Usage;
use crate::text::bounded;

/// Where pages come from: a guest's cursor, or native code in a benchmark.
pub trait Source: Send {
    fn next(&mut self, limits: PageLimits) -> impl Future<Output = failure::Result<Page>> + Send;
}

impl Source for Cursor {
    async fn next(&mut self, limits: PageLimits) -> failure::Result<Page> {
        Self::next(self, limits).await
    }
}

/// How much may be on its way at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub batch_bytes: usize,
    pub batch_documents: usize,
    /// A document larger than this when encoded is set aside.
    pub document_bytes: usize,
    /// Batches that are sent and not yet acknowledged and kept.
    pub in_flight: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            batch_bytes: 2 << 20,
            batch_documents: 1000,
            document_bytes: MAX_DOCUMENT_BYTES,
            in_flight: 4,
        }
    }
}

/// Below the 5 MiB that Glean takes at once, with room for what is around the document.
const MAX_DOCUMENT_BYTES: usize = (5 << 20) - (64 << 10);

/// A slow source's documents do not wait longer than this for a batch to fill.
const MAX_BATCH_AGE: Duration = Duration::from_secs(5);
/// The journal is written when half of the window waits for it, and no later than this.
const MAX_UNKEPT: Duration = Duration::from_secs(1);
/// How long batches on their way may still finish after a cancellation.
const DRAIN: Duration = Duration::from_secs(10);
/// The same while Glean does not answer.
const AWAY: Duration = Duration::from_secs(1);

/// Everything one scope's crawl needs besides its source.
pub struct Pipeline<'a> {
    pub upload: &'a Upload,
    pub mode: &'a Mode,
    pub rules: &'a Rules,
    pub tolerance: &'a Tolerance,
    pub window: &'a Window,
    pub page: PageLimits,
    pub report: &'a watch::Sender<ScopeProgress>,
    pub cancel: &'a CancellationToken,
    /// Where acknowledged documents and checkpoints are kept. Only a benchmark has none.
    pub journal: Option<ScopeJournal>,
    /// What the source's guest uses.
    pub usage: Arc<Usage>,
    /// Incremental crawls: where changes are kept that are not done yet.
    pub changes: Option<&'a Keeper>,
}

/// A batch that came back.
struct Acknowledged {
    sequence: u64,
    bytes: usize,
    outcome: failure::Result<Vec<Refused>>,
}

/// Work that is under way beside the reading.
enum Done {
    Sent(Acknowledged),
    Kept { journal: ScopeJournal, kept: Box<Mark>, outcome: failure::Result<()> },
}

/// The state after a page whose last document is in batch `sequence`.
struct Mark {
    sequence: u64,
    /// Every batch up to this one holds no document of a later page.
    covers: u64,
    progress: ScopeProgress,
    records: Records,
}

struct Run<'a> {
    parts: &'a Pipeline<'a>,
    batcher: Batcher,
    batch_since: Instant,
    /// Documents in the batch being filled that came after the last mark.
    tail: usize,
    work: JoinSet<Done>,
    sending: usize,
    bytes_in_flight: usize,
    /// The number of the batch being filled; the first is 1.
    filling: u64,
    /// Every batch up to this one is acknowledged.
    acknowledged: u64,
    /// Every batch up to this one is acknowledged and kept: it will never be sent again.
    kept: u64,
    /// Batches acknowledged out of turn: their bytes, and what was refused in them.
    early: BTreeMap<u64, (usize, Vec<Refused>)>,
    marks: VecDeque<Mark>,
    /// What is acknowledged and waits to be kept.
    ready: Option<Mark>,
    /// Absent while it is being written.
    journal: Option<ScopeJournal>,
    /// Whether the journal is written whatever there is.
    eager: bool,
    recorder: Recorder,
    /// Documents whose changes are kept; nothing until that matters.
    known_changes: Option<HashSet<u128>>,
    /// Documents whose changes this crawl has kept.
    our_changes: HashSet<u128>,
    /// Documents of this page whose kept changes have no object any more.
    overtaken: HashSet<u128>,
    suspicion: Suspicion,
    kinds: Kinds,
    /// Everything read so far.
    read: ScopeProgress,
    /// Batches and bytes that were acknowledged in turn, with those of earlier attempts.
    batches: u64,
    bytes: u64,
    /// What earlier attempts computed, in milliseconds.
    computed: u64,
}

impl Pipeline<'_> {
    /// Crawls to the end of the scope. On failure, what was acknowledged stands in the report.
    pub async fn run(
        &self,
        source: impl Source + 'static,
        start: ScopeProgress,
    ) -> Result<ScopeProgress> {
        let mut pages = Pages::read(source, self.page);
        let mut run = Run {
            parts: self,
            batcher: self.batcher(),
            batch_since: Instant::now(),
            tail: 0,
            work: JoinSet::new(),
            sending: 0,
            bytes_in_flight: 0,
            filling: 1,
            acknowledged: 0,
            kept: 0,
            early: BTreeMap::new(),
            marks: VecDeque::new(),
            ready: None,
            journal: self.journal.clone(),
            eager: false,
            recorder: Recorder::new(&start, self.journal.is_some()),
            known_changes: None,
            our_changes: HashSet::new(),
            overtaken: HashSet::new(),
            suspicion: Suspicion::new(*self.mode == Mode::Full),
            kinds: Kinds::default(),
            batches: start.batches,
            bytes: start.bytes,
            computed: start.cpu_ms,
            read: ScopeProgress { in_flight: 0, ..start },
        };
        if run.read.pages > 0 {
            run.know_changes().await?;
        }
        let ended = tokio::select! {
            ended = run.pump(&mut pages) => ended,
            () = self.cancel.cancelled() => Err(interrupted().into()),
        };
        if ended.is_err() {
            run.drain().await;
        }
        run.kinds.tell(&run.read.scope);
        ended?;
        Ok(self.report.borrow().clone())
    }

    fn batcher(&self) -> Batcher {
        let Window { batch_bytes, batch_documents, document_bytes, .. } = *self.window;
        // Outside a session Glean takes 600 documents a minute: smaller batches keep that even.
        let documents = match self.mode {
            Mode::Full => batch_documents,
            Mode::Incremental { .. } => batch_documents.min(100),
        };
        let Upload { datasource, upload_id, .. } = self.upload;
        Batcher::new(datasource, upload_id, batch_bytes, documents, document_bytes)
    }
}

/// Reads one page ahead: the source works while the page before is encoded.
struct Pages {
    pages: mpsc::Receiver<failure::Result<Page>>,
    reader: JoinHandle<()>,
}

impl Pages {
    fn read(mut source: impl Source + 'static, limits: PageLimits) -> Self {
        let (sender, pages) = mpsc::channel(1);
        let reader = tokio::spawn(async move {
            loop {
                let page = source.next(limits).await;
                let more =
                    page.as_ref().is_ok_and(|page| matches!(page.progress, Progress::More(_)));
                if sender.send(page).await.is_err() || !more {
                    return;
                }
            }
        });
        Self { pages, reader }
    }

    async fn next(&mut self) -> failure::Result<Page> {
        let page = self.pages.recv().await;
        page.unwrap_or_else(|| Err(Failure::internal("the source's reader ended without a word")))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // A guest that computes or waits is dropped where it is.
        self.reader.abort();
    }
}

impl Run<'_> {
    async fn pump(&mut self, pages: &mut Pages) -> Result<()> {
        loop {
            let page = match self.pull(pages).await? {
                Ok(page) => page,
                Err(failure) => {
                    // What was read before is not lost: it moves the checkpoint.
                    self.flush().await?;
                    return Err(Stopped::of_guest(failure));
                }
            };
            let more = self.take(page).await?;
            let old = self.batch_since.elapsed() > MAX_BATCH_AGE;
            if !more {
                return self.flush().await;
            }
            if old && let Some(batch) = self.batcher.take() {
                self.dispatch(batch).await?;
            }
            self.settle()?;
        }
    }

    /// Sends what is left, and waits until all of it is acknowledged and kept.
    async fn flush(&mut self) -> Result<()> {
        if let Some(batch) = self.batcher.take() {
            self.dispatch(batch).await?;
        }
        self.eager = true;
        self.settle()?;
        while !self.work.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    /// The next page or the source's failure, while work beside it is finished.
    async fn pull(&mut self, pages: &mut Pages) -> Result<failure::Result<Page>> {
        loop {
            tokio::select! {
                page = pages.next() => return Ok(page),
                Some(done) = self.work.join_next() => self.finished(done)?,
                () = tokio::time::sleep(MAX_UNKEPT), if self.ready.is_some() => self.keep(true),
            }
        }
    }

    /// Checks and batches a page's documents. Whether more pages follow.
    async fn take(&mut self, page: Page) -> Result<bool> {
        let Page { documents, deleted, access_changes, unreadable, progress } = page;
        self.read.pages += 1;
        self.recorder.page(self.read.pages);
        let changes = deleted.len() + access_changes.len() + unreadable.len();
        for found in unreadable {
            self.unreadable(&found);
        }
        for document in &documents {
            self.document(document).await?;
        }
        self.suspicion.page(&documents, changes, &progress).map_err(Stopped::Scope)?;
        self.apply_changes(&deleted, &access_changes).await?;
        self.parts.tolerance.check(&self.read).map_err(Stopped::Scope)?;
        let more = match progress {
            Progress::More(checkpoint) => {
                self.read.checkpoint = Some(checkpoint);
                true
            }
            Progress::Complete(bookmark) => {
                self.read.ending = Some(Ending::Complete { bookmark });
                false
            }
            Progress::Partial(reason) => {
                let reason = bounded(reason, 1_000);
                self.read.ending = Some(Ending::Partial { reason });
                false
            }
        };
        let usage = &self.parts.usage;
        self.read.memory = self.read.memory.max(usage.memory());
        let computed = u64::try_from(usage.cpu().as_millis()).unwrap_or(u64::MAX);
        self.read.cpu_ms = self.computed.saturating_add(computed);
        // The batch being filled holds this page's end; it may get documents of later pages.
        let sequence = if self.batcher.is_empty() { self.filling - 1 } else { self.filling };
        let covers = self.filling - 1;
        let records = self.recorder.take();
        self.marks.push_back(Mark { sequence, covers, progress: self.read.clone(), records });
        self.tail = 0;
        Ok(more)
    }

    async fn document(&mut self, document: &Document) -> Result<()> {
        let key = match document.id.as_str() {
            "" => self.nameless(Some(&document.view_url), document.title.as_deref()),
            id => ledger::key(id),
        };
        let broken = self.parts.rules.broken(document);
        let double = self.suspicion.document(key);
        if let Some(reason) = broken.or(double) {
            self.set_aside(document, key, &reason);
            return Ok(());
        }
        match self.batcher.push(document)? {
            Pushed::Fits => self.tail += 1,
            Pushed::Filled(batch) => {
                self.dispatch(batch).await?;
                self.tail = 1;
            }
            Pushed::TooLarge(size) => {
                let most = self.parts.window.document_bytes;
                let reason = format!("it has {size} bytes as JSON, and {most} is the most");
                self.set_aside(document, key, &reason);
                return Ok(());
            }
        }
        if self.our_changes.contains(&key) {
            self.overtaken.insert(key);
        }
        self.recorder.uploaded(document, key, self.batcher.last());
        self.read.documents += 1;
        if matches!(document.access, Access::Unknown) {
            self.read.access_unknown += 1;
        }
        Ok(())
    }

    /// The key of a document without an id: each has its own, and none has one of an id.
    fn nameless(&self, url: Option<&str>, title: Option<&str>) -> u128 {
        let text = match (url.filter(|url| !url.is_empty()), title) {
            (Some(url), _) => format!("\0{url}"),
            // Nothing tells it from others but where it stood.
            (None, title) => format!(
                "\0{}\0{}\0{}\0{}",
                self.read.scope,
                self.read.pages,
                self.read.nameless,
                title.unwrap_or_default()
            ),
        };
        ledger::key(&text)
    }

    fn set_aside(&mut self, document: &Document, key: u128, reason: &str) {
        self.quarantine(
            shown_id(&document.id, &document.view_url, document.title.as_deref()),
            reason,
        );
        self.recorder.set_aside(document, key, reason);
        self.read.nameless += u64::from(document.id.is_empty());
    }

    fn unreadable(&mut self, found: &Unreadable) {
        let url = found.view_url.as_deref();
        let key = match found.id.as_deref() {
            None | Some("") => self.nameless(url, None),
            Some(id) => ledger::key(id),
        };
        let id = found.id.as_deref().unwrap_or_default();
        let id = shown_id(id, url.unwrap_or_default(), None);
        self.quarantine(id, &found.reason);
        self.recorder.mark(key, id, "", State::Quarantined, &found.reason);
        // Which of Glean's documents it is cannot be known.
        self.read.nameless += u64::from(found.id.is_none());
    }

    fn quarantine(&mut self, id: &str, reason: &str) {
        self.kinds.add(id, reason);
        self.read.quarantine(id, reason);
    }

    /// Deletions and changes of access, which only incremental crawls report.
    async fn apply_changes(
        &mut self,
        deleted: &[DocumentRef],
        access_changes: &[AccessChange],
    ) -> Result<()> {
        if deleted.is_empty() && access_changes.is_empty() {
            return self.keep_changes(Vec::new()).await;
        }
        if *self.parts.mode == Mode::Full {
            return Err(Stopped::Scope(
                Failure::new(
                    Kind::Contract,
                    "the connector reports deletions or changes of access in a full crawl",
                )
                .next("mend the connector: a full crawl delivers what is there"),
            ));
        }
        // In order: a document that was added before it was deleted ends deleted.
        if let Some(batch) = self.batcher.take() {
            self.dispatch(batch).await?;
        }
        while self.sending > 0 {
            self.wait_for_one().await?;
        }
        let Some(keeper) = self.parts.changes else {
            return Err(Failure::internal("changes have nowhere to be kept").into());
        };
        if self.known_changes.is_none() {
            self.know_changes().await?;
        }
        let mut kept = Vec::new();
        for AccessChange { document, access } in access_changes {
            let change =
                keeper.change(&document.id, &document.object_type, changes::access(access)?);
            if self.change(change, &mut kept).await? {
                self.read.access_changes += 1;
            }
        }
        for document in deleted {
            let (id, kind) = (&document.id, &document.object_type);
            let change = keeper.change(id, kind, Want::Delete);
            if self.change(change, &mut kept).await? {
                self.recorder.mark(ledger::key(id), id, kind, State::Deleted, "");
                self.read.deleted += 1;
            }
        }
        self.keep_changes(kept).await
    }

    /// Whether a change passes. One that Glean refuses is kept, so that it neither holds up the others
    /// for ever nor is lost; and so is one that the end of an open session may undo.
    async fn change(&mut self, change: Change, kept: &mut Vec<Change>) -> Result<bool> {
        let Upload { client, datasource, .. } = self.parts.upload;
        let refused = match change.send(client, datasource).await {
            Ok(()) => None,
            Err(error) if error.is_refusal() => Some(bounded(error.to_string(), 300)),
            Err(error) => return Err(error.into()),
        };
        if let Some(reason) = &refused {
            let what = format!("its {}: {reason}", change.wanted());
            self.quarantine(&change.id, &what);
        }
        let passed = refused.is_none();
        if !passed || change.beside.is_some() {
            kept.push(Change { refused, ..change });
        } else if self.known_changes.as_ref().is_some_and(|known| known.contains(&change.key())) {
            self.overtaken.insert(change.key());
        }
        Ok(passed)
    }

    async fn know_changes(&mut self) -> Result<()> {
        if let Some(keeper) = self.parts.changes {
            let (known, ours) = keeper.kept().await?;
            self.our_changes.extend(ours);
            self.known_changes = Some(known);
        }
        Ok(())
    }

    /// Keeps a page's changes before its checkpoint moves on.
    async fn keep_changes(&mut self, kept: Vec<Change>) -> Result<()> {
        let Some(keeper) = self.parts.changes else { return Ok(()) };
        if kept.is_empty() && self.overtaken.is_empty() {
            return Ok(());
        }
        keeper.keep(&kept, &std::mem::take(&mut self.overtaken)).await?;
        self.our_changes.extend(kept.iter().map(Change::key));
        self.known_changes.get_or_insert_default().extend(kept.iter().map(Change::key));
        Ok(())
    }

    /// Sends a batch, as soon as the window has room.
    async fn dispatch(&mut self, batch: Batch) -> Result<()> {
        let sequence = self.filling;
        self.filling += 1;
        self.batch_since = Instant::now();
        if self.tail == 0
            && let Some(mark) = self.marks.back_mut()
        {
            mark.covers = sequence;
        }
        self.tail = 0;
        let upload = self.parts.upload.clone();
        let full = *self.parts.mode == Mode::Full;
        if full && !self.read.opened {
            // The first page of a session goes alone.
            let refused = upload.open(Some(&batch)).await?;
            self.read.opened = true;
            for mark in &mut self.marks {
                mark.progress.opened = true;
            }
            self.early.insert(sequence, (batch.bytes(), refused));
            return self.settle();
        }
        let bytes = batch.bytes();
        while self.is_full(sequence, bytes) {
            self.wait_for_one().await?;
        }
        self.sending += 1;
        self.bytes_in_flight += bytes;
        self.work.spawn(async move {
            let outcome = if full { upload.bulk(&batch).await } else { upload.index(&batch).await };
            let outcome = outcome.map_err(Failure::from);
            Done::Sent(Acknowledged { sequence, bytes, outcome })
        });
        self.parts.report.send_modify(|report| report.in_flight = len32(self.sending));
        Ok(())
    }

    /// Whether this batch has to wait. Where a page is larger than the window, so is the window.
    fn is_full(&self, sequence: u64, bytes: usize) -> bool {
        let Window { in_flight, batch_bytes, .. } = *self.parts.window;
        // Changes of one document must arrive in order.
        let in_flight = if *self.parts.mode == Mode::Full { in_flight } else { 1 };
        let unkept = sequence - 1 - self.kept.min(sequence - 1);
        self.sending >= in_flight
            || (self.sending > 0
                && self.bytes_in_flight + bytes > in_flight.saturating_mul(batch_bytes))
            || (!self.work.is_empty() && unkept >= in_flight as u64)
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
            Done::Sent(Acknowledged { sequence, bytes, outcome }) => {
                self.sending -= 1;
                self.bytes_in_flight -= bytes;
                self.early.insert(sequence, (bytes, outcome?));
            }
            Done::Kept { journal, kept, outcome } => {
                outcome?;
                self.journal = Some(journal);
                self.publish(*kept);
            }
        }
        self.settle()
    }

    /// Moves the frontier of acknowledged batches, and keeps what it passes.
    fn settle(&mut self) -> Result<()> {
        loop {
            while let Some(mark) =
                self.marks.pop_front_if(|mark| mark.sequence <= self.acknowledged)
            {
                self.passed_by(mark);
            }
            let next = self.acknowledged + 1;
            let Some((bytes, refused)) = self.early.remove(&next) else { break };
            self.acknowledged = next;
            self.batches += 1;
            self.bytes += bytes as u64;
            for document in refused {
                self.kinds.add(&document.id, &document.reason);
                self.recorder.refused(document);
            }
        }
        self.keep(self.eager);
        let read = self.recorder.with_refused(&self.read);
        self.parts.tolerance.check(&read).map_err(Stopped::Scope)
    }

    /// A page of which every document is acknowledged.
    fn passed_by(&mut self, mut mark: Mark) {
        self.recorder.settle(&mut mark.records, &mut mark.progress);
        mark.progress.batches = self.batches;
        mark.progress.bytes = self.bytes;
        self.ready = Some(match self.ready.take() {
            None => mark,
            Some(mut before) => {
                before.records.append(mark.records);
                Mark { records: before.records, ..mark }
            }
        });
    }

    /// Writes what is ready to the journal, one segment at a time, and not for each batch alone.
    fn keep(&mut self, now: bool) {
        let unkept = self.filling - 1 - self.kept.min(self.filling - 1);
        if !now && unkept * 2 < self.parts.window.in_flight as u64 {
            return;
        }
        if self.parts.journal.is_none() {
            if let Some(ready) = self.ready.take() {
                self.publish(ready);
            }
            return;
        }
        let Some(mut journal) = self.journal.take() else { return };
        let Some(kept) = self.ready.take() else {
            self.journal = Some(journal);
            return;
        };
        self.work.spawn(async move {
            let outcome = journal.commit(kept.records.bytes(), &kept.progress).await;
            Done::Kept { journal, kept: Box::new(kept), outcome }
        });
    }

    fn publish(&mut self, kept: Mark) {
        let Mark { covers, mut progress, .. } = kept;
        self.kept = covers;
        progress.in_flight = len32(self.sending);
        self.parts.report.send_replace(progress);
    }

    /// Lets work under way finish, so that its checkpoints are not lost.
    async fn drain(&mut self) {
        self.eager = true;
        self.keep(true);
        let client = self.parts.upload.client.clone();
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

/// What a document that is set aside is listed as.
pub(super) fn shown_id<'a>(id: &'a str, url: &'a str, title: Option<&'a str>) -> &'a str {
    [id, url, title.unwrap_or_default()].into_iter().find(|text| !text.is_empty()).unwrap_or("?")
}

fn len32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

pub(super) fn interrupted() -> Failure {
    Failure::new(Kind::Interrupted, "the crawl was interrupted")
        .next("run it again: it goes on from its checkpoint")
}
