//! Kept changes are sent again: when a crawl begins, and after the end of a session that may have undone
//! them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::change::{Change, Want};
use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::plan::Plan;
use crate::clock::Timestamp;
use crate::connector::Digest;
use crate::failure::Result;
use crate::ledger::run::{Known, Merged, Run, RunWriter};
use crate::ledger::{Entry, State};
use crate::text::cut;

/// What became of changes that were sent again.
#[derive(Default)]
pub(super) struct Sent {
    pub passed: Vec<Change>,
    /// As they were, and as they are now.
    pub refused: Vec<(Change, Change)>,
    /// What the ledger has to know of those that passed at last, and how many of them are deletions.
    run: Option<(Run, u64)>,
}

impl Sent {
    /// Remembers it. What was kept meanwhile stays.
    pub(super) fn remember(&self, state: &mut ConnectionState) {
        for (before, now) in &self.refused {
            if let Some(kept) = state.changes.iter_mut().find(|kept| *kept == before) {
                kept.clone_from(now);
            }
        }
        state.changes.retain(|kept| !self.passed.contains(kept));
        if let Some((run, deleted)) = self.run.as_ref().filter(|(run, _)| !state.runs.contains(run))
        {
            state.runs.push(run.clone());
            state.census.moved(Timestamp::now(), 0, *deleted);
        }
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
                        id = cut(&change.id, 250),
                        "Glean still refuses a {}: {error}",
                        change.wanted()
                    );
                    sent.refused.push((change.clone(), change.refused_with(&error)));
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
        let state = self.states.of(name).await?;
        let is_open = |change: &Change| open.is_some() && change.beside.as_deref() == open;
        // What passed and waits for the end of that session has nothing to be tried for.
        let due = state.changes.iter().filter(|it| it.refused.is_some() || !is_open(it));
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
        let mut sent = self.send_again(datasource, &due, &state.runs).await?;
        sent.run = self.run_of_passed(name, upload_id, &sent.passed).await?;
        // Until its session is over, or what its end began is done.
        let settling = state.closing.as_ref().map(|closing| closing.upload_id.as_str());
        let (stays, done): (Vec<_>, Vec<_>) = sent.passed.into_iter().partition(|change| {
            is_open(change) || (settling.is_some() && change.beside.as_deref() == settling)
        });
        sent.passed = done.into_iter().chain(over).collect();
        sent.refused.extend(stays.into_iter().map(|change| {
            let passed = Change { refused: None, ..change.clone() };
            (change, passed)
        }));
        self.states.update(name, |state| sent.remember(state)).await.map(drop)
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
        state: &ConnectionState,
        run: &Run,
        runs: &[Run],
        ended: Timestamp,
        under_way: bool,
    ) -> Result<Sent> {
        let mut sent = Sent::default();
        let ours = Some(plan.upload_id.as_str());
        let (due, over): (Vec<_>, Vec<_>) =
            state.changes.iter().cloned().partition(|change| change.beside.as_deref() == ours);
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
            sent.run = self.run_of_passed(&plan.connection, &plan.upload_id, &again.passed).await?;
            sent.passed.extend(again.passed);
        }
        sent.refused = again.refused;
        Ok(sent)
    }

    /// Kept changes of documents that a later crawl brought, or deleted: they have no object any more.
    pub(super) async fn outdated(
        &self,
        state: &ConnectionState,
        run: &Run,
        by: &str,
    ) -> Result<Vec<Change>> {
        let other =
            |change: &&Change| change.upload_id != by && change.beside.as_deref() != Some(by);
        let changes = state.changes.iter().filter(other);
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
        while let Some(Known { record, in_glean, .. }) = records.next().await? {
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

    /// A run of the ledger that says what passed at last.
    async fn run_of_passed(
        &self,
        name: &str,
        upload: &str,
        changes: &[Change],
    ) -> Result<Option<(Run, u64)>> {
        let changes = changes.iter().filter(|change| change.refused.is_some());
        let changes: BTreeMap<u128, &Change> = changes.map(|it| (it.key(), it)).collect();
        if changes.is_empty() {
            return Ok(None);
        }
        let at = Timestamp::now().seconds_32();
        // Two tries within a second say of other documents.
        let keys: Vec<u8> = changes.keys().flat_map(|key| key.to_be_bytes()).collect();
        let which = Digest::of(&keys);
        let name =
            format!("{}/ledger/{upload}-changed-{at}-{}", self.states.place(name), which.short());
        let deleted = changes.values().filter(|change| change.want == Want::Delete).count() as u64;
        let mut writer = RunWriter::new(&self.store, name);
        for (key, Change { id, object_type, want, audience, .. }) in changes {
            let state = match want {
                Want::Delete => State::Deleted,
                Want::Access(_) => State::Access,
            };
            let audience = *audience;
            let mut record = Vec::new();
            Entry { key, at, state, id, object_type, audience, ..Entry::EMPTY }.write(&mut record);
            writer.push(&record).await?;
        }
        Ok(Some((writer.finish().await?, deleted)))
    }
}
