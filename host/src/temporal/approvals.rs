//! A person's word on a crawl that waits for one.

use std::time::Duration;

use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{Client, WorkflowGetResultOptions, WorkflowHandle, WorkflowSignalOptions};
use tokio_util::sync::CancellationToken;

use super::follow::{explain, patiently};
use super::found::{self, Found, unanswered};
use super::ids;
use super::settings::Deployment;
use super::workflows::approval::{Run, Word};
use super::workflows::{ApprovalInput, ApprovalWorkflow};
use crate::crawl::result::AwaitingApproval;
use crate::crawl::{CrawlResult, Decision, local};
use crate::failure::{Failure, Result};

/// So long a worker may take.
const PATIENCE: Duration = Duration::from_secs(3);

async fn running(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
) -> Result<Option<Found<ApprovalInput>>> {
    let id = ids::approval(connection, deployment.task_queue());
    found::running(client, deployment, &id).await
}

/// What waits for a word, if something does.
pub async fn waiting(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
) -> Result<Option<AwaitingApproval>> {
    let found = running(client, deployment, connection).await?;
    Ok(found.map(|Found { input: ApprovalInput { upload_id, waiting, .. }, .. }| {
        AwaitingApproval { upload_id, ..waiting }
    }))
}

/// Says the word on one upload, and waits until it is done. Nothing, where no workflow waits for it.
/// `late` is called once, if no worker acts on the word within a few seconds.
pub async fn decide(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
    word: Word,
    late: impl FnOnce(),
) -> Result<Option<CrawlResult>> {
    let found = running(client, deployment, connection).await?;
    let Some(found) = found.filter(|found| found.input.upload_id == word.upload_id) else {
        return Ok(None);
    };
    // To this run: one that takes its place meanwhile hears nothing.
    let handle: WorkflowHandle<Client, Run> = found.handle(client);
    let options = WorkflowSignalOptions::default();
    let said = match (found.input.named, word.decision) {
        (true, _) => handle.signal(ApprovalWorkflow::decide, word, options).await,
        (false, Decision::Approve) => handle.signal(ApprovalWorkflow::approve, (), options).await,
        (false, _) => handle.signal(ApprovalWorkflow::reject, (), options).await,
    };
    match said {
        Ok(()) => {}
        Err(WorkflowInteractionError::NotFound(_)) => return Ok(None),
        Err(WorkflowInteractionError::Rpc(status)) => return Err(unanswered(&status)),
        Err(other) => return Err(Failure::internal(format!("the word was not said: {other}"))),
    }
    let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + PATIENCE, PATIENCE);
    let mut late = Some(late);
    let look = async || {
        looks.tick().await;
        if let Some(late) = late.take() {
            late();
        }
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    let result = patiently(result, &CancellationToken::new(), look).await?;
    let result = result.map_err(explain)?;
    result.map(Some).ok_or_else(|| local::nothing_waits(connection))
}
