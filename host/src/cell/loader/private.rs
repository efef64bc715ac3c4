//! A folder that nobody but this user, or root, can have written to. It is held open: what is read and written
//! there is what was looked at, whatever becomes of its path meanwhile.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};

/// Looking at a folder takes no right to list it.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const LOOK: OFlags = OFlags::RDONLY;

pub(super) struct PrivateFolder(File);

impl PrivateFolder {
    /// Opens a folder from the root on, and looks at each on the way: who can write to one of them can put
    /// another folder in the place of the next.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        // Where links lead is looked at like any other way.
        let path = folder.canonicalize()?;
        let flags = LOOK | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut so_far = PathBuf::from("/");
        let mut at = File::from(rustix::fs::open(&so_far, flags, Mode::empty())?);
        for name in path.components() {
            let Component::Normal(name) = name else { continue };
            only_this_user(&at.metadata()?, true, &so_far)?;
            at = File::from(openat(&at, name, flags, Mode::empty())?);
            so_far.push(name);
        }
        only_this_user(&at.metadata()?, false, &so_far)?;
        Ok(Self(at))
    }

    /// The same, made where it is not there.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Self::open(folder)
    }

    /// A file of this folder's, open, which is no link.
    pub(super) fn file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.0, name, flags, Mode::empty())?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no file")));
        }
        only_this_user(&found, false, Path::new(name))?;
        Ok(file)
    }

    /// A file that is to be written: whoever opens it sees all of it or nothing.
    pub(super) fn begin(&self, name: &str) -> io::Result<Part> {
        let part = format!("{name}.{:016x}.part", rand::random::<u64>());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.0, &part, flags, Mode::RUSR | Mode::WUSR)?;
        let (folder, name) = (self.0.try_clone()?, name.to_owned());
        Ok(Part { folder, part, name, file: File::from(file) })
    }
}

/// A file that has its name only once it is whole; without it it is removed.
pub(super) struct Part {
    folder: File,
    part: String,
    name: String,
    file: File,
}

impl Part {
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn keep(self) -> io::Result<()> {
        // A file whose bytes were lost would be found under its name.
        self.file.sync_all()?;
        Ok(renameat(&self.folder, &self.part, &self.folder, &self.name)?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It is gone where it got its name.
        let _ = unlinkat(&self.folder, &self.part, AtFlags::empty());
    }
}

/// Refuses what somebody else may have written. In a sticky folder, such as `/tmp`, nobody can move what is
/// another's, so that one on the way is none.
fn only_this_user(found: &Metadata, on_the_way: bool, what: &Path) -> io::Result<()> {
    let (owner, mode) = (found.uid(), found.mode());
    let what = what.display();
    let why = if owner != 0 && owner != crate::machine::user_id() {
        format!("{what} belongs to another user ({owner})")
    } else if mode & 0o022 != 0 && !(on_the_way && mode & 0o1000 != 0) {
        format!("others can write to {what}")
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(folder: &PrivateFolder, bytes: &[u8]) {
        let part = folder.begin("code").expect("begun");
        part.file().write_all(bytes).expect("written");
        part.keep().expect("kept");
    }

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    }

    #[test]
    fn a_folder_is_private_if_each_on_the_way_to_it_is() {
        let base = tempfile::tempdir().expect("a folder");
        let above = base.path().canonicalize().expect("a path").join("above");
        let folder = above.join("cache");
        write(&PrivateFolder::create(&folder).expect("made"), b"code");
        let why = || PrivateFolder::open(&folder).err().map(|error| error.to_string());
        for (path, mode, refused) in [
            (&folder, 0o777, true),
            (&folder, 0o770, true),
            // Others could put a file there under a name that is not taken yet.
            (&folder, 0o1777, true),
            (&folder, 0o755, false),
            (&above, 0o777, true),
            (&above, 0o1777, false),
        ] {
            set(path, mode);
            let expected = refused.then(|| format!("others can write to {}", path.display()));
            assert_eq!(why(), expected, "{mode:o} {}", path.display());
            set(path, 0o700);
        }
    }

    #[test]
    fn a_file_is_read_if_it_is_one_and_only_this_user_can_write_to_it() {
        let base = tempfile::tempdir().expect("a folder");
        let path = base.path().join("cache");
        let folder = PrivateFolder::create(&path).expect("made");
        write(&folder, b"code");
        assert!(folder.file("code").is_ok());
        symlink("code", path.join("link")).expect("a link");
        assert!(folder.file("link").is_err(), "a link is not followed");
        std::fs::create_dir(path.join("folder")).expect("a folder");
        assert!(folder.file("folder").is_err());
        set(&path.join("code"), 0o666);
        assert!(folder.file("code").is_err());
    }

    #[test]
    fn what_is_put_in_a_folder_s_place_is_not_what_was_looked_at() {
        let base = tempfile::tempdir().expect("a folder");
        let path = base.path().join("cache");
        let folder = PrivateFolder::create(&path).expect("made");
        write(&folder, b"ours");
        // Another folder stands there now.
        std::fs::rename(&path, base.path().join("moved")).expect("moved");
        std::fs::create_dir(&path).expect("a folder");
        std::fs::write(path.join("code"), b"theirs").expect("written");
        let read = |mut file: File| {
            let mut text = String::new();
            io::Read::read_to_string(&mut file, &mut text).expect("read");
            text
        };
        assert_eq!(folder.file("code").map(read).expect("a file"), "ours");
        write(&folder, b"ours again");
        assert_eq!(std::fs::read(path.join("code")).expect("read"), b"theirs");
    }
}
