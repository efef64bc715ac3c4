//! Changes of single documents that are not done yet: deletions and changes of access that Glean has
//! refused, and those that the end of a session may undo.
//!
//! An incremental crawl reports a deletion, or that somebody may no longer see a document, once: its
//! bookmark moves on. So a change that Glean refuses is kept here by name, with what was wanted, and
//! tried again by each later crawl before it reads anything: whatever that crawl then brings is newer. It
//! is kept until it passes, until a crawl brings the document anew, or until the document is gone. A full
//! crawl that is complete ends it in either way.
//!
//! While a full crawl's session is open (held, or stopped and not yet resumed), a change that passes is
//! kept too. The session contains the document as it was, and Glean does not document what its end does
//! to what was changed in between: in the worst case a deleted document is there again, and a document is
//! open again for whoever might see it before. Documents can be sent to the session as well; deletions
//! and changes of access cannot, so they are done once more after its end.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::closing::PAUSED;
use super::memory::{Memories, Memory};
use super::plan::{CrawlResult, Plan};
use super::progress::Outcome;
use super::steps::Crawler;
use crate::clock::Timestamp;
use crate::document::Access;
use crate::document::key;
use crate::failure::{Failure, Result};
use crate::glean::wire::Permissions;
use crate::glean::{self, Client};
use crate::ledger::run::{Known, Merged, Run, RunWriter};
use crate::ledger::{Entry, State};
use crate::text::{bounded, count};

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub id: String,
    pub object_type: String,
    pub want: Want,
    /// Why Glean refused it last; nothing where it passed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<String>,
    /// The session that was open meanwhile: after its end the change is done once more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub beside: Option<String>,
    /// The crawl that reported it.
    pub upload_id: String,
    pub since: Timestamp,
    pub attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Delete,
    /// The permissions, as Glean takes them.
    Access(Value),
}

/// Refused changes that a result names.
const NAMED: usize = 3;

impl Change {
    pub fn key(&self) -> u128 {
        key(&self.id)
    }

    /// What was wanted, for people.
    pub fn wanted(&self) -> &'static str {
        match &self.want {
            Want::Delete => "deletion",
            Want::Access(_) => "change of access",
        }
    }

    pub(super) async fn send(&self, client: &Client, datasource: &str) -> Result<(), glean::Error> {
        let Self { id, object_type, .. } = self;
        match &self.want {
            Want::Delete => client.delete_document(datasource, object_type, id).await,
            Want::Access(access) => {
                client.update_permissions(datasource, object_type, id, access).await
            }
        }
    }

    fn refused(&self, error: &glean::Error) -> Self {
        let reason = bounded(error.to_string(), 300);
        Self { refused: Some(reason), attempts: self.attempts + 1, ..self.clone() }
    }
}

/// Changes that are kept, as a crawl's scope sees them.
#[derive(Clone, Debug)]
pub struct KeptChanges {
    memories: Memories,
    connection: String,
    upload_id: String,
    beside: Option<String>,
}

impl KeptChanges {
    pub fn new(memories: &Memories, plan: &Plan) -> Self {
        Self {
            memories: memories.clone(),
            connection: plan.connection.clone(),
            upload_id: plan.upload_id.clone(),
            beside: plan.beside.clone(),
        }
    }

    /// The documents whose changes are kept now, and those among them that this crawl kept.
    pub async fn known(&self) -> Result<(HashSet<u128>, HashSet<u128>)> {
        let memory = self.memories.of(&self.connection).await?;
        let ours = memory.changes.iter().filter(|change| change.upload_id == self.upload_id);
        Ok((memory.changes.iter().map(Change::key).collect(), ours.map(Change::key).collect()))
    }

    pub fn change(&self, id: &str, object_type: &str, want: Want) -> Change {
        Change {
            id: id.to_owned(),
            object_type: object_type.to_owned(),
            want,
            refused: None,
            beside: self.beside.clone(),
            upload_id: self.upload_id.clone(),
            since: Timestamp::now(),
            attempts: 1,
        }
    }

    /// Keeps changes, and forgets those of documents that were changed since.
    pub async fn keep(&self, changes: &[Change], over: &HashSet<u128>) -> Result<()> {
        let keys: HashSet<u128> = changes.iter().map(Change::key).collect();
        self.memories
            .update(&self.connection, |memory| {
                memory.changes.retain(|kept| {
                    let key = kept.key();
                    !keys.contains(&key) && !over.contains(&key)
                });
                memory.changes.extend(changes.iter().cloned());
            })
            .await
            .map(drop)
    }
}

/// What a crawl's result says of changes that are still refused.
pub fn told(mut result: CrawlResult, memory: &Memory) -> CrawlResult {
    let refused: Vec<_> = refused(memory).collect();
    if refused.is_empty() || !matches!(result.outcome, Outcome::Complete | Outcome::Partial) {
        return result;
    }
    result.outcome = Outcome::Partial;
    let named = refused.iter().take(NAMED).map(|change| {
        let reason = change.refused.as_deref().unwrap_or_default();
        format!("{} of `{}` ({reason})", change.wanted(), change.id)
    });
    let said = format!(
        "Glean refused {}, which each crawl tries again: {}",
        count(refused.len() as u64, "change"),
        named.collect::<Vec<_>>().join("; ")
    );
    result.reason = Some(match result.reason {
        Some(reason) => format!("{reason}; {said}"),
        None => said,
    });
    result
}

/// Changes that Glean refuses.
pub fn refused(memory: &Memory) -> impl Iterator<Item = &Change> {
    memory.changes.iter().filter(|change| change.refused.is_some())
}

/// What became of changes that were sent again.
#[derive(Default)]
pub(super) struct Sent {
    pub passed: Vec<Change>,
    /// As they were, and as they are now.
    pub refused: Vec<(Change, Change)>,
}

impl Sent {
    /// Remembers it. What was kept meanwhile stays.
    pub fn remember(&self, memory: &mut Memory) {
        for (before, now) in &self.refused {
            if let Some(kept) = memory.changes.iter_mut().find(|kept| *kept == before) {
                kept.clone_from(now);
            }
        }
        memory.changes.retain(|kept| !self.passed.contains(kept));
    }
}

/// What the ledger says last of a document.
pub(super) struct Seen {
    pub state: State,
    pub in_glean: bool,
    pub at: Timestamp,
}

impl Crawler {
    /// Sends changes again; those that cannot matter any more count as passed.
    async fn send_again(&self, datasource: &str, changes: &[Change], runs: &[Run]) -> Result<Sent> {
        let mut sent = Sent::default();
        let keys = changes.iter().map(Change::key).collect();
        let ledger =
            if changes.is_empty() { BTreeMap::new() } else { self.seen(runs, &keys).await? };
        for change in changes {
            match change.send(&self.client, datasource).await {
                Ok(()) => sent.passed.push(change.clone()),
                Err(error) if error.is_refusal() => {
                    let known = ledger.get(&change.key()).is_some_and(|seen| seen.in_glean);
                    if !known && self.is_gone(datasource, change).await? {
                        sent.passed.push(change.clone());
                        continue;
                    }
                    tracing::warn!(
                        id = change.id,
                        "Glean still refuses a {}: {error}",
                        change.wanted()
                    );
                    sent.refused.push((change.clone(), change.refused(&error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    /// Whether Glean says that it has no such document. Our ledger must say so too: Glean may lag.
    async fn is_gone(&self, datasource: &str, change: &Change) -> Result<bool> {
        let Change { object_type, id, .. } = change;
        match self.client.document_status(datasource, object_type, id).await {
            Ok(answer) => Ok(answer["status"]["uploadStatus"] == "NOT_UPLOADED"),
            Err(error) if error.is_refusal() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// A crawl begins: what is kept is tried again. `open`: a session that is still open beside it.
    pub(super) async fn try_again(
        &self,
        name: &str,
        datasource: &str,
        upload_id: &str,
        open: Option<&str>,
    ) -> Result<()> {
        let memory = self.memories.of(name).await?;
        let is_open = |change: &Change| open.is_some() && change.beside.as_deref() == open;
        // What passed and waits for the end of that session has nothing to be tried for.
        let due = memory.changes.iter().filter(|it| it.refused.is_some() || !is_open(it));
        let mut due: Vec<_> = due.cloned().collect();
        if due.is_empty() {
            return Ok(());
        }
        let mut over = Vec::new();
        if let Some(session) = open {
            // What the stopped crawl has read of a document since is newer than the change.
            let read = self.read_by(name, session, &due).await?;
            (over, due) = due.into_iter().partition(|change| {
                let read = read.get(&change.key());
                read.is_some_and(|at| !is_open(change) || *at > change.since)
            });
        }
        let mut sent = self.send_again(datasource, &due, &memory.runs).await?;
        let run = self.deleted(name, upload_id, &sent.passed).await?;
        // Until its session is over, or what its end began is done.
        let settling = memory.closing.as_ref().map(|closing| closing.upload_id.as_str());
        let (stays, done): (Vec<_>, Vec<_>) = sent.passed.into_iter().partition(|change| {
            is_open(change) || (settling.is_some() && change.beside.as_deref() == settling)
        });
        sent.passed = done.into_iter().chain(over).collect();
        sent.refused.extend(stays.into_iter().map(|change| {
            let passed = Change { refused: None, ..change.clone() };
            (change, passed)
        }));
        self.memories
            .update(name, |memory| {
                sent.remember(memory);
                if let Some(run) = run.as_ref().filter(|run| !memory.runs.contains(run)) {
                    memory.runs.push(run.clone());
                    memory.census.moved(Timestamp::now(), 0, run.records);
                }
            })
            .await
            .map(drop)
    }

    /// When a crawl that was stopped has read these documents.
    async fn read_by(
        &self,
        name: &str,
        upload_id: &str,
        changes: &[Change],
    ) -> Result<BTreeMap<u128, Timestamp>> {
        let keys: HashSet<u128> = changes.iter().map(Change::key).collect();
        let journal = self.journal(name, upload_id);
        let mut found = BTreeMap::new();
        for scope in journal.scopes().await? {
            let mut frames = journal.frames(&scope).await?;
            while let Some(frame) = frames.next(true).await? {
                for record in frames.records(frame) {
                    let record = record?;
                    if keys.contains(&record.key()) && record.state() == State::Uploaded {
                        found.insert(record.key(), record.seen_at());
                    }
                }
            }
        }
        Ok(found)
    }

    /// A session was ended: what was changed while it was open is done once more, and what else was kept
    /// has no object any more. Its crawl read until `ended`: what it read of a document after the change
    /// counts more. `runs` are what Glean has now; `under_way`: it still works on the end, and what
    /// passes is done again until that is done.
    pub(super) async fn repeat(
        &self,
        plan: &Plan,
        memory: &Memory,
        run: &Run,
        runs: &[Run],
        ended: Timestamp,
        under_way: bool,
    ) -> Result<Sent> {
        let mut sent = Sent::default();
        let ours = Some(plan.upload_id.as_str());
        let (due, over): (Vec<_>, Vec<_>) =
            memory.changes.iter().cloned().partition(|change| change.beside.as_deref() == ours);
        sent.passed = over;
        if due.is_empty() {
            return Ok(sent);
        }
        let keys: BTreeSet<u128> = due.iter().map(Change::key).collect();
        let read = self.seen(std::slice::from_ref(run), &keys).await?;
        let (later, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|change| {
            let read = read.get(&change.key());
            let stands = |it: &Seen| it.state == State::Uploaded && it.at > change.since;
            change.since < ended && read.is_some_and(stands)
        });
        let again = self.send_again(&plan.datasource, &due, runs).await?;
        sent.passed.extend(later);
        if !under_way {
            sent.passed.extend(again.passed);
        }
        sent.refused = again.refused;
        Ok(sent)
    }

    /// Kept changes of documents that a later crawl brought, or deleted: they have no object any more.
    pub(super) async fn outdated(
        &self,
        memory: &Memory,
        run: &Run,
        by: &str,
    ) -> Result<Vec<Change>> {
        let other =
            |change: &&Change| change.upload_id != by && change.beside.as_deref() != Some(by);
        let changes = memory.changes.iter().filter(other);
        let keys: BTreeSet<u128> = changes.clone().map(Change::key).collect();
        if keys.is_empty() || run.records == 0 {
            return Ok(Vec::new());
        }
        let seen = self.seen(std::slice::from_ref(run), &keys).await?;
        let stands = |change: &&Change| {
            let seen = seen.get(&change.key());
            seen.is_some_and(|seen| matches!(seen.state, State::Uploaded | State::Deleted))
        };
        Ok(changes.filter(stands).cloned().collect())
    }

    /// What runs say of these documents, in one pass.
    async fn seen(&self, runs: &[Run], keys: &BTreeSet<u128>) -> Result<BTreeMap<u128, Seen>> {
        let mut found = BTreeMap::new();
        let Some(last) = keys.last() else { return Ok(found) };
        let mut records = Merged::open(&self.store, runs).await?;
        while let Some(Known { record, in_glean }) = records.next().await? {
            let key = record.key();
            if key > *last {
                break;
            }
            if keys.contains(&key) {
                let (state, at) = (record.state(), record.seen_at());
                found.insert(key, Seen { state, in_glean, at });
            }
        }
        Ok(found)
    }

    /// A run of the ledger that says that these documents are deleted now.
    async fn deleted(&self, name: &str, upload: &str, changes: &[Change]) -> Result<Option<Run>> {
        let gone = changes.iter().filter(|it| it.want == Want::Delete && it.refused.is_some());
        let gone: BTreeMap<u128, &Change> = gone.map(|change| (change.key(), change)).collect();
        if gone.is_empty() {
            return Ok(None);
        }
        let at = Timestamp::now().seconds_32();
        let name = format!("{}/ledger/{upload}-deleted-{at}", self.memories.place(name));
        let mut writer = RunWriter::new(&self.store, name);
        for (key, Change { id, object_type, .. }) in gone {
            let mut record = Vec::new();
            Entry { key, at, state: State::Deleted, id, object_type, ..Entry::EMPTY }
                .write(&mut record);
            writer.push(&record).await?;
        }
        Ok(Some(writer.finish().await?))
    }
}

/// The permissions as Glean takes them.
pub fn access(access: &Access) -> Result<Want> {
    serde_json::to_value(Permissions::new(access))
        .map(Want::Access)
        .map_err(|error| Failure::internal(format!("permissions are no JSON: {error}")))
}

/// What an operator has to know besides how the last crawl ended.
pub fn notes(memory: &Memory, name: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(closing) = &memory.closing {
        let of = count(closing.deleted, "document");
        let upload = &closing.upload_id;
        if closing.paused {
            notes.push(format!("{PAUSED} ({of}, upload {upload})"));
        } else if closing.deleted > 0 {
            notes.push(format!("Glean has yet to delete {of} (upload {upload})"));
        }
    }
    match refused(memory).count() as u64 {
        0 => {}
        refused => notes.push(format!(
            "Glean refuses {}, which each crawl tries again: `sheaf quarantine list {name}`",
            count(refused, "change")
        )),
    }
    notes
}
