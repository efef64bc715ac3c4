//! Starts a crawl of users and groups, and waits until it ends.

use temporalio_client::errors::WorkflowStartError;
use temporalio_client::{
    Client, WorkflowDescribeOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowIdConflictPolicy, WorkflowQueryOptions, WorkflowStartOptions,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::follow::{QUERY_TIMEOUT, Watch, explain, heartbeated, patiently};
use super::found::unanswered;
use super::ids;
use super::settings::Deployment;
use super::workflows::IdentitiesWorkflow;
use super::workflows::identities::{IdentitiesCrawl, IdentitiesView, Run};
use crate::connector::Digest;
use crate::crawl::CrawlView;
use crate::crawl::identities::IdentityResult;
use crate::failure::{Failure, Kind, Result};

/// What is asked for of a connection. Where nothing is said of its digest, it is what the worker has.
pub fn wanted(
    deployment: Deployment<'_>,
    connection: &str,
    digest: Option<Digest>,
    restart: bool,
) -> IdentitiesCrawl {
    IdentitiesCrawl {
        connection: connection.into(),
        policy: deployment.settings.policy.clone(),
        task_queue: deployment.task_queue().to_owned(),
        glean: deployment.glean.to_owned(),
        connection_digest: digest.map(|digest| digest.to_string()),
        restart,
    }
}

/// Nothing where the connection has no identities. When `detach` comes first, it goes on without us.
pub async fn run(
    client: &Client,
    wanted: IdentitiesCrawl,
    view: &watch::Sender<CrawlView>,
    detach: &CancellationToken,
) -> Result<Option<IdentityResult>> {
    let (name, task_queue) = (wanted.connection.clone(), wanted.task_queue.clone());
    let id = ids::identities(&name, &task_queue);
    let options = WorkflowStartOptions::new(&task_queue, &id)
        .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
        .static_summary(format!("users and groups of {name}"))
        .build();
    let started = client.start_workflow(IdentitiesWorkflow::run, wanted, options).await;
    let handle: WorkflowHandle<Client, Run> = started.map_err(|error| match error {
        WorkflowStartError::AlreadyStarted { run_id, .. } => {
            let what = format!("the users and groups of `{name}` are being read already");
            Failure::new(Kind::Busy, what)
                .at(format!("workflow {id}, run {}", run_id.unwrap_or_default()))
                .next("wait for it: `sheaf status` shows how it ended")
        }
        WorkflowStartError::Rpc(status) => unanswered(&status),
        other => Failure::internal(format!("the crawl was not started: {other}")),
    })?;
    let mut watch = Watch::new(client, &task_queue);
    let look = async || match progress(&handle).await {
        Some(IdentitiesView { connection, progress, .. }) => {
            watch.answered();
            view.send_modify(|view| {
                view.connection = connection;
                view.identities = progress.or(view.identities);
            });
        }
        None => drop(watch.unanswered().await),
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    patiently(result, detach, look).await?.map_err(explain)
}

/// How far it is: the workflow's view, and in it what its activity heartbeated.
async fn progress(handle: &WorkflowHandle<Client, Run>) -> Option<IdentitiesView> {
    let query = handle.query(IdentitiesWorkflow::progress, (), WorkflowQueryOptions::default());
    let mut view = tokio::time::timeout(QUERY_TIMEOUT, query).await.ok()?.ok()?;
    let described = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
    let pending = described.raw().pending_activities.first();
    view.progress = pending.and_then(heartbeated).and_then(|range| range.identities);
    Some(view)
}
