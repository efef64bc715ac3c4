//! A person's word on a crawl that waits for one.

use std::time::Duration;

use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::{
    Client, WorkflowDescribeOptions, WorkflowExecutionStatus, WorkflowGetResultOptions,
    WorkflowQueryOptions, WorkflowSignalOptions,
};

use super::approval_id;
use super::follow::{QUERY_TIMEOUT, explain};
use super::workflows::ApprovalWorkflow;
use super::workflows::approval::Run;
use crate::crawl::plan::Waiting;
use crate::crawl::{CrawlResult, Decision, local};
use crate::failure::{Failure, Kind, Result};

/// Then it is said what is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// What waits for a word, if something does.
pub async fn waiting(client: &Client, connection: &str) -> Option<Waiting> {
    let handle = client.get_workflow_handle::<Run>(approval_id(connection));
    let described = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
    if described.status() != WorkflowExecutionStatus::Running {
        return None;
    }
    let query = handle.query(ApprovalWorkflow::waiting, (), WorkflowQueryOptions::default());
    tokio::time::timeout(QUERY_TIMEOUT, query).await.ok()?.ok()
}

/// Says the word, and waits until it is done.
pub async fn decide(client: &Client, connection: &str, decision: Decision) -> Result<CrawlResult> {
    let handle = client.get_workflow_handle::<Run>(approval_id(connection));
    let options = WorkflowSignalOptions::default();
    let said = match decision {
        Decision::Approve => handle.signal(ApprovalWorkflow::approve, (), options).await,
        _ => handle.signal(ApprovalWorkflow::reject, (), options).await,
    };
    said.map_err(|error| match error {
        WorkflowInteractionError::NotFound(_) => local::nothing_waits(connection),
        other => {
            Failure::new(Kind::Unreachable, format!("Temporal did not take the word: {other}"))
                .next("check [temporal]; `sheaf doctor` tries it")
        }
    })?;
    let result = handle.get_result(WorkflowGetResultOptions::default());
    let mut result = std::pin::pin!(result);
    let result = tokio::select! {
        result = &mut result => result,
        () = tokio::time::sleep(PATIENCE) => {
            eprintln!(
                "the answer is recorded; a worker has to act on it: is `sheaf worker` running? \
                 Ctrl-C takes nothing back"
            );
            result.await
        }
    };
    let result = result.map_err(explain)?;
    result.ok_or_else(|| local::nothing_waits(connection))
}
