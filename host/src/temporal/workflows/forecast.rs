//! `ForecastWorkflow`: what a full crawl would do, read by a worker. It sends nothing, and no crawl waits for it.

use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{WorkflowContext, WorkflowContextView, WorkflowResult};

use super::activity::activity;
use crate::crawl::CrawlPolicy;
use crate::crawl::forecast::Forecast;
use crate::name::ConnectionName;
use crate::temporal::activities::Activities;
use crate::temporal::inputs::ForecastInput;

/// What a forecast is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForecastRequest {
    pub connection: ConnectionName,
    pub policy: CrawlPolicy,
    /// What whoever started it has.
    pub glean: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection_digest: Option<String>,
    /// Read everything again.
    #[serde(default)]
    pub restart: bool,
}

#[workflow]
pub struct ForecastWorkflow {
    input: ForecastRequest,
    /// Nothing while it runs.
    forecast: Option<Forecast>,
}

#[workflow_methods]
impl ForecastWorkflow {
    #[init]
    fn new(_context: &WorkflowContextView, input: ForecastRequest) -> Self {
        Self { input, forecast: None }
    }

    #[run(name = "ForecastWorkflow")]
    pub async fn run(context: &mut WorkflowContext<Self>) -> WorkflowResult<Forecast> {
        let ForecastRequest { connection, policy, glean, connection_digest, restart } =
            context.state(|state| state.input.clone());
        let options = activity(&policy, format!("read what a full crawl of {connection} would do"));
        let by = format!("workflow {}, run {}", context.workflow_id(), context.run_id());
        let input = ForecastInput { connection, by, policy, glean, connection_digest, restart };
        let forecast = context.execute_activity(Activities::forecast, input, options).await?;
        context.state_mut(|state| state.forecast = Some(forecast.clone()));
        Ok(forecast)
    }

    /// What it came to; nothing while it runs. Its activity heartbeats how far it is.
    #[query]
    pub fn progress(&self, _context: &WorkflowContextView) -> Option<Forecast> {
        self.forecast.clone()
    }
}

/// The workflow as its handles name it.
pub type Run = forecast_workflow::Run;
