//! `[temporal]`: where Temporal is, and what this deployment is there.

use std::sync::Arc;

use crate::crawl::CrawlPolicy;
use crate::secret::Rotating;

/// The task queue where none is named.
pub const TASK_QUEUE: &str = "sheaf";

#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Option<String>,
    pub namespace: Option<String>,
    pub profile: Option<String>,
    pub api_key: Option<Arc<Rotating>>,
    pub task_queue: String,
    pub policy: CrawlPolicy,
}

impl Settings {
    /// Where Temporal is, for people.
    pub fn place(&self) -> String {
        std::env::var("TEMPORAL_ADDRESS")
            .ok()
            .or_else(|| self.address.clone())
            .unwrap_or_else(|| "127.0.0.1:7233".into())
    }

    /// Whether anybody said that there is a Temporal, or only the usual address is tried.
    pub fn are_given(&self) -> bool {
        let Self { address, namespace, profile, api_key, .. } = self;
        [address, namespace, profile].iter().any(|setting| setting.is_some())
            || api_key.is_some()
            || ["TEMPORAL_ADDRESS", "TEMPORAL_PROFILE", "TEMPORAL_CONFIG_FILE"]
                .iter()
                .any(|name| std::env::var_os(name).is_some())
    }
}

/// What tells our workflows from others of the namespace. Deployments may even share a task queue: each
/// has a Glean of its own.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a> {
    pub settings: &'a Settings,
    /// The address of its Glean; empty where none is named.
    pub glean: &'a str,
}

impl<'a> Deployment<'a> {
    pub fn task_queue(self) -> &'a str {
        &self.settings.task_queue
    }

    /// Whether a workflow on this task queue, and for this Glean, is ours. Whoever names no Glean may
    /// mean any.
    pub fn has(self, task_queue: &str, glean: &str) -> bool {
        self.task_queue() == task_queue
            && (glean.is_empty() || self.glean.is_empty() || self.glean == glean)
    }
}
