//! `ApprovalWorkflow`: waits for a person's word on a deletion, as long as it may, and acts on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::workflows::select;
use temporalio_sdk::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use super::activity::activity;
use super::timer::timer;
use crate::crawl::result::AwaitingApproval;
use crate::crawl::{CrawlPolicy, CrawlResult, Decision};
use crate::name::{ConnectionName, UploadId};
use crate::temporal::activities::Activities;
use crate::temporal::inputs::DecideInput;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApprovalInput {
    pub connection: ConnectionName,
    pub upload_id: UploadId,
    pub waiting: AwaitingApproval,
    pub policy: CrawlPolicy,
    /// The Glean that the crawl went to, if whoever started it said.
    #[serde(default)]
    pub glean: String,
    /// Only a word that names this upload counts. Those that an earlier version started take any.
    #[serde(default)]
    pub named: bool,
}

/// A person's word on one upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Word {
    pub upload_id: UploadId,
    pub decision: Decision,
}

#[workflow]
pub struct ApprovalWorkflow {
    input: ApprovalInput,
    decision: Option<Decision>,
}

#[workflow_methods]
impl ApprovalWorkflow {
    #[init]
    fn new(_context: &WorkflowContextView, input: ApprovalInput) -> Self {
        Self { input, decision: None }
    }

    /// Ends without a result when a newer crawl has taken the place of the one that waited.
    #[run(name = "ApprovalWorkflow")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<Option<CrawlResult>> {
        let input = context.state(|state| state.input.clone());
        let wait = Duration::from_secs(input.waiting.wait_seconds);
        let mut over = Box::pin(timer(context, wait));
        select! {
            answered = context.wait_condition(|state| state.decision.is_some()) => { answered?; }
            _ = over => {}
        }
        let decision = context.state(|state| state.decision).unwrap_or(Decision::Expire);
        let decide = DecideInput {
            connection: input.connection.clone(),
            upload_id: input.upload_id,
            decision,
            attempts: input.policy.attempts,
            policy: Some(input.policy.clone()),
        };
        let summary = format!("{decision:?} the deletions of {}", input.connection);
        let decided = context
            .execute_activity(Activities::decide_deletion, decide, activity(&input.policy, summary))
            .await?;
        Ok(decided)
    }

    #[signal]
    pub fn decide(&mut self, _context: &mut SyncWorkflowContext<Self>, word: Word) {
        let Word { upload_id, decision } = word;
        if upload_id == self.input.upload_id {
            self.decision.get_or_insert(decision);
        }
    }

    /// What an earlier version says.
    #[signal]
    pub fn approve(&mut self, _context: &mut SyncWorkflowContext<Self>) {
        if !self.input.named {
            self.decision.get_or_insert(Decision::Approve);
        }
    }

    /// What an earlier version says. It deletes nothing.
    #[signal]
    pub fn reject(&mut self, _context: &mut SyncWorkflowContext<Self>) {
        self.decision.get_or_insert(Decision::Reject);
    }

    /// What would be deleted.
    #[query]
    pub fn waiting(&self, _context: &WorkflowContextView) -> AwaitingApproval {
        self.input.waiting.clone()
    }
}

/// The workflow as its handles name it.
pub type Run = approval_workflow::Run;
