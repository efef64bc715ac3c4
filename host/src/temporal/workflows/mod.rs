//! The workflows. These modules are deterministic: no I/O, no clock but the workflow's, nothing
//! random. A test reads them for what must not be here, another replays recorded histories.
//!
//! [`indexing`] is one crawl, under one id a connection: Temporal itself keeps two apart. [`approval`]
//! waits for a person where a crawl would delete too much, under an id of its own, so that incremental
//! crawls go on meanwhile. [`scheduled`] is what a schedule starts, and [`all`] crawls many
//! connections; both run crawls as children.

pub mod all;
pub mod approval;
pub mod indexing;
pub mod scheduled;

pub use all::{AllInput, AllWorkflow};
pub use approval::{ApprovalInput, ApprovalWorkflow};
pub use indexing::{CrawlInput, IndexingWorkflow};
pub use scheduled::{ScheduledCrawl, ScheduledInput, ScheduledResult};

use std::time::Duration;

use temporalio_common::RetryPolicy;
use temporalio_sdk::{ActivityCancellationType, ActivityOptions};

use crate::crawl::Policy;

/// Each activity heartbeats, one of a few requests as one that reads a whole source.
fn activity(policy: &Policy, summary: String) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(policy.start_to_close)
        .heartbeat_timeout(policy.heartbeat_timeout)
        .retry_policy(retry_policy())
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .summary(summary)
        .build()
}

/// A deploy or a kill is no failure of the source: another worker takes over as soon as the server
/// notices, and as often as that happens.
const TAKE_OVER: Duration = Duration::from_secs(1);

/// For the server a deploy or a kill is an attempt like a failure. So its attempts are unlimited and
/// follow at once; each activity counts its own failures, and says how long to wait after one.
fn retry_policy() -> RetryPolicy {
    RetryPolicy::builder()
        .maximum_attempts(0)
        .initial_interval(TAKE_OVER)
        .backoff_coefficient(1.0)
        .maximum_interval(TAKE_OVER)
        .build()
}

#[cfg(test)]
mod tests {
    #[test]
    fn workflow_code_has_no_clock_no_randomness_and_no_io() {
        for code in [
            include_str!("indexing.rs"),
            include_str!("approval.rs"),
            include_str!("scheduled.rs"),
            include_str!("all.rs"),
        ] {
            for forbidden in
                ["tokio", "Instant", "SystemTime", "rand::", "std::fs", "std::env", "reqwest"]
            {
                assert!(!code.contains(forbidden), "{forbidden}");
            }
        }
    }
}
