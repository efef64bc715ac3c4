//! What may be loaded: the lock, who is trusted, and what is denied.

use std::path::PathBuf;

use super::lock::Lock;
use super::refusal::Refusal;
use super::trust::{Trust, Unsigned};
use crate::connector::Digest;
use crate::failure::Result;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `sheaf.lock`, which may not be there.
    pub lock: PathBuf,
    pub trust: Trust,
    /// Digests of files and of manifests.
    pub deny: Vec<Digest>,
}

impl Rules {
    /// As the file is now: it may change while a worker runs.
    pub fn locked(&self) -> Result<Lock> {
        Lock::read(&self.lock)
    }

    /// Whether nothing is denied, and nobody has to sign.
    pub fn are_open(&self) -> bool {
        let Trust { keys, unsigned } = &self.trust;
        self.deny.is_empty() && keys.is_empty() && *unsigned == Unsigned::Warn
    }

    pub fn allow(&self, digest: &Digest) -> Result<()> {
        if self.deny.contains(digest) { Err(Refusal::Denied.of(digest)) } else { Ok(()) }
    }
}
