//! Finds workflows of this deployment, and nobody else's.
//!
//! An id alone says too little: an earlier version gave the same to each deployment of a namespace, and
//! two that crawl into different Gleans may have one task queue. So the task queue and the input are read
//! before a workflow is followed, answered or cancelled. No worker has to live for that.

use serde::de::DeserializeOwned;
use temporalio_client::errors::WorkflowInteractionError;
use temporalio_client::grpc::WorkflowService as _;
use temporalio_client::tonic::{Code, Request, Status};
use temporalio_client::{
    Client, NamespacedClient as _, WorkflowDescribeOptions, WorkflowExecutionInfo,
    WorkflowExecutionStatus, WorkflowHandle,
};
use temporalio_common::HasWorkflowDefinition;
use temporalio_common::protos::temporal::api::common::v1::WorkflowExecution;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetWorkflowExecutionHistoryRequest;

use super::ids;
use super::settings::Deployment;
use super::workflows::{AllInput, ApprovalInput, CrawlInput};
use crate::failure::{Failure, Kind, Result};

/// What a workflow of ours is started with.
pub trait Input: DeserializeOwned {
    /// The Glean that it is for. Those that an earlier version started do not say.
    fn glean(&self) -> &str;
}

impl Input for CrawlInput {
    fn glean(&self) -> &str {
        &self.glean
    }
}

impl Input for ApprovalInput {
    fn glean(&self) -> &str {
        &self.glean
    }
}

impl Input for AllInput {
    fn glean(&self) -> &str {
        self.crawls.first().map_or("", |crawl| &crawl.glean)
    }
}

/// One run of a workflow.
#[derive(Clone, Debug)]
pub struct Found<I> {
    pub id: String,
    pub run_id: String,
    pub task_queue: String,
    pub running: bool,
    pub input: I,
    /// The process that started it, as it calls itself: `sheaf-4711@host`.
    pub started_by: String,
    /// The first run of those that followed from one another, or that this one was reset from.
    pub first_run_id: String,
    /// The workflow that started it, if one did.
    pub parent: Option<(String, String)>,
}

impl<I: Input> Found<I> {
    /// Whether it is this deployment's.
    pub fn is_of(&self, deployment: Deployment<'_>) -> bool {
        deployment.has(&self.task_queue, self.input.glean())
    }

    /// Whose it is, for people.
    pub fn whose(&self) -> String {
        let glean = match self.input.glean() {
            "" => String::new(),
            glean => format!(" that uploads to {glean}"),
        };
        format!("another deployment on the task queue `{}`{glean}", self.task_queue)
    }

    /// This run and no other.
    pub fn handle<W: HasWorkflowDefinition>(&self, client: &Client) -> WorkflowHandle<Client, W> {
        let info = WorkflowExecutionInfo::builder()
            .namespace(client.namespace())
            .workflow_id(&self.id)
            .run_id(&self.run_id)
            .build();
        WorkflowHandle::new(client.clone(), info)
    }
}

/// The newest run under an id, or under the one that an earlier version gave, if it is ours. One that
/// runs comes before one that has ended.
pub async fn newest<I: Input>(
    client: &Client,
    deployment: Deployment<'_>,
    id: &str,
) -> Result<Option<Found<I>>> {
    let mut ended = None;
    for id in [id, ids::earlier(id)] {
        match any(client, id).await? {
            Some(found) if found.is_of(deployment) && found.running => return Ok(Some(found)),
            Some(found) if found.is_of(deployment) && ended.is_none() => ended = Some(found),
            _ => {}
        }
        if id == ids::earlier(id) {
            break;
        }
    }
    Ok(ended)
}

/// The same, if it runs.
pub async fn running<I: Input>(
    client: &Client,
    deployment: Deployment<'_>,
    id: &str,
) -> Result<Option<Found<I>>> {
    Ok(newest(client, deployment, id).await?.filter(|found: &Found<I>| found.running))
}

/// The newest run under an id, whosever it is.
pub async fn any<I: Input>(client: &Client, id: &str) -> Result<Option<Found<I>>> {
    let handle = client.get_workflow_handle::<temporalio_client::UntypedWorkflow>(id);
    let described = match handle.describe(WorkflowDescribeOptions::default()).await {
        Ok(described) => described,
        Err(WorkflowInteractionError::NotFound(_)) => return Ok(None),
        Err(WorkflowInteractionError::Rpc(status)) => return Err(unanswered(&status)),
        Err(other) => return Err(Failure::internal(format!("the workflow {id}: {other}"))),
    };
    let parent = described.parent_id().zip(described.parent_run_id());
    let mut found = Found {
        id: id.to_owned(),
        run_id: described.run_id().to_owned(),
        task_queue: described.task_queue().to_owned(),
        running: described.status() == WorkflowExecutionStatus::Running,
        input: (),
        started_by: String::new(),
        first_run_id: String::new(),
        parent: parent.map(|(id, run)| (id.to_owned(), run.to_owned())),
    };
    let request = GetWorkflowExecutionHistoryRequest {
        namespace: client.namespace(),
        execution: Some(WorkflowExecution {
            workflow_id: id.to_owned(),
            run_id: found.run_id.clone(),
        }),
        maximum_page_size: 1,
        ..GetWorkflowExecutionHistoryRequest::default()
    };
    let mut service = client.clone();
    let answer = service.get_workflow_execution_history(Request::new(request)).await;
    let history = match answer {
        Ok(answer) => answer.into_inner().history.unwrap_or_default(),
        // It was deleted just now.
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(unanswered(&status)),
    };
    let first = history.events.into_iter().next().and_then(|event| event.attributes);
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = first else {
        return Ok(None);
    };
    found.started_by = started.identity;
    found.first_run_id = started.first_execution_run_id;
    let payload = started.input.and_then(|input| input.payloads.into_iter().next());
    // What cannot be read was not started by us.
    let Some(input) = payload.and_then(|payload| serde_json::from_slice(&payload.data).ok()) else {
        return Ok(None);
    };
    let Found { id, run_id, task_queue, running, started_by, first_run_id, parent, .. } = found;
    Ok(Some(Found { id, run_id, task_queue, running, input, started_by, first_run_id, parent }))
}

/// Whether the server may answer the same question soon.
pub fn is_away(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
            | Code::Aborted
            | Code::ResourceExhausted
    )
}

/// A call that the server did not take.
pub fn unanswered(status: &Status) -> Failure {
    let what = if is_away(status) {
        "Temporal does not answer".to_owned()
    } else {
        format!("Temporal refused: {}", status.message())
    };
    Failure::new(Kind::Unreachable, what)
        .next("check [temporal]; `sheaf doctor` tries it")
        .detail(status.message())
}
