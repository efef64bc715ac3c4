//! What a crawl under way has done, so that another process can go on with it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use bytes::Bytes;

use super::record::Record;
use crate::crawl::ScopeProgress;
use crate::crawl::memory::now;
use crate::failure::{Failure, Kind, Result};
use crate::store::Store;

/// One crawl's journal.
#[derive(Clone, Debug)]
pub struct Journal {
    store: Store,
    folder: String,
}

/// The journal of one scope of it. Only one process at a time writes it: a number is given once, and
/// whoever comes second with one has been replaced.
#[derive(Clone, Debug)]
pub struct ScopeJournal {
    store: Store,
    folder: String,
    next: u64,
}

impl Journal {
    /// `place` is the connection's.
    pub fn new(store: &Store, place: &str, upload_id: &str) -> Self {
        Self { store: store.clone(), folder: format!("{place}/crawls/{upload_id}") }
    }

    /// The crawls of a connection that have a journal: their upload ids.
    pub async fn all(store: &Store, place: &str) -> Result<Vec<String>> {
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

    /// What was said at its beginning.
    pub async fn begun<T: for<'de> Deserialize<'de>>(&self) -> Result<Option<T>> {
        let name = format!("{}/plan.json", self.folder);
        let Some(bytes) = self.store.get(&name).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.damaged(&name, &error))
    }

    pub async fn begin(&self, plan: &impl Serialize) -> Result<()> {
        let name = format!("{}/plan.json", self.folder);
        let text = serde_json::to_vec(plan).map_err(|error| self.damaged(&name, &error))?;
        self.store.put(&name, text).await
    }

    fn damaged(&self, name: &str, error: &dyn std::fmt::Display) -> Failure {
        damaged(&self.store, name, error)
    }

    /// Says that the crawl is alive until then, in seconds since 1970.
    pub async fn live(&self, lease: &Lease) -> Result<()> {
        let name = format!("{}/lease.json", self.folder);
        let text = serde_json::to_vec(lease).map_err(|error| self.damaged(&name, &error))?;
        self.store.put(&name, text).await
    }

    pub async fn lease(&self) -> Result<Option<Lease>> {
        let name = format!("{}/lease.json", self.folder);
        let Some(bytes) = self.store.get(&name).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.damaged(&name, &error))
    }

    pub async fn end_lease(&self) -> Result<()> {
        self.store.remove(&format!("{}/lease.json", self.folder)).await
    }

    /// A scope's journal, and how far it is.
    pub async fn scope(&self, scope: &str) -> Result<(ScopeJournal, Option<ScopeProgress>)> {
        let folder = format!("{}/scopes/{:016x}", self.folder, xxh3_64(scope.as_bytes()));
        let segments = self.store.list(&folder).await?;
        let next = segments.len() as u64;
        let progress = match segments.last() {
            None => None,
            Some(last) => Some(self.read(&last.name).await?.0),
        };
        Ok((ScopeJournal { store: self.store.clone(), folder, next }, progress))
    }

    /// The names of all segments, in the order in which each scope wrote them.
    pub async fn segments(&self) -> Result<Vec<String>> {
        let kept = self.store.list(&format!("{}/scopes", self.folder)).await?;
        Ok(kept.into_iter().map(|kept| kept.name).collect())
    }

    /// A segment: the progress behind it, and its records.
    pub async fn read(&self, segment: &str) -> Result<(ScopeProgress, Bytes)> {
        let gone = || self.damaged(segment, &"it is not there any more");
        let mut bytes = self.store.get(segment).await?.ok_or_else(gone)?;
        let short = || self.damaged(segment, &"it is too short");
        if bytes.len() < 4 {
            return Err(short());
        }
        let head = bytes.split_to(4);
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if bytes.len() < length {
            return Err(short());
        }
        let progress = bytes.split_to(length);
        let progress =
            serde_json::from_slice(&progress).map_err(|error| self.damaged(segment, &error))?;
        Ok((progress, bytes))
    }

    /// Each record of a segment.
    pub fn records(&self, segment: &str, mut bytes: Bytes) -> impl Iterator<Item = Result<Record>> {
        std::iter::from_fn(move || {
            (!bytes.is_empty()).then(|| {
                Record::take(&mut bytes).map_err(|_| {
                    bytes.clear();
                    self.damaged(segment, &"a record in it cannot be read")
                })
            })
        })
    }

    pub async fn remove(&self) -> Result<()> {
        self.store.remove_all(&self.folder).await
    }
}

impl ScopeJournal {
    /// Keeps records, and the progress behind them. Only now may the progress be believed.
    pub async fn commit(&mut self, records: &[u8], progress: &ScopeProgress) -> Result<()> {
        let name = format!("{}/{:010}", self.folder, self.next);
        let json =
            serde_json::to_vec(progress).map_err(|error| damaged(&self.store, &name, &error))?;
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
        let mut segment = Vec::with_capacity(4 + json.len() + records.len());
        segment.extend_from_slice(&length.to_be_bytes());
        segment.extend_from_slice(&json);
        segment.extend_from_slice(records);
        if !self.store.create(&name, segment).await? {
            return Err(Failure::new(
                Kind::Busy,
                "another process has taken over this part of the crawl",
            )
            .at(self.store.place(&name))
            .next("nothing: it goes on there"));
        }
        self.next += 1;
        Ok(())
    }
}

/// Who is at work on a crawl.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// For people: `workflow sheaf-docs, run …` or `process 4711`.
    pub by: String,
    /// The machine; the lock files of one keep its processes apart.
    #[serde(default)]
    pub host: String,
    /// Temporal keeps its own crawls apart; only others have to look.
    pub temporal: bool,
    /// Seconds since 1970 after which it is not believed any more.
    pub until: u64,
}

impl Lease {
    /// Temporal keeps its own crawls apart. They are believed for as long as another worker may take
    /// to notice and take over.
    pub fn new(by: &str, temporal: bool) -> Self {
        let lasts = if temporal { TAKE_OVER } else { Duration::from_secs(30) };
        let until = now() + lasts.as_secs();
        Self { by: by.to_owned(), host: host_name(), temporal, until }
    }

    /// Whether somebody else is at work, whom nothing but this keeps apart from us.
    pub fn excludes(&self, temporal: bool) -> bool {
        let apart = if self.temporal { temporal } else { !temporal && self.host == host_name() };
        !apart && self.until > now()
    }
}

/// Longer than the usual pauses between two attempts of an activity.
pub const TAKE_OVER: Duration = Duration::from_secs(360);

pub fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname")
        .map_or_else(|_| "localhost".into(), |name| name.trim().to_owned())
}

fn damaged(store: &Store, name: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::settings(format!("a crawl's journal is damaged: {error}"))
        .at(store.place(name))
        .next("remove the crawl's folder there; the next full crawl begins anew")
}
