//! The crawls of a task queue that are under way, for whoever shows all of them.

use futures::{FutureExt as _, StreamExt as _};
use temporalio_client::{Client, WorkflowListOptions};

use super::workflows::indexing::Run;
use super::{follow, ids};
use crate::crawl::CrawlView;
use crate::failure::{Failure, Kind, Result};

/// Workflows that are asked at once.
const AT_ONCE: usize = 8;
/// More are not shown.
const MOST: usize = 200;

async fn one(client: &Client, connection: &str, id: String) -> CrawlView {
    let handle = client.get_workflow_handle::<Run>(id);
    follow::progress_or_silence(&handle, connection).await
}

/// How far each of these connections' crawls is, of those that run.
pub async fn all(
    client: &Client,
    task_queue: &str,
    connections: &[&str],
) -> Result<Vec<CrawlView>> {
    // A quote in a name would end the text of the query.
    let queue = task_queue.replace(['\'', '\\'], "");
    let query = format!(
        "WorkflowType = 'IndexingWorkflow' AND ExecutionStatus = 'Running' AND TaskQueue = '{queue}'"
    );
    let options = WorkflowListOptions::builder().limit(MOST).build();
    let mut listed = client.list_workflows(query, options);
    let mut running = Vec::new();
    while let Some(one) = listed.next().await {
        let one = one.map_err(|error| {
            Failure::new(Kind::Unreachable, "Temporal does not list its crawls")
                .detail(format!("{error:?}"))
                .next("check [temporal]; `sheaf doctor` tries it")
        })?;
        let id = one.id().to_owned();
        let is_of = |name: &&&str| {
            let ours = ids::crawl(name, task_queue);
            id == ours || id == ids::earlier(&ours)
        };
        if let Some(name) = connections.iter().find(is_of) {
            running.push((*name, id));
        }
    }
    let asked: Vec<_> =
        running.into_iter().map(|(name, id)| one(client, name, id).boxed()).collect();
    Ok(futures::stream::iter(asked).buffered(AT_ONCE).collect().await)
}
