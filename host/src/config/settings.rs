//! What a `sheaf.toml` says, as the types of the rooms below.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::locate::Locate;
use crate::cell::CompileLimits;
use crate::connector::Digest;
use crate::crawl::configured::Configured;
use crate::crawl::{Connection, UploadLimits};
use crate::failure::{Failure, Result};
use crate::glean::Endpoint;
use crate::observe;
use crate::registry::Rules;
use crate::store::Location;
use crate::temporal::rollout::Version;
use crate::temporal::schedule::Schedule;
use crate::temporal::schedules::Wanted;
use crate::temporal::settings::{Deployment, Settings};

/// One `sheaf.toml`, valid as far as it can be known without running a connector.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named or found.
    pub path: PathBuf,
    pub glean: Endpoint,
    pub uploads: UploadLimits,
    pub temporal: Settings,
    /// The collector that traces are sent to, if any.
    pub traces: Option<String>,
    /// Where a worker is looked at, if anywhere.
    pub observe: Option<observe::settings::Settings>,
    /// Where workers stand among the versions of their deployment, if they have some.
    pub version: Option<Version>,
    /// Guests of all connections that run at once in one process.
    pub guests: usize,
    /// Where `.wasm` files are dropped.
    pub connectors: PathBuf,
    /// Which of them may be loaded.
    pub rules: Rules,
    pub compile: CompileLimits,
    /// This machine's own: locks, temporary files, what `sheaf dev` runs.
    pub state: PathBuf,
    /// What Sheaf keeps between runs: journals, bookmarks, the ledger, a copy of each connector in
    /// use. Workers of one task queue share it.
    pub store: Location,
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// When they are crawled, by their names.
    pub schedules: BTreeMap<String, Vec<Schedule>>,
    pub(super) text: Arc<str>,
}

impl Config {
    pub fn connection(&self, name: &str) -> Result<Arc<Connection>> {
        self.connections.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.connections.keys().map(String::as_str).collect();
            let next = match known.as_slice() {
                [] => {
                    "add a [connections.NAME] to it; `sheaf inspect FILE` prints one to begin with"
                        .to_owned()
                }
                known => format!("it has: {}", known.join(", ")),
            };
            Failure::settings(format!("there is no connection `{name}`"))
                .at(self.path.display().to_string())
                .next(next)
        })
    }

    /// What we are on Temporal.
    pub fn deployment(&self) -> Deployment<'_> {
        Deployment { settings: &self.temporal, glean: &self.glean.server_url }
    }

    /// The schedules that Temporal should have.
    pub fn wanted(&self) -> impl Iterator<Item = Wanted<'_>> {
        self.schedules.iter().flat_map(move |(connection, schedules)| {
            schedules.iter().map(move |schedule| Wanted {
                connection,
                schedule,
                place: self.place(&["connections", connection, "schedules", &schedule.name]),
            })
        })
    }

    /// A digest of all that decides what a connection uploads and deletes, as it stands in the file:
    /// the same on every machine that has the same text, whatever its paths and secrets lead to.
    /// Limits end a crawl and change no document, but for the one that cuts answers off.
    pub fn digest(&self, connection: &str) -> Option<Digest> {
        let mut file: toml::Table = toml::from_str(&self.text).ok()?;
        let found = file.get_mut("connections")?.get_mut(connection)?.as_table_mut()?;
        found.remove("schedules");
        if let Some(toml::Value::Table(limits)) = found.get_mut("limits") {
            limits.retain(|key, _| key == "response_bytes");
            if limits.is_empty() {
                found.remove("limits");
            }
        }
        // Keys in order, however they stand in the file.
        let text = serde_json::to_value(&*found).ok()?.to_string();
        Some(Digest::of(text.as_bytes()))
    }

    /// What stands in the file beside the connections.
    pub(super) fn rest(&self) -> Option<toml::Table> {
        let mut file: toml::Table = toml::from_str(&self.text).ok()?;
        file.remove("connections");
        Some(file)
    }

    /// What stands in the file, to tell whether two processes read the same.
    pub fn text_digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// `sheaf.toml:12, connections.a.settings`: where a key stands, or the nearest one above it.
    pub fn place(&self, keys: &[&str]) -> String {
        Locate { path: &self.path, text: &self.text }.place(keys)
    }
}

impl Configured for Config {
    fn connection(&self, name: &str) -> Result<Arc<Connection>> {
        self.connection(name)
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        self.connections.values().cloned().collect()
    }

    fn digest(&self, connection: &str) -> Option<Digest> {
        self.digest(connection)
    }

    fn place(&self, keys: &[&str]) -> String {
        self.place(keys)
    }
}
