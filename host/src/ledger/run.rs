//! Sorted records in the store: one run a crawl, the newer ones over the older.

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use object_store::buffered::BufWriter;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use xxhash_rust::xxh3::Xxh3;

use super::error::{Error, Result};
use super::record::{Entry, Record, State, Unread};
use crate::audience::Audience;
use crate::failure::{self, Failure};
use crate::store::Store;

/// A run, as the connection's state names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The name in the store.
    pub name: String,
    pub records: u64,
    /// Of its bytes; earlier versions kept none.
    #[serde(default)]
    pub hash: Option<u64>,
}

/// What is read of a run at once.
const READ: u64 = 256 << 10;
/// What is read at once of all runs in a bucket together, where each part is a request.
const READ_FAR: u64 = 8 << 20;
const MOST_FAR: u64 = 2 << 20;
const WRITE: usize = 256 << 10;

pub struct RunWriter {
    writer: BufWriter,
    name: String,
    place: String,
    buffer: Vec<u8>,
    records: u64,
    hash: Xxh3,
}

impl RunWriter {
    pub fn new(store: &Store, name: String) -> Self {
        let writer = store.writer(&name);
        let place = store.place(&name);
        Self {
            writer,
            name,
            place,
            buffer: Vec::with_capacity(WRITE),
            records: 0,
            hash: Xxh3::new(),
        }
    }

    pub async fn push(&mut self, record: &[u8]) -> failure::Result<()> {
        self.buffer.extend_from_slice(record);
        self.records += 1;
        if self.buffer.len() >= WRITE {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> failure::Result<()> {
        self.hash.update(&self.buffer);
        let written = self.writer.write_all(&self.buffer).await;
        self.buffer.clear();
        written.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::internal(format!("the ledger cannot be written: {error}"))
            .at(self.place.clone())
            .next("see that the store can be reached and has room")
    }

    pub async fn finish(mut self) -> failure::Result<Run> {
        self.flush().await?;
        let closed = self.writer.shutdown().await;
        closed.map_err(|error| self.failed(&error))?;
        Ok(Run { name: self.name, records: self.records, hash: Some(self.hash.digest()) })
    }
}

struct RunReader {
    store: Store,
    name: String,
    size: u64,
    at: u64,
    /// How much is read at once.
    read: u64,
    buffer: Bytes,
    wanted: Option<u64>,
    hash: Xxh3,
}

impl RunReader {
    async fn open(store: &Store, run: &Run, read: u64) -> Result<Self> {
        let gone = || damaged(store, &run.name, "a part of the ledger is not there");
        let size = store.size(&run.name).await?.ok_or_else(gone)?;
        let (store, name) = (store.clone(), run.name.clone());
        let (buffer, hash) = (Bytes::new(), Xxh3::new());
        Ok(Self { store, name, size, at: 0, read, buffer, wanted: run.hash, hash })
    }

    async fn next(&mut self) -> Result<Option<Record>> {
        loop {
            match Record::take(&mut self.buffer) {
                Ok(record) => return Ok(Some(record)),
                Err(Unread::Short) if self.at < self.size => {
                    let to = (self.at + self.read).min(self.size);
                    let more = self.store.part(&self.name, self.at, to).await?;
                    self.at = to;
                    self.hash.update(&more);
                    if self.buffer.is_empty() {
                        self.buffer = more;
                    } else {
                        let mut joined = BytesMut::with_capacity(self.buffer.len() + more.len());
                        joined.extend_from_slice(&self.buffer);
                        joined.extend_from_slice(&more);
                        self.buffer = joined.freeze();
                    }
                }
                Err(Unread::Short)
                    if self.buffer.is_empty()
                        && self.wanted.is_none_or(|wanted| wanted == self.hash.digest()) =>
                {
                    return Ok(None);
                }
                Err(_) => {
                    let why = "a part of the ledger cannot be read";
                    return Err(damaged(&self.store, &self.name, why));
                }
            }
        }
    }
}

fn damaged(store: &Store, name: &str, why: &str) -> Error {
    Error::Damaged { name: name.to_owned(), place: store.place(name), why: why.to_owned() }
}

/// Several runs read as one.
pub struct Merged {
    readers: Vec<RunReader>,
    heads: Vec<Option<Record>>,
}

/// A document as the runs together know it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The newest record of the document itself.
    pub record: Record,
    /// Whether Glean has it, in whatever version.
    pub in_glean: bool,
    /// Who may find the version that Glean has.
    pub audience: Audience,
}

impl Known {
    /// What is known once a newer record is read.
    pub fn after(before: Option<&Self>, record: Record) -> Self {
        let in_glean = record.state().is_in_glean(before.is_some_and(|before| before.in_glean));
        let audience = record.entry().audience;
        match (record.state(), before) {
            (State::Access, Some(before)) => before.for_others(audience),
            // A change of access beside it may have said who finds the older version now.
            (State::Quarantined, Some(before)) if !audience.is_known() => {
                Self { record, in_glean, audience: before.audience }
            }
            (State::Deleted, _) => Self { record, in_glean, audience: Audience::NONE },
            _ => Self { record, in_glean, audience },
        }
    }

    fn for_others(&self, audience: Audience) -> Self {
        let record = &self.record;
        let record = match record.state() {
            // It is not there for anybody.
            State::Deleted => return self.clone(),
            State::Quarantined => record.clone(),
            State::Uploaded | State::Outdated | State::Access => record.with_audience(audience),
        };
        Self { record, audience, in_glean: self.in_glean }
    }
}

impl Merged {
    /// The oldest run first.
    pub async fn open(store: &Store, runs: &[Run]) -> Result<Self> {
        let read = if store.is_bucket() {
            (READ_FAR / (runs.len() as u64).max(1)).clamp(READ, MOST_FAR)
        } else {
            READ
        };
        let mut asked: Vec<BoxFuture<'_, Result<_>>> = Vec::new();
        for run in runs {
            asked.push(Box::pin(async move {
                let mut reader = RunReader::open(store, run, read).await?;
                let head = reader.next().await?;
                Ok((reader, head))
            }));
        }
        let opened = store.each(asked).await?;
        let (readers, heads) = opened.into_iter().unzip();
        Ok(Self { readers, heads })
    }

    pub async fn next(&mut self) -> Result<Option<Known>> {
        if let ([head], [reader]) = (&mut *self.heads, &mut *self.readers) {
            // The usual case, and the fast one.
            let Some(record) = head.take() else { return Ok(None) };
            *head = reader.next().await?;
            return Ok(Some(Known::after(None, record)));
        }
        let Some(least) = self.heads.iter().flatten().map(Record::key).min() else {
            return Ok(None);
        };
        let mut records = Vec::new();
        for (head, reader) in self.heads.iter_mut().zip(&mut self.readers) {
            if head.as_ref().is_none_or(|record| record.key() != least) {
                continue;
            }
            let Some(record) = std::mem::replace(head, reader.next().await?) else { continue };
            records.push(record);
        }
        // A full crawl that stopped and was resumed saw some documents before and some after the
        // incremental crawls in between.
        records.sort_by_key(Record::at);
        let mut known: Option<Known> = None;
        for record in records {
            known = Some(Known::after(known.as_ref(), record));
        }
        Ok(known)
    }
}

/// Writes several runs as one, without what is deleted.
pub async fn compact(store: &Store, runs: &[Run], name: String) -> Result<Run> {
    let mut merged = Merged::open(store, runs).await?;
    let mut writer = RunWriter::new(store, name);
    let mut buffer = Vec::new();
    while let Some(Known { record, in_glean, audience }) = merged.next().await? {
        match (record.state(), in_glean) {
            (State::Deleted, _) | (State::Access, false) => {}
            (State::Quarantined, true) => {
                buffer.clear();
                Entry { state: State::Outdated, audience, ..record.entry() }.write(&mut buffer);
                writer.push(&buffer).await?;
            }
            _ => writer.push(record.bytes()).await?,
        }
    }
    Ok(writer.finish().await?)
}
