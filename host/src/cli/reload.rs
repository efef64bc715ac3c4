//! A worker reads its sheaf.toml again when it changes and on SIGHUP: as a whole, or not at all.

use std::path::Path;
use std::time::{Duration, SystemTime};

use temporalio_client::Client;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Live};
use crate::crawl::Crawler;
use crate::temporal::schedules;

/// How soon a changed file is noticed.
const LOOK: Duration = Duration::from_secs(2);

/// Reads the file again for as long as the worker works.
pub(super) async fn keep_reading(
    live: Live,
    crawler: Crawler,
    client: Client,
    stop: CancellationToken,
) {
    let mut asked = hang_ups();
    let mut before = stamp(&live.config().path);
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            Some(()) = asked.recv() => before = None,
            () = stop.cancelled() => return,
        }
        let now = stamp(&live.config().path);
        if now == before {
            continue;
        }
        let was_asked = before.is_none();
        before = now;
        read(&live, &crawler, &client, was_asked).await;
    }
}

async fn read(live: &Live, crawler: &Crawler, client: &Client, was_asked: bool) {
    let before = live.config();
    let path = before.path.display();
    if let Err(failure) = crawler.connections.read_again().await {
        let next = failure.next.as_deref().unwrap_or("correct it");
        tracing::error!("{path} is not taken, all stays as it was: {failure}; next: {next}");
        return;
    }
    let now = live.config();
    if now.text_digest() == before.text_digest() {
        if was_asked {
            tracing::info!("{path} was read again: it is as it was");
        }
        return;
    }
    crawler.take_grants(&*now);
    if now.schedules != before.schedules {
        apply(&now, client).await;
    }
}

/// The server gets the schedules that stand in the file now.
async fn apply(config: &Config, client: &Client) {
    match schedules::apply(client, config.deployment(), config.wanted()).await {
        Ok(applied) => tracing::info!(
            created = applied.created.len(),
            updated = applied.updated.len(),
            removed = applied.removed.len(),
            "the schedules are those of the file"
        ),
        Err(failure) => {
            tracing::error!(
                "the schedules stay as they were: {failure}; `sheaf schedules apply` tries it again"
            );
        }
    }
}

/// What tells that a file is another one, also behind a link.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// A message for each SIGHUP.
fn hang_ups() -> tokio::sync::mpsc::Receiver<()> {
    let (said, hears) = tokio::sync::mpsc::channel(1);
    #[cfg(unix)]
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
        while hang_up.recv().await.is_some() {
            if said.send(()).await.is_err() {
                return;
            }
        }
    });
    #[cfg(not(unix))]
    drop(said);
    hears
}
