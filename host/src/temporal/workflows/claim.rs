//! A crawl's claim on its connection while nobody works on it.

use std::convert::Infallible;
use std::time::Duration;

use temporalio_sdk::WorkflowContext;
use temporalio_sdk::workflows::select;

use super::activity::in_between;
use crate::crawl::lease::BETWEEN_ATTEMPTS;
use crate::crawl::{CrawlPolicy, CrawlRef};
use crate::temporal::activities::Activities;
use crate::temporal::inputs::ClaimInput;

/// How often it is held again, and how long it counts each time. A history takes half a year of these.
const HOLD: Duration = Duration::from_secs(3600);
const HELD: Duration = Duration::from_secs(2 * 3600);

/// While it is paused nobody works on a crawl, and nobody else may take its connection.
pub(super) async fn keep<W>(
    context: &WorkflowContext<W>,
    crawl: &CrawlRef,
    policy: &CrawlPolicy,
    is_paused: impl Fn(&W) -> bool,
) -> Infallible {
    loop {
        let paused = context.wait_condition(&is_paused).await;
        // Histories of crawls that were paused before there was this replay without it.
        if paused.is_err() || !context.patched("claim held") {
            return std::future::pending().await;
        }
        // By then whoever worked on it has handed over, or is known to be no more.
        let mut pause = (2 * policy.heartbeat_timeout).min(BETWEEN_ATTEMPTS / 2);
        loop {
            {
                let mut over = Box::pin(context.timer(pause));
                let mut resumed = Box::pin(context.wait_condition(|state| !is_paused(state)));
                select! {
                    _ = over => {}
                    _ = resumed => {}
                }
            }
            if context.cancellation_token().is_cancelled() {
                return std::future::pending().await;
            }
            if !context.state(&is_paused) {
                break;
            }
            let input = ClaimInput { crawl: crawl.clone(), lasts: Some(HELD) };
            let options = in_between(format!("{} stays this crawl's", crawl.connection));
            let _ = context.execute_activity(Activities::keep_claim, input, options).await;
            pause = HOLD;
        }
    }
}

/// Whoever was cancelled keeps nobody away.
pub(super) async fn give_back<W>(context: &WorkflowContext<W>, crawl: CrawlRef) {
    // Histories from before there was this replay without it.
    if context.patched("claim given back") {
        let options = in_between(format!("{} is free for other crawls", crawl.connection));
        let input = ClaimInput { crawl, lasts: None };
        let _ = context.execute_activity(Activities::keep_claim, input, options).await;
    }
}
