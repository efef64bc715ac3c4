//! `IndexingWorkflow`: configure the datasource, crawl its scopes, complete the upload.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::error::RetryState;
use temporalio_sdk::workflows::{join_all, select};
use temporalio_sdk::{
    ActivityExecutionError, CancellableFuture as _, ChildWorkflowOptions, ParentClosePolicy,
    SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowIdReusePolicy,
    WorkflowResult,
};

use super::activity::activity;
use super::approval::{ApprovalInput, ApprovalWorkflow};
use super::claim;
use super::reported::reported;
use crate::connector::Digest;
use crate::crawl::plan::Scopes;
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
        Self { input, view, next: 0, stopped: false, paused: None, resting: BTreeMap::new() }
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
    let ended = {
        let mut work = Box::pin(work(context, input, &crawl, took).fuse());
        let claim = claim::keep(context, &crawl, policy, |state| state.paused.is_some());
        let mut claim = Box::pin(claim.fuse());
        select! {
            ended = work => ended,
            never = claim => match never {},
        }
    };
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
    context
        .execute_activity(
            Activities::complete_upload,
            CompleteInput {
                crawl: crawl.clone(),
                seconds: took(),
                attempts: policy.attempts,
                policy: Some(policy.clone()),
            },
            activity(policy, format!("complete the upload of {}", input.request.connection)),
        )
        .await
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
    let _ = context.execute_activity(Activities::crawl_identities, identities, options).await;
}

/// Whether a late copy of a request of our own replaced the session.
fn session_lost(error: &ActivityExecutionError) -> bool {
    let failure = error.cause().and_then(reported);
    failure.is_some_and(|failure| failure.kind == Kind::SessionLost)
}

/// An activity of its own for each scope, while there are not more than this.
const ACTIVITIES: usize = 200;
/// Whatever the policy's number of lanes: what the largest crawl makes of a history's 51,200 events.
const MAX_ACTIVITIES: usize = 1_000;

/// How many of the scopes that are left the next activity takes. The last ones are small, so that no
/// lane has much left to do when the others are idle.
///
/// A crawl whose scopes are listed was configured for a workflow of an earlier version: its history has
/// an activity for each.
fn share(crawl: &CrawlRef, left: usize, lanes: usize) -> usize {
    match &crawl.scopes {
        Scopes::Listed(_) => 1.min(left),
        Scopes::Count(of) => {
            let fair = left / (2 * lanes);
            fair.clamp(of.div_ceil(MAX_ACTIVITIES), of.div_ceil(ACTIVITIES).max(1)).min(left)
        }
    }
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
        select! {
            ended = crawling => return ended,
            _ = context.wait_condition(|state| state.paused.is_some()) => {}
        }
        // Or the whole crawl is cancelled, and this with it.
        let asked = context.state(|state| state.paused.is_some());
        if asked {
            crawling.cancel();
        }
        let ended = crawling.await;
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
    use crate::document::Scope;

    /// The sizes of the activities of a crawl, as its lanes take them.
    fn sizes(scopes: &Scopes, lanes: usize) -> Vec<usize> {
        let json = serde_json::json!({
            "connection": "c", "datasource": "c", "connector": "c 1", "digest": Digest::of(b""),
            "mode": "full", "upload_id": "u", "scopes": scopes,
        });
        let crawl: CrawlRef = serde_json::from_value(json).expect("a crawl");
        let (mut sizes, mut left) = (Vec::new(), crawl.scopes.count());
        while left > 0 {
            sizes.push(share(&crawl, left, lanes));
            left -= sizes[sizes.len() - 1];
        }
        sizes
    }

    #[test]
    fn a_restart_travels_under_the_name_that_running_workflows_know() {
        let input: CrawlInput = serde_json::from_str(r#"{"connection":"c","anew":true}"#)
            .expect("what an earlier version sent");
        assert!(input.request.restart);
        assert_eq!(serde_json::to_value(input).expect("JSON")["anew"], true);
    }

    #[test]
    fn few_scopes_are_an_activity_each_and_many_make_few_activities() {
        assert_eq!(sizes(&Scopes::Count(12), 4), [1; 12]);
        assert_eq!(sizes(&Scopes::Count(200), 4), [1; 200]);
        for lanes in [1, 4, 64, 2_000, 10_000] {
            let sizes = sizes(&Scopes::Count(10_000), lanes);
            assert_eq!(sizes.iter().sum::<usize>(), 10_000);
            assert!(sizes.iter().all(|size| (1..=50).contains(size)), "{sizes:?}");
            assert!(sizes.len() <= MAX_ACTIVITIES, "{lanes} lanes: {}", sizes.len());
        }
        assert!(sizes(&Scopes::Count(10_000), 4).len() < 250);
        let scope = Scope { id: "a".into(), title: "A".into(), documents: None };
        assert_eq!(sizes(&Scopes::Listed(vec![scope; 300]), 4), [1; 300]);
    }
}
