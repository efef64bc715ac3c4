//! What a person sees of a crawl under way: the same from a local run and from a workflow's query.

use serde::{Deserialize, Serialize};

use super::plan::{ModeName, Plan};
use super::progress::ScopeProgress;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CrawlView {
    pub connection: String,
    pub datasource: String,
    /// Name and version of the connector.
    pub connector: String,
    pub mode: ModeName,
    pub upload_id: String,
    pub phase: Phase,
    /// Why nothing moves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    pub scopes: Vec<ScopeView>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Configuring,
    Crawling,
    Completing,
    Ended,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScopeView {
    pub id: String,
    pub title: String,
    /// The connector's estimate of its documents.
    pub estimate: Option<u64>,
    pub state: ScopeState,
    pub progress: ScopeProgress,
    /// Why it waits, or is tried again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeState {
    #[default]
    Waiting,
    Running,
    Retrying,
    Done,
    Failed,
}

impl CrawlView {
    pub fn of(plan: &Plan) -> Self {
        Self {
            connection: plan.connection.clone(),
            datasource: plan.datasource.clone(),
            connector: plan.connector.clone(),
            mode: plan.mode,
            upload_id: plan.upload_id.clone(),
            phase: Phase::Crawling,
            note: None,
            scopes: plan
                .scopes
                .iter()
                .map(|scope| ScopeView {
                    id: scope.id.clone(),
                    title: scope.title.clone(),
                    estimate: scope.documents,
                    state: ScopeState::Waiting,
                    progress: ScopeProgress::default(),
                    note: None,
                })
                .collect(),
        }
    }

    pub fn scope(&mut self, id: &str) -> Option<&mut ScopeView> {
        self.scopes.iter_mut().find(|scope| scope.id == id)
    }

    pub fn set_state(&mut self, id: &str, state: ScopeState) {
        if let Some(scope) = self.scope(id) {
            scope.state = state;
        }
    }

    pub fn set_progress(&mut self, id: &str, progress: ScopeProgress) {
        if let Some(scope) = self.scope(id) {
            scope.progress = progress;
        }
    }

    pub fn total(&self) -> ScopeProgress {
        let mut total = ScopeProgress::default();
        for scope in &self.scopes {
            total.add(&scope.progress);
        }
        total
    }
}
