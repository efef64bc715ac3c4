//! The steps of a crawl as activities.
//!
//! `execute_indexing` heartbeats what Glean acknowledged, and nothing else; the next attempt, on any
//! worker, begins there. It counts its own failures in the heartbeat: progress forgives them, and the
//! policy's last one is final.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connector::Digest;
use crate::crawl::{CrawlResult, Crawler, ModeName, Plan, ScopeProgress};
use crate::failure::{Failure, Kind};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigureInput {
    pub connection: String,
    pub mode: ModeName,
    pub digest: Option<Digest>,
    pub upload_id: String,
    #[serde(default)]
    pub attempts: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScopeInput {
    pub plan: Plan,
    pub scope: String,
    /// Failures in a row that end the crawl.
    pub attempts: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteInput {
    pub plan: Plan,
    pub scopes: BTreeMap<String, ScopeProgress>,
    pub seconds: f64,
    #[serde(default)]
    pub attempts: u32,
}

pub struct Activities {
    pub crawler: Crawler,
}

/// A crawl that waits for its source still says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

#[activities]
impl Activities {
    #[activity(name = "configure_datasource")]
    pub async fn configure_datasource(
        self: Arc<Self>,
        context: ActivityContext,
        input: ConfigureInput,
    ) -> Result<Plan, ActivityError> {
        let ConfigureInput { connection, mode, digest, upload_id, attempts } = input;
        let configure = self.crawler.configure(&connection, mode, &upload_id, digest.as_ref());
        let plan = counted(&context, attempts, configure).await?;
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
        let ScopeInput { plan, scope, attempts } = input;
        let start: ScopeProgress = context.heartbeat_details().deserialize()?.unwrap_or_default();
        let attempt = context.info().attempt;
        tracing::info!(
            connection = plan.connection,
            scope,
            attempt,
            documents = start.documents,
            "a scope's crawl begins"
        );
        let (report, mut reports) = watch::channel(start.clone());
        let cancel = CancellationToken::new();
        let ended = {
            let crawl = self.crawler.crawl_scope(&plan, &scope, start, &report, &cancel);
            let mut crawl = std::pin::pin!(crawl);
            let mut alive = tokio::time::interval(HEARTBEAT);
            loop {
                tokio::select! {
                    ended = &mut crawl => break ended,
                    Ok(()) = reports.changed() => {
                        let progress = reports.borrow_and_update().clone();
                        context.record_heartbeat(progress).await?;
                    }
                    _ = alive.tick() => {
                        let progress = reports.borrow().clone();
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
                // The checkpoint is of no more use, and may be 64 KiB.
                progress.checkpoint = None;
                Ok(progress)
            }
            Err(failure) if failure.kind == Kind::Interrupted => {
                context.record_heartbeat(progress.clone()).await?;
                tracing::info!(
                    connection = plan.connection,
                    scope,
                    "a scope's crawl is handed over"
                );
                Err(ActivityError::cancelled_with_details(progress))
            }
            Err(failure) => {
                progress.failures += 1;
                let last = progress.failures >= attempts;
                tracing::warn!(
                    connection = plan.connection,
                    scope,
                    failures = progress.failures,
                    last,
                    "{failure}"
                );
                context.record_heartbeat(progress).await?;
                Err(failed(failure, last))
            }
        }
    }

    #[activity(name = "complete_upload")]
    pub async fn complete_upload(
        self: Arc<Self>,
        context: ActivityContext,
        input: CompleteInput,
    ) -> Result<CrawlResult, ActivityError> {
        let CompleteInput { plan, scopes, seconds, attempts } = input;
        let complete = self.crawler.complete(&plan, &scopes, seconds);
        let result = counted(&context, attempts, complete).await?;
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

/// A short step: it says that it lives, hears when it is to stop, and counts its own failures, like a
/// crawl does.
async fn counted<T>(
    context: &ActivityContext,
    attempts: u32,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, ActivityError> {
    let failures: u32 = context.heartbeat_details().deserialize()?.unwrap_or_default();
    let mut step = std::pin::pin!(step);
    let mut alive = tokio::time::interval(HEARTBEAT);
    let ended = loop {
        tokio::select! {
            ended = &mut step => break ended,
            _ = alive.tick() => context.record_heartbeat(failures).await?,
            () = context.cancelled() => return Err(ActivityError::cancelled()),
        }
    };
    match ended {
        Ok(done) => Ok(done),
        Err(failure) => {
            tracing::warn!(failures = failures + 1, "{failure}");
            context.record_heartbeat(failures + 1).await?;
            Err(failed(failure, failures + 1 >= attempts.max(1)))
        }
    }
}

/// The failure as Temporal shows it, with all of it in the details for `sheaf`.
fn failed(failure: Failure, last: bool) -> ActivityError {
    let kind = failure.kind;
    let after = failure.retry_after;
    let details = failure.clone();
    ApplicationFailure::builder(failure)
        .type_name(kind.type_name().to_owned())
        .non_retryable(last || !kind.is_retryable())
        .maybe_next_retry_delay(after)
        .details(details)
        .build()
        .into()
}
