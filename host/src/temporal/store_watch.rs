//! Whether the store answers: without it no crawl can take a step, and a worker that asks for work takes it from those
//! that could.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::store::Store;

/// How often it is asked, and how long an answer is waited for.
const LOOK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// One that has not answered for so long after it first did not is lost.
const LOST: Duration = Duration::from_secs(20);

/// Waits until it has not answered for a while.
pub(super) async fn lost(store: &Store) {
    let mut silent = None;
    loop {
        if answers(store).await {
            silent = None;
            sleep(LOOK).await;
        } else if silent.get_or_insert_with(Instant::now).elapsed() < LOST {
            sleep(AGAIN).await;
        } else {
            return;
        }
    }
}

/// Waits until it answers.
pub(super) async fn back(store: &Store) {
    while !answers(store).await {
        sleep(AGAIN).await;
    }
}

async fn answers(store: &Store) -> bool {
    matches!(timeout(PATIENCE, store.list("probes")).await, Ok(Ok(_)))
}
