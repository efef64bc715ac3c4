//! A connector's file: read and inspected, but neither compiled nor run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocking::blocking;
use crate::connector::digest::Digest;
use crate::connector::inspect::{Inspection, inspect};
use crate::failure::{Failure, Kind, Result};

/// No toolchain makes a larger one; Python's are some 40 MB.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// What may be a connector, as far as its outside tells.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub path: PathBuf,
    pub digest: Digest,
    pub inspection: Inspection,
    bytes: Arc<[u8]>,
}

impl Candidate {
    pub async fn read(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let at = path.display().to_string();
            let unreadable = |error: std::io::Error| {
                Failure::settings(format!("cannot read the connector: {error}"))
                    .at(at.clone())
                    .next("correct the path, or build the connector first")
            };
            let size = std::fs::metadata(&path).map_err(unreadable)?.len();
            if size > MAX_FILE_BYTES {
                return Err(Failure::new(
                    Kind::Contract,
                    format!("the file has {} MiB, and 1 GiB is the most", size >> 20),
                )
                .at(at)
                .next("build the connector without debug information"));
            }
            let bytes: Arc<[u8]> = std::fs::read(&path).map_err(unreadable)?.into();
            let inspection = inspect(&bytes).map_err(|failure| failure.at(at))?;
            Ok(Self { digest: Digest::of(&bytes), path, inspection, bytes })
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
