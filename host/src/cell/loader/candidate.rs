//! A connector's file: read, and not looked into.

use std::path::{Path, PathBuf};

use bytes::Bytes;

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
    bytes: Bytes,
}

impl Candidate {
    /// What the limits do not allow to be compiled is not even read.
    pub(super) async fn read(path: &Path, limits: CompileLimits) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || Ok(Self::of(path.clone(), file::read(&path, &limits)?))).await?
    }

    /// A connector whose bytes are at hand; `path` is for people.
    pub fn of(path: PathBuf, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::known(path, Digest::of(&bytes), bytes)
    }

    /// The same of bytes that were held against their digest a moment ago.
    pub fn known(path: PathBuf, digest: Digest, bytes: Bytes) -> Self {
        Self { path, digest, bytes }
    }

    /// They are shared, not copied.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
