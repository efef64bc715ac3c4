//! What Glean was told of users and groups, or why that is not known: then a person has to look before anything is told.

use std::time::Duration;

use super::connection::Connection;
use super::identities::{Doubt, IdentityResult, Known, Standing};
use super::kept_identities::KeptIdentities;
use crate::failure::Result;
use crate::glean::{self, Client};
use crate::text::count;

/// Where it stands, and who else may know it.
pub(super) struct WasTold<'a> {
    pub(super) kept: &'a KeptIdentities,
    pub(super) client: &'a Client,
    pub(super) connection: &'a Connection,
    pub(super) standing: &'a Standing,
}

impl WasTold<'_> {
    /// What Glean was told, and why that is not known any more, if so.
    pub(super) async fn known(&self) -> Result<(Known, Option<String>)> {
        let datasource = &self.connection.datasource;
        Ok(match self.kept.known(datasource).await? {
            Ok(Some(known)) => (known, None),
            Ok(None) => (Known::default(), self.missing().await?),
            Err(why) => {
                let aside = self.kept.move_known_aside(datasource).await?;
                tracing::error!(connection = %self.connection.name, "{why}; it is moved to {aside}");
                (Known::default(), Some(format!("{why}; it was moved to {aside}")))
            }
        })
    }

    /// The same for a plan: nothing is moved, and where Glean is away nobody waits for it.
    pub(super) async fn supposed(&self) -> Result<(Known, Option<String>)> {
        let (mut known, lost) = match self.kept.known(&self.connection.datasource).await? {
            Ok(Some(known)) => (known, None),
            Ok(None) => {
                let asked = tokio::time::timeout(PATIENCE, self.missing()).await;
                (Known::default(), asked.ok().and_then(Result::ok).flatten())
            }
            Err(why) => (Known::default(), Some(why)),
        };
        if lost.is_some() {
            known.doubt = Doubt::everything(&known.roster);
        }
        Ok((known, lost))
    }

    /// Why what Glean was told is missing, where it was told.
    async fn missing(&self) -> Result<Option<String>> {
        // That of another datasource is another.
        let was_told = |last: &IdentityResult| last.datasource == self.connection.datasource;
        if self.standing.last.as_ref().is_some_and(was_told) {
            return Ok(Some("it is not in the store".to_owned()));
        }
        told_by_others(self.client, &self.connection.datasource).await
    }
}

/// How long Glean is waited for where nothing is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether Glean has users or groups of a datasource of which nothing is kept here: then a person has to look.
async fn told_by_others(client: &Client, datasource: &str) -> Result<Option<String>> {
    if client.server_url().is_empty() {
        return Ok(None);
    }
    let status = match client.datasource_status(datasource).await {
        Ok(status) => status,
        Err(glean::Error::UnknownDatasource(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let [users, groups] = ["users", "groups"].map(|part| status.identities_counted(part));
    Ok((users > 0 || groups > 0).then(|| {
        format!(
            "Glean counts {} and {} of `{datasource}`, and Sheaf's store has none",
            count(users, "user"),
            count(groups, "group")
        )
    }))
}
