//! How activities are started: their timeouts, and when the server tries one again.

use std::time::Duration;

use temporalio_common::RetryPolicy;
use temporalio_sdk::{ActivityCancellationType, ActivityOptions, WorkflowCancellationToken};

use crate::crawl::CrawlPolicy;

/// Each activity heartbeats, one of a few requests as one that reads a whole source.
pub(super) fn activity(policy: &CrawlPolicy, summary: String) -> ActivityOptions {
    ActivityOptions::with_start_to_close_timeout(policy.start_to_close)
        .heartbeat_timeout(policy.heartbeat_timeout)
        .retry_policy(retry_policy())
        .cancellation_type(ActivityCancellationType::WaitCancellationCompleted)
        .summary(summary)
        .build()
}

/// What a crawl that rests has done in between: a request of the store, that a cancellation of the crawl does not end.
pub(super) fn in_between(summary: String) -> ActivityOptions {
    ActivityOptions::with_schedule_to_close_timeout(BETWEEN)
        .retry_policy(retry_policy())
        .cancellation_token(WorkflowCancellationToken::new())
        .summary(summary)
        .build()
}

/// So long whoever cancels a crawl waits for a worker at most.
const BETWEEN: Duration = Duration::from_secs(60);

/// A deploy or a kill is no failure of the source: another worker takes over as soon as the server
/// notices, and as often as that happens.
const AT_ONCE: Duration = Duration::from_secs(1);

/// For the server a deploy or a kill is an attempt like a failure. So its attempts are unlimited and
/// follow at once; each activity counts its own failures, and says how long to wait after one.
fn retry_policy() -> RetryPolicy {
    RetryPolicy::builder()
        .maximum_attempts(0)
        .initial_interval(AT_ONCE)
        .backoff_coefficient(1.0)
        .maximum_interval(AT_ONCE)
        .build()
}
