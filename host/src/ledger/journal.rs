//! What a crawl under way has done, so that another process can resume it.
//!
//! What a frame's head says of a scope is the crawl's own: `H` here.

use std::collections::HashSet;
use std::marker::PhantomData;
use std::ops::Range;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

use super::error::{Error, Result};
use super::frame::{self, Head, Layout};
use super::record::Record;
use crate::failure::{self, Failure, Kind};
use crate::store::{Kept, Log, Store};

/// One crawl's journal.
#[derive(Clone, Debug)]
pub struct Journal<H> {
    store: Store,
    folder: String,
    head: PhantomData<fn() -> H>,
}

/// The journal of one scope of it. Only one process at a time writes it: an object's number is given
/// once, and whoever comes second with one has been replaced.
#[derive(Clone, Debug)]
pub struct ScopeJournal {
    store: Store,
    folder: String,
    next: u64,
    /// How many bytes of the object before the next one count.
    before: u64,
    /// In a folder, what follows is appended; a bucket gets an object for each commit.
    log: Option<Log>,
}

/// The crawls of a connection that have a journal: their upload ids. `place` is the connection's.
pub async fn journals(store: &Store, place: &str) -> failure::Result<Vec<String>> {
    let below = format!("{place}/crawls");
    let mut found: Vec<String> = store
        .list(&below)
        .await?
        .into_iter()
        .filter_map(|kept| {
            let rest = kept.name.strip_prefix(&below)?.trim_start_matches('/');
            rest.split('/').next().map(str::to_owned)
        })
        .collect();
    found.dedup();
    Ok(found)
}

impl<H: Serialize + DeserializeOwned + Default + Send> Journal<H> {
    /// `place` is the connection's.
    pub fn new(store: &Store, place: &str, upload_id: &str) -> Self {
        let folder = format!("{place}/crawls/{upload_id}");
        Self { store: store.clone(), folder, head: PhantomData }
    }

    /// What was said at its beginning.
    pub async fn begun<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let name = format!("{}/plan.json", self.folder);
        let Some(bytes) = self.store.get(&name).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.damaged(&name, &error))
    }

    pub async fn begin(&self, plan: &impl Serialize) -> failure::Result<()> {
        self.put("plan.json", plan).await
    }

    async fn put(&self, name: &str, value: &impl Serialize) -> failure::Result<()> {
        let name = format!("{}/{name}", self.folder);
        let text = serde_json::to_vec(value).map_err(|error| unwritten(&error))?;
        self.store.put(&name, text).await
    }

    fn damaged(&self, name: &str, error: &dyn std::fmt::Display) -> Error {
        let why = format!("a crawl's journal cannot be read: {error}");
        Error::Damaged { name: name.to_owned(), place: self.store.place(name), why }
    }

    /// A scope's journal, and how far it is.
    pub async fn scope(&self, scope: &str) -> Result<(ScopeJournal, Option<H>)> {
        let folder = self.folder_of(scope);
        let mut head = None;
        let mut frames = self.frames(&folder).await?;
        while let Some(frame) = frames.next(false).await? {
            head = Some(frame.head);
        }
        let journal = ScopeJournal {
            store: self.store.clone(),
            folder,
            next: frames.objects.len() as u64,
            before: frames.at,
            log: None,
        };
        Ok((journal, head))
    }

    /// How far a scope's journal is, where each of its records can be read, too.
    pub async fn whole(&self, scope: &str) -> Result<Option<H>> {
        let mut head = None;
        let mut frames = self.frames(&self.folder_of(scope)).await?;
        while let Some(frame) = frames.next(true).await? {
            head = Some(frame.head);
        }
        Ok(head)
    }

    fn folder_of(&self, scope: &str) -> String {
        format!("{}/scopes/{:016x}", self.folder, xxh3_64(scope.as_bytes()))
    }

    /// Where what is kept of scopes that failed lies.
    pub async fn failed_scopes(&self) -> failure::Result<HashSet<String>> {
        let kept = self.store.list(&format!("{}/failed", self.folder)).await?;
        Ok(kept.into_iter().map(|kept| kept.name).collect())
    }

    /// What is kept of one of them, if it is among those that are `kept`. Where it cannot be read, the
    /// scope is tried again.
    pub async fn failed_scope<T: DeserializeOwned>(
        &self,
        kept: &HashSet<String>,
        scope: &str,
    ) -> failure::Result<Option<T>> {
        let name = format!("{}/{}", self.folder, failed_as(scope));
        if !kept.contains(&name) {
            return Ok(None);
        }
        let bytes = self.store.get(&name).await?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).ok())
    }

    pub async fn keep_failed_scope(
        &self,
        scope: &str,
        failed: &impl Serialize,
    ) -> failure::Result<()> {
        self.put(&failed_as(scope), failed).await
    }

    /// The folders of all scopes.
    pub async fn scopes(&self) -> Result<Vec<String>> {
        let kept = self.store.list(&format!("{}/scopes", self.folder)).await?;
        let mut folders: Vec<String> = kept
            .iter()
            .filter_map(|kept| kept.name.rsplit_once('/').map(|(folder, _)| folder.to_owned()))
            .collect();
        folders.dedup();
        Ok(folders)
    }

    /// What one scope's journal holds, in order.
    pub async fn frames(&self, folder: &str) -> Result<Frames<'_, H>> {
        let kept = self.store.list(folder).await?;
        let mut asked: Vec<BoxFuture<'_, Result<_>>> = Vec::new();
        for kept in kept.iter().skip(1) {
            asked.push(Box::pin(self.head(&kept.name, 0, kept.bytes)));
        }
        let mut firsts = self.store.each(asked).await?.into_iter();
        let mut objects: Vec<Object<H>> = Vec::with_capacity(kept.len());
        for Kept { name, bytes, .. } in kept {
            let mut first = None;
            // Where a process resumes after another, it says how much of the other's it has seen:
            // what that one may still write is sent again, and must not count twice.
            if let Some(before) = objects.last_mut() {
                let Some((head, layout)) = firsts.next().flatten() else {
                    return Err(self.damaged(&name, &"its first frame is not whole"));
                };
                if before.end < head.before {
                    return Err(self.damaged(&before.name, &"it is shorter than it was"));
                }
                before.end = head.before;
                first = Some((head, layout));
            }
            objects.push(Object { name, end: bytes, first });
        }
        let folder = folder.to_owned();
        Ok(Frames { journal: self, folder, objects, current: 0, at: 0 })
    }

    /// What a frame says, and where its parts lie; nothing where the frame is not whole, because its
    /// writer was killed.
    async fn head(&self, name: &str, at: u64, end: u64) -> Result<Option<(Head<H>, Layout)>> {
        let Some(start) = Layout::start(at, end) else { return Ok(None) };
        // Most heads are short: in a bucket what follows is got with the lengths.
        let ahead = if self.store.is_bucket() { AHEAD } else { 0 };
        let read = self.store.part(name, start.start, (start.end + ahead).min(end)).await?;
        let Some(layout) = Layout::read(&read, at, end) else { return Ok(None) };
        let within = |place: u64| usize::try_from(place - at).unwrap_or(usize::MAX);
        let json = match read.get(within(layout.head.start)..within(layout.head.end)) {
            Some(_) => read.slice(within(layout.head.start)..within(layout.head.end)),
            None => self.store.part(name, layout.head.start, layout.head.end).await?,
        };
        let head = Head::read(&json).map_err(|error| self.damaged(name, &error))?;
        Ok(Some((head, layout)))
    }

    pub async fn remove(&self) -> failure::Result<()> {
        self.store.remove_all(&self.folder).await
    }
}

/// What is read of a bucket behind a frame's lengths.
const AHEAD: u64 = 8 << 10;

/// An object of a scope's journal, and how much of it counts.
struct Object<H> {
    name: String,
    end: u64,
    /// Its first frame, where that was read already.
    first: Option<(Head<H>, Layout)>,
}

/// What is kept of a scope at one moment, and the records before it.
pub struct Frame<H> {
    pub head: H,
    /// Only where they were asked for.
    pub records: Bytes,
}

/// Reads a scope's journal, a frame at a time.
pub struct Frames<'a, H> {
    journal: &'a Journal<H>,
    folder: String,
    objects: Vec<Object<H>>,
    current: usize,
    at: u64,
}

impl<H: Serialize + DeserializeOwned + Default + Send> Frames<'_, H> {
    pub async fn next(&mut self, with_records: bool) -> Result<Option<Frame<H>>> {
        let objects = self.objects.len();
        while let Some(Object { name, end, first }) = self.objects.get_mut(self.current) {
            // How much of it counts was not known yet.
            let first = first.take().filter(|(_, layout)| layout.end() <= *end);
            let frame = match first {
                Some(frame) => Some(frame),
                None => self.journal.head(name, self.at, *end).await?,
            };
            if let Some((head, layout)) = frame {
                let Range { start, end } = layout.records.clone();
                let records = if with_records && start < end {
                    self.journal.store.part(name, start, end).await?
                } else {
                    Bytes::new()
                };
                if with_records && !layout.has_written(&records) {
                    return Err(self.journal.damaged(name, &"records in it are not as written"));
                }
                self.at = layout.end();
                return Ok(Some(Frame { head: head.progress, records }));
            }
            if self.current + 1 == objects {
                // What follows `at` in the last object is not whole, and counts for nobody.
                return Ok(None);
            }
            // Whoever resumes after a killed writer says where its last whole frame ends.
            if self.at != *end {
                return Err(self.journal.damaged(name, &"a frame in it is not whole"));
            }
            self.current += 1;
            self.at = 0;
        }
        Ok(None)
    }

    /// The records of the next frame, each.
    pub fn records(&self, frame: Frame<H>) -> impl Iterator<Item = Result<Record>> {
        let mut bytes = frame.records;
        std::iter::from_fn(move || {
            (!bytes.is_empty()).then(|| {
                Record::take(&mut bytes).map_err(|_| {
                    bytes.clear();
                    self.journal.damaged(&self.folder, &"a record in it cannot be read")
                })
            })
        })
    }
}

impl ScopeJournal {
    /// Whether each commit is a request.
    pub fn is_in_bucket(&self) -> bool {
        self.store.is_bucket()
    }

    /// Keeps records, and what is said of the scope behind them. Only now may that be believed.
    pub async fn commit(&mut self, records: &[u8], head: &impl Serialize) -> failure::Result<()> {
        let name = format!("{}/{:010}", self.folder, self.next);
        let head = Head { progress: head, before: self.before };
        let frame = frame::written(&head, records).map_err(|error| unwritten(&error))?;
        let length = frame.len() as u64;
        if let Some(log) = &self.log {
            log.append(frame).await?;
            return Ok(());
        }
        if !self.store.create(&name, frame).await? {
            return Err(Failure::new(
                Kind::TakenOver,
                "another process has taken over this part of the crawl",
            )
            .at(self.store.place(&name))
            .next("nothing: it goes on there"));
        }
        self.log = self.store.log(&name)?;
        self.next += 1;
        self.before = length;
        Ok(())
    }
}

fn unwritten(error: &dyn std::fmt::Display) -> Failure {
    Failure::internal(format!("a crawl's journal is no JSON: {error}"))
}

fn failed_as(scope: &str) -> String {
    format!("failed/{:016x}.json", xxh3_64(scope.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Location;

    async fn checkpoint(journal: &Journal<String>) -> (ScopeJournal, Option<String>) {
        journal.scope("all").await.expect("a scope")
    }

    #[tokio::test]
    async fn what_a_killed_writer_left_half_written_counts_for_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Location::Folder(folder.path().to_owned())).expect("a store");
        let journal = Journal::new(&store, "place", "upload");
        let (mut first, none) = checkpoint(&journal).await;
        assert_eq!(none, None);
        first.commit(b"", &"1").await.expect("kept");
        first.commit(b"", &"2").await.expect("kept");
        // Killed in the middle of its next frame.
        let log = first.log.clone().expect("a file");
        log.append(vec![0, 0, 0, 9, 0, 0]).await.expect("written");
        let (mut second, found) = checkpoint(&journal).await;
        assert_eq!(found.as_deref(), Some("2"));
        second.commit(b"", &"3").await.expect("kept");
        // It was not dead, but only slow: what it says now comes too late.
        first.commit(b"", &"2a").await.expect("nobody hinders it");
        second.commit(b"", &"4").await.expect("kept");
        let mut frames = journal.frames(&second.folder).await.expect("frames");
        let mut seen = Vec::new();
        while let Some(frame) = frames.next(true).await.expect("a frame") {
            seen.push(frame.head);
        }
        assert_eq!(seen, ["1", "2", "3", "4"]);
        // Two who begin at the same place: one is told.
        let ((mut one, _), (mut other, _)) =
            (checkpoint(&journal).await, checkpoint(&journal).await);
        one.commit(b"", &"5").await.expect("kept");
        let late = other.commit(b"", &"5").await.expect_err("taken over");
        assert_eq!(late.kind, Kind::TakenOver);
    }

    #[tokio::test]
    async fn an_object_that_lost_its_end_is_damaged_and_takes_no_other_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Location::Folder(folder.path().to_owned())).expect("a store");
        let journal = Journal::new(&store, "place", "upload");
        let (mut first, _) = checkpoint(&journal).await;
        first.commit(b"", &"1").await.expect("kept");
        let whole = first.before;
        first.commit(b"", &"2").await.expect("kept");
        for head in ["3", "4"] {
            let (mut next, _) = checkpoint(&journal).await;
            next.commit(b"", &head).await.expect("kept");
        }
        // At the end of a frame, so that what is left looks whole; and all of it.
        for (number, left) in [(0, whole), (1, 0), (1, 3), (2, 0)] {
            let name = format!("{}/{number:010}", first.folder);
            let before = store.get(&name).await.expect("read").expect("an object");
            let cut = usize::try_from(left).expect("short");
            store.put(&name, before.slice(..cut)).await.expect("cut");
            match journal.scope("all").await.map(|(_, head)| head) {
                Err(Error::Damaged { name: damaged, .. }) => assert_eq!(damaged, name, "{left}"),
                other => panic!("{number} with {left} bytes: {other:?}"),
            }
            store.put(&name, before).await.expect("restored");
        }
        assert_eq!(checkpoint(&journal).await.1.as_deref(), Some("4"));
    }
}
