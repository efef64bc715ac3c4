//! Compiled code on this machine, which is as trusted as this program: only its user may write it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::private::{Part, PrivateFolder};
use crate::connector::Digest;
use crate::failure::Result;

/// Where compiled code of all of this user's connectors is kept: not beside a `sheaf.toml`, which may
/// have come from somebody else together with a cache.
pub fn cache_folder() -> Result<PathBuf> {
    Ok(crate::machine::user_cache()?.join("compiled"))
}

/// What a component's compiled code is called: by what it is, and by what compiled it.
pub(super) fn name_of(digest: &Digest, version: u64) -> String {
    format!("{}-{version:016x}.cwasm", digest.hex())
}

/// Code that an earlier cell compiled, or nothing if there is none that can be trusted.
pub(super) fn open(folder: &Path, name: &str) -> Option<File> {
    PrivateFolder::open(folder).and_then(|folder| folder.file(name)).ok()
}

/// Code that is being written.
pub(super) enum New {
    Kept(Part),
    /// It is gone with this process: it cannot be kept.
    Unkept(File),
}

impl New {
    pub(super) fn begin(folder: &Path, name: &str) -> io::Result<Self> {
        match PrivateFolder::create(folder).and_then(|folder| folder.begin(name)) {
            Ok(part) => Ok(Self::Kept(part)),
            Err(error) => {
                unkept(&error);
                tempfile::tempfile().map(Self::Unkept)
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        match self {
            Self::Kept(part) => part.file(),
            Self::Unkept(file) => file,
        }
    }

    /// The code, to be read only. Nobody writes to it any more.
    pub(super) fn keep(self) -> io::Result<File> {
        let code = File::open(format!("/dev/fd/{}", self.file().as_raw_fd()))?;
        if let Self::Kept(part) = self
            && let Err(error) = part.keep()
        {
            unkept(&error);
        }
        Ok(code)
    }
}

fn unkept(error: &io::Error) {
    tracing::warn!(
        %error,
        "compiled code is not cached, and the next start is slow again: set XDG_CACHE_HOME to a folder that \
         nobody else can write to, nor to those above it"
    );
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn compiled_code_in_a_folder_that_others_can_write_to_is_neither_kept_nor_loaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let above = folder.path().join("above");
        let cache = above.join("cache");
        let name = "code.cwasm";
        let keep = || {
            let new = New::begin(&cache, name).expect("a file");
            new.file().write_all(b"code").expect("written");
            let mut kept = new.keep().expect("kept");
            assert!(kept.write_all(b"more").is_err(), "it is read only");
            assert_eq!(io::read_to_string(kept).expect("read"), "code");
        };
        keep();
        assert!(open(&cache, name).is_some());
        for loose in [&cache, &above] {
            let set = |mode| {
                std::fs::set_permissions(loose, std::fs::Permissions::from_mode(mode))
                    .expect("set");
            };
            set(0o777);
            assert!(open(&cache, name).is_none());
            std::fs::remove_file(cache.join(name)).expect("removed");
            keep();
            assert!(!cache.join(name).exists());
            std::fs::write(cache.join(name), b"code").expect("written");
            set(0o700);
        }
        // Code of somebody else's, by way of a link.
        let file = cache.join(name);
        std::fs::rename(&file, folder.path().join("elsewhere")).expect("moved");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &file).expect("a link");
        assert!(open(&cache, name).is_none());
        keep();
        assert!(open(&cache, name).is_some(), "the link is replaced");
        // What is given up leaves nothing.
        drop(New::begin(&cache, "other.cwasm").expect("a file"));
        assert_eq!(std::fs::read_dir(&cache).expect("a folder").count(), 1);
    }
}
