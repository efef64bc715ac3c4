//! Timers that a cancellation does not take away. One that the SDK takes away, and that has fired in the same step because
//! no worker listened for a while, ends the workflow's code each time that it is tried.

use std::time::Duration;

use temporalio_sdk::workflows::select;
use temporalio_sdk::{
    CancellableFuture, TimerOptions, TimerResult, WorkflowCancellationToken, WorkflowContext,
};

pub(super) fn timer<W>(
    context: &WorkflowContext<W>,
    duration: Duration,
) -> impl CancellableFuture<Output = TimerResult> {
    let token = WorkflowCancellationToken::new();
    context.timer(TimerOptions::builder(duration).cancellation_token(token).build())
}

/// Waits so long, or until the workflow is cancelled.
pub(super) async fn wait<W>(context: &WorkflowContext<W>, duration: Duration) {
    let mut over = Box::pin(timer(context, duration));
    select! {
        _ = over => {}
        _ = context.wait_condition(|_| false) => {}
    }
}
