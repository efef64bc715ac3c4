//! Who listens on a task queue.

use std::time::Duration;

use temporalio_client::grpc::WorkflowService as _;
use temporalio_client::tonic::Request;
use temporalio_client::{Client, NamespacedClient as _};
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueue};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeTaskQueueRequest;

use super::found::unanswered;
use super::rollout::Version;
use crate::clock::Timestamp;
use crate::failure::Result;

/// A worker asks again after a minute at most; one that asked before has ended.
const LISTENS: Duration = Duration::from_secs(75);

/// The workers of a task queue, as they call themselves: `sheaf-4711@host`, and what they run with.
pub async fn workers(client: &Client, task_queue: &str) -> Result<Vec<String>> {
    let pollers = pollers(client, task_queue).await?;
    let mut workers: Vec<_> = pollers.into_iter().map(|poller| poller.identity).collect();
    workers.sort();
    workers.dedup();
    Ok(workers)
}

/// Whether workers of this version listen on a task queue.
pub async fn has(client: &Client, task_queue: &str, version: &Version) -> Result<bool> {
    let pollers = pollers(client, task_queue).await?;
    let mut told = pollers.iter().filter_map(|poller| poller.deployment_options.as_ref());
    Ok(told.any(|told| {
        told.deployment_name == version.deployment && told.build_id == version.build_id
    }))
}

async fn pollers(client: &Client, task_queue: &str) -> Result<Vec<PollerInfo>> {
    let request = DescribeTaskQueueRequest {
        namespace: client.namespace(),
        task_queue: Some(TaskQueue { name: task_queue.to_owned(), ..TaskQueue::default() }),
        task_queue_type: TaskQueueType::Activity.into(),
        ..DescribeTaskQueueRequest::default()
    };
    let mut service = client.clone();
    let answer = service.describe_task_queue(Request::new(request)).await;
    let pollers = answer.map_err(|status| unanswered(&status))?.into_inner().pollers;
    let listens =
        |asked: i64| Timestamp::from_seconds(asked.try_into().unwrap_or_default()).age() < LISTENS;
    let listens =
        |poller: &PollerInfo| poller.last_access_time.is_some_and(|time| listens(time.seconds));
    Ok(pollers.into_iter().filter(listens).collect())
}
