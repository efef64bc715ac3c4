//! The steps of a crawl as activities.
//!
//! `execute_indexing` goes on from the crawl's journal, on any worker, and heartbeats how far it is for
//! people to see. The journal counts the failures of scopes. Those that are no scope's are counted in
//! the heartbeat: progress forgives them, and the policy's last one ends the crawl, with the first
//! one's words.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::crawl::begin::Request;
use crate::crawl::connections::{Expected, this_process};
use crate::crawl::fault::Stopped;
use crate::crawl::finish::Completed;
use crate::crawl::history::Attempt;
use crate::crawl::lease::{TAKE_OVER, Who};
use crate::crawl::{CrawlRef, CrawlResult, Crawler, Decision, ModeName, Policy, RangeProgress};
use crate::failure::{Failure, Kind};
use crate::pace::Wait;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigureInput {
    pub connection: String,
    pub mode: ModeName,
    #[serde(default)]
    pub connector: Option<String>,
    #[serde(default)]
    pub anew: bool,
    #[serde(default)]
    pub by: String,
    pub upload_id: String,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<Policy>,
    /// What whoever started the crawl has.
    #[serde(default)]
    pub glean: String,
    #[serde(default)]
    pub connection_digest: Option<String>,
    /// Whether the workflow crawls ranges of scopes. Those of earlier versions crawl each by its name.
    #[serde(default)]
    pub ranges: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecideInput {
    pub connection: String,
    pub upload_id: String,
    pub decision: Decision,
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<Policy>,
}

/// Which scopes to crawl.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScopesInput {
    #[serde(alias = "plan")]
    pub crawl: CrawlRef,
    /// By their numbers, from 0.
    #[serde(default)]
    pub scopes: Range<usize>,
    /// The one scope that a workflow of an earlier version asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Failures in a row that end a scope, or the crawl where they are none of the scopes'.
    pub attempts: u32,
    /// How long to wait after each. Where an earlier version said nothing, the server knows.
    #[serde(default)]
    pub policy: Option<Policy>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteInput {
    #[serde(alias = "plan")]
    pub crawl: CrawlRef,
    pub seconds: f64,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<Policy>,
}

pub struct Activities {
    pub crawler: Crawler,
    /// Which Temporal this is: its cluster and namespace.
    pub temporal: String,
}

/// A crawl that waits for its source still says that it lives: three times before it is given up.
fn heartbeats(context: &ActivityContext) -> tokio::time::Interval {
    let timeout = context.info().heartbeat_timeout.unwrap_or(Duration::from_secs(15));
    tokio::time::interval((timeout / 3).max(Duration::from_millis(100)))
}

/// How often a crawl says how far it is.
const SHOWN: Duration = Duration::from_secs(1);

/// Until an attempt that was replaced hears of it by its heartbeats.
const REPLACED: Duration = Duration::from_secs(2);
const PATIENCE: u32 = 10;

#[activities]
impl Activities {
    #[activity(name = "configure_datasource")]
    pub async fn configure_datasource(
        self: Arc<Self>,
        context: ActivityContext,
        input: ConfigureInput,
    ) -> Result<CrawlRef, ActivityError> {
        let ConfigureInput { connection, mode, connector, anew, by, upload_id, .. } = input;
        let expected = Expected { glean: &input.glean, digest: input.connection_digest.as_deref() };
        let configure = async {
            self.crawler.check_expected(&connection, expected).await?;
            let request = Request {
                connection: &connection,
                mode,
                upload_id: &upload_id,
                connector: connector.as_deref(),
                by,
                who: self.who(&context),
                anew,
            };
            Box::pin(self.crawler.configure(request)).await
        };
        let allowed = Allowed { attempts: input.attempts, policy: input.policy.as_ref() };
        let waiting = || self.crawler.waiting(&connection);
        let run = run(&context);
        let attempt = Attempt { connection: &connection, mode, run: &run, temporal: true };
        let remember = async |failure: Failure| {
            self.crawler.remember_failure(attempt, &failure).await;
        };
        let plan = Box::pin(counted(&context, allowed, configure, waiting, remember)).await?;
        tracing::info!(
            connection,
            datasource = plan.datasource,
            connector = plan.connector,
            digest = plan.digest.short(),
            scopes = plan.scopes.len(),
            "the datasource is configured"
        );
        let crawl = plan.travels();
        Ok(if input.ranges { crawl } else { crawl.listing(plan.scopes) })
    }

    #[activity(name = "execute_indexing")]
    pub async fn execute_indexing(
        self: Arc<Self>,
        context: ActivityContext,
        input: ScopesInput,
    ) -> Result<RangeProgress, ActivityError> {
        let ScopesInput { crawl, scopes, scope, attempts, policy } = input;
        let tried = context.heartbeat_details().deserialize::<RangeProgress>();
        let attempts_before = tried.ok().flatten().unwrap_or_default().attempts;
        let attempt = context.info().attempt;
        tracing::info!(connection = crawl.connection, scope, ?scopes, attempt, "crawling scopes");
        let begin = RangeProgress {
            from: scopes.start,
            attempts: attempts_before,
            ..RangeProgress::default()
        };
        let (report, reports) = watch::channel(begin);
        let policy = policy.as_ref();
        let allowed = Allowed { attempts, policy };
        let cancel = CancellationToken::new();
        let ended = {
            let of_scope = |failure: &Failure| allowed.of(failure);
            let crawl = async {
                let range = match &scope {
                    Some(scope) => self.crawler.number_of(&crawl, scope).await?,
                    None => scopes.clone(),
                };
                self.crawler.crawl_range(&crawl, range, &of_scope, &report, &cancel).await
            };
            let mut crawl = std::pin::pin!(crawl);
            let mut alive = heartbeats(&context);
            let mut shown = tokio::time::interval(SHOWN);
            loop {
                tokio::select! {
                    ended = &mut crawl => break ended,
                    _ = alive.tick() => {
                        let progress = reports.borrow().clone();
                        context.record_heartbeat(progress).await?;
                    }
                    _ = shown.tick() => {
                        let progress = reports.borrow().clone();
                        context.record_heartbeat(progress).await?;
                    }
                    () = context.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
                }
            }
        };
        let mut progress = report.borrow().clone();
        match ended {
            // Whoever knows one scope only knows no other way to hear that it failed.
            Ok(RangeProgress { failure: Some(failure), .. }) if scope.is_some() => {
                self.rest(&crawl, None).await;
                self.remember(&context, &crawl, &failure).await;
                Err(failed(failure, true, None))
            }
            Ok(progress) => {
                tracing::info!(
                    connection = crawl.connection,
                    ?scopes,
                    documents = progress.total.documents,
                    failed = progress.failed,
                    "the scopes are crawled"
                );
                Ok(progress)
            }
            Err(Stopped::Crawl(failure)) if failure.kind == Kind::Interrupted => {
                context.record_heartbeat(progress.clone()).await?;
                self.rest(&crawl, Some(TAKE_OVER)).await;
                tracing::info!(connection = crawl.connection, ?scopes, "handed over");
                Err(ActivityError::cancelled_with_details(progress))
            }
            Err(Stopped::Crawl(failure)) => {
                // That one was too slow to hear that it is replaced says nothing of the source.
                let replaced = failure.kind == Kind::TakenOver;
                let attempts = allowed.of(&failure);
                let attempts = if replaced { attempts.max(PATIENCE) } else { attempts };
                let (failure, last) = progress.attempts.failed(failure, attempts);
                let failures = progress.attempts.failures;
                let again = !is_final(&failure, last);
                let pause = pause(&failure, failures, policy);
                let lease = TAKE_OVER + pause.unwrap_or_default();
                self.rest(&crawl, again.then_some(lease)).await;
                tracing::warn!(connection = crawl.connection, failures, last, "{failure}");
                context.record_heartbeat(progress).await?;
                if !again {
                    self.remember(&context, &crawl, &failure).await;
                }
                Err(failed(failure, last, pause))
            }
            // The journal counts these, for each scope.
            Err(Stopped::Scope(failure)) => {
                let pause = pause(&failure, progress.again, policy);
                self.rest(&crawl, Some(TAKE_OVER + pause.unwrap_or_default())).await;
                context.record_heartbeat(progress).await?;
                Err(failed(failure, false, pause))
            }
        }
    }

    #[activity(name = "decide_deletion")]
    pub async fn decide_deletion(
        self: Arc<Self>,
        context: ActivityContext,
        input: DecideInput,
    ) -> Result<Option<CrawlResult>, ActivityError> {
        let DecideInput { connection, upload_id, decision, attempts, policy } = input;
        let decide = async {
            match self.crawler.decide(&connection, &upload_id, decision).await {
                Ok(result) => Ok(Some(result)),
                // Nobody asked, and nothing waits any more.
                Err(failure) if failure.kind == Kind::Busy && decision == Decision::Expire => {
                    Ok(None)
                }
                Err(failure) => Err(failure),
            }
        };
        let allowed = Allowed { attempts, policy: policy.as_ref() };
        let waiting = || self.crawler.waiting(&connection);
        Box::pin(counted(&context, allowed, decide, waiting, async |_| {})).await
    }

    #[activity(name = "complete_upload")]
    pub async fn complete_upload(
        self: Arc<Self>,
        context: ActivityContext,
        input: CompleteInput,
    ) -> Result<CrawlResult, ActivityError> {
        let CompleteInput { crawl, seconds, attempts, policy } = input;
        let complete = self.crawler.complete(&crawl, seconds);
        let waiting = || self.crawler.waiting(&crawl.connection);
        let allowed = Allowed { attempts, policy: policy.as_ref() };
        let remember = async |failure: Failure| self.remember(&context, &crawl, &failure).await;
        let completed = Box::pin(counted(&context, allowed, complete, waiting, remember)).await?;
        let result = match completed {
            Completed::Ended(result) => *result,
            Completed::InVain(failure) => {
                self.remember(&context, &crawl, &failure).await;
                return Err(failed(failure, true, None));
            }
        };
        tracing::info!(
            connection = result.connection,
            documents = result.documents,
            deleted = result.deleted,
            "the crawl ended {}",
            result.outcome
        );
        Ok(result)
    }
}

impl Activities {
    /// The crawl's workflow, which keeps others of its connection out.
    fn who(&self, context: &ActivityContext) -> Who {
        Who::Workflow {
            temporal: self.temporal.clone(),
            workflow: context.info().workflow_id.clone().unwrap_or_default(),
        }
    }

    /// Another worker may take a while to take over: until then the crawl is still one.
    async fn rest(&self, crawl: &CrawlRef, pause: Option<Duration>) {
        if let Err(failure) = self.crawler.rest(crawl, pause).await {
            tracing::debug!("{failure}");
        }
    }

    /// Keeps that the crawl failed, for `sheaf status`.
    async fn remember(&self, context: &ActivityContext, crawl: &CrawlRef, failure: &Failure) {
        let run = run(context);
        let attempt =
            Attempt { connection: &crawl.connection, mode: crawl.mode, run: &run, temporal: true };
        self.crawler.remember_failure(attempt, failure).await;
    }
}

/// The run of the crawl's workflow.
fn run(context: &ActivityContext) -> String {
    context.info().workflow_run_id.clone().unwrap_or_default()
}

/// Whether a failure ends the crawl.
fn is_final(failure: &Failure, last: bool) -> bool {
    last || !failure.kind.is_retryable()
}

/// Failures that are borne with, and the pauses between them.
#[derive(Clone, Copy)]
struct Allowed<'a> {
    attempts: u32,
    policy: Option<&'a Policy>,
}

impl Allowed<'_> {
    fn of(&self, failure: &Failure) -> u32 {
        let policy = self.policy.map(|policy| policy.allowed(failure));
        policy.unwrap_or(self.attempts).max(1)
    }
}

/// A short step: it says that it lives and what it waits for, hears when it is to stop, and counts its
/// own failures, like a crawl does. `ends` hears of the failure that ends it.
async fn counted<T>(
    context: &ActivityContext,
    allowed: Allowed<'_>,
    step: impl Future<Output = Result<T, Failure>>,
    waiting: impl Fn() -> Option<Wait>,
    ends: impl AsyncFnOnce(Failure),
) -> Result<T, ActivityError> {
    let tried = context.heartbeat_details().deserialize::<RangeProgress>();
    let mut tried = tried.ok().flatten().unwrap_or_default();
    let mut step = std::pin::pin!(step);
    let mut alive = heartbeats(context);
    let ended = loop {
        tokio::select! {
            ended = &mut step => break ended,
            _ = alive.tick() => {
                tried.total.wait(waiting());
                context.record_heartbeat(tried.clone()).await?;
            }
            () = context.cancelled() => return Err(ActivityError::cancelled()),
        }
    };
    match ended {
        Ok(done) => Ok(done),
        Err(failure) => {
            tried.total.wait(None);
            let allowance = allowed.of(&failure);
            let (failure, last) = tried.attempts.failed(failure, allowance);
            let failures = tried.attempts.failures;
            tracing::warn!(failures, last, "{failure}");
            let pause = pause(&failure, failures, allowed.policy);
            context.record_heartbeat(tried).await?;
            if is_final(&failure, last) {
                ends(failure.clone()).await;
            }
            Err(failed(failure, last, pause))
        }
    }
}

/// How long the server is to wait with the next attempt.
fn pause(failure: &Failure, failures: u32, policy: Option<&Policy>) -> Option<Duration> {
    match failure.kind {
        Kind::TakenOver => Some(REPLACED),
        _ => match policy {
            Some(policy) => Some(policy.pause_after(failure, failures)),
            None => failure.retry_after,
        },
    }
}

/// The failure as Temporal shows it, with all of it in the details for `sheaf`.
fn failed(failure: Failure, last: bool, pause: Option<Duration>) -> ActivityError {
    let kind = failure.kind;
    // Whoever reads it is elsewhere.
    let worker = format!("worker {}", this_process());
    let at = failure.at.as_ref().map_or_else(|| worker.clone(), |at| format!("{at}, {worker}"));
    let failure = failure.at(at);
    let details = failure.clone();
    ApplicationFailure::builder(failure)
        .type_name(kind.type_name().to_owned())
        .non_retryable(is_final(&details, last))
        .maybe_next_retry_delay(pause)
        .details(details)
        .build()
        .into()
}
