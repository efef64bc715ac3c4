//! Which version of a deployment new work goes to. Crawls that run go on with it, too: each activity resumes from the
//! journal, whichever build began it.

use temporalio_client::grpc::WorkflowService as _;
use temporalio_client::tonic::{Code, Request};
use temporalio_client::{Client, NamespacedClient as _};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeWorkerDeploymentRequest, SetWorkerDeploymentCurrentVersionRequest,
};

use super::found::unanswered;
use crate::failure::{Failure, Kind, Result};
use crate::machine::this_process;

/// A worker as Worker Versioning knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub deployment: String,
    pub build_id: String,
}

/// The build that work goes to now; nothing where that was never said.
pub async fn current(client: &Client, deployment: &str) -> Result<Option<String>> {
    let request = DescribeWorkerDeploymentRequest {
        namespace: client.namespace(),
        deployment_name: deployment.to_owned(),
    };
    let mut service = client.clone();
    let described = match service.describe_worker_deployment(Request::new(request)).await {
        Ok(described) => described.into_inner(),
        Err(status) if status.code() == Code::NotFound => return Ok(None),
        Err(status) => return Err(unanswered(&status)),
    };
    let routing = described.worker_deployment_info.and_then(|info| info.routing_config);
    let current = routing.and_then(|routing| routing.current_deployment_version);
    Ok(current.map(|version| version.build_id).filter(|id| !id.is_empty()))
}

/// From now on work goes to this build. What it went to before.
pub async fn set_current(client: &Client, version: &Version) -> Result<Option<String>> {
    let before = current(client, &version.deployment).await?;
    let request = SetWorkerDeploymentCurrentVersionRequest {
        namespace: client.namespace(),
        deployment_name: version.deployment.clone(),
        build_id: version.build_id.clone(),
        identity: this_process(),
        ..SetWorkerDeploymentCurrentVersionRequest::default()
    };
    let mut service = client.clone();
    let set = service.set_worker_deployment_current_version(Request::new(request)).await;
    set.map_err(|status| match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument => {
            let Version { deployment, build_id } = version;
            Failure::new(
                Kind::Settings,
                format!("Temporal does not take {deployment} to {build_id}: {}", status.message()),
            )
            .next(
                "start workers of that build first, with the same `deployment` in [worker]; \
                 `sheaf worker` says which build it is",
            )
        }
        _ => unanswered(&status),
    })?;
    Ok(before)
}
