//! A whole crawl in this process, without Temporal. A source that is away is tried again by the policy.
//! Run again after an interruption, it is resumed from its journal in the same upload session.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::approval::Decided;
use super::blame::{Stopped, interrupted};
use super::complete::Completed;
use super::crawler::Crawler;
use super::history::CrawlRun;
use super::lease::{Coordinator, Who};
use super::local_identities;
use super::plan::CrawlRef;
use super::progress::{Attempts, Live};
use super::request::{CrawlRequest, Decision, Start, upload_id};
use super::result::{CrawlResult, Outcome};
use super::view::{CrawlView, Phase, RangeProgress};
use crate::failure::{Failure, Kind, Result};

/// How often the view is told what a crawl waits for.
const LOOK: Duration = Duration::from_millis(500);

pub async fn run(
    crawler: &Crawler,
    request: &CrawlRequest,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<CrawlResult> {
    let name = request.connection.as_str();
    crawler.connections.now().connection(name)?;
    let _lock = crawler.states.machine.lock(name)?;
    let run = upload_id(name);
    let ended = match once(crawler, request, &run, view, cancel).await {
        // What Glean has of it counts no longer: another session has to contain everything.
        Err(failure) if failure.kind == Kind::SessionLost => {
            tracing::warn!(connection = name, "{failure}; the crawl begins again");
            once(crawler, request, &upload_id(name), view, cancel).await
        }
        ended => ended,
    };
    if let Err(failure) = &ended {
        // An incremental crawl may have had to be a full one.
        let mode = match view.borrow().phase {
            Phase::Configuring => request.mode,
            _ => view.borrow().mode,
        };
        let attempt =
            CrawlRun { connection: name, mode, run: &run, coordinator: Coordinator::Process };
        crawler.remember_failure(attempt, failure).await;
    }
    ended
}

async fn once(
    crawler: &Crawler,
    request: &CrawlRequest,
    upload_id: &str,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<CrawlResult> {
    let name = request.connection.as_str();
    let started = Instant::now();
    let who = Who::Process { machine: crawler.states.machine.id()? };
    let start = || Start {
        request: request.clone(),
        upload_id: upload_id.into(),
        by: format!("process {}", std::process::id()),
        who: who.clone(),
    };
    let again = Again { crawler, name, view, cancel };
    let mut attempts = Attempts::default();
    let crawl = loop {
        let configure = Box::pin(unless(cancel, crawler.configure(start())));
        match told(crawler, name, view, configure).await {
            Ok(plan) => break plan.travels(),
            Err(failure) => {
                let (failure, pause) = again.borne(failure, &mut attempts)?;
                again.wait(&failure, pause).await?;
            }
        }
    };
    let told = if crawl.identities { tell_identities(&again, &crawl).await } else { Ok(()) };
    let ended = match told {
        Ok(()) => Box::pin(crawl_all(&again, &crawl, started)).await,
        Err(failure) => Err(failure),
    };
    // After a failure, the next one who comes need not wait for the lease to end.
    let rested = crawler.rest(&crawl, None).await;
    let result = ended?;
    rested?;
    Ok(result)
}

/// Groups are told before the documents that name them. What goes wrong there is kept for `sheaf status`, and keeps no
/// document from being found by whoever may find it already.
async fn tell_identities(again: &Again<'_>, crawl: &CrawlRef) -> Result<()> {
    let Again { crawler, name, view, cancel } = *again;
    let beside = Some(&crawl.upload_id);
    match Box::pin(local_identities::run(crawler, name, false, beside, cancel, view)).await {
        Err(failure) if failure.kind == Kind::Interrupted => return Err(failure),
        Err(failure) => tracing::warn!(connection = name, "users and groups: {failure}"),
        Ok(Some(result)) if result.outcome != Outcome::Complete => tracing::warn!(
            connection = name,
            "users and groups: {}; `sheaf status` says more",
            result.outcome
        ),
        Ok(_) => {}
    }
    Ok(())
}

async fn crawl_all(again: &Again<'_>, crawl: &CrawlRef, started: Instant) -> Result<CrawlResult> {
    crawl_all_scopes(again, crawl).await?;
    let Again { crawler, view, cancel, .. } = *again;
    view.send_modify(|view| view.phase = Phase::Completing);
    let seconds = started.elapsed().as_secs_f64();
    let complete = Box::pin(unless(cancel, crawler.complete(crawl, seconds)));
    match told(crawler, &crawl.connection, view, complete).await? {
        Completed::Ended(result) => Ok(*result),
        Completed::InVain(failure) => Err(failure),
    }
}

/// Reads every scope to its end, or until it has failed for good.
pub(super) async fn crawl_all_scopes(again: &Again<'_>, crawl: &CrawlRef) -> Result<()> {
    let Again { crawler, view, cancel, .. } = *again;
    let begun = CrawlView::of(crawl);
    let scopes = crawl.scopes.count();
    let allowed = |failure: &Failure| again.allowed(failure);
    let mut progress = RangeProgress::default();
    loop {
        let (report, mut reports) = watch::channel(progress);
        let range = crawler.crawl_range(crawl, 0..scopes, &allowed, &report, cancel);
        let mut range = std::pin::pin!(range);
        let ended = loop {
            let ended = tokio::select! {
                ended = &mut range => Some(ended),
                Ok(()) = reports.changed() => None,
            };
            let mut now = begun.clone();
            now.add(reports.borrow_and_update().clone());
            view.send_replace(now);
            if let Some(ended) = ended {
                break ended;
            }
        };
        progress = report.borrow().clone();
        let (failure, pause) = match ended {
            Ok(_) => return Ok(()),
            // The journal counts these, for each scope.
            Err(Stopped::Scope(failure)) => {
                let policy = &crawler.settings.policy;
                let pause = policy.pause_after(&failure, progress.again);
                (failure, pause)
            }
            Err(Stopped::Crawl(failure)) => again.borne(failure, &mut progress.attempts)?,
        };
        let who = crawl.who.as_ref().ok_or_else(|| Failure::internal("nobody runs the crawl"))?;
        let claims = crawler.states.claims(&crawl.connection);
        tokio::select! {
            waited = again.wait(&failure, pause) => waited?,
            failure = claims.renew_until_it_fails(who, &crawl.upload_id) => return Err(failure),
        }
    }
}

/// How a source that is away is tried again: by the policy, as on Temporal. All else that fails waits
/// for a person, who is there.
pub(super) struct Again<'a> {
    pub(super) crawler: &'a Crawler,
    pub(super) name: &'a str,
    pub(super) view: &'a watch::Sender<CrawlView>,
    pub(super) cancel: &'a CancellationToken,
}

impl Again<'_> {
    /// How many failures like this one, in a row, are the last.
    fn allowed(&self, failure: &Failure) -> u32 {
        let policy = &self.crawler.settings.policy;
        if failure.kind.is_away() { policy.allowed(failure) } else { 1 }
    }

    /// Counts one more failure, unless it is the last: how long to wait after it.
    pub(super) fn borne(
        &self,
        failure: Failure,
        attempts: &mut Attempts,
    ) -> Result<(Failure, Duration)> {
        let allowed = self.allowed(&failure);
        let (failure, last) = attempts.failed(failure, allowed);
        if last {
            return Err(failure);
        }
        let pause = self.crawler.settings.policy.pause_after(&failure, attempts.failures);
        Ok((failure, pause))
    }

    pub(super) async fn wait(&self, failure: &Failure, pause: Duration) -> Result<()> {
        let until = tokio::time::Instant::now() + pause;
        tracing::warn!(connection = self.name, ?pause, "tries again: {failure}");
        let mut looks = tokio::time::interval(LOOK);
        let ended = loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            tokio::select! {
                () = tokio::time::sleep_until(until) => break Ok(()),
                () = self.cancel.cancelled() => break Err(interrupted()),
                _ = looks.tick() => self.view.send_modify(|view| {
                    let (name, seconds) = (self.name, left.as_secs() + 1);
                    view.note = Some(format!("{name} tries again in {seconds} s: {}", failure.what));
                }),
            }
        };
        self.view.send_modify(|view| view.note = None);
        ended
    }
}

/// Decides about the upload that waits, where no workflow does.
pub async fn decide(
    crawler: &Crawler,
    name: &str,
    upload_id: &str,
    decision: Decision,
) -> Result<CrawlResult> {
    let _lock = crawler.states.machine.lock(name)?;
    let held = crawler.states.of(name).await?.held;
    let held = held.filter(|held| held.plan.upload_id == upload_id);
    let held = held.ok_or_else(|| nothing_waits(name))?;
    // Nobody watches the clock here: an answer that comes too late is none.
    let decision = if held.has_expired() { Decision::Expire } else { decision };
    match crawler.decide(name, upload_id, decision).await? {
        Decided::Ended(result) => Ok(*result),
        Decided::Overtaken(failure) => Err(failure),
    }
}

pub fn nothing_waits(name: &str) -> Failure {
    Failure::settings(format!("no crawl of `{name}` waits for approval")).next("see `sheaf status`")
}

/// A step that has no progress of its own: what it waits for is told instead.
async fn told<T>(
    crawler: &Crawler,
    name: &str,
    view: &watch::Sender<CrawlView>,
    step: impl Future<Output = T>,
) -> T {
    let mut step = std::pin::pin!(step);
    let mut looks = tokio::time::interval(LOOK);
    let done = loop {
        tokio::select! {
            done = &mut step => break done,
            _ = looks.tick() => view.send_modify(|view| {
                let mut live = Live::default();
                live.wait(crawler.waiting(name));
                view.note = live.waits().map(|waits| format!("{name} {waits}"));
            }),
        }
    };
    view.send_modify(|view| view.note = None);
    done
}

/// Work that a cancellation ends where it is.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(interrupted()),
    }
}
