//! `sheaf.toml`: read, checked, and turned into types. Every error names the file's line and key.

mod connection;
mod connectors;
mod file;
mod glean;
mod grants;
mod limits;
mod live;
mod locate;
mod schedules;
mod temporal;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use live::Live;

use crate::connector::{CompileLimits, Digest};
use crate::crawl::{Deletions, Tolerance, UploadLimits};
use crate::failure::{Failure, Result};
use crate::glean::Endpoint;
use crate::sandbox::{Granted, Limits};
use crate::store::Location;
use crate::temporal::schedule::Schedule;
use crate::temporal::schedules::Wanted;
use crate::temporal::settings::{Deployment, Settings};
use locate::{Locate, without_user};

pub const FILE_NAME: &str = "sheaf.toml";

/// One `sheaf.toml`, valid as far as it can be known without running a connector.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named or found.
    pub path: PathBuf,
    pub glean: Endpoint,
    pub window: UploadLimits,
    pub temporal: Settings,
    /// Guests of all connections that run at once in one process.
    pub guests: usize,
    /// Where `.wasm` files are dropped.
    pub connectors: PathBuf,
    pub compile: CompileLimits,
    /// This machine's own: locks, temporary files, what `sheaf dev` runs.
    pub state: PathBuf,
    /// What Sheaf keeps between runs: journals, bookmarks, the ledger, a copy of each connector in
    /// use. Workers of one task queue share it.
    pub store: Location,
    pub connections: BTreeMap<String, Arc<Connection>>,
    /// When they are crawled, by their names.
    pub schedules: BTreeMap<String, Vec<Schedule>>,
    text: Arc<str>,
}

/// A connector, its settings and its grants: one datasource in Glean.
#[derive(Clone, Debug)]
pub struct Connection {
    pub name: String,
    pub connector: String,
    pub datasource: String,
    pub settings: serde_json::Value,
    pub grants: Granted,
    pub limits: Limits,
    pub deletions: Deletions,
    pub quarantine: Tolerance,
}

impl Connection {
    /// A digest of what decides which documents there are.
    pub fn settings_digest(&self) -> String {
        let text = format!("{} {:?}", self.settings, self.grants.folders);
        Digest::of(text.as_bytes()).to_string()
    }
}

impl Config {
    /// Reads `named`, or the nearest `sheaf.toml` from this folder upwards.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => find()?,
        };
        Self::parse(&path, &Self::text(&path)?, &|name| std::env::var(name).ok())
    }

    fn text(path: &Path) -> Result<String> {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::settings(format!("cannot read the configuration: {error}"))
                .at(path.display().to_string())
                .next("name it with `--config`, or run from a folder below it")
        })
    }

    /// Checks the text of a file at `path`, with `env` for the environment.
    pub fn parse(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let locate = Locate { path, text };
        let file: file::File = toml::from_str(text).map_err(|error| locate.parse_error(&error))?;
        file.validate(&locate, env)
    }

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
    fn rest(&self) -> Option<toml::Table> {
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

fn find() -> Result<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::settings(format!("there is no current folder: {error}")))?;
    here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file()).ok_or_else(
        || {
            Failure::settings("there is no sheaf.toml here or in a folder above")
                .at(here.display().to_string())
                .next("name one with `--config`; examples/basic_workflow has one to copy")
        },
    )
}
