//! Who listens on a task queue.

use std::time::Duration;

use temporalio_client::grpc::WorkflowService as _;
use temporalio_client::tonic::Request;
use temporalio_client::{Client, NamespacedClient as _};
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeTaskQueueRequest;

use super::found::unanswered;
use crate::clock::Timestamp;
use crate::failure::Result;

/// A worker asks again after a minute at most; one that asked before has ended.
const LISTENS: Duration = Duration::from_secs(75);

/// The workers of a task queue, as they call themselves: `sheaf-4711@host`, and what they run with.
pub async fn workers(client: &Client, task_queue: &str) -> Result<Vec<String>> {
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
    let mut workers: Vec<_> = pollers
        .into_iter()
        .filter(|poller| poller.last_access_time.is_some_and(|time| listens(time.seconds)))
        .map(|poller| poller.identity)
        .collect();
    workers.sort();
    workers.dedup();
    Ok(workers)
}
