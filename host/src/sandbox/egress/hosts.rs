//! What all requests to one host share: their turns, their pace, and the pauses that it asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::pace::{Pace, Wait, Waits, retry_after};
use crate::sandbox::limits::HttpLimits;
use crate::sandbox::policy::Target;

/// A server asks for more patience than this: the guest is told, and its crawl tries again later.
const PATIENCE: Duration = Duration::from_secs(30);
/// Hosts whose pace is remembered.
const MOST_HOSTS: usize = 1_000;

/// The hosts of one connection.
pub(super) struct Hosts {
    connection: String,
    known: Mutex<HashMap<String, Arc<Host>>>,
    waits: Waits,
}

pub(super) struct Host {
    /// What people read of it.
    name: String,
    connection: String,
    /// Requests that may be open at once.
    most: usize,
    turns: Arc<Semaphore>,
    pace: Pace,
    not_before: Mutex<Option<Instant>>,
    waits: Waits,
}

impl Hosts {
    pub(super) fn new(connection: &str) -> Self {
        let connection = connection.to_owned();
        Self { connection, known: Mutex::default(), waits: Waits::default() }
    }

    /// What requests wait for now, for people.
    pub(super) fn waiting(&self) -> Option<Wait> {
        self.waits.now()
    }

    pub(super) fn of(&self, target: &Target, limits: &HttpLimits) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_HOSTS {
            // A pattern may allow names without number: those without a request are forgotten.
            known.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = known.entry(target.to_string()).or_insert_with_key(|name| {
            Arc::new(Host {
                name: name.clone(),
                connection: self.connection.clone(),
                most: limits.host_requests,
                turns: Arc::new(Semaphore::new(limits.host_requests)),
                pace: Pace::per_second(limits.host_requests_per_second),
                not_before: Mutex::default(),
                waits: self.waits.clone(),
            })
        });
        host.clone()
    }
}

impl Host {
    /// A place among the requests to this host, as soon as another one has been read to its end;
    /// nothing, if that takes longer than `patience`.
    pub(super) async fn turn(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        if let Ok(turn) = self.turns.clone().try_acquire_owned() {
            return Some(turn);
        }
        let why = format!("{}: {} requests to it are open already", self.name, self.most);
        tracing::debug!(connection = self.connection, "waits for {why}");
        let _waiting = self.waits.begin(why);
        let turn = tokio::time::timeout(patience, self.turns.clone().acquire_owned());
        turn.await.ok()?.ok()
    }

    /// Waits until the next request may be sent.
    pub(super) async fn pace(&self) {
        loop {
            let until = *self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(until) = until.filter(|until| *until > Instant::now()) else { break };
            let _waiting = self.waits.begin(format!("{}, which asked for a pause", self.name));
            tokio::time::sleep_until(until).await;
        }
        self.pace.take(1.0, &self.waits, || format!("the pace of {}", self.name)).await;
    }

    /// Whether the server asks for a pause that is short enough to wait for. The requests that follow
    /// wait as well, even if this one is not sent again.
    pub(super) fn asks_to_wait(&self, answer: &http::Response<Incoming>) -> bool {
        let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        if !busy.contains(&answer.status()) {
            return false;
        }
        let Some(after) = retry_after(answer.headers(), Timestamp::now()) else { return false };
        let until = Instant::now() + after.min(PATIENCE);
        let mut not_before = self.not_before.lock().unwrap_or_else(PoisonError::into_inner);
        *not_before = Some(not_before.map_or(until, |earlier| earlier.max(until)));
        after <= PATIENCE
    }
}
