//! What takes the steps of crawls, as a `sheaf.toml` wants it.

use std::sync::Arc;

use super::live::Live;
use super::settings::Config;
use crate::crawl::Crawler;
use crate::crawl::crawler::Settings;
use crate::failure::{Failure, Result};

impl Config {
    /// This configuration, for as long as a process runs.
    pub fn live(&self) -> Live {
        Live::new(Arc::new(self.clone()))
    }

    /// What takes the steps of crawls.
    pub fn crawler(&self) -> Result<Crawler> {
        self.crawler_of(&self.live())
    }

    /// The same with connections that somebody else reads again, too.
    pub fn crawler_of(&self, live: &Live) -> Result<Crawler> {
        if self.glean.server_url.is_empty() {
            return Err(self.no_glean());
        }
        self.with(live.clone())
    }

    pub fn no_glean(&self) -> Failure {
        Failure::settings("there is no Glean to upload to")
            .at(self.place(&["glean", "server_url"]))
            .next(
                "set `server_url` in [glean], or GLEAN_INSTANCE; `sheaf local-glean` runs one here",
            )
    }

    /// The same for what only looks at connectors and their sources: there need not be a Glean.
    pub fn offline_crawler(&self) -> Result<Crawler> {
        self.with(self.live())
    }

    fn with(&self, live: Live) -> Result<Crawler> {
        let settings = Settings {
            glean: self.glean.clone(),
            uploads: self.uploads,
            policy: self.temporal.policy.clone(),
            guests: self.guests,
            connectors: self.connectors.clone(),
            rules: self.rules.clone(),
            compile: self.compile,
            state: self.state.clone(),
            store: self.store.clone(),
        };
        Crawler::new(settings, Arc::new(live))
    }
}
