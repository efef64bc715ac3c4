//! `AllWorkflow`: crawls several connections, so many at once.

use serde::{Deserialize, Serialize};
use temporalio_common::error::ChildWorkflowStartError;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflows::join_all;
use temporalio_sdk::{WorkflowContext, WorkflowContextView, WorkflowResult};

use super::indexing::{CrawlInput, IndexingWorkflow};
use super::reported::reported;
use crate::crawl::CrawlResult;
use crate::failure::{Failure, Kind};
use crate::name::ConnectionName;
use crate::text::bounded;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AllInput {
    pub crawls: Vec<CrawlInput>,
    /// How many run at the same time.
    pub parallel: usize,
}

/// How one of the crawls stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OneOfAll {
    pub connection: ConnectionName,
    #[serde(default)]
    pub running: bool,
    pub result: Option<CrawlResult>,
    pub failure: Option<Failure>,
}

#[workflow]
pub struct AllWorkflow {
    input: AllInput,
    next: usize,
    crawls: Vec<OneOfAll>,
}

#[workflow_methods]
impl AllWorkflow {
    #[init]
    fn new(_context: &WorkflowContextView, input: AllInput) -> Self {
        let waiting = |crawl: &CrawlInput| OneOfAll {
            connection: crawl.request.connection.clone(),
            running: false,
            result: None,
            failure: None,
        };
        Self { crawls: input.crawls.iter().map(waiting).collect(), input, next: 0 }
    }

    #[run(name = "AllWorkflow")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<Vec<OneOfAll>> {
        let input = context.state(|state| state.input.clone());
        let lanes = input.parallel.clamp(1, input.crawls.len().max(1));
        let this = &*context;
        join_all((0..lanes).map(|_| crawl_some(this, &input))).await;
        Ok(context.state(|state| state.crawls.clone()))
    }

    #[query]
    pub fn progress(&self, _context: &WorkflowContextView) -> Vec<OneOfAll> {
        self.crawls.clone()
    }
}

/// Documents that are named of each crawl, and what is told of its reasons.
const NAMED: usize = 3;
const REASON: usize = 400;

/// The workflow as its handles name it.
pub type Run = all_workflow::Run;

/// One lane: one crawl after the other. One that fails does not stop the others.
async fn crawl_some(context: &WorkflowContext<AllWorkflow>, input: &AllInput) {
    loop {
        let at = context.state_mut(|state| {
            state.next += 1;
            state.next - 1
        });
        let Some(crawl) = input.crawls.get(at) else { return };
        context.state_mut(|state| state.crawls[at].running = true);
        let started = context
            .start_child_workflow(IndexingWorkflow::run, crawl.clone(), crawl.as_child())
            .await;
        let ended = match started {
            Ok(child) => child.result().await.map_err(|error| {
                let what = error.to_string();
                error.cause().and_then(reported).unwrap_or_else(|| Failure::internal(what))
            }),
            Err(ChildWorkflowStartError::StartFailed { .. }) => Err(Failure::new(
                Kind::Busy,
                format!("`{}` is being crawled already", crawl.request.connection),
            )
            .next("wait for it: `sheaf status` shows how far it is")),
            Err(error) => Err(Failure::internal(error.to_string())),
        };
        context.state_mut(|state| {
            let one = &mut state.crawls[at];
            one.running = false;
            match ended {
                Ok(mut result) => {
                    // Its own workflow's result has all of them.
                    result.quarantine.truncate(NAMED);
                    result.reason = result.reason.map(|reason| bounded(reason, REASON));
                    if let Some(held) = &mut result.held {
                        held.samples.truncate(NAMED);
                    }
                    one.result = Some(result);
                }
                Err(failure) => one.failure = Some(failure),
            }
        });
    }
}
