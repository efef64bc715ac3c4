//! The end of a crawl: what it did goes into the ledger, and where it may, the session is closed, so
//! that Glean deletes what is gone from the source.
//!
//! Every step may be repeated: after a crash the same is found out again, and done once.

use std::collections::BTreeMap;

use super::approval::{hold, waiting};
use super::begin::Begun;
use super::bookmarks::{advance, bookmarks};
use super::census::Counted;
use super::changes::{self, Sent};
use super::closing::{Closing, PAUSED};
use super::guard::Intent;
use super::memory::{Held, Memory};
use super::plan::{CrawlRef, CrawlResult, ModeName, Plan};
use super::progress::{Counts, Ending, FailedScope, Outcome, ScopeHead};
use super::steps::Crawler;
use crate::clock::Timestamp;
use crate::document::Scope;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::glean::upload::{Processing, SessionState};
use crate::ledger;
use crate::ledger::compare::{Sealed, gone, seal};
use crate::ledger::run::Run;
use crate::text::count;

/// How the last step of a crawl ended.
pub enum Completed {
    Ended(Box<CrawlResult>),
    /// No scope could be read, and this is why the first one could not. Nothing is ended.
    InVain(Failure),
}

/// What is known of a crawl's scopes when it ends.
#[derive(Default)]
pub(super) struct Found {
    pub read: BTreeMap<String, ScopeHead>,
    /// Those that failed for good.
    pub failed: BTreeMap<String, FailedScope>,
}

impl Found {
    fn failure(&self, scope: &str) -> Option<&Failure> {
        self.failed.get(scope).and_then(|failed| failed.for_good.as_ref())
    }

    /// Why the first scope failed, where all did.
    fn in_vain(&self, plan: &Plan) -> Option<Failure> {
        let mut scopes = plan.scopes.iter();
        let first = self.failure(&scopes.next()?.id)?;
        scopes.all(|scope| self.failure(&scope.id).is_some()).then(|| first.clone())
    }

    /// Whether the next crawl of its mode is to go on with this one: all that is missing was away, and
    /// some of it was read for a good part.
    fn resumable(&self, plan: &Plan, reasons: &[String]) -> bool {
        let ending = |scope: &Scope| self.read.get(&scope.id)?.frontier.ending.as_ref();
        plan.mode == ModeName::Full
            && reasons.len() == self.failed.len()
            && self.failed.values().any(FailedScope::is_worth_resuming)
            && plan.scopes.iter().all(|scope| match (ending(scope), self.failure(&scope.id)) {
                (Some(Ending::Complete { .. }), _) => true,
                (_, Some(failure)) => failure.kind.is_away(),
                _ => false,
            })
    }
}

/// What a crawl's scopes came to.
struct Account {
    counts: Counts,
    /// Why not everything was read.
    reasons: Vec<String>,
    /// The bookmarks of what was read.
    read: Vec<(String, String)>,
}

/// What all scopes together did.
pub(super) struct Total {
    pub counts: Counts,
    /// Why not everything was read.
    missing: Vec<String>,
}

impl Total {
    pub fn of(plan: &Plan, found: &Found) -> Self {
        let mut counts = Counts::default();
        let mut missing = Vec::new();
        for scope in &plan.scopes {
            let read = found.read.get(&scope.id);
            if let Some(read) = read {
                counts.add(&read.counts);
            }
            let ending = read.and_then(|read| read.frontier.ending.as_ref());
            match (ending, found.failure(&scope.id)) {
                (Some(Ending::Complete { .. }), _) => {}
                (Some(Ending::Partial { reason }), _) => {
                    missing.push(format!("{}: {reason}", scope.title));
                }
                (None, Some(failure)) => missing.push(format!("{}: {}", scope.title, failure.what)),
                (None, None) if read.is_some() => {
                    missing.push(format!("{} was not read to its end", scope.title));
                }
                (None, None) => missing.push(format!("{} was not crawled", scope.title)),
            }
        }
        Self { counts, missing }
    }

    fn count_doubles(&mut self, sealed: &Sealed) {
        self.counts.documents = self.counts.documents.saturating_sub(sealed.doubles);
        for double in &sealed.double_samples {
            self.counts.quarantine(&double.id, &double.reason);
        }
        let named = sealed.double_samples.len() as u64;
        self.counts.quarantined += sealed.doubles.saturating_sub(named);
    }
}

impl Crawler {
    /// Closes the session when everything was read and nothing speaks against it, and says how the
    /// crawl ended.
    pub async fn complete(&self, crawl: &CrawlRef, seconds: f64) -> Result<Completed> {
        self.check_glean(crawl)?;
        let memory = self.memories.of(&crawl.connection).await?;
        let last = memory.last.as_ref().filter(|last| last.upload_id == crawl.upload_id);
        if let Some(last) = last.filter(|last| !last.resumable) {
            // Only the answer was lost.
            self.journal(&crawl.connection, &crawl.upload_id).remove().await?;
            return Ok(Completed::Ended(Box::new(last.clone())));
        }
        let begun = self.begun(crawl).await?;
        let who = Self::stands(&begun, crawl)?;
        let claims = self.memories.claims(&crawl.connection);
        let completed = tokio::select! {
            completed = self.completed(&begun, &memory, seconds) => completed?,
            failure = claims.keep(who, &crawl.upload_id) => return Err(failure),
        };
        claims.release(who, &crawl.upload_id).await?;
        Ok(completed)
    }

    async fn completed(&self, begun: &Begun, memory: &Memory, seconds: f64) -> Result<Completed> {
        let plan = &begun.plan;
        let scopes = self.scopes(plan).await?;
        if let Some(failure) = scopes.in_vain(plan) {
            return Ok(Completed::InVain(failure));
        }
        let result = Box::pin(self.finish(begun, memory, &scopes, seconds)).await?;
        Ok(Completed::Ended(Box::new(result)))
    }

    async fn scopes(&self, plan: &Plan) -> Result<Found> {
        let journal = self.journal(&plan.connection, &plan.upload_id);
        let kept = journal.failed_scopes().await?;
        let (mut read, mut failed) = (BTreeMap::new(), BTreeMap::new());
        for scope in &plan.scopes {
            let (_, head) = journal.scope(&scope.id).await?;
            let ended = head.as_ref().is_some_and(|head| head.frontier.ending.is_some());
            if let Some(head) = head {
                read.insert(scope.id.clone(), head);
            }
            if !ended
                && let Some(found) = journal.failed_scope::<FailedScope>(&kept, &scope.id).await?
                && found.for_good.is_some()
            {
                failed.insert(scope.id.clone(), found);
            }
        }
        Ok(Found { read, failed })
    }

    /// What a crawl's scopes came to.
    fn account(&self, plan: &Plan, found: &Found, sealed: &Sealed, new: bool) -> Result<Account> {
        let connection = self.crawled(plan)?;
        let mut total = Total::of(plan, found);
        total.count_doubles(sealed);
        let Total { counts, missing: mut reasons } = total;
        let mut read = bookmarks(&found.read);
        if let Err(failure) = connection.quarantine.check(&counts) {
            reasons.push(failure.what);
            read.clear();
        }
        if plan.mode == ModeName::Full {
            reasons.extend(nameless(&counts));
            if sealed.uploaded == 0 && new {
                read.clear();
                if reasons.is_empty() {
                    reasons.push(
                        "the source delivered no documents; check the settings. Nothing was deleted"
                            .into(),
                    );
                }
            }
        }
        Ok(Account { counts, reasons, read })
    }

    async fn finish(
        &self,
        begun: &Begun,
        memory: &Memory,
        found: &Found,
        seconds: f64,
    ) -> Result<CrawlResult> {
        let plan = &begun.plan;
        let connection = self.crawled(plan)?;
        let scopes = &found.read;
        let sealed = self.sealed(plan).await?;
        let Account { counts, reasons, read } =
            self.account(plan, found, &sealed, memory.runs.is_empty())?;
        let result = |outcome, reasons: &[String]| plan.result(outcome, &counts, seconds, reasons);
        if plan.mode == ModeName::Incremental {
            let outcome = if reasons.is_empty() { Outcome::Complete } else { Outcome::Partial };
            let deleted = counts.deleted;
            let moved = |memory: &mut Memory| {
                memory.census.moved(Timestamp::now(), sealed.uploaded, deleted)
            };
            let read = if self.is_spared(begun).await? { read } else { Vec::new() };
            let result = result(outcome, &reasons);
            return Box::pin(self.end(plan, read, result, &sealed.run, None, moved)).await;
        }
        let now_there = [vec![sealed.run.clone()], later(memory, plan, &sealed.run)].concat();
        let difference = self.compare(&plan.connection, &plan.runs, &now_there).await?;
        let counted = if reasons.is_empty() { self.counted(&plan.datasource).await? } else { None };
        let differs = difference.clone();
        let hear = |memory: &mut Memory| {
            // Without a complete crawl before it there is nothing that it might take the place of.
            memory.unsettled += if memory.whole.is_some() { differs.added } else { 0 };
            memory.census.crawled(begun.counted, counted, &differs, Timestamp::now())
        };
        let heard = |memory: &mut Memory| _ = hear(memory);
        // What Glean still does for an earlier crawl may undo what this one brought.
        let first = if begun.settling { Vec::new() } else { read.clone() };
        if !reasons.is_empty() {
            let mut result = result(Outcome::Partial, &reasons);
            if found.resumable(plan, &reasons) {
                result.resumable = true;
                // It counts when it has ended.
                return Box::pin(self.end(plan, first, result, &sealed.run, None, |_| {})).await;
            }
            return Box::pin(self.end(plan, first, result, &sealed.run, None, heard)).await;
        }
        let doubt = self.memories.of(&plan.connection).await?.doubt;
        let lost_scopes = memory.scopes.iter().filter(|(id, _)| !scopes.contains_key(*id));
        let mut then = memory.clone();
        let in_doubt = !hear(&mut then);
        let intent = Intent {
            difference,
            doubt: doubt.map(|doubt| doubt.what),
            uploaded: sealed.uploaded,
            foreign: then.census.foreign(),
            in_doubt,
            unsettled: memory.unsettled,
            lost_scopes: lost_scopes.map(|(_, title)| title.clone()).collect(),
        };
        let state = self.session_state(plan).await?;
        let objections = connection.deletions.objections(&intent);
        // A session that is closed already was closed by this crawl, before a crash.
        if !objections.is_empty() && state != SessionState::Finished {
            if state == SessionState::Unknown {
                // Nothing was uploaded. What others change until the answer comes needs the session.
                self.upload(plan).open(None).await?;
            }
            let held = hold(
                plan,
                scopes,
                &sealed,
                &intent,
                &objections,
                seconds,
                connection.deletions.wait,
            );
            let mut result = result(Outcome::Held, &objections);
            differ(&mut result, &intent);
            result.deleted = 0;
            result.held = Some(waiting(&held));
            let ended = self.end(plan, first, result, &sealed.run, Some(held), heard);
            return Box::pin(ended).await;
        }
        let mut result = result(Outcome::Complete, &[]);
        differ(&mut result, &intent);
        // A session in which nothing was uploaded is never closed: there is nothing to delete either.
        let after = if sealed.uploaded > 0 {
            let runs = (&sealed.run, now_there.as_slice());
            Some(self.close(plan, false, runs, Timestamp::now(), &mut result).await?)
        } else {
            None
        };
        let ended = result.clone();
        let ended_so = |memory: &mut Memory| {
            hear(memory);
            if let Some(after) = &after {
                after.remember(memory, plan, &ended, &intent);
            }
        };
        Box::pin(self.end(plan, read, result, &sealed.run, None, ended_so)).await
    }

    /// Whether what an incremental crawl brought is safe from the end of a full crawl's session.
    async fn is_spared(&self, begun: &Begun) -> Result<bool> {
        let plan = &begun.plan;
        let spared = match plan.beside.as_deref() {
            _ if begun.settling => false,
            None => true,
            // It was sent to this session, too: as long as it was open.
            Some(session) => {
                let held = self.memories.of(&plan.connection).await?.held;
                held.is_some_and(|held| held.plan.upload_id == session)
                    || self.journal(&plan.connection, session).begun::<Begun>().await?.is_some()
            }
        };
        if !spared {
            tracing::info!(
                connection = plan.connection,
                "Glean is at work on the end of a full crawl: the next crawl brings the same again"
            );
        }
        Ok(spared)
    }

    /// How many documents Glean counts now, as far as it says.
    pub(super) async fn counted(&self, datasource: &str) -> Result<Option<Counted>> {
        let at = Timestamp::now();
        match self.client.datasource_status(datasource).await {
            Ok(status) => Ok(status.documents.counted().map(|documents| Counted { documents, at })),
            Err(glean::Error::UnknownDatasource(_)) => Ok(Some(Counted { documents: 0, at })),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the session, whose crawl read until `ended`. `runs`: the crawl's own, and all that say what
    /// Glean has now.
    pub(super) async fn close(
        &self,
        plan: &Plan,
        approved: bool,
        (run, runs): (&Run, &[Run]),
        ended: Timestamp,
        result: &mut CrawlResult,
    ) -> Result<After> {
        self.upload(plan).close(approved).await?;
        let processing = self.upload(plan).processing().await?;
        if processing == Processing::Paused {
            result.outcome = Outcome::Held;
            result.deleted = 0;
            result.reason = Some(PAUSED.to_owned());
        }
        let memory = self.memories.of(&plan.connection).await?;
        let under_way = processing == Processing::UnderWay;
        let sent = self.repeat(plan, &memory, run, runs, ended, under_way).await?;
        Ok(After { processing, sent })
    }

    /// A journal that cannot be read is moved aside: the next crawl would resume it, and end here again.
    async fn sealed(&self, plan: &Plan) -> Result<Sealed> {
        let error = match self.seal(plan).await {
            Ok(sealed) => return Ok(sealed),
            Err(error) => error,
        };
        self.move_aside(&plan.connection, error.clone()).await?;
        Err(error.into())
    }

    pub(super) async fn seal(&self, plan: &Plan) -> Result<Sealed, ledger::Error> {
        let temporary = self.config.state.join("tmp");
        std::fs::create_dir_all(&temporary).map_err(|error| {
            Failure::settings(format!("cannot create a folder for temporary files: {error}"))
                .at(temporary.display().to_string())
                .next("correct the permissions of the state folder")
        })?;
        let journal = self.journal(&plan.connection, &plan.upload_id);
        let name = self.run_name(plan);
        let full = plan.mode == ModeName::Full;
        seal(&self.store, &journal, name, full, temporary).await
    }

    pub(super) fn run_name(&self, plan: &Plan) -> String {
        format!("{}/ledger/{}", self.memories.place(&plan.connection), plan.upload_id)
    }

    /// Remembers how a crawl ended, and what it left in Glean. `read`: the bookmarks of the scopes that
    /// were read to their end. `also` is remembered with it.
    async fn end(
        &self,
        plan: &Plan,
        read: Vec<(String, String)>,
        result: CrawlResult,
        run: &Run,
        held: Option<Held>,
        also: impl Fn(&mut Memory),
    ) -> Result<CrawlResult> {
        let whole = plan.mode == ModeName::Full && result.outcome == Outcome::Complete;
        let (waits, resumable) = (held.is_some(), result.resumable);
        let gone = if whole && result.deleted > 0 {
            self.gone(plan, std::slice::from_ref(run)).await
        } else {
            None
        };
        let memory = self.memories.of(&plan.connection).await?;
        let outdated = self.outdated(&memory, run, &plan.upload_id).await?;
        let memory = self
            .memories
            .update(&plan.connection, |memory| {
                also(memory);
                if whole {
                    replace(memory, plan, run);
                    memory.deleted(gone.as_ref());
                    memory.scopes = titles(plan);
                    memory.whole = Some(result.documents);
                    memory.unsettled = 0;
                    memory.bookmarks.clear();
                    memory.doubt = None;
                } else if !resumable && !memory.runs.contains(run) && run.records > 0 {
                    memory.runs.push(run.clone());
                }
                advance(&mut memory.bookmarks, plan.mode, whole, &read);
                memory.changes.retain(|change| !outdated.contains(change));
                if waits {
                    memory.held.clone_from(&held);
                }
                let told = changes::told(result.clone(), memory);
                memory.history.ended(&told, plan.is_workflows());
                memory.last = Some(told);
            })
            .await?;
        if resumable {
            return Ok(memory.last.unwrap_or(result));
        }
        self.journal(&plan.connection, &plan.upload_id).remove().await?;
        if !self.are_others(plan).await? {
            self.tidy(&plan.connection).await?;
        }
        Ok(memory.last.unwrap_or(result))
    }

    /// What the end of a crawl deletes, for `sheaf explain`: not to know it later ends no crawl.
    pub(super) async fn gone(&self, plan: &Plan, runs: &[Run]) -> Option<Run> {
        let name = format!("{}-gone", self.run_name(plan));
        let at = Timestamp::now().seconds_32();
        let reason = format!("deleted at the end of the full crawl {}", plan.upload_id);
        let gone = gone(&self.store, &plan.runs, runs, name, at, &reason).await;
        gone.map_err(Failure::from)
            .inspect_err(|failure| tracing::warn!("what was deleted is not kept: {failure}"))
            .ok()
    }
}

/// What followed the end of a session.
pub(super) struct After {
    processing: Processing,
    sent: Sent,
}

impl After {
    /// Before the crawl takes the place of what was remembered.
    pub fn remember(
        &self,
        memory: &mut Memory,
        plan: &Plan,
        result: &CrawlResult,
        intent: &Intent,
    ) {
        self.sent.remember(memory);
        memory.closing = (self.processing != Processing::Done)
            .then(|| Closing::new(plan, result, intent, memory, self.processing));
        if self.processing != Processing::Paused {
            memory.census.closed(Timestamp::now(), intent.deleted());
        }
    }
}

/// Why documents without an id keep a crawl from deleting.
fn nameless(counts: &Counts) -> Option<String> {
    (counts.nameless > 0).then(|| {
        format!(
            "{} could not be read and have no id, so nothing was deleted: they may be in Glean",
            count(counts.nameless, "document")
        )
    })
}

/// A complete full crawl is the whole of the ledger, but for what came after it began.
pub(super) fn replace(memory: &mut Memory, plan: &Plan, run: &Run) {
    let later = later(memory, plan, run);
    memory.runs = std::iter::once(run.clone()).chain(later).collect();
}

/// The runs of incremental crawls beside a full one.
pub(super) fn later(memory: &Memory, plan: &Plan, run: &Run) -> Vec<Run> {
    let of_now = memory.runs.iter().filter(|found| *found != run && !plan.runs.contains(found));
    of_now.cloned().collect()
}

pub(super) fn titles(plan: &Plan) -> BTreeMap<String, String> {
    plan.scopes.iter().map(|scope| (scope.id.clone(), scope.title.clone())).collect()
}

pub(super) fn differ(result: &mut CrawlResult, intent: &Intent) {
    result.added = intent.difference.added;
    result.changed = intent.difference.changed;
    result.unchanged = intent.difference.unchanged;
    result.deleted = intent.deleted();
}
