//! One attempt of an activity: it heartbeats while it works, counts its failures, and tells the server
//! whether another attempt follows, and when.

use std::time::Duration;

use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::crawl::{CrawlPolicy, CrawlRef, RangeProgress};
use crate::failure::{Failure, Kind};
use crate::machine::this_process;
use crate::text::{bytes, count};

/// How often a crawl says how far it is.
const SHOWN: Duration = Duration::from_secs(1);
/// Until an attempt that was replaced hears of it by its heartbeats.
const REPLACED: Duration = Duration::from_secs(2);
/// What an activity hands to Temporal at most. The server takes 2 MB, and asks for what it did not take
/// again and again, until somebody looks.
const MOST_BYTES: usize = 1_000_000;

/// A plan that Temporal will take. One that lists its scopes, as workflows of an earlier version want it,
/// may be larger.
pub(super) fn small(crawl: CrawlRef) -> Result<CrawlRef, Failure> {
    let written = serde_json::to_vec(&crawl)
        .map_err(|error| Failure::internal(format!("a plan is no JSON: {error}")))?;
    if written.len() <= MOST_BYTES {
        return Ok(crawl);
    }
    let (size, most) = (bytes(written.len() as u64), bytes(MOST_BYTES as u64));
    let scopes = count(crawl.scopes.count() as u64, "scope");
    let what = format!("a list of {scopes} has {size}, and Temporal is handed {most} at most");
    Err(Failure::new(Kind::Limit, what)
        .at(crawl.connection.clone())
        .next("start the crawl again: this version's workflows need no such list"))
}

/// Failures that are borne with, and the pauses between them.
#[derive(Clone, Copy)]
pub(super) struct Allowed<'a> {
    pub attempts: u32,
    pub policy: Option<&'a CrawlPolicy>,
}

impl Allowed<'_> {
    pub(super) fn of(&self, failure: &Failure) -> u32 {
        let policy = self.policy.map(|policy| policy.allowed(failure));
        policy.unwrap_or(self.attempts).max(1)
    }
}

/// A crawl that waits for its source still says that it lives: three times before it is given up.
fn heartbeats(context: &ActivityContext) -> tokio::time::Interval {
    let timeout = context.info().heartbeat_timeout.unwrap_or(Duration::from_secs(15));
    tokio::time::interval((timeout / 3).max(Duration::from_millis(100)))
}

/// Work that says how far it is, for as long as it takes, and hears when it is to stop.
pub(super) async fn heartbeating<T>(
    context: &ActivityContext,
    reports: &watch::Receiver<RangeProgress>,
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, ActivityError> {
    let mut work = std::pin::pin!(work);
    let mut alive = heartbeats(context);
    let mut shown = tokio::time::interval(SHOWN);
    loop {
        tokio::select! {
            ended = &mut work => return Ok(ended),
            _ = alive.tick() => {}
            _ = shown.tick() => {}
            () = context.cancelled(), if !cancel.is_cancelled() => {
                cancel.cancel();
                continue;
            }
        }
        let progress = reports.borrow().clone();
        context.record_heartbeat(progress).await?;
    }
}

/// A short step: it says that it lives and, by `now`, how far it is and what it waits for, hears when it is to stop, and counts its
/// own failures, like a crawl does. `ends` hears of the failure that ends it.
pub(super) async fn counted<T>(
    context: &ActivityContext,
    allowed: Allowed<'_>,
    step: impl Future<Output = Result<T, Failure>>,
    now: impl Fn(&mut RangeProgress),
    ends: impl AsyncFnOnce(Failure),
) -> Result<T, ActivityError> {
    let tried = context.heartbeat_details().deserialize::<RangeProgress>();
    let mut tried = tried.ok().flatten().unwrap_or_default();
    let mut step = std::pin::pin!(step);
    let mut alive = heartbeats(context);
    let ended = loop {
        tokio::select! {
            ended = &mut step => break ended,
            _ = alive.tick() => {
                now(&mut tried);
                context.record_heartbeat(tried.clone()).await?;
            }
            () = context.cancelled() => return Err(ActivityError::cancelled()),
        }
    };
    match ended {
        Ok(done) => Ok(done),
        Err(failure) => {
            tried.total.live.wait(None);
            let allowance = allowed.of(&failure);
            let (failure, last) = tried.attempts.failed(failure, allowance);
            let failures = tried.attempts.failures;
            tracing::warn!(failures, last, "{failure}");
            let pause = pause(&failure, failures, allowed.policy);
            context.record_heartbeat(tried).await?;
            if is_final(&failure, last) {
                ends(failure.clone()).await;
            }
            Err(failed(failure, last, pause))
        }
    }
}

/// Whether a failure ends the crawl.
pub(super) fn is_final(failure: &Failure, last: bool) -> bool {
    last || !failure.kind.is_retryable()
}

/// How long the server is to wait with the next attempt.
pub(super) fn pause(
    failure: &Failure,
    failures: u32,
    policy: Option<&CrawlPolicy>,
) -> Option<Duration> {
    match failure.kind {
        Kind::TakenOver | Kind::Regranted => Some(REPLACED),
        _ => match policy {
            Some(policy) => Some(policy.pause_after(failure, failures)),
            None => failure.retry_after,
        },
    }
}

/// The failure as Temporal shows it, with all of it in the details for `sheaf`.
pub(super) fn failed(failure: Failure, last: bool, pause: Option<Duration>) -> ActivityError {
    let kind = failure.kind;
    // Whoever reads it is elsewhere.
    let worker = format!("worker {}", this_process());
    let at = failure.at.as_ref().map_or_else(|| worker.clone(), |at| format!("{at}, {worker}"));
    let failure = failure.at(at);
    let details = failure.clone();
    ApplicationFailure::builder(failure)
        .type_name(kind.type_name().to_owned())
        .non_retryable(is_final(&details, last))
        .maybe_next_retry_delay(pause)
        .details(details)
        .build()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::Digest;
    use crate::document::Scope;

    #[test]
    fn a_plan_that_temporal_would_not_take_is_refused_at_once() {
        let json = serde_json::json!({
            "connection": "c", "datasource": "c", "connector": "c 1", "digest": Digest::of(b""),
            "mode": "full", "upload_id": "u", "scopes": 10_000,
        });
        let crawl: CrawlRef = serde_json::from_value(json).expect("a crawl");
        assert!(small(crawl.clone()).is_ok());
        let scope = |id: usize| Scope {
            id: format!("{id}-{}", "i".repeat(490)),
            title: "t".repeat(200),
            documents: None,
        };
        assert!(small(crawl.clone().listing((0..1_000).map(scope).collect())).is_ok());
        let failure = small(crawl.listing((0..10_000).map(scope).collect())).expect_err("refused");
        assert!(is_final(&failure, false), "{failure}");
        assert!(failure.what.contains("a list of 10,000 scopes has 7."), "{failure}");
    }

    #[test]
    fn a_pause_is_an_hour_at_most_whoever_asks_for_it() {
        let asked = Some(Duration::from_secs(u64::from(u32::MAX)));
        let failure = Failure::new(Kind::StartOver, "later").retry_after(asked);
        let policy = CrawlPolicy::default();
        for policy in [Some(&policy), None] {
            assert_eq!(pause(&failure, 1, policy), Some(Duration::from_secs(3600)));
        }
    }
}
