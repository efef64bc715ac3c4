//! Ends a crawl's session, and remembers how the crawl ended and what it left in Glean.

use std::collections::BTreeMap;

use super::bookmarks::advance;
use super::connection_state::{ConnectionState, Held};
use super::crawler::Crawler;
use super::guard::Intent;
use super::kept_changes;
use super::pending_end::{PAUSED, PendingEnd};
use super::plan::Plan;
use super::request::ModeName;
use super::result::{CrawlResult, Outcome};
use super::retry_changes::Sent;
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};
use crate::glean::upload::Processing;
use crate::ledger;
use crate::ledger::compare::{Sealed, gone, seal};
use crate::ledger::run::Run;

impl Crawler {
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
        let state = self.states.of(&plan.connection).await?;
        let under_way = processing == Processing::UnderWay;
        let sent = self.repeat(plan, &state, run, runs, ended, under_way).await?;
        Ok(After { processing, sent })
    }

    /// A journal that cannot be read is moved aside: the next crawl would resume it, and end here again.
    pub(super) async fn sealed(&self, plan: &Plan) -> Result<Sealed> {
        let error = match self.seal(plan).await {
            Ok(sealed) => return Ok(sealed),
            Err(error) => error,
        };
        self.move_aside(&plan.connection, error.clone()).await?;
        Err(error.into())
    }

    pub(super) async fn seal(&self, plan: &Plan) -> Result<Sealed, ledger::Error> {
        let temporary = self.settings.state.join("tmp");
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
        format!("{}/ledger/{}", self.states.place(&plan.connection), plan.upload_id)
    }

    /// Remembers how a crawl ended, and what it left in Glean. `read`: the bookmarks of the scopes that
    /// were read to their end. `also` is remembered with it.
    pub(super) async fn end(
        &self,
        plan: &Plan,
        read: Vec<(String, String)>,
        result: CrawlResult,
        run: &Run,
        held: Option<Held>,
        also: impl Fn(&mut ConnectionState),
    ) -> Result<CrawlResult> {
        let whole = plan.mode == ModeName::Full && result.outcome == Outcome::Complete;
        let (waits, resumable) = (held.is_some(), result.resumable);
        let gone = if whole && result.deleted > 0 {
            self.gone(plan, std::slice::from_ref(run)).await
        } else {
            None
        };
        let state = self.states.of(&plan.connection).await?;
        let outdated = self.outdated(&state, run, &plan.upload_id).await?;
        let state = self
            .states
            .update(&plan.connection, |state| {
                also(state);
                if whole {
                    replace(state, plan, run);
                    state.deleted(gone.as_ref());
                    state.scopes = titles(plan);
                    state.whole = Some(result.documents);
                    state.unsettled = 0;
                    state.bookmarks.clear();
                    state.doubt = None;
                } else if !resumable && !state.runs.contains(run) && run.records > 0 {
                    state.runs.push(run.clone());
                }
                advance(&mut state.bookmarks, plan.mode, whole, &read);
                state.changes.retain(|change| !outdated.contains(change));
                if waits {
                    state.held.clone_from(&held);
                }
                let mut told = kept_changes::told(result.clone(), state);
                told.identities = plan.identities.then(|| state.identities.trouble()).flatten();
                state.history.ended(&told, plan.coordinator());
                state.last = Some(told);
            })
            .await?;
        if resumable {
            return Ok(state.last.unwrap_or(result));
        }
        self.journal(&plan.connection, &plan.upload_id).remove().await?;
        if !self.are_others(plan).await? {
            self.tidy(&plan.connection).await?;
        }
        Ok(state.last.unwrap_or(result))
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
    pub(super) fn remember(
        &self,
        state: &mut ConnectionState,
        plan: &Plan,
        result: &CrawlResult,
        intent: &Intent,
    ) {
        self.sent.remember(state);
        state.closing = (self.processing != Processing::Done)
            .then(|| PendingEnd::new(plan, result, intent, state, self.processing));
        if self.processing != Processing::Paused {
            state.census.closed(Timestamp::now(), intent.deleted());
        }
    }
}

/// A complete full crawl is the whole of the ledger, but for what came after it began.
pub(super) fn replace(state: &mut ConnectionState, plan: &Plan, run: &Run) {
    let later = later(state, plan, run);
    state.runs = std::iter::once(run.clone()).chain(later).collect();
}

/// The runs of incremental crawls beside a full one.
pub(super) fn later(state: &ConnectionState, plan: &Plan, run: &Run) -> Vec<Run> {
    let of_now = state.runs.iter().filter(|found| *found != run && !plan.runs.contains(found));
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
    *result.access = intent.difference.access.without_samples();
}
