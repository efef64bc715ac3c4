//! Pauses a crawl that is under way, and resumes it. What runs hands over with its checkpoints, as when its worker stops.

use std::time::Duration;

use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{Client, WorkflowSignalOptions};

use super::follow::{self, Handle};
use super::found::unanswered;
use super::settings::Deployment;
use super::workflows::IndexingWorkflow;
use crate::crawl::view::Phase;
use crate::failure::{Failure, Result};

/// How long it is waited for that all that runs has handed over.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

/// Asks a connection's crawl to rest, and waits until nothing of it runs.
pub async fn pause(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
    by: &str,
) -> Result<()> {
    let handle = under_way(client, deployment, connection).await?;
    // Its end is short, and deletes: it comes as a whole or not at all.
    if follow::progress(&handle).await.is_some_and(|view| view.phase == Phase::Completing) {
        return Err(Failure::settings(format!("the crawl of `{connection}` is ending just now"))
            .next("nothing: it has read everything"));
    }
    let options = WorkflowSignalOptions::default();
    let sent = handle.signal(IndexingWorkflow::pause, by.to_owned(), options).await;
    sent.map_err(not_told)?;
    let rests = async {
        while !follow::rests(&handle).await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, rests).await.map_err(|_| {
        Failure::internal(format!(
            "the crawl was asked to pause, and not all of it rests after {PATIENCE:?}: its workers are \
             busy with a step that is not cut off, or none answers"
        ))
        .next("see `sheaf status`: it pauses as soon as its workers answer")
    })?;
    // It may have come to its end first.
    under_way(client, deployment, connection).await.map(drop)
}

pub async fn resume(client: &Client, deployment: Deployment<'_>, connection: &str) -> Result<()> {
    let handle = under_way(client, deployment, connection).await?;
    let options = WorkflowSignalOptions::default();
    handle.signal(IndexingWorkflow::resume, (), options).await.map_err(not_told)
}

async fn under_way(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
) -> Result<Handle> {
    let found = follow::under_way(client, deployment, connection).await?;
    Ok(found.ok_or_else(|| follow::nothing_runs(connection))?.handle(client))
}

fn not_told(error: WorkflowInteractionError) -> Failure {
    match error {
        WorkflowInteractionError::Rpc(status) => unanswered(&status),
        other => Failure::internal(format!("the crawl's workflow was not told: {other}"))
            .next("see `sheaf status`: it may have ended just now"),
    }
}
