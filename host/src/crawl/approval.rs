//! A full crawl that is held: what a person has to know, and what becomes of it when they have decided.
use std::collections::BTreeMap;
use std::time::Duration;

use super::bookmarks::bookmarks;
use super::close::{After, differ, later, replace, titles};
use super::connection_state::{ConnectionState, Held};
use super::crawler::Crawler;
use super::guard::Intent;
use super::kept_changes;
use super::plan::Plan;
use super::progress::{Frontier, ScopeHead};
use super::request::Decision;
use super::result::{AwaitingApproval, CrawlResult, Outcome, joined, listed};
use super::totals::{Found, Total};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::glean::upload::SessionState;
use crate::ledger::compare::Sealed;
use crate::text::count;

/// What became of a decision.
pub enum Decided {
    Ended(Box<CrawlResult>),
    /// What waited does not wait any more: another crawl took its place.
    Overtaken(Failure),
}

impl Decided {
    fn ended(result: CrawlResult) -> Self {
        Self::Ended(Box::new(result))
    }
}

impl Crawler {
    /// Others may have put documents there since the crawl was held: they would go with the rest. What
    /// waits is told again then, so that an approval of what was shown before is none. Beside a crawl that
    /// uploads, nobody knows whose the documents are that Glean counts.
    pub async fn recount(&self, connection: &str) -> Result<()> {
        let state = self.states.of(connection).await?;
        let Some(held) = &state.held else { return Ok(()) };
        if self.are_others(&held.plan).await? {
            return Ok(());
        }
        let Some(counted) = self.counted(&held.plan.datasource).await? else { return Ok(()) };
        let now_there = [vec![held.run.clone()], later(&state, &held.plan, &held.run)].concat();
        let found = self.compare(connection, &held.plan.runs, &now_there).await?;
        let upload_id = held.plan.upload_id.clone();
        self.states
            .update(connection, |state| {
                let held = state.held.as_mut().filter(|held| held.plan.upload_id == upload_id);
                let Some(held) = held else { return };
                let before = state.census.foreign();
                state.census.hear(counted, found.before + found.added);
                let now = state.census.foreign();
                let difference = &mut held.difference;
                difference.gone = (difference.gone + now).saturating_sub(before);
                difference.before = (difference.before + now).saturating_sub(before);
                if now > before {
                    held.reasons.push(format!(
                        "others put {} there since, which would go, too",
                        count(now - before, "document")
                    ));
                }
            })
            .await
            .map(drop)
    }

    /// Does what a person decided about a crawl that is held, or what nobody did.
    pub async fn decide(
        &self,
        connection: &str,
        upload_id: &str,
        decision: Decision,
    ) -> Result<Decided> {
        let state = self.states.of(connection).await?;
        let Some(held) = state.held.clone().filter(|held| held.plan.upload_id == upload_id) else {
            return Ok(already(&state, connection, upload_id));
        };
        let plan = &held.plan;
        self.check_glean(&plan.travels())?;
        let last = state.last.clone().filter(|last| last.upload_id == upload_id);
        let mut result = last.unwrap_or_else(|| {
            let found = Found { read: held.scopes.clone(), ..Found::default() };
            let total = Total::of(plan, &found).counts;
            CrawlResult::new(plan, Outcome::Held, &total, held.seconds, &held.reasons)
        });
        result.held = None;
        result.ended_at = Timestamp::now();
        // Users and groups have their own word, and may have had it since.
        result.identities = plan.identities.then(|| state.identities.trouble()).flatten();
        if decision != Decision::Approve {
            let why = match decision {
                Decision::Expire => "nobody approved it in time, and nothing was deleted",
                _ => "rejected, and nothing was deleted",
            };
            result.reason = Some(format!("{why} ({})", joined(&held.reasons).unwrap_or_default()));
            return self.settle(&held, result, None).await.map(Decided::ended);
        }
        match self.upload(plan).session_state().await? {
            SessionState::Active | SessionState::Finished => {}
            SessionState::Unknown => {
                let failure = Failure::new(
                    Kind::Busy,
                    "the upload session that waited was replaced by another; nothing was deleted",
                );
                let at = format!("{connection}, upload {upload_id}");
                return Ok(Decided::Overtaken(failure.at(at).next("run a full crawl again")));
            }
        }
        let now_there = [vec![held.run.clone()], later(&state, plan, &held.run)].concat();
        let intent = Intent {
            difference: self.compare(connection, &plan.runs, &now_there).await?,
            uploaded: held.uploaded,
            foreign: state.census.foreign(),
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
            let deleted = |state: &mut ConnectionState| state.deleted(gone.as_ref());
            self.states.update(connection, deleted).await?;
        }
        Ok(Decided::ended(result))
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
        let state = self
            .states
            .update(&plan.connection, |state| {
                // A newer full crawl may have begun just now: the ledger is what it compares with.
                let waits = state.held.as_ref();
                let ours = waits.is_some_and(|held| held.plan.upload_id == plan.upload_id);
                if ours {
                    state.held = None;
                }
                if let Some((after, intent)) = after {
                    after.remember(state, plan, &result, intent);
                }
                if closed && ours {
                    replace(state, plan, &held.run);
                    let scopes = titles(plan);
                    let before = std::mem::take(&mut state.scopes);
                    let gone = |id: &String| before.contains_key(id) && !scopes.contains_key(id);
                    // What is gone from Glean has nothing that a bookmark could begin behind.
                    state.bookmarks.retain(|id, _| !gone(id));
                    state.scopes = scopes;
                    state.whole = Some(result.documents);
                    state.unsettled = 0;
                    state.doubt = None;
                    // An incremental crawl meanwhile may have come further.
                    for (scope, bookmark) in bookmarks(&held.scopes) {
                        state.bookmarks.entry(scope).or_insert(bookmark);
                    }
                }
                state.history.decided(&result);
                let newer = state.last.as_ref().is_some_and(|last| {
                    last.upload_id != result.upload_id && last.ended_at > held.since
                });
                if !newer || closed {
                    state.last = Some(kept_changes::told(result.clone(), state));
                }
            })
            .await?;
        let last = state.last.filter(|last| last.upload_id == result.upload_id);
        Ok(last.unwrap_or(result))
    }
}

/// The result of a crawl that is not held any more.
fn already(state: &ConnectionState, connection: &str, upload_id: &str) -> Decided {
    match state.last.as_ref().filter(|last| last.upload_id == upload_id) {
        Some(last) => Decided::ended(last.clone()),
        None => Decided::Overtaken(
            Failure::new(
                Kind::Busy,
                "the crawl that waited for approval was replaced by a newer one",
            )
            .at(format!("{connection}, upload {upload_id}"))
            .next("see `sheaf status`; nothing was deleted"),
        ),
    }
}

/// What is kept of a crawl that is held.
pub(super) fn hold(
    plan: &Plan,
    scopes: &BTreeMap<String, ScopeHead>,
    sealed: &Sealed,
    intent: &Intent,
    reasons: &[String],
    seconds: f64,
    wait: Duration,
) -> Held {
    let since = Timestamp::now();
    let mut difference = intent.difference.clone();
    // What others put there has no name, and goes all the same.
    difference.gone += intent.foreign;
    difference.before = intent.before();
    Held {
        plan: plan.clone(),
        scopes: scopes.iter().map(|(id, head)| (id.clone(), small(head))).collect(),
        run: sealed.run.clone(),
        uploaded: sealed.uploaded,
        difference,
        reasons: reasons.to_vec(),
        seconds,
        since,
        until: since + wait,
        coordinator: plan.coordinator(),
    }
}

/// Only what its end needs, as the state holds it.
fn small(head: &ScopeHead) -> ScopeHead {
    let ScopeHead { scope, frontier, counts } = head.clone();
    let frontier = Frontier { checkpoint: None, ..frontier };
    ScopeHead { scope, frontier, counts: counts.without_samples() }
}

/// What a person has to know to decide.
pub fn waiting(held: &Held) -> AwaitingApproval {
    let difference = &held.difference;
    let samples = difference.gone_samples.iter().chain(&difference.withheld_samples);
    AwaitingApproval {
        upload_id: held.plan.upload_id.clone(),
        would_go: difference.gone + difference.withheld,
        of: difference.before,
        reasons: listed(held.reasons.clone()),
        samples: samples.cloned().collect(),
        until: held.until,
        wait_seconds: held.until.since(held.since).as_secs(),
    }
}
