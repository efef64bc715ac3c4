//! How often a step that fails is tried again, and how long a crawl waits before: `[temporal.policy]`,
//! which holds for a crawl without Temporal too.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CrawlPolicy {
    /// Failures in a row, without an acknowledged page between them, that end a scope's crawl, or a
    /// step that is no scope's.
    pub attempts: u32,
    pub initial_interval: Duration,
    pub backoff: f64,
    pub max_interval: Duration,
    pub start_to_close: Duration,
    pub heartbeat_timeout: Duration,
    /// Scopes of one crawl that run at the same time.
    pub parallel_scopes: usize,
}

/// So many times as often is tried again what neither the source nor Glean is the cause of.
const NOT_ITS_FAULT: u32 = 20;

impl CrawlPolicy {
    /// How many failures like this one, in a row, are the last. A source that wants to be left alone for
    /// longer than the longest interval is not waited for.
    pub fn allowed(&self, failure: &Failure) -> u32 {
        let long = failure.retry_after.is_some_and(|pause| pause > self.max_interval);
        match failure.kind {
            kind if long && kind.is_away() => 1,
            // One worker that has lost the store must not use up what the others would succeed with; and who changes
            // grants has done no crawl wrong.
            Kind::Store | Kind::Regranted => self.attempts.saturating_mul(NOT_ITS_FAULT),
            _ => self.attempts,
        }
    }

    /// How long to wait after a failure, the last of so many in a row.
    pub fn pause_after(&self, failure: &Failure, failures: u32) -> Duration {
        failure.retry_after.unwrap_or_else(|| self.pause(failures))
    }

    /// How long to wait after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let more = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let pause = self.initial_interval.as_secs_f64() * self.backoff.powi(more);
        Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX).min(self.max_interval)
    }
}

impl Default for CrawlPolicy {
    fn default() -> Self {
        Self {
            attempts: 3,
            initial_interval: Duration::from_secs(30),
            backoff: 2.0,
            max_interval: Duration::from_secs(300),
            start_to_close: Duration::from_secs(2 * 3600),
            heartbeat_timeout: Duration::from_secs(30),
            parallel_scopes: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_by_the_policy_up_to_the_longest() {
        let policy = CrawlPolicy::default();
        let pauses = [1, 2, 3, 4, 5, 40_000].map(|failures| policy.pause(failures).as_secs());
        assert_eq!(pauses, [30, 60, 120, 240, 300, 300]);
    }
}
