//! `IndexingWorkflow`: configure the datasource, crawl its scopes, complete the upload.

use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflows::join_all;
use temporalio_sdk::{
    ActivityExecutionError, ChildWorkflowOptions, ParentClosePolicy, WorkflowContext,
    WorkflowContextView, WorkflowIdReusePolicy, WorkflowResult,
};

use super::activity;
use super::all::told;
use super::approval::{ApprovalInput, ApprovalWorkflow};
use crate::config::PolicyConfig;
use crate::connector::Digest;
use crate::crawl::view::{CrawlView, Phase, ScopeState};
use crate::crawl::{CrawlResult, ModeName, Plan};
use crate::failure::Kind;
use crate::temporal::activities::{Activities, CompleteInput, ConfigureInput, ScopeInput};
use crate::temporal::ids;

/// What a crawl is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrawlInput {
    pub connection: String,
    #[serde(default)]
    pub mode: ModeName,
    /// The connector to run, by name, file or digest; otherwise the connection's. Which file that is
    /// the worker finds out when the crawl begins.
    #[serde(default)]
    pub connector: Option<String>,
    /// Do not go on with an interrupted crawl.
    #[serde(default)]
    pub anew: bool,
    /// What `connector` was called before.
    #[serde(default, skip_serializing)]
    pub digest: Option<Digest>,
    #[serde(default)]
    pub policy: PolicyConfig,
    /// Where it runs: its ids carry it. Those that an earlier version started do not say.
    #[serde(default)]
    pub task_queue: String,
    /// The Glean that whoever started it means.
    #[serde(default)]
    pub glean: String,
    /// Of the connection as whoever started it has it. A schedule means what the worker has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection_digest: Option<String>,
}

#[workflow]
pub struct IndexingWorkflow {
    input: CrawlInput,
    view: CrawlView,
    /// The next scope that has no lane yet.
    next: usize,
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
        Self { input, view, next: 0, failed: false }
    }

    #[run(name = "IndexingWorkflow")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<CrawlResult> {
        let input = context.state(|state| state.input.clone());
        let upload_id = format!("sheaf-{}-{}", input.connection, context.run_id());
        let result = match crawl(context, &input, upload_id.clone()).await {
            // What Glean has of it counts no longer: another session has to contain everything.
            Err(error) if session_lost(&error) && context.patched("session lost") => {
                context.state_mut(|state| (state.next, state.failed) = (0, false));
                crawl(context, &input, format!("{upload_id}-2")).await?
            }
            ended => ended?,
        };
        context.state_mut(|state| state.view.phase = Phase::Ended);
        // Histories from before there were approvals replay without one.
        if let Some(waiting) = &result.held
            && context.patched("approval")
        {
            let approval = ApprovalInput {
                connection: input.connection.clone(),
                upload_id: result.upload_id.clone(),
                waiting: waiting.clone(),
                policy: input.policy.clone(),
                glean: input.glean.clone(),
                named: true,
            };
            let options = ChildWorkflowOptions::builder()
                .workflow_id(ids::approval(&input.connection, &input.task_queue))
                // It outlives this crawl, and a newer one takes its place.
                .parent_close_policy(ParentClosePolicy::Abandon)
                .id_reuse_policy(WorkflowIdReusePolicy::TerminateIfRunning)
                .static_summary(format!(
                    "{} of {} documents of {} would be deleted",
                    waiting.would_go, waiting.of, input.connection
                ))
                .build();
            context.start_child_workflow(ApprovalWorkflow::run, approval, options).await?;
        }
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

/// One crawl, from its configuration to the end of its session.
async fn crawl(
    context: &WorkflowContext<IndexingWorkflow>,
    input: &CrawlInput,
    upload_id: String,
) -> Result<CrawlResult, ActivityExecutionError> {
    let started = context.workflow_time();
    let policy = &input.policy;
    let digest = input.digest.as_ref().map(ToString::to_string);
    let configure = ConfigureInput {
        connection: input.connection.clone(),
        mode: input.mode,
        connector: input.connector.clone().or(digest),
        anew: input.anew,
        by: format!("workflow {}, run {}", context.workflow_id(), context.run_id()),
        upload_id,
        attempts: policy.attempts,
        policy: Some(policy.clone()),
        glean: input.glean.clone(),
        connection_digest: input.connection_digest.clone(),
    };
    let plan: Plan = context
        .execute_activity(
            Activities::configure_datasource,
            configure,
            activity(policy, format!("configure the datasource of {}", input.connection)),
        )
        .await?;
    context.state_mut(|state| state.view = CrawlView::of(&plan));

    let lanes = policy.parallel_scopes.clamp(1, plan.scopes.len().max(1));
    let ended = join_all((0..lanes).map(|_| crawl_scopes(context, &plan, policy))).await;
    ended.into_iter().collect::<Result<Vec<()>, _>>()?;

    context.state_mut(|state| state.view.phase = Phase::Completing);
    let seconds = match (started, context.workflow_time()) {
        (Some(from), Some(to)) => to.duration_since(from).unwrap_or_default().as_secs_f64(),
        _ => 0.0,
    };
    context
        .execute_activity(
            Activities::complete_upload,
            CompleteInput {
                plan,
                seconds,
                attempts: policy.attempts,
                policy: Some(policy.clone()),
            },
            activity(policy, format!("complete the upload of {}", input.connection)),
        )
        .await
}

/// Whether a late copy of a request of our own replaced the session.
fn session_lost(error: &ActivityExecutionError) -> bool {
    let failure = error.cause().and_then(told);
    failure.is_some_and(|failure| failure.kind == Kind::SessionLost)
}

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
            policy: Some(policy.clone()),
        };
        let ended = context
            .execute_activity(
                Activities::execute_indexing,
                input,
                activity(policy, format!("crawl {} of {}", scope.title, plan.connection)),
            )
            .await;
        context.state_mut(|state| {
            if let Ok(progress) = &ended {
                state.view.set_progress(&scope.id, progress.clone());
                state.view.set_state(&scope.id, ScopeState::Done);
            } else {
                state.failed = true;
                state.view.set_state(&scope.id, ScopeState::Failed);
            }
        });
        ended?;
    }
}
