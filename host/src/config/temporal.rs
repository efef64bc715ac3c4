//! `[temporal]`: where Temporal is, and how crawls are tried again and timed.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::locate::Locate;
use super::values::{Secrets, Span, rotating};
use crate::crawl::CrawlPolicy;
use crate::failure::Result;
use crate::secret;
use crate::temporal::settings::{Settings, TASK_QUEUE};

/// Less than this would take a slow answer of the server for a dead worker.
const LEAST_HEARTBEAT: Duration = Duration::from_secs(2);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    address: Option<String>,
    namespace: Option<String>,
    profile: Option<String>,
    api_key: Option<secret::Source>,
    task_queue: Option<String>,
    #[serde(default)]
    policy: PolicySection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct PolicySection {
    attempts: Option<u32>,
    initial_interval: Option<Span>,
    backoff: Option<f64>,
    max_interval: Option<Span>,
    start_to_close: Option<Span>,
    heartbeat_timeout: Option<Span>,
    parallel_scopes: Option<usize>,
}

impl Section {
    pub(super) fn validate(
        self,
        base: &Path,
        locate: &Locate<'_>,
        secrets: Secrets<'_>,
    ) -> Result<Settings> {
        let policy = self.policy.validate(locate)?;
        let api_key = self.api_key.map(|source| {
            rotating(source, base, secrets)
                .map_err(|failure| failure.at_least(|| locate.place(&["temporal", "api_key"])))
        });
        Ok(Settings {
            address: self.address,
            namespace: self.namespace,
            profile: self.profile,
            api_key: api_key.transpose()?,
            task_queue: self.task_queue.unwrap_or_else(|| TASK_QUEUE.into()),
            policy,
        })
    }
}

impl PolicySection {
    fn validate(self, locate: &Locate<'_>) -> Result<CrawlPolicy> {
        let wrong = |key: &str, what: &str| locate.failure(&["temporal", "policy", key], what);
        if self.attempts == Some(0) {
            return Err(wrong("attempts", "it must be at least 1"));
        }
        if self.parallel_scopes == Some(0) {
            return Err(wrong("parallel_scopes", "it must be at least 1"));
        }
        if self.backoff.is_some_and(|backoff| !(1.0..=10.0).contains(&backoff)) {
            return Err(wrong("backoff", "it must be between 1.0 and 10.0"));
        }
        if self.heartbeat_timeout.is_some_and(|timeout| timeout.0 < LEAST_HEARTBEAT) {
            return Err(wrong("heartbeat_timeout", "it must be at least 2s")
                .next("a worker says three times in it that it lives; 30s is usual"));
        }
        let usual = CrawlPolicy::default();
        let span = |value: Option<Span>, usual| value.map_or(usual, |span| span.0);
        Ok(CrawlPolicy {
            attempts: self.attempts.unwrap_or(usual.attempts),
            initial_interval: span(self.initial_interval, usual.initial_interval),
            backoff: self.backoff.unwrap_or(usual.backoff),
            max_interval: span(self.max_interval, usual.max_interval),
            start_to_close: span(self.start_to_close, usual.start_to_close),
            heartbeat_timeout: span(self.heartbeat_timeout, usual.heartbeat_timeout),
            parallel_scopes: self.parallel_scopes.unwrap_or(usual.parallel_scopes),
        })
    }
}
