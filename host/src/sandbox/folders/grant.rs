//! A folder, as it is granted.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::{Failure, Result};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderGrant {
    /// The path the guest sees, such as `/content`.
    pub guest: String,
    /// The folder it reads there.
    #[serde(serialize_with = "write", deserialize_with = "read")]
    pub host: PathBuf,
}

/// A path need not be text.
fn write<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_os_str().serialize(serializer)
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    OsString::deserialize(deserializer).map(PathBuf::from)
}

/// The paths a guest cannot be given: they are relative, or would hide one another.
pub(crate) fn check_guest_path(path: &str) -> Result<()> {
    let clean = path.starts_with('/')
        && path.len() > 1
        && !path.ends_with('/')
        && path[1..].split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if clean {
        return Ok(());
    }
    Err(Failure::settings(format!("`{path}` is not a path a connector can be granted"))
        .next("write it absolute and without a trailing slash, for example \"/content\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_clean_absolute_guest_paths_can_be_granted() {
        for good in ["/content", "/a/b"] {
            assert!(check_guest_path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "content", "/content/", "/a//b", "/a/../b", "/./a"] {
            assert!(check_guest_path(bad).is_err(), "{bad}");
        }
    }
}
