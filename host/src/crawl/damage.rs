//! What cannot be read of a connection's state is moved aside, so that it blocks nothing.
//!
//! From then on it is not known what Glean has: documents that only the damaged part named would be
//! deleted without being counted. So the next full crawl asks a person before it deletes anything.

use super::connection_state::Doubt;
use super::crawler::Crawler;
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};
use crate::ledger::Error;
use crate::ledger::compare::{Difference, compare};
use crate::ledger::run::Run;

impl Crawler {
    /// Moves what is damaged aside; another failure is handed on.
    pub(super) async fn move_aside(&self, connection: &str, error: Error) -> Result<()> {
        let (name, why) = match error {
            Error::Failed(failure) => return Err(failure),
            Error::Damaged { name, why, .. } => (name, why),
        };
        let place = self.states.place(connection);
        let below = name.strip_prefix(&place).unwrap_or(&name).trim_start_matches('/');
        // A journal goes as a whole.
        let mut parts = below.split('/');
        let part = match (parts.next(), parts.next()) {
            (Some("crawls"), Some(upload)) => format!("crawls/{upload}"),
            _ => below.to_owned(),
        };
        let stamp = Timestamp::now().in_names();
        let aside = format!("{place}/damaged/{stamp}/{part}");
        self.store.move_all(&format!("{place}/{part}"), &aside).await?;
        let aside = self.store.place(&aside);
        tracing::error!(connection, "{why}; it is moved to {aside}");
        let what = format!("{why}; it was moved to {aside}");
        self.states
            .update(connection, |state| {
                state.runs.retain(|run| run.name != name);
                state.doubt = Some(Doubt { what: what.clone(), since: Timestamp::now() });
            })
            .await
            .map(drop)
    }

    /// Compares what a crawl saw with the ledger. Parts of the ledger that are damaged are moved aside.
    pub(super) async fn compare(
        &self,
        connection: &str,
        before: &[Run],
        after: &[Run],
    ) -> Result<Difference> {
        let mut before = before.to_vec();
        loop {
            let error = match compare(&self.store, &before, after).await {
                Ok(difference) => return Ok(difference),
                Err(error) => error,
            };
            match &error {
                Error::Damaged { name, .. } if before.iter().any(|run| run.name == *name) => {
                    before.retain(|run| run.name != *name);
                }
                _ => return Err(Failure::from(error)),
            }
            self.move_aside(connection, error).await?;
        }
    }

    /// Many small runs of incremental crawls become one.
    pub(super) async fn tidy(&self, connection: &str) -> Result<()> {
        match self.states.tidy(connection).await {
            Ok(()) => Ok(()),
            Err(error) => self.move_aside(connection, error).await,
        }
    }
}
