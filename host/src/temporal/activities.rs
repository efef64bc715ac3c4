//! The steps of a crawl as activities.
//!
//! `execute_indexing` goes on from the crawl's journal, on any worker; it heartbeats what the journal
//! has, for people to see, and counts its own failures there: progress forgives them, and the policy's
//! last one is final, with the first one's words.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::PolicyConfig;
use crate::crawl::begin::Request;
use crate::crawl::connections::{Expected, this_process};
use crate::crawl::history::Attempt;
use crate::crawl::lease::{TAKE_OVER, Who};
use crate::crawl::{CrawlResult, Crawler, Decision, Ending, ModeName, Plan, ScopeProgress};
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
    pub policy: Option<PolicyConfig>,
    /// What whoever started the crawl has.
    #[serde(default)]
    pub glean: String,
    #[serde(default)]
    pub connection_digest: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecideInput {
    pub connection: String,
    pub upload_id: String,
    pub decision: Decision,
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<PolicyConfig>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScopeInput {
    pub plan: Plan,
    pub scope: String,
    /// Failures in a row that end the crawl.
    pub attempts: u32,
    /// How long to wait after each. Where an earlier version said nothing, the server knows.
    #[serde(default)]
    pub policy: Option<PolicyConfig>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteInput {
    pub plan: Plan,
    pub seconds: f64,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<PolicyConfig>,
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
    ) -> Result<Plan, ActivityError> {
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
        let mut plan = Box::pin(counted(&context, allowed, configure, waiting, remember)).await?;
        // The journal has these; a history need not.
        plan.bookmarks.clear();
        plan.runs.clear();
        tracing::info!(
            connection,
            datasource = plan.datasource,
            connector = plan.connector,
            digest = plan.digest.short(),
            scopes = plan.scopes.len(),
            "the datasource is configured"
        );
        Ok(plan)
    }

    #[activity(name = "execute_indexing")]
    pub async fn execute_indexing(
        self: Arc<Self>,
        context: ActivityContext,
        input: ScopeInput,
    ) -> Result<ScopeProgress, ActivityError> {
        let ScopeInput { plan, scope, attempts, policy } = input;
        let tried: ScopeProgress = context.heartbeat_details().deserialize()?.unwrap_or_default();
        let attempt = context.info().attempt;
        tracing::info!(connection = plan.connection, scope, attempt, "a scope's crawl begins");
        let (report, mut reports) = watch::channel(tried.clone());
        let cancel = CancellationToken::new();
        let ended = {
            let crawl = self.crawler.crawl_scope(&plan, &scope, &tried, &report, &cancel);
            let mut crawl = std::pin::pin!(crawl);
            let mut alive = heartbeats(&context);
            loop {
                tokio::select! {
                    ended = &mut crawl => break ended,
                    Ok(()) = reports.changed() => {
                        let mut progress = reports.borrow_and_update().clone();
                        progress.wait(self.crawler.waiting(&plan.connection));
                        context.record_heartbeat(progress).await?;
                    }
                    _ = alive.tick() => {
                        let mut progress = reports.borrow().clone();
                        progress.wait(self.crawler.waiting(&plan.connection));
                        context.record_heartbeat(progress).await?;
                    }
                    () = context.cancelled(), if !cancel.is_cancelled() => cancel.cancel(),
                }
            }
        };
        let mut progress = report.borrow().clone();
        match ended {
            Ok(mut progress) => {
                tracing::info!(
                    connection = plan.connection,
                    scope,
                    documents = progress.documents,
                    "a scope's crawl ended"
                );
                // The journal has these; a history need not.
                progress.checkpoint = None;
                progress.samples.clear();
                if let Some(Ending::Complete { bookmark }) = &mut progress.ending {
                    *bookmark = None;
                }
                Ok(progress)
            }
            Err(failure) if failure.kind == Kind::Interrupted => {
                context.record_heartbeat(progress.clone()).await?;
                self.rest(&plan, Some(TAKE_OVER)).await;
                tracing::info!(
                    connection = plan.connection,
                    scope,
                    "a scope's crawl is handed over"
                );
                Err(ActivityError::cancelled_with_details(progress))
            }
            Err(failure) => {
                // That one was too slow to hear that it is replaced says nothing of the source.
                let replaced = failure.kind == Kind::TakenOver;
                let allowed = if replaced { attempts.max(PATIENCE) } else { attempts };
                let (failure, last) = progress.failed(failure, allowed);
                let again = !is_final(&failure, last);
                let pause = pause(&failure, progress.failures, policy.as_ref());
                let lease = TAKE_OVER + pause.unwrap_or_default();
                self.rest(&plan, again.then_some(lease)).await;
                tracing::warn!(
                    connection = plan.connection,
                    scope,
                    failures = progress.failures,
                    last,
                    "{failure}"
                );
                context.record_heartbeat(progress).await?;
                if !again {
                    self.remember(&context, &plan, &failure).await;
                }
                Err(failed(failure, last, pause))
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
        let CompleteInput { plan, seconds, attempts, policy } = input;
        let complete = self.crawler.complete(&plan, seconds);
        let waiting = || self.crawler.waiting(&plan.connection);
        let allowed = Allowed { attempts, policy: policy.as_ref() };
        let remember = async |failure: Failure| self.remember(&context, &plan, &failure).await;
        let result = Box::pin(counted(&context, allowed, complete, waiting, remember)).await?;
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
    async fn rest(&self, plan: &Plan, pause: Option<Duration>) {
        if let Err(failure) = self.crawler.rest(plan, pause).await {
            tracing::debug!("{failure}");
        }
    }

    /// Keeps that the crawl failed, for `sheaf status`.
    async fn remember(&self, context: &ActivityContext, plan: &Plan, failure: &Failure) {
        let run = run(context);
        let attempt =
            Attempt { connection: &plan.connection, mode: plan.mode, run: &run, temporal: true };
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
    policy: Option<&'a PolicyConfig>,
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
    let tried = context.heartbeat_details().deserialize::<ScopeProgress>();
    let mut tried = tried.ok().flatten().unwrap_or_default();
    let mut step = std::pin::pin!(step);
    let mut alive = heartbeats(context);
    let ended = loop {
        tokio::select! {
            ended = &mut step => break ended,
            _ = alive.tick() => {
                tried.wait(waiting());
                context.record_heartbeat(tried.clone()).await?;
            }
            () = context.cancelled() => return Err(ActivityError::cancelled()),
        }
    };
    match ended {
        Ok(done) => Ok(done),
        Err(failure) => {
            tried.wait(None);
            let (failure, last) = tried.failed(failure, allowed.attempts.max(1));
            tracing::warn!(failures = tried.failures, last, "{failure}");
            let pause = pause(&failure, tried.failures, allowed.policy);
            context.record_heartbeat(tried).await?;
            if is_final(&failure, last) {
                ends(failure.clone()).await;
            }
            Err(failed(failure, last, pause))
        }
    }
}

/// How long the server is to wait with the next attempt.
fn pause(failure: &Failure, failures: u32, policy: Option<&PolicyConfig>) -> Option<Duration> {
    match failure.kind {
        Kind::TakenOver => Some(REPLACED),
        _ => failure.retry_after.or_else(|| policy.map(|policy| policy.pause(failures))),
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
