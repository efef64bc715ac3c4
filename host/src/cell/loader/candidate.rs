//! A connector's file: read, and not looked into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file;
use super::limits::CompileLimits;
use crate::cell::outside::blocking;
use crate::connector::Digest;
use crate::failure::Result;

/// What may be a connector.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub path: PathBuf,
    pub digest: Digest,
    bytes: Arc<[u8]>,
}

impl Candidate {
    /// What the limits do not allow to be compiled is not even read.
    pub(super) async fn read(path: &Path, limits: CompileLimits) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || Ok(Self::of(path.clone(), &file::read(&path, &limits)?))).await?
    }

    /// A connector whose bytes are at hand; `path` is for people.
    pub fn of(path: PathBuf, bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), path, bytes: bytes.into() }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
