//! The configuration of a process that runs on, as it read it last.
//!
//! A crawl begins with what stands in the file then, and keeps that to its end: the file may change
//! while it is under way.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Config, Connection};
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};

#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<State>>);

#[derive(Debug)]
struct State {
    config: Arc<Config>,
    since: Timestamp,
    /// The last ones.
    crawls: VecDeque<Kept>,
}

/// What a crawl began with.
#[derive(Clone, Debug)]
pub struct Kept {
    upload_id: String,
    /// Who crawls: whoever resumes it begins with what the file says then.
    pub by: String,
    pub connection: Arc<Connection>,
}

/// More than are under way at once in one process.
const CRAWLS: usize = 1_000;

impl Live {
    pub fn new(config: Arc<Config>) -> Self {
        let state = State { config, since: Timestamp::now(), crawls: VecDeque::new() };
        Self(Arc::new(RwLock::new(state)))
    }

    pub fn now(&self) -> Arc<Config> {
        self.read(|state| state.config.clone())
    }

    /// Since when the configuration is what it is, for people.
    pub fn since(&self) -> String {
        self.read(|state| state.since).to_string()
    }

    /// Reads the file again, if it is another now. The connections are taken from it; whatever else
    /// stands there needs a new process, and that is said.
    pub async fn read_again(&self) -> Result<Arc<Config>> {
        let live = self.clone();
        // Secrets that stand in programs are asked for.
        let read = tokio::task::spawn_blocking(move || live.read_file());
        read.await.map_err(|error| Failure::internal(format!("reading was cut off: {error}")))?
    }

    fn read_file(&self) -> Result<Arc<Config>> {
        let before = self.now();
        let text = Config::text(&before.path)?;
        if *text == *before.text {
            return Ok(before);
        }
        let read = Config::parse(&before.path, &text, &|name| std::env::var(name).ok())?;
        let path = before.path.display();
        tracing::info!("{path} was changed; crawls that begin now take their connections from it");
        if read.rest() != before.rest() {
            tracing::warn!(
                "{path} was changed beside its connections: that takes effect when this process \
                 is started again"
            );
        }
        let Config { connections, schedules, text, .. } = read;
        let config = Config { connections, schedules, text, ..Config::clone(&before) };
        let config = Arc::new(config);
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.config = config.clone();
        state.since = Timestamp::now();
        Ok(config)
    }

    /// What a crawl began with in this process.
    pub fn of_crawl(&self, upload_id: &str) -> Option<Kept> {
        self.read(|state| state.crawls.iter().find(|kept| kept.upload_id == upload_id).cloned())
    }

    /// The crawl keeps this to its end.
    pub fn keep(&self, upload_id: &str, by: &str, connection: &Arc<Connection>) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.crawls.retain(|kept| kept.upload_id != upload_id);
        if state.crawls.len() >= CRAWLS {
            state.crawls.pop_front();
        }
        state.crawls.push_back(Kept {
            upload_id: upload_id.to_owned(),
            by: by.to_owned(),
            connection: connection.clone(),
        });
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
