//! `IndexingWorkflow`: configure the datasource, crawl its scopes, complete the upload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::error::RetryState;
use temporalio_sdk::workflows::{join, join_all, select};
use temporalio_sdk::{
    ActivityExecutionError, CancellableFuture as _, ChildWorkflowOptions, ParentClosePolicy,
    SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowIdReusePolicy,
    WorkflowResult,
};

use super::activity::activity;
use super::approval::{ApprovalInput, ApprovalWorkflow};
use super::claim;
use super::reported::reported;
use super::share::share;
use crate::connector::Digest;
use crate::crawl::view::{CrawlView, Phase};
use crate::crawl::{CrawlPolicy, CrawlRef, CrawlRequest, CrawlResult, RangeProgress};
use crate::failure::Kind;
use crate::name::UploadId;
use crate::temporal::activities::Activities;
use crate::temporal::ids;
use crate::temporal::inputs::{CompleteInput, ConfigureInput, IdentitiesInput, ScopesInput};

/// What a crawl is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrawlInput {
    #[serde(flatten)]
    pub request: CrawlRequest,
    /// What `connector` was called before.
    #[serde(default, skip_serializing)]
    pub digest: Option<Digest>,
    #[serde(default)]
    pub policy: CrawlPolicy,
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

impl CrawlInput {
    /// The crawl as another workflow starts it, under its connection's id.
    pub(super) fn as_child(&self) -> ChildWorkflowOptions {
        ChildWorkflowOptions::builder()
            .workflow_id(ids::crawl(&self.request.connection, &self.task_queue))
            .parent_close_policy(ParentClosePolicy::RequestCancel)
            .static_summary(format!("{} crawl of {}", self.request.mode, self.request.connection))
            .build()
    }
}

#[workflow]
pub struct IndexingWorkflow {
    input: CrawlInput,
    view: CrawlView,
    /// The next scope that has no lane yet.
    next: usize,
    /// A lane met a failure that ends the crawl.
    stopped: bool,
    /// Who paused it: no activity begins, and those that ran have handed over.
    paused: Option<String>,
    /// How far the scopes are that were handed over, by the first of their numbers.
    resting: BTreeMap<usize, RangeProgress>,
    /// How many activities work on it.
    working: usize,
    /// Nothing more is done for it.
    ended: bool,
}

impl IndexingWorkflow {
    fn at(&self) -> claim::At {
        match (self.ended, self.paused.is_some(), self.working) {
            (true, ..) => claim::At::End,
            (false, true, 0) => claim::At::Rest,
            (false, ..) => claim::At::Work,
        }
    }
}

#[workflow_methods]
impl IndexingWorkflow {
    #[init]
    fn new(_context: &WorkflowContextView, input: CrawlInput) -> Self {
        let view = CrawlView {
            connection: input.request.connection.clone(),
            mode: input.request.mode,
            ..CrawlView::default()
        };
        Self {
            input,
            view,
            next: 0,
            stopped: false,
            paused: None,
            resting: BTreeMap::new(),
            working: 0,
            ended: false,
        }
    }

    #[run(name = "IndexingWorkflow")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<CrawlResult> {
        let input = context.state(|state| state.input.clone());
        let upload_id =
            UploadId::from(format!("sheaf-{}-{}", input.request.connection, context.run_id()));
        let result = match crawl(context, &input, upload_id.clone()).await {
            // What Glean has of it counts no longer: another session has to contain everything.
            Err(error) if session_lost(&error) && context.patched("session lost") => {
                context.state_mut(|state| (state.next, state.stopped) = (0, false));
                crawl(context, &input, format!("{upload_id}-2").into()).await?
            }
            ended => ended?,
        };
        context.state_mut(|state| state.view.phase = Phase::Ended);
        // Histories from before there were approvals replay without one.
        if let Some(waiting) = &result.held
            && context.patched("approval")
        {
            let approval = ApprovalInput {
                connection: input.request.connection.clone(),
                upload_id: result.upload_id.clone(),
                waiting: waiting.clone(),
                policy: input.policy.clone(),
                glean: input.glean.clone(),
                named: true,
            };
            let options = ChildWorkflowOptions::builder()
                .workflow_id(ids::approval(&input.request.connection, &input.task_queue))
                // It outlives this crawl, and a newer one takes its place.
                .parent_close_policy(ParentClosePolicy::Abandon)
                .id_reuse_policy(WorkflowIdReusePolicy::TerminateIfRunning)
                .static_summary(format!(
                    "{} of {} documents of {} would be deleted",
                    waiting.would_go, waiting.of, input.request.connection
                ))
                .build();
            context.start_child_workflow(ApprovalWorkflow::run, approval, options).await?;
        }
        Ok(result)
    }

    /// How far the crawl is. What a running scope has done is in its heartbeats.
    #[query]
    pub fn progress(&self, _context: &WorkflowContextView) -> CrawlView {
        let mut view = self.view.clone();
        for range in self.resting.values() {
            view.add(range.clone());
        }
        if let Some(by) = &self.paused {
            let resume =
                format!("`sheaf resume {}` goes on with it", self.input.request.connection);
            view.note = Some(format!("paused by {by}; {resume}"));
            view.paused = Some(by.clone());
        }
        view
    }

    /// It rests until it is resumed. Whoever works on its scopes hands over.
    #[signal]
    pub fn pause(&mut self, _context: &mut SyncWorkflowContext<Self>, by: String) {
        self.paused.get_or_insert(by);
    }

    #[signal]
    pub fn resume(&mut self, _context: &mut SyncWorkflowContext<Self>) {
        self.paused = None;
    }
}

/// The workflow as its handles name it.
pub type Run = indexing_workflow::Run;

/// One crawl, from its configuration to the end of its session.
async fn crawl(
    context: &WorkflowContext<IndexingWorkflow>,
    input: &CrawlInput,
    upload_id: UploadId,
) -> Result<CrawlResult, ActivityExecutionError> {
    let started = context.workflow_time();
    let policy = &input.policy;
    let digest = input.digest.as_ref().map(ToString::to_string);
    let configure = ConfigureInput {
        request: CrawlRequest {
            connector: input.request.connector.clone().or(digest),
            ..input.request.clone()
        },
        by: format!("workflow {}, run {}", context.workflow_id(), context.run_id()),
        upload_id,
        attempts: policy.attempts,
        policy: Some(policy.clone()),
        glean: input.glean.clone(),
        connection_digest: input.connection_digest.clone(),
        ranges: true,
    };
    resumed(context).await;
    let crawl: CrawlRef = context
        .execute_activity(
            Activities::configure_datasource,
            configure,
            activity(policy, format!("configure the datasource of {}", input.request.connection)),
        )
        .await?;
    context.state_mut(|state| state.view = CrawlView::of(&crawl));
    let took = || match (started, context.workflow_time()) {
        (Some(from), Some(to)) => to.duration_since(from).unwrap_or_default().as_secs_f64(),
        _ => 0.0,
    };
    context.state_mut(|state| state.ended = false);
    let work = async {
        let ended = work(context, input, &crawl, took).await;
        context.state_mut(|state| state.ended = true);
        ended
    };
    let (ended, ()) = join!(Box::pin(work), claim::keep(context, &crawl, IndexingWorkflow::at));
    // Whoever comes next need not wait until the claim is forgotten.
    if ended.is_err() && context.cancellation_token().is_cancelled() {
        claim::give_back(context, crawl).await;
    }
    ended
}

/// A crawl that is configured, to the end of its session.
async fn work(
    context: &WorkflowContext<IndexingWorkflow>,
    input: &CrawlInput,
    crawl: &CrawlRef,
    took: impl Fn() -> f64,
) -> Result<CrawlResult, ActivityExecutionError> {
    let policy = &input.policy;
    if crawl.identities && context.patched("identities") {
        resumed(context).await;
        tell_identities(context, input, crawl).await;
    }

    let lanes = policy.parallel_scopes.clamp(1, crawl.scopes.count().max(1));
    let ended = join_all((0..lanes).map(|_| crawl_scopes(context, crawl, policy, lanes))).await;
    ended.into_iter().collect::<Result<Vec<()>, _>>()?;

    resumed(context).await;
    context.state_mut(|state| state.view.phase = Phase::Completing);
    let complete = CompleteInput {
        crawl: crawl.clone(),
        seconds: took(),
        attempts: policy.attempts,
        policy: Some(policy.clone()),
    };
    let options = activity(policy, format!("complete the upload of {}", crawl.connection));
    let completing = context.execute_activity(Activities::complete_upload, complete, options);
    working(context, completing).await
}

/// Groups are told before the documents that name them. What goes wrong there is kept for `sheaf status`, and keeps
/// no document from being found by whoever may find it already.
async fn tell_identities(
    context: &WorkflowContext<IndexingWorkflow>,
    input: &CrawlInput,
    crawl: &CrawlRef,
) {
    let policy = &input.policy;
    let connection = input.request.connection.clone();
    let summary = format!("read and tell users and groups of {connection}");
    let identities = IdentitiesInput {
        connection,
        by: format!("workflow {}, run {}", context.workflow_id(), context.run_id()),
        policy: policy.clone(),
        // They were compared when the crawl was configured.
        glean: input.glean.clone(),
        connection_digest: None,
        restart: false,
        beside: Some(crawl.upload_id.clone()),
    };
    let options = activity(policy, summary);
    let telling = context.execute_activity(Activities::crawl_identities, identities, options);
    let _ = working(context, telling).await;
}

/// Somebody works on the crawl until this has ended.
async fn working<T>(
    context: &WorkflowContext<IndexingWorkflow>,
    activity: impl Future<Output = T>,
) -> T {
    context.state_mut(|state| state.working += 1);
    let ended = activity.await;
    context.state_mut(|state| state.working -= 1);
    ended
}

/// Whether a late copy of a request of our own replaced the session.
fn session_lost(error: &ActivityExecutionError) -> bool {
    let failure = error.cause().and_then(reported);
    failure.is_some_and(|failure| failure.kind == Kind::SessionLost)
}

/// Whether so many scopes failed, and none was read, that nobody waits for the others: each is tried
/// once.
fn seems_away(view: &CrawlView) -> bool {
    const FAILED: usize = 50;
    view.done == 0 && view.failed >= FAILED
}

/// One lane: takes scopes until there are none, or a failure is not theirs.
async fn crawl_scopes(
    context: &WorkflowContext<IndexingWorkflow>,
    crawl: &CrawlRef,
    policy: &CrawlPolicy,
    lanes: usize,
) -> Result<(), ActivityExecutionError> {
    let of = crawl.scopes.count();
    loop {
        let scopes = context.state_mut(|state| {
            let from = state.next;
            state.next += share(crawl, of - from, lanes);
            from..state.next
        });
        if scopes.is_empty() || context.state(|state| state.stopped) {
            return Ok(());
        }
        let which = match scopes.len() {
            1 => format!("scope {}", scopes.end),
            _ => format!("scopes {} to {}", scopes.start + 1, scopes.end),
        };
        let summary = format!("crawl {which} of {of} of {}", crawl.connection);
        let once = context.state(|state| seems_away(&state.view));
        let attempts = if once { 1 } else { policy.attempts };
        let input = ScopesInput {
            crawl: crawl.clone(),
            scopes,
            scope: None,
            attempts,
            policy: Some(CrawlPolicy { attempts, ..policy.clone() }),
        };
        let ended = crawl_range(context, policy, input, summary).await;
        let progress = ended.inspect_err(|_| context.state_mut(|state| state.stopped = true))?;
        context.state_mut(|state| state.view.add(progress));
    }
}

/// Crawls some scopes; again where the crawl is paused meanwhile, from where they were.
async fn crawl_range(
    context: &WorkflowContext<IndexingWorkflow>,
    policy: &CrawlPolicy,
    input: ScopesInput,
    summary: String,
) -> Result<RangeProgress, ActivityExecutionError> {
    loop {
        resumed(context).await;
        // What it says from now on counts.
        context.state_mut(|state| drop(state.resting.remove(&input.scopes.start)));
        let options = activity(policy, summary.clone());
        let crawling =
            context.execute_activity(Activities::execute_indexing, input.clone(), options);
        let mut crawling = std::pin::pin!(crawling);
        let handing_over = async {
            select! {
                ended = crawling => return (ended, false),
                _ = context.wait_condition(|state| state.paused.is_some()) => {}
            }
            // Or the whole crawl is cancelled, and this with it.
            let asked = context.state(|state| state.paused.is_some());
            if asked {
                crawling.cancel();
            }
            (crawling.await, asked)
        };
        let (ended, asked) = working(context, handing_over).await;
        let handed_over = match &ended {
            Err(ActivityExecutionError::Cancelled(cancelled)) => {
                if let Ok(Some(range)) = cancelled.details::<RangeProgress>() {
                    context.state_mut(|state| drop(state.resting.insert(range.from, range)));
                }
                true
            }
            // What else went wrong meanwhile the server would have tried again, had it not been asked to end it.
            Err(ActivityExecutionError::Failed(failed)) => {
                failed.retry_state() == RetryState::CancelRequested
            }
            _ => false,
        };
        if !(asked && handed_over) || context.cancellation_token().is_cancelled() {
            return ended;
        }
    }
}

/// Waits while the crawl is paused. One that is cancelled then waits for nothing.
async fn resumed(context: &WorkflowContext<IndexingWorkflow>) {
    let _ = context.wait_condition(|state| state.paused.is_none()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_travels_under_the_name_that_running_workflows_know() {
        let input: CrawlInput = serde_json::from_str(r#"{"connection":"c","anew":true}"#)
            .expect("what an earlier version sent");
        assert!(input.request.restart);
        assert_eq!(serde_json::to_value(input).expect("JSON")["anew"], true);
    }
}
