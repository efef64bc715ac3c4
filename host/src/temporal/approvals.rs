//! A person's word on a crawl that waits for one.

use std::time::Duration;

use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{Client, WorkflowGetResultOptions, WorkflowHandle, WorkflowSignalOptions};
use tokio_util::sync::CancellationToken;

use super::follow::{explain, patiently};
use super::found::{self, Found, unanswered};
use super::ids;
use super::workflows::approval::{Run, Word};
use super::workflows::{ApprovalInput, ApprovalWorkflow};
use crate::config::Config;
use crate::crawl::result::Waiting;
use crate::crawl::{CrawlResult, Decision, local};
use crate::failure::{Failure, Result};

/// Then it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

async fn running(
    client: &Client,
    config: &Config,
    connection: &str,
) -> Result<Option<Found<ApprovalInput>>> {
    let id = ids::approval(connection, &config.temporal.task_queue);
    found::running(client, config, &id).await
}

/// What waits for a word, if something does.
pub async fn waiting(
    client: &Client,
    config: &Config,
    connection: &str,
) -> Result<Option<Waiting>> {
    let found = running(client, config, connection).await?;
    Ok(found.map(|Found { input: ApprovalInput { upload_id, waiting, .. }, .. }| Waiting {
        upload_id,
        ..waiting
    }))
}

/// Says the word on one upload, and waits until it is done. Nothing, where no workflow waits for it.
pub async fn decide(
    client: &Client,
    config: &Config,
    connection: &str,
    word: Word,
) -> Result<Option<CrawlResult>> {
    let found = running(client, config, connection).await?;
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
    let mut late = tokio::time::interval_at(tokio::time::Instant::now() + PATIENCE, PATIENCE);
    let mut told = false;
    let look = async || {
        late.tick().await;
        if !told {
            eprintln!(
                "the answer is recorded; a worker has to act on it: is `sheaf worker` running? \
                 Ctrl-C takes nothing back"
            );
            told = true;
        }
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    let result = patiently(result, &CancellationToken::new(), look).await?;
    let result = result.map_err(explain)?;
    result.map(Some).ok_or_else(|| local::nothing_waits(connection))
}
