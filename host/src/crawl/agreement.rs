//! Which settings, grants and limits a crawl has: those of the file when it begins, whatever this
//! process read before, and the same to its end, whatever the file becomes meanwhile. Whoever starts a
//! crawl, and whoever works at it, must have the same.

use std::sync::Arc;

use super::configured::{Configured, KeptCrawl};
use super::connection::Connection;
use super::crawler::Crawler;
use super::plan::{Begun, Plan};
use crate::failure::{Failure, Result};
use crate::machine::this_process;

/// What whoever starts a crawl by Temporal has: the worker that takes it may have another file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// Empty where it names no Glean.
    pub glean: &'a str,
    /// The connection's digest. A schedule has none: it means what the worker's file says when it is
    /// due.
    pub digest: Option<&'a str>,
}

impl Crawler {
    /// Reads the file again, and sees that the crawl will be what was asked for.
    pub async fn check_expected(&self, name: &str, expected: Expected<'_>) -> Result<()> {
        let config = self.read_again().await?;
        let ours = self.client.server_url();
        if !expected.glean.is_empty() && expected.glean != ours {
            return Err(Failure::settings(format!(
                "the worker ({}) uploads to {ours}, and the crawl was started for {}",
                this_process(),
                expected.glean
            ))
            .at(name)
            .next("give deployments with different Gleans different task queues in [temporal]"));
        }
        config.connection(name)?;
        let Some(digest) = expected.digest else { return Ok(()) };
        if config.digest(name).is_some_and(|ours| ours.to_string() == digest) {
            return Ok(());
        }
        Err(self.differs(&*config, name, "whoever started the crawl has another"))
    }

    /// Goes on with what a crawl under way began with. A worker that was not there then looks whether
    /// it has the same.
    pub(super) async fn check_begun(&self, begun: &Begun) -> Result<()> {
        let Begun { plan, settings, by, .. } = begun;
        let now = self.connections.now().connection(&plan.connection);
        let is_granted =
            |kept: &KeptCrawl| now.as_ref().is_ok_and(|now| now.grants == kept.connection.grants);
        if self.kept.of(&plan.upload_id).is_some_and(|kept| kept.by == *by && is_granted(&kept)) {
            return Ok(());
        }
        let config = match self.read_again().await {
            Ok(config) => config,
            // A file that somebody is writing just now ends no crawl that began before.
            Err(failure) => {
                tracing::warn!("{failure}");
                self.connections.now()
            }
        };
        let connection = config.connection(&plan.connection)?;
        if !connection.has_settings(settings) {
            let why = "the crawl began with another: its documents would not fit each other";
            return Err(self.differs(&*config, &plan.connection, why));
        }
        self.kept.keep(&plan.upload_id, by, &connection);
        Ok(())
    }

    /// What a crawl began with; at its end, where nothing is read any more, what the file says now.
    pub(super) fn connection_of(&self, plan: &Plan) -> Result<Arc<Connection>> {
        match self.kept.of(&plan.upload_id) {
            Some(kept) => Ok(kept.connection),
            None => self.connections.now().connection(&plan.connection),
        }
    }

    /// What is granted counts at once: the guests of a connection whose grants have changed end, and its crawl goes
    /// on from its checkpoints with those of the file.
    pub fn take_grants(&self, config: &dyn Configured) {
        for connection in self.guests.take_grants(config) {
            tracing::warn!(
                connection,
                "its grants have changed: its guests end, and begin again with the new ones"
            );
        }
    }

    async fn read_again(&self) -> Result<Arc<dyn Configured>> {
        self.connections.read_again().await.map_err(|failure| Failure {
            what: format!("the worker cannot read its sheaf.toml again: {}", failure.what),
            ..failure
        })
    }

    fn differs(&self, config: &dyn Configured, name: &str, why: &str) -> Failure {
        Failure::settings(format!(
            "the worker ({}) has had this `{name}` since {}, and {why}",
            this_process(),
            self.connections.since()
        ))
        .at(config.place(&["connections", name]))
        .next(
            "start the crawl again: it begins with what stands in the file then; where workers have files \
             of their own, bring these to the same state first",
        )
    }
}
