//! Starts a forecast on Temporal, and waits until it ends.

use temporalio_client::errors::WorkflowStartError;
use temporalio_client::{
    Client, WorkflowDescribeOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowIdConflictPolicy, WorkflowStartOptions,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::follow::{QUERY_TIMEOUT, Watch, explain, heartbeated, patiently};
use super::found::unanswered;
use super::ids;
use super::settings::Deployment;
use super::workflows::ForecastWorkflow;
use super::workflows::forecast::{ForecastRequest, Run};
use crate::connector::Digest;
use crate::crawl::forecast::Forecast;
use crate::crawl::view::Phase;
use crate::crawl::{CrawlView, RangeProgress};
use crate::failure::{Failure, Kind, Result};

/// What is asked for, and on which task queue.
pub struct Wanted {
    request: ForecastRequest,
    task_queue: String,
}

/// Where nothing is said of its digest, the connection is what the worker has.
pub fn wanted(
    deployment: Deployment<'_>,
    connection: &str,
    digest: Option<Digest>,
    restart: bool,
) -> Wanted {
    let request = ForecastRequest {
        connection: connection.into(),
        policy: deployment.settings.policy.clone(),
        glean: deployment.glean.to_owned(),
        connection_digest: digest.map(|digest| digest.to_string()),
        restart,
    };
    Wanted { request, task_queue: deployment.task_queue().to_owned() }
}

/// When `detach` comes first, it goes on without us, and is followed by whoever asks again.
pub async fn run(
    client: &Client,
    wanted: Wanted,
    view: &watch::Sender<CrawlView>,
    detach: &CancellationToken,
) -> Result<Forecast> {
    let Wanted { request, task_queue } = wanted;
    let name = request.connection.clone();
    let id = ids::forecast(&name, &task_queue);
    // Whoever wants everything read again is not shown what was begun before.
    let beside = if request.restart {
        WorkflowIdConflictPolicy::Fail
    } else {
        WorkflowIdConflictPolicy::UseExisting
    };
    let options = WorkflowStartOptions::new(&task_queue, &id)
        .id_conflict_policy(beside)
        .static_summary(format!("what a full crawl of {name} would do"))
        .build();
    let started = client.start_workflow(ForecastWorkflow::run, request, options).await;
    let handle: WorkflowHandle<Client, Run> = started.map_err(|error| match error {
        WorkflowStartError::AlreadyStarted { run_id, .. } => {
            Failure::new(Kind::Busy, format!("a plan of `{name}` is being read already"))
                .at(format!("workflow {id}, run {}", run_id.unwrap_or_default()))
                .next("without `--restart` it is followed; or wait until it has ended")
        }
        WorkflowStartError::Rpc(status) => unanswered(&status),
        other => Failure::internal(format!("the forecast was not started: {other}")),
    })?;
    let mut watch = Watch::new(client, &task_queue);
    view.send_modify(|view| {
        view.connection = name.clone();
        view.phase = Phase::Crawling;
    });
    let look = async || match progress(&handle).await {
        Some(range) => {
            watch.answered();
            view.send_modify(|view| {
                let (connection, phase) = (view.connection.clone(), view.phase);
                *view = CrawlView { connection, phase, ..CrawlView::default() };
                view.identities = range.identities;
                view.add(range);
            });
        }
        None => drop(watch.unanswered().await),
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    let ended = patiently(result, detach, look).await.map_err(|failure| match failure.kind {
        Kind::Interrupted => {
            Failure::new(Kind::Interrupted, "stopped watching; the worker reads on")
                .next(format!("while it runs, `sheaf plan {name} --temporal` follows it"))
        }
        _ => failure,
    })?;
    ended.map_err(explain)
}

/// What the activity heartbeated; nothing where the server does not answer.
async fn progress(handle: &WorkflowHandle<Client, Run>) -> Option<RangeProgress> {
    let describe = handle.describe(WorkflowDescribeOptions::default());
    let described = tokio::time::timeout(QUERY_TIMEOUT, describe).await.ok()?.ok()?;
    let pending = described.raw().pending_activities.first();
    Some(pending.and_then(heartbeated).unwrap_or_default())
}
