//! A crawl's claim on its connection while it is paused, and after it was cancelled: nobody works on it then who would
//! renew it.

use std::time::Duration;

use temporalio_sdk::workflows::select;
use temporalio_sdk::{
    CancellableFuture as _, WaitConditionOptions, WorkflowCancellationToken, WorkflowContext,
};

use super::activity::in_between;
use super::timer::timer;
use crate::crawl::CrawlRef;
use crate::crawl::lease::PAUSED;
use crate::temporal::activities::Activities;
use crate::temporal::inputs::ClaimInput;

/// How often it is held again. A history takes half a year of these.
const HOLD: Duration = Duration::from_secs(3600);
/// When it is tried again after a failure: the store may be away.
const AGAIN: Duration = Duration::from_secs(300);

/// What a crawl is at, for its claim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Somebody works on it, and renews the claim.
    Work,
    /// It is paused, and nobody does.
    Rest,
    End,
}

/// Holds the claim whenever the crawl rests, until it ends.
pub(super) async fn keep<W>(
    context: &WorkflowContext<W>,
    crawl: &CrawlRef,
    at: impl Fn(&W) -> At + Copy,
) {
    // What ends with the crawl ends by itself: a cancellation is the crawl's to hear.
    let until = async |is_so: &dyn Fn(At) -> bool| {
        let token = WorkflowCancellationToken::new();
        let options = WaitConditionOptions::builder().cancellation_token(token).build();
        let waits = context.wait_condition_with_options(|state| is_so(at(state)), options);
        let _ = waits.await;
    };
    loop {
        until(&|at| at != At::Work).await;
        // Histories of crawls that were paused before there was this replay without it.
        if context.state(at) == At::End || !context.patched("claim held") {
            return;
        }
        let input = ClaimInput { crawl: crawl.clone(), lasts: Some(PAUSED) };
        let options = in_between(format!("{} stays this crawl's", crawl.connection));
        let held = context.execute_activity(Activities::keep_claim, input, options).await;
        let pause = if held.is_ok() { HOLD } else { AGAIN };
        let mut over = Box::pin(timer(context, pause));
        let mut goes_on = Box::pin(futures::FutureExt::fuse(until(&|at| at != At::Rest)));
        select! {
            _ = over => {}
            () = goes_on => over.cancel(),
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
