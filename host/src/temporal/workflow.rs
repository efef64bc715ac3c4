//! `IndexingWorkflow`: configure the datasource, crawl its scopes, complete the upload.
//!
//! This module is deterministic: no I/O, no clock but the workflow's, nothing random. A test reads it
//! for what must not be here, another replays recorded histories through it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::RetryPolicy;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflows::join_all;
use temporalio_sdk::{
    ActivityCancellationType, ActivityExecutionError, ActivityOptions, WorkflowContext,
    WorkflowContextView, WorkflowResult,
};

use super::activities::{Activities, CompleteInput, ConfigureInput, ScopeInput};
use crate::config::PolicyConfig;
use crate::connector::Digest;
use crate::crawl::view::{CrawlView, Phase, ScopeState};
use crate::crawl::{CrawlResult, ModeName, Plan, ScopeProgress};

/// What a crawl is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlInput {
    pub connection: String,
    #[serde(default)]
    pub mode: ModeName,
    /// The connector to run; otherwise the one that the worker finds when the crawl begins.
    #[serde(default)]
    pub digest: Option<Digest>,
    #[serde(default)]
    pub policy: PolicyConfig,
}

/// Registering and completing are a few requests each.
const SHORT: Duration = Duration::from_secs(600);

#[workflow]
pub struct IndexingWorkflow {
    input: CrawlInput,
    view: CrawlView,
    /// The next scope that has no lane yet.
    next: usize,
    done: BTreeMap<String, ScopeProgress>,
    failed: bool,
}

#[workflow_methods]
impl IndexingWorkflow {
    #[init]
    fn new(_context: &WorkflowContextView, input: CrawlInput) -> Self {
        let view = CrawlView {
            connection: input.connection.clone(),
            mode: input.mode,
            ..CrawlView::default()
        };
        Self { input, view, next: 0, done: BTreeMap::new(), failed: false }
    }

    #[run(name = "IndexingWorkflow")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<CrawlResult> {
        let started = context.workflow_time();
        let input = context.state(|state| state.input.clone());
        let policy = &input.policy;
        let configure = ConfigureInput {
            connection: input.connection.clone(),
            mode: input.mode,
            digest: input.digest.clone(),
            upload_id: format!("sheaf-{}-{}", input.connection, context.run_id()),
            attempts: policy.attempts,
        };
        let plan: Plan = context
            .execute_activity(
                Activities::configure_datasource,
                configure,
                short(policy, format!("configure the datasource of {}", input.connection)),
            )
            .await?;
        context.state_mut(|state| state.view = CrawlView::of(&plan));

        let lanes = policy.parallel_scopes.clamp(1, plan.scopes.len().max(1));
        let this = &*context;
        let ended = join_all((0..lanes).map(|_| crawl_scopes(this, &plan, policy))).await;
        ended.into_iter().collect::<Result<Vec<()>, _>>()?;

        context.state_mut(|state| state.view.phase = Phase::Completing);
        let seconds = match (started, context.workflow_time()) {
            (Some(from), Some(to)) => to.duration_since(from).unwrap_or_default().as_secs_f64(),
            _ => 0.0,
        };
        let scopes = context.state(|state| state.done.clone());
        let result: CrawlResult = context
            .execute_activity(
                Activities::complete_upload,
                CompleteInput { plan, scopes, seconds, attempts: policy.attempts },
                short(policy, format!("complete the upload of {}", input.connection)),
            )
            .await?;
        context.state_mut(|state| state.view.phase = Phase::Ended);
        Ok(result)
    }

    /// How far the crawl is. What a running scope has done is in its heartbeats.
    #[query]
    pub fn progress(&self, _context: &WorkflowContextView) -> CrawlView {
        self.view.clone()
    }
}

/// The workflow as its handles name it.
pub type Run = indexing_workflow::Run;

/// One lane: takes scopes one after the other until there are none, or one has failed.
async fn crawl_scopes(
    context: &WorkflowContext<IndexingWorkflow>,
    plan: &Plan,
    policy: &PolicyConfig,
) -> Result<(), ActivityExecutionError> {
    loop {
        let taken = context.state_mut(|state| {
            let scope = if state.failed { None } else { plan.scopes.get(state.next) };
            state.next += 1;
            scope
        });
        let Some(scope) = taken else { return Ok(()) };
        context.state_mut(|state| state.view.set_state(&scope.id, ScopeState::Running));
        let input = ScopeInput {
            plan: plan.for_scope(&scope.id),
            scope: scope.id.clone(),
            attempts: policy.attempts,
        };
        let ended = context
            .execute_activity(
                Activities::execute_indexing,
                input,
                crawling(policy, format!("crawl {} of {}", scope.title, plan.connection)),
            )
            .await;
        context.state_mut(|state| {
            if let Ok(progress) = &ended {
                state.view.set_progress(&scope.id, progress.clone());
                state.view.set_state(&scope.id, ScopeState::Done);
                state.done.insert(scope.id.clone(), progress.clone());
            } else {
                state.failed = true;
                state.view.set_state(&scope.id, ScopeState::Failed);
            }
        });
        ended?;
    }
}

fn short(policy: &PolicyConfig, summary: String) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(SHORT)
        .heartbeat_timeout(policy.heartbeat_timeout)
        .retry_policy(retry_policy(policy))
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .summary(summary)
        .build()
}

fn crawling(policy: &PolicyConfig, summary: String) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(policy.start_to_close)
        .heartbeat_timeout(policy.heartbeat_timeout)
        .retry_policy(retry_policy(policy))
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .summary(summary)
        .build()
}

/// For the server a deploy or a kill is an attempt like a failure. So its attempts are unlimited, and
/// each activity counts its own failures.
fn retry_policy(policy: &PolicyConfig) -> RetryPolicy {
    RetryPolicy::builder()
        .maximum_attempts(0)
        .initial_interval(policy.initial_interval)
        .backoff_coefficient(policy.backoff)
        .maximum_interval(policy.max_interval)
        .build()
}

#[cfg(test)]
mod tests {
    #[test]
    fn workflow_code_has_no_clock_no_randomness_and_no_io() {
        let code = include_str!("workflow.rs");
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for forbidden in
            ["tokio", "Instant", "SystemTime", "rand::", "std::fs", "std::env", "reqwest"]
        {
            assert!(!code.contains(forbidden), "{forbidden}");
        }
    }
}
