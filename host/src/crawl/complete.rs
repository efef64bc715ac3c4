//! The end of a crawl: what it did goes into the ledger, and where it may, the session is closed, so
//! that Glean deletes what is gone from the source.
//!
//! Every step may be repeated: after a crash the same is found out again, and done once.

use std::time::{Duration, SystemTime};

use super::approval::{hold, waiting};
use super::close::{differ, later};
use super::connection_state::{ConnectionState, Held};
use super::crawler::Crawler;
use super::guard::Intent;
use super::plan::{Begun, CrawlRef};
use super::request::ModeName;
use super::result::{CrawlResult, Outcome};
use super::totals::{Account, Found};
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};
use crate::glean::upload::SessionState;
use crate::ledger::compare::Sealed;
use crate::traces::{self, Step};

/// How the last step of a crawl ended.
pub enum Completed {
    Ended(Box<CrawlResult>),
    /// No scope could be read, and this is why the first one could not. Nothing is ended.
    InVain(Failure),
}

/// A crawl of which all is read that could be.
struct ReadCrawl<'a> {
    begun: &'a Begun,
    found: &'a Found,
    sealed: Sealed,
    account: Account,
    seconds: f64,
}

impl ReadCrawl<'_> {
    fn result(&self, outcome: Outcome, reasons: &[String]) -> CrawlResult {
        CrawlResult::new(&self.begun.plan, outcome, &self.account.counts, self.seconds, reasons)
    }
}

impl Crawler {
    /// Closes the session when everything was read and nothing speaks against it, and says how the
    /// crawl ended.
    pub async fn complete(&self, crawl: &CrawlRef, seconds: f64) -> Result<Completed> {
        let step = Step::of_crawl(&crawl.connection, &crawl.upload_id, "complete");
        let now = SystemTime::now();
        let completed = step.run(self.complete_once(crawl, seconds)).await?;
        if let Completed::Ended(result) = &completed {
            let took = Duration::try_from_secs_f64(result.seconds).unwrap_or_default();
            let began = now.checked_sub(took).unwrap_or(now);
            traces::whole_crawl(&crawl.upload_id, &crawl.connection, began, result.outcome.name());
        }
        Ok(completed)
    }

    async fn complete_once(&self, crawl: &CrawlRef, seconds: f64) -> Result<Completed> {
        self.check_glean(crawl)?;
        let _working = self.client.working();
        let state = self.states.of(&crawl.connection).await?;
        let last = state.last.as_ref().filter(|last| last.upload_id == crawl.upload_id);
        if let Some(last) = last.filter(|last| !last.resumable) {
            // Only the answer was lost.
            self.journal(&crawl.connection, &crawl.upload_id).remove().await?;
            return Ok(Completed::Ended(Box::new(last.clone())));
        }
        let begun = self.begun(crawl).await?;
        let who = Self::check_owner(&begun, crawl)?;
        let claims = self.states.claims(&crawl.connection);
        let completed = tokio::select! {
            completed = self.completed(&begun, &state, seconds) => completed?,
            failure = claims.renew_until_it_fails(who, &crawl.upload_id) => return Err(failure),
        };
        claims.release(who, &crawl.upload_id).await?;
        Ok(completed)
    }

    async fn completed(
        &self,
        begun: &Begun,
        state: &ConnectionState,
        seconds: f64,
    ) -> Result<Completed> {
        let plan = &begun.plan;
        let scopes = self.found(plan).await?;
        if let Some(failure) = scopes.in_vain(plan) {
            return Ok(Completed::InVain(failure));
        }
        let result = Box::pin(self.finish(begun, state, &scopes, seconds)).await?;
        Ok(Completed::Ended(Box::new(result)))
    }

    async fn finish(
        &self,
        begun: &Begun,
        state: &ConnectionState,
        found: &Found,
        seconds: f64,
    ) -> Result<CrawlResult> {
        let plan = &begun.plan;
        let sealed = self.sealed(plan).await?;
        let mut account = self.account(plan, found, &sealed, state.runs.is_empty())?;
        self.forget_defined(plan, &mut account.counts).await?;
        let crawled = ReadCrawl { begun, found, sealed, account, seconds };
        match plan.mode {
            ModeName::Incremental => self.finish_incremental(crawled).await,
            ModeName::Full => Box::pin(self.finish_full(crawled, state)).await,
        }
    }

    async fn finish_incremental(&self, crawled: ReadCrawl<'_>) -> Result<CrawlResult> {
        let Account { counts, reasons, read } = &crawled.account;
        let outcome = if reasons.is_empty() { Outcome::Complete } else { Outcome::Partial };
        let (uploaded, deleted) = (crawled.sealed.uploaded, counts.deleted);
        let moved = |state: &mut ConnectionState| {
            state.census.moved(Timestamp::now(), uploaded, deleted);
        };
        let spared = self.is_spared(crawled.begun).await?;
        let read = if spared { read.clone() } else { Vec::new() };
        let result = crawled.result(outcome, reasons);
        Box::pin(self.end(&crawled.begun.plan, read, result, &crawled.sealed.run, None, moved))
            .await
    }

    async fn finish_full(
        &self,
        crawled: ReadCrawl<'_>,
        state: &ConnectionState,
    ) -> Result<CrawlResult> {
        let ReadCrawl { begun, found, sealed, account, .. } = &crawled;
        let plan = &begun.plan;
        let Account { reasons, read, .. } = account;
        let now_there = [vec![sealed.run.clone()], later(state, plan, &sealed.run)].concat();
        let difference = self.compare(&plan.connection, &plan.runs, &now_there).await?;
        let counted = if reasons.is_empty() { self.counted(&plan.datasource).await? } else { None };
        let differs = difference.clone();
        let hear = |state: &mut ConnectionState| {
            // Without a complete crawl before it there is nothing that it might take the place of.
            state.unsettled += if state.whole.is_some() { differs.added } else { 0 };
            state.census.crawled(begun.counted, counted, &differs, Timestamp::now())
        };
        let heard = |state: &mut ConnectionState| _ = hear(state);
        // What Glean still does for an earlier crawl may undo what this one brought.
        let first = if begun.settling { Vec::new() } else { read.clone() };
        if !reasons.is_empty() {
            let mut result = crawled.result(Outcome::Partial, reasons);
            if found.resumable(plan, reasons) {
                result.resumable = true;
                // It counts when it has ended.
                return Box::pin(self.end(plan, first, result, &sealed.run, None, |_| {})).await;
            }
            return Box::pin(self.end(plan, first, result, &sealed.run, None, heard)).await;
        }
        let doubt = self.states.of(&plan.connection).await?.doubt;
        let mut then = state.clone();
        let in_doubt = !hear(&mut then);
        let intent = Intent {
            difference,
            doubt: doubt.map(|doubt| doubt.what),
            uploaded: sealed.uploaded,
            foreign: then.census.foreign(),
            in_doubt,
            unsettled: state.unsettled,
            lost_scopes: found.lost_scopes(state),
        };
        if let Some((result, held)) = self.held(&crawled, &intent).await? {
            return Box::pin(self.end(plan, first, result, &sealed.run, Some(held), heard)).await;
        }
        let mut result = crawled.result(Outcome::Complete, &[]);
        differ(&mut result, &intent);
        // A session in which nothing was uploaded is never closed: there is nothing to delete either.
        let after = if sealed.uploaded > 0 {
            let runs = (&sealed.run, now_there.as_slice());
            Some(self.close(plan, false, runs, Timestamp::now(), &mut result).await?)
        } else {
            None
        };
        let ended = result.clone();
        let ended_so = |state: &mut ConnectionState| {
            hear(state);
            if let Some(after) = &after {
                after.remember(state, plan, &ended, &intent);
            }
        };
        Box::pin(self.end(plan, read.clone(), result, &sealed.run, None, ended_so)).await
    }

    /// What waits, where a person has to look before the session is closed.
    async fn held(
        &self,
        crawled: &ReadCrawl<'_>,
        intent: &Intent,
    ) -> Result<Option<(CrawlResult, Held)>> {
        let ReadCrawl { begun, found, sealed, seconds, .. } = crawled;
        let plan = &begun.plan;
        let connection = self.connection_of(plan)?;
        let session = self.session_state(plan).await?;
        let objections = connection.deletions.objections(intent);
        // A session that is closed already was closed by this crawl, before a crash.
        if objections.is_empty() || session == SessionState::Finished {
            return Ok(None);
        }
        if session == SessionState::Unknown {
            // Nothing was uploaded. What others change until the answer comes needs the session.
            self.upload(plan).open(None).await?;
        }
        let wait = connection.deletions.wait;
        let held = hold(plan, &found.read, sealed, intent, &objections, *seconds, wait);
        let mut result = crawled.result(Outcome::Held, &objections);
        differ(&mut result, intent);
        result.deleted = 0;
        result.held = Some(waiting(&held));
        Ok(Some((result, held)))
    }

    /// Whether what an incremental crawl brought is safe from the end of a full crawl's session.
    async fn is_spared(&self, begun: &Begun) -> Result<bool> {
        let plan = &begun.plan;
        let spared = match plan.beside.as_deref() {
            _ if begun.settling => false,
            None => true,
            // It was sent to this session, too: as long as it was open.
            Some(session) => {
                let held = self.states.of(&plan.connection).await?.held;
                held.is_some_and(|held| held.plan.upload_id == session)
                    || self.journal(&plan.connection, session).begun::<Begun>().await?.is_some()
            }
        };
        if !spared {
            tracing::info!(
                connection = plan.connection.as_str(),
                "Glean is at work on the end of a full crawl: the next crawl brings the same again"
            );
        }
        Ok(spared)
    }
}
