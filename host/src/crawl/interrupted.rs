//! A connection's other crawls, when one begins: one that was interrupted is resumed, a stopped full
//! crawl is left to the next full one, and what the rest had uploaded goes into the ledger.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::connection::Connection;
use super::connection_state::ConnectionState;
use super::crawler::{Crawler, Journal};
use super::plan::{Begun, Plan};
use super::request::ModeName;
use crate::cell::Connector;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean::upload::SessionState;
use crate::ledger::compare::Sealed;
use crate::ledger::{self, journals};
use crate::name::UploadId;

/// An interrupted crawl is resumed within this time; what it uploaded is older than that then.
const RESUME_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// One that ended without some scopes, from its end: the next nightly crawl reads all of them.
pub(super) const COMPLETE_WITHIN: Duration = Duration::from_secs(12 * 3600);

/// A crawl as it would begin now.
pub(super) struct AsNow<'a> {
    pub connection: &'a Arc<Connection>,
    pub connector: &'a Connector,
    pub mode: ModeName,
}

/// What becomes of the other crawls that have a journal.
#[derive(Default)]
pub(super) struct Others {
    /// One of the same mode that can be resumed: the newest.
    pub resumable: Option<Begun>,
    /// Beside an incremental crawl: a full one that the next full crawl can resume. Its session stays
    /// open, and gets what the incremental one brings.
    pub stopped: Option<UploadId>,
    /// Those that nobody resumes any more.
    pub over: Vec<UploadId>,
}

impl Crawler {
    /// `upload_id` is the crawl's that begins. Nobody else is at work: it has the claim.
    pub(super) async fn others(&self, now: &AsNow<'_>, upload_id: &str) -> Result<Others> {
        let name = &now.connection.name;
        let state = self.states.of(name).await?;
        let mut found = Vec::new();
        let mut others = Others::default();
        for upload in journals(&self.store, &self.states.place(name)).await? {
            if state.held.as_ref().is_some_and(|held| held.plan.upload_id == upload) {
                continue;
            }
            let begun = match self.journal(name, &upload).begun::<Begun>().await {
                Ok(begun) => begun,
                Err(error) => {
                    self.move_aside(name, error).await?;
                    continue;
                }
            };
            match begun {
                Some(begun) if !has_ended(&state, &upload, &self.run_name(&begun.plan)) => {
                    found.push(begun);
                }
                // This crawl, begun again before it had written anything.
                None if upload == upload_id => {}
                _ => others.over.push(upload.into()),
            }
        }
        found.sort_by_key(|begun| std::cmp::Reverse(begun.at));
        for begun in found {
            let upload = begun.plan.upload_id.clone();
            let (mode, full) = (begun.plan.mode, ModeName::Full);
            let taken = if mode == now.mode {
                others.resumable.is_some()
            } else {
                mode != full || others.stopped.is_some()
            };
            let obstacle = if taken {
                Some("another takes its place")
            } else {
                match self.obstacle(now, &state, &begun).await {
                    Ok(obstacle) => obstacle,
                    Err(error) => {
                        self.move_aside(name, error).await?;
                        continue;
                    }
                }
            };
            match obstacle {
                None if mode == now.mode => others.resumable = Some(begun),
                None => others.stopped = Some(upload),
                Some(why) => {
                    tracing::info!(
                        connection = name.as_str(),
                        upload_id = upload.as_str(),
                        "an interrupted crawl is not resumed: {why}"
                    );
                    others.over.push(upload);
                }
            }
        }
        Ok(others)
    }

    /// Why an interrupted crawl cannot be resumed, if so: it must be of the same settings and
    /// connector, and its session still open.
    async fn obstacle(
        &self,
        as_now: &AsNow<'_>,
        state: &ConnectionState,
        begun: &Begun,
    ) -> Result<Option<&'static str>, ledger::Error> {
        let Begun { plan, settings, at, .. } = begun;
        if !as_now.connection.has_settings(settings)
            || plan.digest != as_now.connector.digest
            || plan.datasource != as_now.connection.datasource
        {
            return Ok(Some("its settings or its connector differ"));
        }
        let ended = state.history.full.last.as_ref();
        let ended = ended.filter(|last| last.resumable && last.upload_id == plan.upload_id);
        if is_too_old(*at, ended.map(|ended| ended.ended_at)) {
            return Ok(Some("it is too old"));
        }
        let journal = self.journal(&plan.connection, &plan.upload_id);
        let (mut opened, mut ended) = (plan.opened, true);
        // All of it is read: what is damaged must be found before the rest is built on it.
        let mut asked: Vec<BoxFuture<'_, Result<_, ledger::Error>>> = Vec::new();
        for scope in &plan.scopes {
            asked.push(Box::pin(journal.whole(&scope.id)));
        }
        for head in self.store.each(asked).await? {
            let frontier = head.map(|head| head.frontier);
            opened |= frontier.as_ref().is_some_and(|frontier| frontier.opened);
            ended &= frontier.is_some_and(|frontier| frontier.ending.is_some());
        }
        let session = if opened {
            self.session_state(plan).await?
        } else if plan.mode == ModeName::Full && self.is_in_the_way(plan).await? {
            // Nothing was uploaded: nothing is lost with it.
            return Ok(Some("another session was left unfinished meanwhile"));
        } else {
            SessionState::Active
        };
        // Where only the end was not written down, the session is closed already.
        let goes_on =
            session == SessionState::Active || (ended && session == SessionState::Finished);
        Ok((!goes_on).then_some("its session is gone"))
    }

    /// Takes what a crawl that nobody resumes had uploaded into the ledger: it is in Glean.
    pub(super) async fn absorb(&self, connection: &str, upload_id: &str) -> Result<()> {
        let journal = self.journal(connection, upload_id);
        let (plan, Sealed { run, uploaded, deleted, .. }) = match self.known_to(&journal).await {
            Ok(Some(known)) => known,
            Ok(None) => return journal.remove().await,
            Err(error) => return self.move_aside(connection, error).await,
        };
        tracing::info!(
            connection,
            upload_id,
            documents = run.records,
            "an earlier crawl did not end; what it uploaded is known"
        );
        let known = self.states.of(connection).await?.runs;
        let found = self.compare(connection, &known, std::slice::from_ref(&run)).await?;
        let full = plan.mode == ModeName::Full;
        self.states
            .update(connection, |state| {
                let kept = [state.last.as_mut(), state.history.full.last.as_mut()];
                for last in kept.into_iter().flatten().filter(|last| last.upload_id == upload_id) {
                    last.resumable = false;
                }
                if state.runs.contains(&run) {
                    return;
                }
                state.runs.push(run.clone());
                state.census.moved(Timestamp::now(), uploaded, if full { 0 } else { deleted });
                if full && state.whole.is_some() {
                    state.unsettled += found.added;
                }
            })
            .await?;
        journal.remove().await
    }

    async fn known_to(&self, journal: &Journal) -> Result<Option<(Plan, Sealed)>, ledger::Error> {
        let Some(Begun { plan, .. }) = journal.begun().await? else { return Ok(None) };
        let name = self.run_name(&plan);
        // It has ended, and only the journal's removal is missing: its run is not written again, from
        // what may be left of the journal.
        if self.states.of(&plan.connection).await?.runs.iter().any(|run| run.name == name) {
            return Ok(None);
        }
        let sealed = self.seal(&plan).await?;
        Ok((sealed.run.records > 0).then_some((plan, sealed)))
    }

    /// Whether crawls besides this one have a journal: they compare with the ledger as it was.
    pub(super) async fn are_others(&self, plan: &Plan) -> Result<bool> {
        let all = journals(&self.store, &self.states.place(&plan.connection)).await?;
        Ok(all.iter().any(|upload| *upload != plan.upload_id))
    }
}

/// Whether a crawl that began then, and may have ended without some scopes, is not resumed any more.
fn is_too_old(began: Timestamp, ended: Option<Timestamp>) -> bool {
    match ended {
        Some(ended) => ended.age() > COMPLETE_WITHIN,
        None => began.age() > RESUME_WITHIN,
    }
}

/// Only the journal's removal is missing.
fn has_ended(state: &ConnectionState, upload_id: &str, run: &str) -> bool {
    state.last.as_ref().is_some_and(|last| last.upload_id == upload_id && !last.resumable)
        || state.runs.iter().any(|known| known.name == run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stopped::Clock;

    #[test]
    fn a_crawl_is_resumed_for_a_day_and_one_that_ended_without_some_scopes_for_half_of_one() {
        let clock = Clock::stop();
        let then = Timestamp::now();
        clock.advance(COMPLETE_WITHIN);
        assert!(!is_too_old(then, None) && !is_too_old(then, Some(then)));
        clock.advance(Duration::from_secs(1));
        assert!(!is_too_old(then, None) && is_too_old(then, Some(then)));
        clock.advance(RESUME_WITHIN);
        assert!(is_too_old(then, None));
    }
}
