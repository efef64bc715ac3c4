//! The folders behind a guest's grants: they are there when it is started, and noticed when they are replaced.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use super::grant::FolderGrant;
use crate::failure::{Failure, Result};

/// Which folders stood behind a guest's grants when it was started.
#[derive(Clone)]
pub(crate) struct Roots(Arc<[Root]>);

struct Root {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// Once for all that is not found.
    told: Once,
}

impl Roots {
    /// Refuses a grant whose folder is not there, before a guest runs into it.
    pub(crate) fn of(grants: &[FolderGrant]) -> Result<Self> {
        grants.iter().map(root).collect::<Result<_>>().map(Self)
    }

    /// Whether a grant's path leads to another folder by now, or to none: a new version was moved
    /// into its place, a link was turned, a disk was unmounted. The guest still reads the old one, which may
    /// be on its way out.
    pub(super) fn were_replaced(&self) -> bool {
        let replaced = self.0.iter().find(|root| identity(&root.path).ok() != Some(root.identity));
        if let Some(root) = replaced {
            root.told.call_once(|| {
                tracing::warn!(
                    "{} was replaced or removed while a connector read it: what is not found there is not \
                     taken for deleted; the next crawl reads what is there now",
                    root.path.display()
                );
            });
        }
        replaced.is_some()
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

fn root(grant: &FolderGrant) -> Result<Root> {
    match std::fs::metadata(&grant.host) {
        Ok(found) if found.is_dir() => Ok(Root {
            path: grant.host.clone(),
            identity: (found.dev(), found.ino()),
            told: Once::new(),
        }),
        Ok(_) => Err(Failure::settings(format!("{} is not a folder", grant.host.display()))
            .next("grant the folder that holds it")),
        Err(error) => Err(Failure::settings(format!(
            "cannot read the folder {}: {error}",
            grant.host.display()
        ))
        .next("create it, or correct the path; it is relative to sheaf.toml")),
    }
}
