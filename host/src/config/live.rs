//! The configuration of a process that runs on, as it read it last.
//!
//! A crawl begins with what stands in the file then, and keeps that to its end: the file may change
//! while it is under way.

use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;

use super::settings::Config;
use crate::clock::Timestamp;
use crate::crawl::configured::{Configured, Connections};
use crate::failure::{Failure, Result};

#[derive(Clone, Debug)]
pub struct Live(Arc<RwLock<State>>);

#[derive(Debug)]
struct State {
    config: Arc<Config>,
    since: Timestamp,
}

impl Live {
    pub(super) fn new(config: Arc<Config>) -> Self {
        let state = State { config, since: Timestamp::now() };
        Self(Arc::new(RwLock::new(state)))
    }

    pub fn config(&self) -> Arc<Config> {
        self.read(|state| state.config.clone())
    }

    /// The connections are taken from the file; whatever else stands there needs a new process, and that
    /// is said.
    fn read_file(&self) -> Result<Arc<Config>> {
        let before = self.config();
        let text = Config::text(&before.path)?;
        if *text == *before.text {
            return Ok(before);
        }
        let read = Config::parse(&before.path, &text, &|name| std::env::var(name).ok())?;
        let path = before.path.display();
        if read.connections.is_empty() && !before.connections.is_empty() {
            return Err(Failure::settings("it has no connections any more")
                .at(path.to_string())
                .next("put them back; to crawl nothing any more, end this process"));
        }
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

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connections for Live {
    fn now(&self) -> Arc<dyn Configured> {
        self.config()
    }

    fn since(&self) -> String {
        self.read(|state| state.since).to_string()
    }

    fn read_again(&self) -> BoxFuture<'_, Result<Arc<dyn Configured>>> {
        let live = self.clone();
        Box::pin(async move {
            // Secrets that stand in programs are asked for.
            let read = tokio::task::spawn_blocking(move || live.read_file());
            let read = read
                .await
                .map_err(|error| Failure::internal(format!("reading was cut off: {error}")))?;
            read.map(|config| config as Arc<dyn Configured>)
        })
    }
}
