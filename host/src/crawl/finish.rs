//! The end of a crawl: what it did goes into the ledger, and where it may, the session is closed, so
//! that Glean deletes what is gone from the source.
//!
//! Every step may be repeated: after a crash the same is found out again, and done once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::begin::Begun;
use super::census::Counted;
use super::changes::{self, Sent};
use super::closing::{Closing, PAUSED};
use super::guard::Intent;
use super::memory::{Held, Memory, now};
use super::plan::{CrawlRef, CrawlResult, Decision, ModeName, Plan, Waiting, joined, listed};
use super::progress::{Ending, FailedScope, Outcome, ScopeProgress};
use super::steps::Crawler;
use crate::failure::{Failure, Kind, Result};
use crate::glean;
use crate::glean::upload::{Processing, SessionState};
use crate::ledger;
use crate::ledger::compare::{Sealed, gone, seal};
use crate::ledger::run::Run;
use crate::observe::numbers::count;

/// What all scopes together did.
struct Total {
    progress: ScopeProgress,
    /// Why not everything was read.
    missing: Vec<String>,
}

impl Total {
    fn of(
        plan: &Plan,
        scopes: &BTreeMap<String, ScopeProgress>,
        failed: &BTreeMap<String, Failure>,
    ) -> Self {
        let mut progress = ScopeProgress::default();
        let mut missing = Vec::new();
        for scope in &plan.scopes {
            let found = scopes.get(&scope.id);
            if let Some(found) = found {
                progress.add(found);
            }
            let ending = found.and_then(|found| found.ending.as_ref());
            match (ending, failed.get(&scope.id)) {
                (Some(Ending::Complete { .. }), _) => {}
                (Some(Ending::Partial { reason }), _) => {
                    missing.push(format!("{}: {reason}", scope.title));
                }
                (None, Some(failure)) => missing.push(format!("{}: {}", scope.title, failure.what)),
                (None, None) if found.is_some() => {
                    missing.push(format!("{} was not read to its end", scope.title));
                }
                (None, None) => missing.push(format!("{} was not crawled", scope.title)),
            }
        }
        Self { progress, missing }
    }

    fn count_doubles(&mut self, sealed: &Sealed) {
        self.progress.documents = self.progress.documents.saturating_sub(sealed.doubles);
        for double in &sealed.double_samples {
            self.progress.quarantine(&double.id, &double.reason);
        }
        let named = sealed.double_samples.len() as u64;
        self.progress.quarantined += sealed.doubles.saturating_sub(named);
    }
}

impl Crawler {
    /// Closes the session when everything was read and nothing speaks against it, and says how the
    /// crawl ended. Where every scope failed, nothing is ended, and the first one's failure is the
    /// answer: the next crawl goes on.
    pub async fn complete(
        &self,
        crawl: &CrawlRef,
        seconds: f64,
    ) -> Result<Result<CrawlResult, Failure>> {
        self.check_glean(crawl)?;
        let memory = self.memories.of(&crawl.connection).await?;
        let journal = self.journal(&crawl.connection, &crawl.upload_id);
        if let Some(last) = memory.last.as_ref().filter(|last| last.upload_id == crawl.upload_id) {
            // Only the answer was lost.
            journal.remove().await?;
            return Ok(Ok(last.clone()));
        }
        let begun = self.begun(crawl).await?;
        let who = Self::stands(&begun, crawl)?;
        let claims = self.memories.claims(&crawl.connection);
        let mut scopes = BTreeMap::new();
        for scope in &begun.plan.scopes {
            if let (_, Some(progress)) = journal.scope(&scope.id).await? {
                scopes.insert(scope.id.clone(), progress);
            }
        }
        let failed = journal.failures::<FailedScope>().await?;
        let failed: BTreeMap<_, _> = failed
            .into_iter()
            .filter_map(|failed| Some((failed.scope, failed.for_good?)))
            .filter(|(id, _)| scopes.get(id).is_none_or(|progress| progress.ending.is_none()))
            .collect();
        let plan = &begun.plan;
        if let Some(first) = plan.scopes.first().and_then(|scope| failed.get(&scope.id))
            && plan.scopes.iter().all(|scope| failed.contains_key(&scope.id))
        {
            claims.release(who, &crawl.upload_id).await?;
            return Ok(Err(first.clone()));
        }
        let total = Total::of(&begun.plan, &scopes, &failed);
        let result = tokio::select! {
            ended = self.finish(&begun, &memory, &scopes, total, seconds) => ended?,
            failure = claims.keep(who, &crawl.upload_id) => return Err(failure),
        };
        claims.release(who, &crawl.upload_id).await?;
        Ok(Ok(result))
    }

    async fn finish(
        &self,
        begun: &Begun,
        memory: &Memory,
        scopes: &BTreeMap<String, ScopeProgress>,
        mut total: Total,
        seconds: f64,
    ) -> Result<CrawlResult> {
        let plan = &begun.plan;
        let connection = self.crawled(plan)?;
        let sealed = self.sealed(plan).await?;
        total.count_doubles(&sealed);
        let mut reasons = total.missing;
        let mut read = bookmarks(scopes);
        if let Err(failure) = connection.quarantine.check(&total.progress) {
            reasons.push(failure.what);
            read.clear();
        }
        let result =
            |outcome, reasons: &[String]| plan.result(outcome, &total.progress, seconds, reasons);
        if plan.mode == ModeName::Incremental {
            let outcome = if reasons.is_empty() { Outcome::Complete } else { Outcome::Partial };
            let deleted = total.progress.deleted;
            let moved = |memory: &mut Memory| memory.census.moved(now(), sealed.uploaded, deleted);
            let result = result(outcome, &reasons);
            if !self.is_spared(begun).await? {
                read.clear();
            }
            return Box::pin(self.end(plan, read, result, &sealed.run, None, moved)).await;
        }
        reasons.extend(nameless(&total.progress));
        if sealed.uploaded == 0 && memory.runs.is_empty() && reasons.is_empty() {
            reasons.push(
                "the source delivered no documents; check the settings. Nothing was deleted".into(),
            );
            read.clear();
        }
        let now_there = [vec![sealed.run.clone()], later(memory, plan, &sealed.run)].concat();
        let difference = self.compare(&plan.connection, &plan.runs, &now_there).await?;
        let counted = if reasons.is_empty() { self.counted(&plan.datasource).await? } else { None };
        let found = difference.clone();
        let hear = |memory: &mut Memory| {
            // Without a complete crawl before it there is nothing that it might take the place of.
            memory.unsettled += if memory.whole.is_some() { found.added } else { 0 };
            memory.census.crawled(begun.counted, counted, &found, now())
        };
        let heard = |memory: &mut Memory| _ = hear(memory);
        if !reasons.is_empty() {
            let result = result(Outcome::Partial, &reasons);
            return Box::pin(self.end(plan, read, result, &sealed.run, None, heard)).await;
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
            let ended = self.end(plan, read, result, &sealed.run, Some(held), heard);
            return Box::pin(ended).await;
        }
        let mut result = result(Outcome::Complete, &[]);
        differ(&mut result, &intent);
        // A session in which nothing was uploaded is never closed: there is nothing to delete either.
        let after = if sealed.uploaded > 0 {
            let runs = (&sealed.run, now_there.as_slice());
            Some(self.close(plan, false, runs, now(), &mut result).await?)
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
        let at = now();
        match self.client.datasource_status(datasource).await {
            Ok(status) => Ok(status.documents.counted().map(|documents| Counted { documents, at })),
            Err(glean::Error::UnknownDatasource(_)) => Ok(Some(Counted { documents: 0, at })),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends the session, whose crawl read until `ended`. `runs`: the crawl's own, and all that say what
    /// Glean has now.
    async fn close(
        &self,
        plan: &Plan,
        approved: bool,
        (run, runs): (&Run, &[Run]),
        ended: u64,
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
        let waits = held.is_some();
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
                } else if !memory.runs.contains(run) && run.records > 0 {
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
        self.journal(&plan.connection, &plan.upload_id).remove().await?;
        if !self.are_others(plan).await? {
            self.tidy(&plan.connection).await?;
        }
        Ok(memory.last.unwrap_or(result))
    }

    /// Does what a person decided about a crawl that is held, or what nobody did.
    pub async fn decide(
        &self,
        connection: &str,
        upload_id: &str,
        decision: Decision,
    ) -> Result<CrawlResult> {
        let memory = self.memories.of(connection).await?;
        let Some(held) = memory.held.clone().filter(|held| held.plan.upload_id == upload_id) else {
            return already(&memory, connection, upload_id);
        };
        let plan = &held.plan;
        self.check_glean(&plan.travels())?;
        let last = memory.last.clone().filter(|last| last.upload_id == upload_id);
        let mut result = last.unwrap_or_else(|| {
            let total = Total::of(plan, &held.scopes, &BTreeMap::new()).progress;
            plan.result(Outcome::Held, &total, held.seconds, &held.reasons)
        });
        result.held = None;
        result.ended_at = now();
        if decision != Decision::Approve {
            let why = match decision {
                Decision::Expire => "nobody approved it in time, and nothing was deleted",
                _ => "rejected, and nothing was deleted",
            };
            result.reason = Some(format!("{why} ({})", joined(&held.reasons).unwrap_or_default()));
            return self.settle(&held, result, None).await;
        }
        match self.upload(plan).session_state().await? {
            SessionState::Active | SessionState::Finished => {}
            SessionState::Unknown => {
                return Err(Failure::new(
                    Kind::Busy,
                    "the upload session that waited was replaced by another; nothing was deleted",
                )
                .at(format!("{connection}, upload {upload_id}"))
                .next("run a full crawl again"));
            }
        }
        let now_there = [vec![held.run.clone()], later(&memory, plan, &held.run)].concat();
        let intent = Intent {
            difference: self.compare(connection, &plan.runs, &now_there).await?,
            uploaded: held.uploaded,
            foreign: memory.census.foreign(),
            ..Intent::default()
        };
        result.outcome = Outcome::Complete;
        result.reason = None;
        differ(&mut result, &intent);
        let runs = (&held.run, now_there.as_slice());
        let after = self.close(plan, true, runs, held.since, &mut result).await?;
        let gone = match result.outcome {
            Outcome::Complete => self.gone(plan, &now_there).await,
            _ => None,
        };
        let result = self.settle(&held, result, Some((&after, &intent))).await?;
        if gone.is_some() {
            let deleted = |memory: &mut Memory| memory.deleted(gone.as_ref());
            self.memories.update(connection, deleted).await?;
        }
        Ok(result)
    }

    /// What the end of a crawl deletes, for `sheaf explain`: not to know it later ends no crawl.
    async fn gone(&self, plan: &Plan, runs: &[Run]) -> Option<Run> {
        let name = format!("{}-gone", self.run_name(plan));
        let at = u32::try_from(now()).unwrap_or(u32::MAX);
        let reason = format!("deleted at the end of the full crawl {}", plan.upload_id);
        let gone = gone(&self.store, &plan.runs, runs, name, at, &reason).await;
        gone.map_err(Failure::from)
            .inspect_err(|failure| tracing::warn!("what was deleted is not kept: {failure}"))
            .ok()
    }

    /// A held crawl waits no more. `after`: what followed the end of its session.
    async fn settle(
        &self,
        held: &Held,
        result: CrawlResult,
        after: Option<(&After, &Intent)>,
    ) -> Result<CrawlResult> {
        let plan = &held.plan;
        let closed = result.outcome == Outcome::Complete;
        let memory = self
            .memories
            .update(&plan.connection, |memory| {
                // A newer full crawl may have begun just now: the ledger is what it compares with.
                let waits = memory.held.as_ref();
                let ours = waits.is_some_and(|held| held.plan.upload_id == plan.upload_id);
                if ours {
                    memory.held = None;
                }
                if let Some((after, intent)) = after {
                    after.remember(memory, plan, &result, intent);
                }
                if closed && ours {
                    replace(memory, plan, &held.run);
                    memory.scopes = titles(plan);
                    memory.whole = Some(result.documents);
                    memory.unsettled = 0;
                    memory.doubt = None;
                    // An incremental crawl meanwhile may have come further.
                    for (scope, bookmark) in bookmarks(&held.scopes) {
                        memory.bookmarks.entry(scope).or_insert(bookmark);
                    }
                }
                memory.history.decided(&result);
                let newer = memory.last.as_ref().is_some_and(|last| {
                    last.upload_id != result.upload_id && last.ended_at > held.since
                });
                if !newer || closed {
                    memory.last = Some(changes::told(result.clone(), memory));
                }
            })
            .await?;
        let last = memory.last.filter(|last| last.upload_id == result.upload_id);
        Ok(last.unwrap_or(result))
    }
}

/// What followed the end of a session.
struct After {
    processing: Processing,
    sent: Sent,
}

impl After {
    /// Before the crawl takes the place of what was remembered.
    fn remember(&self, memory: &mut Memory, plan: &Plan, result: &CrawlResult, intent: &Intent) {
        self.sent.remember(memory);
        memory.closing = (self.processing != Processing::Done)
            .then(|| Closing::new(plan, result, intent, memory, self.processing));
        if self.processing != Processing::Paused {
            memory.census.closed(now(), intent.deleted());
        }
    }
}

/// Why documents without an id keep a crawl from deleting.
fn nameless(progress: &ScopeProgress) -> Option<String> {
    (progress.nameless > 0).then(|| {
        format!(
            "{} could not be read and have no id, so nothing was deleted: they may be in Glean",
            count(progress.nameless, "document")
        )
    })
}

/// The result of a crawl that is not held any more.
fn already(memory: &Memory, connection: &str, upload_id: &str) -> Result<CrawlResult> {
    let last = memory.last.as_ref().filter(|last| last.upload_id == upload_id);
    last.cloned().ok_or_else(|| {
        Failure::new(Kind::Busy, "the crawl that waited for approval was replaced by a newer one")
            .at(format!("{connection}, upload {upload_id}"))
            .next("see `sheaf status`; nothing was deleted")
    })
}

/// A complete full crawl is the whole of the ledger, but for what came after it began.
fn replace(memory: &mut Memory, plan: &Plan, run: &Run) {
    let later = later(memory, plan, run);
    memory.runs = std::iter::once(run.clone()).chain(later).collect();
}

/// The runs of incremental crawls beside a full one.
fn later(memory: &Memory, plan: &Plan, run: &Run) -> Vec<Run> {
    let of_now = memory.runs.iter().filter(|found| *found != run && !plan.runs.contains(found));
    of_now.cloned().collect()
}

fn titles(plan: &Plan) -> BTreeMap<String, String> {
    plan.scopes.iter().map(|scope| (scope.id.clone(), scope.title.clone())).collect()
}

/// Moves the bookmarks of the scopes that were read to their end, whatever became of the others.
///
/// A bookmark says: what changed before it need not be asked for again. Of an incremental crawl that is
/// true for each scope that it read to its end, for it delivered what changed, deletions too.
///
/// A full crawl delivers what is there, and no deletions: those come with the end of its session. As
/// long as that has not come (the crawl is partial or held), what was deleted at the source since the
/// old bookmark is still in Glean, and only an incremental crawl from the old bookmark would tell of it.
/// So an old bookmark stays. A scope that has none loses nothing by getting its first one: without it
/// the scope would be read in full, which tells of no deletions either. Its documents are all in Glean,
/// for what was uploaded stays when a session is left open.
///
/// Where too much was set aside, or a source that never had a document delivers none, the connector or
/// its settings are wrong: nothing moves.
fn advance(
    known: &mut BTreeMap<String, String>,
    mode: ModeName,
    whole: bool,
    read: &[(String, String)],
) {
    for (scope, bookmark) in read.iter().cloned() {
        if whole || mode == ModeName::Incremental {
            known.insert(scope, bookmark);
        } else {
            known.entry(scope).or_insert(bookmark);
        }
    }
}

/// The bookmarks of the scopes that were read to their end.
fn bookmarks(scopes: &BTreeMap<String, ScopeProgress>) -> Vec<(String, String)> {
    let bookmark = |(scope, progress): (&String, &ScopeProgress)| match &progress.ending {
        Some(Ending::Complete { bookmark: Some(bookmark) }) => {
            Some((scope.clone(), bookmark.clone()))
        }
        _ => None,
    };
    scopes.iter().filter_map(bookmark).collect()
}

fn differ(result: &mut CrawlResult, intent: &Intent) {
    result.added = intent.difference.added;
    result.changed = intent.difference.changed;
    result.unchanged = intent.difference.unchanged;
    result.deleted = intent.deleted();
}

fn hold(
    plan: &Plan,
    scopes: &BTreeMap<String, ScopeProgress>,
    sealed: &Sealed,
    intent: &Intent,
    reasons: &[String],
    seconds: f64,
    wait: Duration,
) -> Held {
    let since = now();
    let mut difference = intent.difference.clone();
    // What others put there has no name, and goes all the same.
    difference.gone += intent.foreign;
    difference.before = intent.before();
    Held {
        plan: plan.clone(),
        scopes: scopes.clone(),
        run: sealed.run.clone(),
        uploaded: sealed.uploaded,
        difference,
        reasons: reasons.to_vec(),
        seconds,
        since,
        until: since + wait.as_secs(),
        temporal: plan.is_workflows(),
    }
}

/// What a person has to know to decide.
pub fn waiting(held: &Held) -> Waiting {
    let difference = &held.difference;
    let samples = difference.gone_samples.iter().chain(&difference.withheld_samples);
    Waiting {
        upload_id: held.plan.upload_id.clone(),
        would_go: difference.gone + difference.withheld,
        of: difference.before,
        reasons: listed(held.reasons.clone()),
        samples: samples.cloned().collect(),
        until: held.until,
        wait_seconds: held.until - held.since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_told_of_deletions_moves_a_bookmark_that_is_there() {
        let read = [("old".to_owned(), "2".to_owned()), ("new".to_owned(), "2".to_owned())];
        for (mode, whole, old) in [
            (ModeName::Full, false, "1"),
            (ModeName::Full, true, "2"),
            (ModeName::Incremental, false, "2"),
        ] {
            let mut known = BTreeMap::from([("old".to_owned(), "1".to_owned())]);
            advance(&mut known, mode, whole, &read);
            assert_eq!((known["old"].as_str(), known["new"].as_str()), (old, "2"), "{mode}");
        }
    }
}
