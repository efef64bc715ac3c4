//! How workflows that are closed ended, as Temporal itself knows it.
//!
//! What a worker could not write into the store (for want of that very store, or of itself) is found
//! here and nowhere else.

use std::time::SystemTime;

use futures::StreamExt as _;
use serde::Serialize;
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{
    Client, NamespacedClient as _, WorkflowDescribeOptions, WorkflowExecutionInfo,
    WorkflowExecutionStatus as Status, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowListOptions,
};

use super::follow::{self, explain};
use super::settings::Deployment;
use super::workflows::{CrawlInput, scheduled};
use super::{found, ids};
use crate::clock::Timestamp;
use crate::crawl::history::Failing;
use crate::crawl::status::Newest;
use crate::crawl::{CrawlResult, Outcome};
use crate::failure::{Failure, Kind, Result};

/// Failures in a row are counted up to so many.
const MANY: usize = 100;

/// Asks Temporal how a connection's crawl stands.
pub async fn newest(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
) -> Result<Newest> {
    let id = ids::crawl(connection, deployment.task_queue());
    let Some(found) = found::newest::<CrawlInput>(client, deployment, &id).await? else {
        return Ok(Newest::Ended);
    };
    let handle: follow::Handle = found.handle(client);
    if found.running {
        let view = follow::progress_or_silence(&handle, connection).await;
        return Ok(Newest::Running(Box::new(view)));
    }
    let described = match handle.describe(WorkflowDescribeOptions::default()).await {
        Ok(described) => described,
        Err(WorkflowInteractionError::NotFound(_)) => return Ok(Newest::Ended),
        Err(error) => return Err(not_heard(&error)),
    };
    if !matches!(described.status(), Status::Failed | Status::TimedOut | Status::Terminated) {
        return Ok(Newest::Ended);
    }
    let at = at(described.close_time());
    let failure = failure_of(client, handle.info().clone(), described.status()).await;
    let (since, times) = in_a_row(client, &found.id).await.unwrap_or((at, 1));
    let failing = Failing { since, times, at, failure, run: found.run_id };
    Ok(Newest::Failed(found.input.request.mode, Box::new(failing)))
}

/// Since when the runs of a workflow fail, and how many did.
async fn in_a_row(client: &Client, workflow: &str) -> Option<(Timestamp, u64)> {
    let query = format!("WorkflowId = '{workflow}' AND ExecutionStatus != 'Running'");
    let options = WorkflowListOptions::builder().limit(MANY).build();
    // The newest first.
    let mut runs = client.list_workflows(query, options);
    let (mut since, mut times) = (Timestamp::default(), 0);
    while let Some(Ok(run)) = runs.next().await {
        if !matches!(run.status(), Status::Failed | Status::TimedOut | Status::Terminated) {
            break;
        }
        since = at(run.close_time());
        times += 1;
    }
    (times > 0).then_some((since, times))
}

/// A run that a schedule started.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    pub workflow: String,
    pub run: String,
    /// In RFC 3339.
    pub started: Option<String>,
    /// `running`, `complete`, `partial`, `held`, `skipped`, `failed`, `cancelled`, `unknown`.
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<CrawlResult>,
    /// Why it failed, or was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a run of `ScheduledCrawl` ended, if it has.
pub async fn scheduled(client: &Client, workflow: &str, run: &str) -> Started {
    let info = WorkflowExecutionInfo::builder()
        .namespace(client.namespace())
        .workflow_id(workflow)
        .run_id(run)
        .build();
    let handle: WorkflowHandle<Client, scheduled::Run> =
        WorkflowHandle::new(client.clone(), info.clone());
    let mut found = Started {
        workflow: workflow.to_owned(),
        run: run.to_owned(),
        started: None,
        outcome: "unknown",
        result: None,
        reason: None,
    };
    let described = match handle.describe(WorkflowDescribeOptions::default()).await {
        Ok(described) => described,
        // Temporal keeps closed workflows for a while only.
        Err(WorkflowInteractionError::NotFound(_)) => return found,
        Err(error) => {
            found.reason = Some(not_heard(&error).what);
            return found;
        }
    };
    found.started =
        described.start_time().map(|time| humantime::format_rfc3339_seconds(time).to_string());
    match described.status() {
        Status::Running => found.outcome = "running",
        Status::Canceled => found.outcome = "cancelled",
        Status::Completed => match handle.get_result(this_run()).await {
            Ok(ended) => {
                found.outcome = match (&ended.result, &ended.identities) {
                    (Some(result), _) => result.outcome.name(),
                    (None, Some(identities)) => identities.outcome.name(),
                    (None, None) => "skipped",
                };
                found.reason = ended.skipped;
                found.result = ended.result;
            }
            Err(error) => found.reason = Some(explain(error).what),
        },
        status => {
            found.outcome = Outcome::Failed.name();
            found.reason = Some(failure_of(client, info, status).await.to_string());
        }
    }
    found
}

fn this_run() -> WorkflowGetResultOptions {
    WorkflowGetResultOptions::builder().follow_runs(false).build()
}

/// Why a run that is closed failed.
async fn failure_of(client: &Client, info: WorkflowExecutionInfo, status: Status) -> Failure {
    match status {
        Status::TimedOut => Failure::internal("its workflow timed out")
            .next("see its history in Temporal's UI: was a worker there?"),
        Status::Terminated => Failure::new(Kind::Interrupted, "its workflow was terminated")
            .next("start it again: it is resumed"),
        _ => match info.bind_untyped(client.clone()).get_result(this_run()).await {
            Err(error) => explain(error),
            Ok(_) => Failure::internal("its workflow failed"),
        },
    }
}

fn at(time: Option<SystemTime>) -> Timestamp {
    time.map(Timestamp::of).unwrap_or_default()
}

fn not_heard(error: &WorkflowInteractionError) -> Failure {
    Failure::new(Kind::Unreachable, format!("Temporal did not say how it stands: {error}"))
        .next("check [temporal]; `sheaf doctor` tries it")
}
