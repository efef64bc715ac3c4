//! `[connections.NAME]`: a connector, its settings, its grants, and where its documents go.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::locate::Locate;
use super::values::Span;
use super::{grants, limits, schedules};
use crate::crawl::{self, Connection, Tolerance};
use crate::failure::Result;
use crate::temporal::schedule::Schedule;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    connector: String,
    datasource: String,
    #[serde(default = "no_settings")]
    settings: toml::Table,
    #[serde(default)]
    grants: grants::Section,
    #[serde(default)]
    limits: limits::Section,
    #[serde(default)]
    deletions: Deletions,
    #[serde(default)]
    quarantine: Quarantine,
    #[serde(default)]
    identities: Identities,
    #[serde(default)]
    schedules: BTreeMap<String, schedules::Section>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Identities {
    max_age: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Deletions {
    max_percent: Option<f64>,
    max_count: Option<u64>,
    wait: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Quarantine {
    max_percent: Option<f64>,
    min_documents: Option<u64>,
}

/// What Glean knows of users and groups may be so old, unless `[connections.X.identities]` says otherwise.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

fn no_settings() -> toml::Table {
    toml::Table::new()
}

impl Section {
    /// The connection, and when it is crawled.
    pub(super) fn validate(
        self,
        name: &str,
        base: &Path,
        locate: &Locate<'_>,
    ) -> Result<(Connection, Vec<Schedule>)> {
        let here = |key| ["connections", name, key];
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(locate
                .failure(&["connections", name], format!("`{name}` is not a connection's name"))
                .next("use letters, digits, `-` and `_`"));
        }
        // Glean: a datasource's name is part of its URLs.
        let named = !self.datasource.is_empty()
            && self.datasource.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named {
            return Err(locate
                .failure(
                    &here("datasource"),
                    format!("`{}` is not a datasource's name", self.datasource),
                )
                .next("use letters and digits only: Glean takes nothing else"));
        }
        let settings = serde_json::to_value(&self.settings).map_err(|error| {
            locate.failure(&here("settings"), format!("the settings are not JSON: {error}"))
        })?;
        let connection = Connection {
            name: name.into(),
            connector: self.connector,
            datasource: self.datasource,
            settings,
            grants: self.grants.validate(name, base, locate)?,
            limits: self.limits.validate(name, locate)?,
            deletions: self.deletions.validate(name, locate)?,
            quarantine: self.quarantine.validate(name, locate)?,
            identities_max_age: self.identities.max_age.map_or(WEEK, |span| span.0),
        };
        Ok((connection, schedules::validate(name, self.schedules, locate)?))
    }
}

impl Deletions {
    fn validate(self, name: &str, locate: &Locate<'_>) -> Result<crawl::Deletions> {
        let usual = crawl::Deletions::default();
        let keys = ["connections", name, "deletions", "max_percent"];
        Ok(crawl::Deletions {
            max_percent: share(self.max_percent, usual.max_percent, &keys, locate)?,
            max_count: self.max_count,
            wait: self.wait.map_or(usual.wait, |span| span.0),
        })
    }
}

impl Quarantine {
    fn validate(self, name: &str, locate: &Locate<'_>) -> Result<Tolerance> {
        let usual = Tolerance::default();
        let keys = ["connections", name, "quarantine", "max_percent"];
        Ok(Tolerance {
            max_percent: share(self.max_percent, usual.max_percent, &keys, locate)?,
            min_documents: self.min_documents.unwrap_or(usual.min_documents),
        })
    }
}

/// A share of a hundred.
fn share(value: Option<f64>, usual: f64, keys: &[&str], locate: &Locate<'_>) -> Result<f64> {
    match value {
        Some(value) if !(0.0..=100.0).contains(&value) => {
            Err(locate.failure(keys, "it must be between 0 and 100"))
        }
        value => Ok(value.unwrap_or(usual)),
    }
}
