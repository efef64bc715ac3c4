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

/// Documents that are named of each crawl, and what is told of its reasons. All crawls together are one
/// answer: of more than so many only the numbers are told of each. Its own workflow has the rest.
const NAMED: usize = 3;
const REASON: usize = 400;
const FEW: usize = 50;

/// A result as it travels with so many others.
fn small(mut result: CrawlResult, of: usize) -> CrawlResult {
    let named = if of <= FEW { NAMED } else { 0 };
    result.quarantine.truncate(named);
    result.reason = result.reason.map(|reason| bounded(reason, REASON));
    if let Some(held) = &mut result.held {
        held.reasons.truncate(named.max(1));
        held.samples.truncate(named);
        let texts = held
            .samples
            .iter_mut()
            .flat_map(|sample| [&mut sample.id, &mut sample.title, &mut sample.reason]);
        for text in texts.chain(&mut held.reasons) {
            *text = bounded(std::mem::take(text), REASON);
        }
    }
    result
}

/// The same of a failure: `-v` of the crawl itself tells its detail.
fn brief(failure: Failure) -> Failure {
    let Failure { what, at, next, .. } = failure;
    let text = |text: String| bounded(text, REASON);
    Failure { what: text(what), at: at.map(text), next: next.map(text), detail: None, ..failure }
}

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
                Ok(result) => one.result = Some(small(result, input.crawls.len())),
                Err(failure) => one.failure = Some(brief(failure)),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Digest;

    #[test]
    fn what_many_crawls_came_to_is_small_whatever_they_say() {
        let long = "\"".repeat(1_000);
        let sample = serde_json::json!({ "id": long, "title": long, "reason": long });
        let quarantined = serde_json::json!({ "id": &long[..250], "reason": &long[..300] });
        let result: CrawlResult = serde_json::from_value(serde_json::json!({
            "connection": "docs", "datasource": "docs", "mode": "full", "outcome": "held",
            "upload_id": "u", "connector": "x 1", "digest": Digest::of(b""), "documents": 0,
            "deleted": 0, "quarantined": 0, "access_unknown": 0, "batches": 0, "bytes": 0,
            "seconds": 0.0, "reason": long, "quarantine": vec![quarantined; 10],
            "held": {
                "would_go": 1, "of": 1, "reasons": vec![long.clone(); 21],
                "samples": vec![sample; 20], "until": 1, "wait_seconds": 1,
            },
        }))
        .expect("a result");
        let failure =
            Failure::new(Kind::Trap, long.repeat(9)).next(long.repeat(9)).detail(long.repeat(90));
        for of in [FEW, 6 * FEW] {
            let one = OneOfAll {
                connection: "docs".into(),
                running: false,
                result: Some(small(result.clone(), of)),
                failure: None,
            };
            let failed =
                OneOfAll { result: None, failure: Some(brief(failure.clone())), ..one.clone() };
            for one in [one, failed] {
                let size = serde_json::to_vec(&vec![one; of]).expect("JSON").len();
                assert!(size < 1_000_000, "{of}: {size}");
            }
        }
    }
}
