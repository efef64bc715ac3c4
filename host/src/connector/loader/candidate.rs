//! A connector's file: read and inspected, but neither compiled nor run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocking::blocking;
use super::file;
use super::limits::CompileLimits;
use crate::connector::digest::Digest;
use crate::connector::inspect::{Inspection, inspect};
use crate::failure::Result;

/// What may be a connector, as far as its outside tells.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub path: PathBuf,
    pub digest: Digest,
    pub inspection: Inspection,
    bytes: Arc<[u8]>,
}

impl Candidate {
    /// Reads a file of the usual size.
    pub async fn read(path: &Path) -> Result<Self> {
        Self::read_within(path, CompileLimits::default()).await
    }

    /// What the limits do not allow to be compiled is not even read.
    pub(super) async fn read_within(path: &Path, limits: CompileLimits) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let bytes = file::read(&path, &limits)?;
            Self::of(path, &bytes)
        })
        .await?
    }

    /// A connector whose bytes are at hand; `path` is for people.
    pub fn of(path: PathBuf, bytes: &[u8]) -> Result<Self> {
        let inspection =
            inspect(bytes).map_err(|failure| failure.at(path.display().to_string()))?;
        Ok(Self { digest: Digest::of(bytes), path, inspection, bytes: bytes.into() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
