//! `ScheduledCrawl`: what a schedule starts. A schedule gives each start an id of its own, and crawls
//! of one connection must not run at once; so the crawl is a child under the connection's one id.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::error::ChildWorkflowStartError;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{WorkflowContext, WorkflowContextView, WorkflowResult};

use super::identities::{IdentitiesCrawl, IdentitiesWorkflow};
use super::indexing::{CrawlInput, IndexingWorkflow};
use super::timer;
use crate::crawl::identities::IdentityResult;
use crate::crawl::{CrawlResult, ModeName};
use crate::temporal::schedule::Schedule;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScheduledInput {
    pub crawl: CrawlInput,
    /// The schedule as it stands in the file.
    pub schedule: Schedule,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ScheduledResult {
    pub result: Option<CrawlResult>,
    /// Why there was no crawl.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<String>,
    /// What a crawl of users and groups came to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identities: Option<IdentityResult>,
}

/// A full crawl waits its turn; the next incremental one finds what this one would have.
const TURN: Duration = Duration::from_secs(30);
const TURNS: u32 = 12 * 60 * 2;

#[workflow]
pub struct ScheduledCrawl {
    input: ScheduledInput,
}

#[workflow_methods]
impl ScheduledCrawl {
    #[init]
    fn new(_context: &WorkflowContextView, input: ScheduledInput) -> Self {
        Self { input }
    }

    #[run(name = "ScheduledCrawl")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<ScheduledResult> {
        let ScheduledInput { crawl, schedule } = context.state(|state| state.input.clone());
        if schedule.identities {
            return identities(context, &crawl).await;
        }
        let turns = match crawl.request.mode {
            ModeName::Full => TURNS,
            ModeName::Incremental => 1,
        };
        for turn in 1..=turns {
            let started = context
                .start_child_workflow(IndexingWorkflow::run, crawl.clone(), crawl.as_child())
                .await;
            match started {
                Ok(child) => {
                    let result = child.result().await?;
                    return Ok(ScheduledResult {
                        result: Some(result),
                        ..ScheduledResult::default()
                    });
                }
                Err(ChildWorkflowStartError::StartFailed { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if turn < turns {
                timer::wait(context, TURN).await;
            }
        }
        let connection = crawl.request.connection;
        let skipped = Some(format!("another crawl of {connection} is under way"));
        Ok(ScheduledResult { skipped, ..ScheduledResult::default() })
    }
}

/// One crawl of users and groups; the next one finds what this one would have.
async fn identities(
    context: &WorkflowContext<ScheduledCrawl>,
    crawl: &CrawlInput,
) -> WorkflowResult<ScheduledResult> {
    let wanted = IdentitiesCrawl {
        connection: crawl.request.connection.clone(),
        policy: crawl.policy.clone(),
        task_queue: crawl.task_queue.clone(),
        glean: crawl.glean.clone(),
        connection_digest: None,
        restart: false,
    };
    let options = wanted.as_child();
    match context.start_child_workflow(IdentitiesWorkflow::run, wanted.clone(), options).await {
        Ok(child) => {
            let identities = child.result().await?;
            let none = format!("`{}` has no users and groups to tell of", wanted.connection);
            let skipped = identities.is_none().then_some(none);
            Ok(ScheduledResult { identities, skipped, result: None })
        }
        Err(ChildWorkflowStartError::StartFailed { .. }) => {
            let skipped = Some(format!(
                "the users and groups of {} are being read already",
                wanted.connection
            ));
            Ok(ScheduledResult { skipped, ..ScheduledResult::default() })
        }
        Err(error) => Err(error.into()),
    }
}

/// The workflow as its handles name it.
pub type Run = scheduled_crawl::Run;
