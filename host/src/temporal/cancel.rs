//! Ends a crawl that is under way, on somebody's word.

use std::time::Duration;

use temporalio_client::errors::{WorkflowGetResultError, WorkflowInteractionError};
use temporalio_client::{
    Client, NamespacedClient as _, UntypedWorkflowHandle, WorkflowCancelOptions,
    WorkflowDescribeOptions, WorkflowExecutionInfo, WorkflowGetResultOptions,
};
use tokio_util::sync::CancellationToken;

use super::follow::{self, Handle, Watch, patiently};
use super::found::unanswered;
use super::settings::Deployment;
use crate::crawl::{CrawlResult, CrawlView};
use crate::failure::{Failure, Result};

/// How long a worker is waited for that does it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a crawl ended that was to be cancelled.
pub enum Cancelled {
    /// As far as it had come.
    Yes(Box<CrawlView>),
    /// It was asked to end, and no worker answers that would do it.
    Asked,
    /// It had come to its end first.
    Ended(Box<Result<CrawlResult>>),
}

/// Asks a connection's crawl to end. Which it is, and how far.
pub async fn ask(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
) -> Result<(Handle, CrawlView)> {
    let found = follow::under_way(client, deployment, connection).await?;
    let found = found.ok_or_else(|| follow::nothing_runs(connection))?;
    let handle: Handle = found.handle(client);
    let view = follow::progress(&handle).await.unwrap_or_default();
    // A schedule's start ends with its crawl, and is no failure then; the others of many go on.
    let scheduled = match &found.parent {
        Some((id, run)) => scheduled(client, id, run).await?,
        None => None,
    };
    let reason = || WorkflowCancelOptions::builder().reason("sheaf cancel").build();
    let asked = match &scheduled {
        Some(parent) => parent.cancel(reason()).await,
        None => handle.cancel(reason()).await,
    };
    match asked {
        // It ended just now.
        Ok(()) | Err(WorkflowInteractionError::NotFound(_)) => {}
        Err(WorkflowInteractionError::Rpc(status)) => return Err(unanswered(&status)),
        Err(other) => return Err(Failure::internal(format!("it was not cancelled: {other}"))),
    }
    Ok((handle, view))
}

/// Asks a connection's crawl to end, and waits until it has.
pub async fn cancel(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
    detach: &CancellationToken,
) -> Result<Cancelled> {
    let (handle, mut view) = ask(client, deployment, connection).await?;
    let mut watch = Watch::new(client, deployment.task_queue());
    let nobody = detach.child_token();
    let look = async || {
        if let Some(seen) = follow::progress(&handle).await {
            watch.answered();
            // An activity that has ended cancelled is in no view any more: what it said last counts.
            if seen.total.counts.documents >= view.total.counts.documents {
                view = seen;
            }
            return;
        }
        watch.unanswered().await;
        if watch.silence() > PATIENCE {
            nobody.cancel();
        }
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    let ended = patiently(result, &nobody, look).await;
    if ended.is_err() && nobody.is_cancelled() && !detach.is_cancelled() {
        return Ok(Cancelled::Asked);
    }
    match ended? {
        Err(WorkflowGetResultError::Cancelled { .. }) => {
            // What was handed over at the end is known only now.
            let last = follow::progress(&handle).await;
            let is_more =
                |seen: &CrawlView| seen.total.counts.documents >= view.total.counts.documents;
            Ok(Cancelled::Yes(Box::new(last.filter(is_more).unwrap_or(view))))
        }
        ended => Ok(Cancelled::Ended(Box::new(ended.map_err(follow::explain)))),
    }
}

/// The workflow that a schedule started, if the one that started the crawl is such.
async fn scheduled(
    client: &Client,
    id: &str,
    run: &str,
) -> Result<Option<UntypedWorkflowHandle<Client>>> {
    let info = WorkflowExecutionInfo::builder()
        .namespace(client.namespace())
        .workflow_id(id)
        .run_id(run)
        .build();
    let handle = UntypedWorkflowHandle::new(client.clone(), info);
    match handle.describe(WorkflowDescribeOptions::default()).await {
        Ok(described) if described.workflow_type() == "ScheduledCrawl" => Ok(Some(handle)),
        Ok(_) | Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
        Err(WorkflowInteractionError::Rpc(status)) => Err(unanswered(&status)),
        Err(other) => Err(Failure::internal(format!("the workflow {id}: {other}"))),
    }
}
