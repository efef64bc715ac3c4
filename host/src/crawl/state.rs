//! What is remembered of a connection between crawls: its bookmarks, its last result, and a local
//! crawl that did not end. One JSON file a connection, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::progress::ScopeProgress;
use super::steps::{CrawlResult, ModeName, Plan};
use crate::failure::{Failure, Kind, Result};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The Glean that all of this is about: for another one there is nothing to remember.
    pub glean: String,
    /// Where the next incremental crawl of each scope begins.
    pub bookmarks: BTreeMap<String, String>,
    pub unfinished: Option<Unfinished>,
    pub last: Option<CrawlResult>,
}

/// A local crawl that was interrupted: it goes on in the same upload session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unfinished {
    pub plan: Plan,
    /// The mode that was asked for: the plan's may be a full crawl for want of a bookmark.
    pub asked: ModeName,
    /// A digest of the settings: other settings begin anew.
    pub settings: String,
    pub scopes: BTreeMap<String, ScopeProgress>,
}

/// The folder that holds the files.
#[derive(Clone, Debug)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    pub fn new(state: &Path) -> Self {
        Self(state.join("connections"))
    }

    fn file(&self, connection: &str) -> PathBuf {
        self.0.join(format!("{connection}.json"))
    }

    pub fn read(&self, connection: &str) -> Result<Memory> {
        let file = self.file(connection);
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Memory::default());
            }
            Err(error) => return Err(broken(&file, &format!("cannot be read: {error}"))),
        };
        serde_json::from_slice(&text)
            .map_err(|error| broken(&file, &format!("is damaged: {error}")))
    }

    pub fn write(&self, connection: &str, memory: &Memory) -> Result<()> {
        let file = self.file(connection);
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&self.0)?;
            let part = file.with_extension("json.part");
            std::fs::write(&part, serde_json::to_vec_pretty(memory)?)?;
            std::fs::rename(&part, &file)
        };
        write().map_err(|error| broken(&file, &format!("cannot be written: {error}")))
    }

    /// What is remembered of crawls into one Glean.
    pub fn of(&self, connection: &str, glean: &str) -> Result<Memory> {
        let memory = self.read(connection)?;
        Ok(if memory.glean == glean { memory } else { Memory::default() })
    }

    /// Changes what is remembered.
    pub fn update(
        &self,
        connection: &str,
        glean: &str,
        change: impl FnOnce(&mut Memory),
    ) -> Result<()> {
        let mut memory = Memory { glean: glean.to_owned(), ..self.of(connection, glean)? };
        change(&mut memory);
        self.write(connection, &memory)
    }

    /// Keeps other local crawls of this connection out until the answer is dropped.
    pub fn lock(&self, connection: &str) -> Result<File> {
        let path = self.0.join(format!("{connection}.lock"));
        let unusable = |error: std::io::Error| broken(&path, &format!("cannot be locked: {error}"));
        std::fs::create_dir_all(&self.0).map_err(unusable)?;
        let file = File::create(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Kind::Busy,
                format!("`{connection}` is being crawled by another process on this machine"),
            )
            .next("wait for it to end, or stop it")),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

fn broken(file: &Path, what: &str) -> Failure {
    Failure::new(Kind::Settings, format!("the state of a connection {what}"))
        .at(file.display().to_string())
        .next("correct its permissions, or remove it: the next crawl is then a full one")
}
