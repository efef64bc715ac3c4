//! `IdentitiesWorkflow`: tells Glean who is who, under an id of its own, beside crawls of documents.

use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{
    ChildWorkflowOptions, ParentClosePolicy, WorkflowContext, WorkflowContextView, WorkflowResult,
};

use super::activity::activity;
use crate::crawl::CrawlPolicy;
use crate::crawl::identities::IdentityResult;
use crate::crawl::identity_progress::IdentityProgress;
use crate::name::ConnectionName;
use crate::temporal::activities::Activities;
use crate::temporal::ids;
use crate::temporal::inputs::IdentitiesInput;

/// What a crawl of identities is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentitiesCrawl {
    pub connection: ConnectionName,
    pub policy: CrawlPolicy,
    pub task_queue: String,
    /// What whoever started it has.
    #[serde(default)]
    pub glean: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection_digest: Option<String>,
    /// Tell everything again.
    #[serde(default)]
    pub restart: bool,
}

impl IdentitiesCrawl {
    /// The crawl as a schedule starts it.
    pub(super) fn as_child(&self) -> ChildWorkflowOptions {
        ChildWorkflowOptions::builder()
            .workflow_id(ids::identities(&self.connection, &self.task_queue))
            .parent_close_policy(ParentClosePolicy::RequestCancel)
            .static_summary(format!("users and groups of {}", self.connection))
            .build()
    }
}

/// How far it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IdentitiesView {
    pub connection: ConnectionName,
    /// Nothing while it runs, or where there are no users and groups.
    pub result: Option<IdentityResult>,
    pub ended: bool,
    /// What its activity has read and told so far. A workflow hears nothing of its activity until that ends: whoever asks
    /// adds what it heartbeats.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub progress: Option<IdentityProgress>,
}

#[workflow]
pub struct IdentitiesWorkflow {
    input: IdentitiesCrawl,
    view: IdentitiesView,
}

#[workflow_methods]
impl IdentitiesWorkflow {
    #[init]
    fn new(_context: &WorkflowContextView, input: IdentitiesCrawl) -> Self {
        let view =
            IdentitiesView { connection: input.connection.clone(), ..IdentitiesView::default() };
        Self { input, view }
    }

    #[run(name = "IdentitiesWorkflow")]
    pub async fn run(
        context: &mut WorkflowContext<Self>,
    ) -> WorkflowResult<Option<IdentityResult>> {
        let crawl = context.state(|state| state.input.clone());
        let IdentitiesCrawl { connection, policy, glean, connection_digest, restart, .. } = crawl;
        let summary = format!("read and tell users and groups of {connection}");
        let by = format!("workflow {}, run {}", context.workflow_id(), context.run_id());
        let options = activity(&policy, summary);
        let beside = None;
        let input =
            IdentitiesInput { connection, by, policy, glean, connection_digest, restart, beside };
        let result = context.execute_activity(Activities::crawl_identities, input, options).await?;
        context.state_mut(|state| {
            (state.view.result, state.view.ended) = (result.clone(), true);
        });
        Ok(result)
    }

    #[query]
    pub fn progress(&self, _context: &WorkflowContextView) -> IdentitiesView {
        self.view.clone()
    }
}

/// The workflow as its handles name it.
pub type Run = identities_workflow::Run;
