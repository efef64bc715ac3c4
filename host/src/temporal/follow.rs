//! Starts a crawl's workflow and watches it until it ends.

use std::time::Duration;

use temporalio_client::errors::{WorkflowGetResultError, WorkflowStartError};
use temporalio_client::{
    Client, WorkflowDescribeOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowIdConflictPolicy, WorkflowQueryOptions, WorkflowStartOptions,
};
use temporalio_common::protos::temporal::api::enums::v1::PendingActivityState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::workflow_id;
use super::workflows::all::{self, OneOfAll, told};
use super::workflows::indexing::Run;
use super::workflows::{AllInput, AllWorkflow, CrawlInput, IndexingWorkflow};
use crate::config::Temporal;
use crate::crawl::view::{Phase, ScopeState};
use crate::crawl::{CrawlResult, CrawlView, ModeName, ScopeProgress};
use crate::failure::{Failure, Kind, Result};

pub type Handle = WorkflowHandle<Client, Run>;

const LOOK: Duration = Duration::from_millis(500);
/// A query that no worker answers within this is not going to be.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Starts a crawl of a connection. The worker may have other files than we do: the connector it finds
/// when the crawl begins is what runs.
pub async fn start(
    client: &Client,
    temporal: &Temporal,
    connection: &str,
    mode: ModeName,
    choice: Choice,
) -> Result<Handle> {
    let input = crawl(temporal, connection, mode, choice);
    let options = WorkflowStartOptions::new(&temporal.task_queue, workflow_id(connection))
        .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
        .static_summary(format!("{mode} crawl of {connection}"))
        .build();
    client.start_workflow(IndexingWorkflow::run, input, options).await.map_err(|error| {
        not_started(error, &format!("`{connection}` is"), &workflow_id(connection))
    })
}

/// What a crawl's workflow is told.
pub fn crawl(
    temporal: &Temporal,
    connection: &str,
    mode: ModeName,
    Choice { connector, anew }: Choice,
) -> CrawlInput {
    let policy = temporal.policy.clone();
    CrawlInput { connection: connection.to_owned(), mode, connector, anew, digest: None, policy }
}

/// What may be chosen for one crawl.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Another connector than the connection's.
    pub connector: Option<String>,
    /// Do not go on with an interrupted crawl.
    pub anew: bool,
}

fn not_started(error: WorkflowStartError, who: &str, workflow: &str) -> Failure {
    match error {
        WorkflowStartError::AlreadyStarted { run_id, .. } => {
            Failure::new(Kind::Busy, format!("{who} being crawled already"))
                .at(format!("workflow {workflow}, run {}", run_id.unwrap_or_default()))
                .next("wait for it: `sheaf status` shows how far it is")
        }
        WorkflowStartError::Rpc(status) => Failure::new(
            Kind::Unreachable,
            format!("Temporal did not start the crawl: {}", status.message()),
        )
        .next("check [temporal]; `sheaf doctor` tries it"),
        other => Failure::internal(format!("the crawl was not started: {other}")),
    }
}

const ALL: &str = "sheaf.all";

/// Crawls several connections, so many at once, and waits for all of them. `said` hears of each
/// change.
pub async fn all(
    client: &Client,
    temporal: &Temporal,
    input: AllInput,
    detach: &CancellationToken,
    mut said: impl FnMut(&[OneOfAll]),
) -> Result<Vec<OneOfAll>> {
    let summary = format!("crawls of {} connections", input.crawls.len());
    let options = WorkflowStartOptions::new(&temporal.task_queue, ALL)
        .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
        .static_summary(summary)
        .build();
    let started = client.start_workflow(AllWorkflow::run, input, options).await;
    let handle: WorkflowHandle<Client, all::Run> =
        started.map_err(|error| not_started(error, "several connections are", ALL))?;
    let result = handle.get_result(WorkflowGetResultOptions::default());
    let look = async || {
        let query = handle.query(AllWorkflow::progress, (), WorkflowQueryOptions::default());
        if let Ok(Ok(crawls)) = tokio::time::timeout(QUERY_TIMEOUT, query).await {
            said(&crawls);
        }
    };
    watched(result, detach, look).await?.map_err(explain)
}

/// Looks at a workflow until its result is there, or until nobody wants to see it any more.
async fn watched<T>(
    result: impl Future<Output = T>,
    detach: &CancellationToken,
    mut look: impl AsyncFnMut(),
) -> Result<T> {
    let mut result = std::pin::pin!(result);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = &mut result => return Ok(ended),
            _ = looks.tick() => look().await,
            () = detach.cancelled() => return Err(detached()),
        }
    }
}

fn detached() -> Failure {
    Failure::new(Kind::Interrupted, "stopped watching; the crawl goes on")
        .next("`sheaf status` shows how far it is")
}

/// Watches a workflow to its end. When `detach` comes first, the crawl goes on without us.
pub async fn follow(
    handle: &Handle,
    task_queue: &str,
    view: &watch::Sender<CrawlView>,
    detach: &CancellationToken,
) -> Result<CrawlResult> {
    let result = handle.get_result(WorkflowGetResultOptions::default());
    let ended = watched(result, detach, async || look(handle, task_queue, view).await).await?;
    look(handle, task_queue, view).await;
    ended.map_err(explain)
}

/// A connection's workflow, the one under way or the last.
pub fn handle(client: &Client, connection: &str) -> Handle {
    client.get_workflow_handle::<Run>(workflow_id(connection))
}

/// How far the crawl is: the workflow's view, and in it what the running scopes heartbeated.
pub async fn progress(handle: &Handle) -> Option<CrawlView> {
    let query = handle.query(IndexingWorkflow::progress, (), WorkflowQueryOptions::default());
    let mut view = tokio::time::timeout(QUERY_TIMEOUT, query).await.ok()?.ok()?;
    let described = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
    for pending in &described.raw().pending_activities {
        let details = pending.heartbeat_details.as_ref().and_then(|found| found.payloads.first());
        let progress: Option<ScopeProgress> =
            details.and_then(|payload| serde_json::from_slice(&payload.data).ok());
        let Some(progress) = progress else { continue };
        if pending.activity_type.as_ref().is_some_and(|of| of.name != "execute_indexing") {
            view.note = progress.waits().map(|waits| format!("{} {waits}", view.connection));
            continue;
        }
        let Some(scope) = view.scope(&progress.scope) else {
            continue;
        };
        scope.progress = progress;
        if pending.attempt > 1
            && let Some(failure) = &pending.last_failure
        {
            if pending.state() == PendingActivityState::Scheduled {
                scope.state = ScopeState::Retrying;
            }
            scope.note = Some(format!("attempt {}: {}", pending.attempt, failure.message));
        }
    }
    Some(view)
}

async fn look(handle: &Handle, task_queue: &str, view: &watch::Sender<CrawlView>) {
    match progress(handle).await {
        Some(found) => drop(view.send_replace(found)),
        None => view.send_modify(|view| {
            if view.phase == Phase::Configuring {
                view.note = Some(format!(
                    "waiting for a worker on the task queue `{task_queue}`: run `sheaf worker`"
                ));
            }
        }),
    }
}

/// The failure that an activity reported, out of Temporal's wrapping.
pub fn explain(error: WorkflowGetResultError) -> Failure {
    match error {
        WorkflowGetResultError::Failed(error) => {
            if let Some(failure) = told(&error) {
                return failure;
            }
            let message = error.failure().message.clone();
            Failure::new(Kind::Internal, format!("the crawl's workflow failed: {message}"))
                .next("see its history in Temporal's UI")
        }
        WorkflowGetResultError::Cancelled { .. } => {
            Failure::new(Kind::Interrupted, "the crawl was cancelled").next("start it again")
        }
        WorkflowGetResultError::Terminated { .. } => {
            Failure::new(Kind::Interrupted, "the crawl was terminated").next("start it again")
        }
        other => {
            Failure::new(Kind::Unreachable, format!("the crawl's result was not heard: {other}"))
                .next("`sheaf status` shows how it ended")
        }
    }
}
