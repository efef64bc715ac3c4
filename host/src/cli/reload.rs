//! A worker reads its sheaf.toml again when it changes and on SIGHUP: as a whole, or not at all.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use temporalio_client::Client;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Live};
use crate::crawl::Crawler;
use crate::metrics::metrics;
use crate::temporal::schedules::{self, Gone};

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
    let mut reading = Reading {
        seen: None,
        looked: None,
        taken: live.config(),
        applied: live.config(),
        told: None,
    };
    loop {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            Some(()) = asked.recv() => true,
            () = stop.cancelled() => return,
        };
        reading.look(&live, &crawler, is_asked).await;
        reading.apply(&client).await;
    }
}

/// How far the file's changes have been taken.
struct Reading {
    /// What the file looked like when it was read last.
    seen: Option<Stamp>,
    /// What it looked like a moment ago.
    looked: Option<Stamp>,
    /// Whose grants count.
    taken: Arc<Config>,
    /// Whose schedules the server has.
    applied: Arc<Config>,
    /// What was said of it last, so that it is said once.
    told: Option<String>,
}

impl Reading {
    async fn look(&mut self, live: &Live, crawler: &Crawler, is_asked: bool) {
        let path = self.taken.path.display().to_string();
        let now = stamp(&self.taken.path);
        // What is being written is read when it is still.
        let is_still = now == std::mem::replace(&mut self.looked, now);
        if is_asked || (now != self.seen && is_still) {
            if self.taken.path.exists() && !self.taken.path.is_file() {
                return self.tell(format!("{path} is no file: all stays as it was"));
            }
            match crawler.connections.read_again().await {
                Ok(_) => {
                    (self.seen, self.told) = (now, None);
                    metrics().configuration_refused.set(0);
                }
                // It may be half written: it is read again until it is right.
                Err(failure) => {
                    metrics().configuration_refused.set(1);
                    let next = failure.next.as_deref().unwrap_or("correct it");
                    let what = format!(
                        "{path} is not taken, all stays as it was: {failure}; next: {next}"
                    );
                    self.tell(what);
                    return;
                }
            }
        }
        // A crawl that began just now may have read it first.
        let config = live.config();
        // What has not changed is the same one.
        if !Arc::ptr_eq(&config, &self.taken) {
            crawler.take_grants(&*config);
            self.taken = config;
        } else if is_asked {
            tracing::info!("{path} was read again: it is as it was");
        }
    }

    /// The server gets the schedules that stand in the file now.
    async fn apply(&mut self, client: &Client) {
        if self.taken.schedules == self.applied.schedules {
            return;
        }
        let (deployment, wanted) = (self.taken.deployment(), self.taken.wanted());
        match schedules::apply(client, deployment, wanted, Gone::Leave).await {
            Ok(applied) => {
                tracing::info!(
                    created = applied.created.len(),
                    updated = applied.updated.len(),
                    "the schedules are those of the file"
                );
                if !applied.left.is_empty() {
                    tracing::warn!(
                        "not in the file any more, and still there: {}; `sheaf schedules apply` removes them",
                        applied.left.join(", ")
                    );
                }
                self.applied = self.taken.clone();
            }
            Err(failure) => {
                self.tell(format!("the schedules stay as they were for now: {failure}"));
            }
        }
    }

    fn tell(&mut self, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::error!("{what}");
            self.told = Some(what);
        }
    }
}

type Stamp = (SystemTime, u64);

/// What tells that a file is another one, also behind a link.
fn stamp(path: &Path) -> Option<Stamp> {
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
