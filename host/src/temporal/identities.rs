//! Starts a crawl of users and groups, and waits until it ends.

use temporalio_client::errors::WorkflowStartError;
use temporalio_client::{
    Client, WorkflowGetResultOptions, WorkflowHandle, WorkflowIdConflictPolicy,
    WorkflowQueryOptions, WorkflowStartOptions,
};
use tokio_util::sync::CancellationToken;

use super::follow::{QUERY_TIMEOUT, Watch, explain, patiently};
use super::found::unanswered;
use super::ids;
use super::settings::Deployment;
use super::workflows::IdentitiesWorkflow;
use super::workflows::identities::{IdentitiesCrawl, Run};
use crate::connector::Digest;
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
    let look = async || {
        let query = handle.query(IdentitiesWorkflow::progress, (), WorkflowQueryOptions::default());
        match tokio::time::timeout(QUERY_TIMEOUT, query).await {
            Ok(Ok(_)) => watch.answered(),
            _ => drop(watch.unanswered().await),
        }
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    patiently(result, detach, look).await?.map_err(explain)
}
