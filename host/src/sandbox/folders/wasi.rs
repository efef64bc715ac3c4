//! How a guest reads its folders: WASI's file system as wasmtime has it, but for a few functions.
//!
//! - Names that are not UTF-8 have a text ([`names`]); wasmtime gives an error in place of the entry.
//! - Only files and folders open. Opening a FIFO would hold a thread until somebody writes to it.
//! - An entry that vanishes while its folder is listed does not end the listing.
//! - Where a granted folder was replaced by another, what is not found in it is not known to be gone.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cap_primitives::fs::{
    self as beneath, FollowSymlinks, Metadata, MetadataExt as _, OpenOptions,
};
use rustix::fs::{AtFlags, FileType, statat};
use rustix::io::Errno;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, LinkerInstance, Resource, ResourceType};
use wasmtime_wasi::filesystem::{self, Descriptor, Dir};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHashValue,
    OpenFlags, PathFlags,
};
use wasmtime_wasi::{FsPerms, OpenMode, WasiView};

use super::names;
use super::roots::Roots;

/// A store whose guest has folders.
pub(crate) trait Folders: WasiView + 'static {
    fn roots(&self) -> Roots;
}

/// A listing that a guest is reading.
struct Listing(std::vec::IntoIter<DirectoryEntry>);

/// Replaces what wasmtime has linked under these names.
pub(crate) fn add_to_linker<T: Folders>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    link_listings(&mut types)?;
    link_opening(&mut types)?;
    link_looking(&mut types)?;
    link_hashes(&mut types)?;
    linker.allow_shadowing(false);
    Ok(())
}

fn link_listings<T: Folders>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.resource(
        "directory-entry-stream",
        ResourceType::host::<Listing>(),
        |mut store: StoreContextMut<'_, T>, listing| {
            store.data_mut().ctx().table.delete(Resource::<Listing>::new_own(listing))?;
            Ok(())
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, T>, (folder,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let roots = store.data().roots();
                let entries = within(&mut store, &folder, ".".into(), move |dir, _| {
                    let entries = list(dir)?;
                    // What is being removed behind the new version's back is not what there is.
                    if roots.were_replaced() { Err(Errno::IO.into()) } else { Ok(entries) }
                })
                .await?;
                let entries = match entries {
                    Ok(entries) => entries,
                    Err(code) => return Ok((Err(code),)),
                };
                let listing = Listing(entries.into_iter());
                Ok((Ok(store.data_mut().ctx().table.push(listing)?),))
            })
        },
    )?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: StoreContextMut<'_, T>, (listing,): (Resource<Listing>,)| {
            let listing = store.data_mut().ctx().table.get_mut(&listing)?;
            Ok((Ok::<_, ErrorCode>(listing.0.next()),))
        },
    )
}

fn link_opening<T: Folders>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, T>,
         (folder, path, name, how, what): (
            Resource<Descriptor>,
            PathFlags,
            String,
            OpenFlags,
            DescriptorFlags,
        )| {
            Box::new(async move {
                // Folders are granted for reading.
                let writes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
                let changes = DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY;
                if how.intersects(writes) || what.intersects(changes) {
                    return Ok((Err(ErrorCode::NotPermitted),));
                }
                let only_folder = how.contains(OpenFlags::DIRECTORY);
                let opened = within(&mut store, &folder, name, move |dir, name| {
                    open(dir, name, follow(path), only_folder)
                });
                let (file, is_folder) = match opened.await? {
                    Ok(opened) => opened,
                    Err(code) => return Ok((Err(code),)),
                };
                let (perms, mode) = (FsPerms::ReadOnly, OpenMode::READ);
                let descriptor = if is_folder {
                    Descriptor::Dir(Dir::new(file, perms, mode, false))
                } else {
                    Descriptor::File(filesystem::File::new(file, perms, mode, false))
                };
                Ok((Ok(store.data_mut().ctx().table.push(descriptor)?),))
            })
        },
    )
}

fn link_looking<T: Folders>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.stat-at",
        |mut store: StoreContextMut<'_, T>,
         (folder, path, name): (Resource<Descriptor>, PathFlags, String)| {
            Box::new(async move {
                let stat = within(&mut store, &folder, name, move |dir, name| {
                    beneath::stat(dir, name, follow(path)).map(|found| stat(&found))
                });
                Ok((stat.await?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.readlink-at",
        |mut store: StoreContextMut<'_, T>, (folder, name): (Resource<Descriptor>, String)| {
            Box::new(async move {
                let target = within(&mut store, &folder, name, |dir, name| {
                    let target = beneath::read_link(dir, name)?;
                    Ok(names::to_guest(target.as_os_str().as_bytes()).into_owned())
                });
                Ok((target.await?,))
            })
        },
    )
}

fn link_hashes<T: Folders>(types: &mut LinkerInstance<'_, T>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.metadata-hash-at",
        |mut store: StoreContextMut<'_, T>,
         (folder, path, name): (Resource<Descriptor>, PathFlags, String)| {
            Box::new(async move {
                let hash = within(&mut store, &folder, name, move |dir, name| {
                    match beneath::stat(dir, name, follow(path)) {
                        Ok(found) => Ok(hash((found.dev(), found.ino()))),
                        // A libc asks it of each name that it lists, and ends the listing on an error.
                        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(hash(name)),
                        Err(error) => Err(error),
                    }
                });
                Ok((hash.await?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash",
        |mut store: StoreContextMut<'_, T>, (of,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let file = match store.data_mut().ctx().table.get(&of)? {
                    Descriptor::Dir(dir) => dir.dir.clone(),
                    Descriptor::File(file) => file.file.clone(),
                };
                let found = on_disk(move || Metadata::from_file(&file)).await?;
                Ok((found.map(|found| hash((found.dev(), found.ino()))),))
            })
        },
    )
}

/// Does something with a path below an open folder.
async fn within<T: Folders, R: Send + 'static>(
    store: &mut StoreContextMut<'_, T>,
    folder: &Resource<Descriptor>,
    path: String,
    work: impl FnOnce(&File, &Path) -> io::Result<R> + Send + 'static,
) -> wasmtime::Result<Result<R, ErrorCode>> {
    let dir: Arc<File> = match store.data_mut().ctx().table.get(folder)? {
        Descriptor::Dir(dir) => dir.dir.clone(),
        Descriptor::File(_) => return Ok(Err(ErrorCode::NotDirectory)),
    };
    let roots = store.data().roots();
    on_disk(move || {
        let path = names::from_guest(&path).ok_or(Errno::NOENT)?;
        work(&dir, &path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if roots.were_replaced() => Errno::IO.into(),
            _ => error,
        })
    })
    .await
}

/// Does what may wait for a disk where no other guest waits for it.
async fn on_disk<R: Send + 'static>(
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> wasmtime::Result<Result<R, ErrorCode>> {
    Ok(tokio::task::spawn_blocking(work).await?.map_err(ErrorCode::from))
}

/// The names and kinds of what a folder holds, without a look at the entries where that is possible.
fn list(folder: &File) -> io::Result<Vec<DirectoryEntry>> {
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            },
            kind => kind,
        };
        entries.push(DirectoryEntry {
            type_: match kind {
                FileType::RegularFile => DescriptorType::RegularFile,
                FileType::Directory => DescriptorType::Directory,
                FileType::Symlink => DescriptorType::SymbolicLink,
                FileType::BlockDevice => DescriptorType::BlockDevice,
                FileType::CharacterDevice => DescriptorType::CharacterDevice,
                _ => DescriptorType::Unknown,
            },
            name: names::to_guest(name.to_bytes()).into_owned(),
        });
    }
    Ok(entries)
}

/// Opens a file or a folder, and tells which.
fn open(
    dir: &File,
    path: &Path,
    follow: FollowSymlinks,
    only_folder: bool,
) -> io::Result<(File, bool)> {
    let is_folder = |found: &Metadata| match (found.is_dir(), found.is_file()) {
        (true, _) => Ok(true),
        (false, _) if only_folder => Err(io::Error::from(Errno::NOTDIR)),
        (false, true) => Ok(false),
        // A FIFO, a socket or a device.
        (false, false) => Err(io::Error::from(Errno::PERM)),
    };
    let before = beneath::stat(dir, path, follow)?;
    if !before.is_symlink() {
        is_folder(&before)?;
    }
    // It may be a FIFO by now: then this returns all the same.
    let mut options = OpenOptions::new();
    options.read(true)._cap_fs_ext_follow(follow)._cap_fs_ext_nonblock(true);
    let file = beneath::open(dir, path, &options)?;
    let is_folder = is_folder(&Metadata::from_file(&file)?)?;
    Ok((file, is_folder))
}

fn follow(path: PathFlags) -> FollowSymlinks {
    if path.contains(PathFlags::SYMLINK_FOLLOW) { FollowSymlinks::Yes } else { FollowSymlinks::No }
}

fn stat(found: &Metadata) -> DescriptorStat {
    let kind = found.file_type();
    DescriptorStat {
        type_: match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
            (true, ..) => DescriptorType::RegularFile,
            (_, true, _) => DescriptorType::Directory,
            (.., true) => DescriptorType::SymbolicLink,
            _ => DescriptorType::Unknown,
        },
        link_count: found.nlink(),
        size: found.len(),
        data_access_timestamp: found.accessed().ok().and_then(|time| datetime(time.into_std())),
        data_modification_timestamp: found
            .modified()
            .ok()
            .and_then(|time| datetime(time.into_std())),
        // As wasmtime has it: what guests are told is the time of creation.
        status_change_timestamp: found.created().ok().and_then(|time| datetime(time.into_std())),
    }
}

/// WASI has no times before 1970.
fn datetime(time: SystemTime) -> Option<Datetime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
}

/// What tells files apart without telling their numbers.
fn hash(identity: impl std::hash::Hash) -> MetadataHashValue {
    let half = |number: u8| {
        let mut hasher = DefaultHasher::new();
        (number, &identity).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue { lower: half(0), upper: half(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_and_folders_open_and_nothing_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.md"), "text").expect("written");
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status();
        assert!(made.expect("mkfifo runs").success());
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket"));
        let dir = File::open(folder.path()).expect("opened");
        let opened = |name: &str, only_folder: bool| {
            open(&dir, Path::new(name), FollowSymlinks::Yes, only_folder)
                .map(|(_, is_folder)| is_folder)
                .map_err(|error| error.raw_os_error())
        };
        assert_eq!(opened("a.md", false), Ok(false));
        assert_eq!(opened(".", true), Ok(true));
        assert_eq!(opened("a.md", true), Err(Some(Errno::NOTDIR.raw_os_error())));
        for name in ["pipe", "socket"] {
            assert_eq!(opened(name, false), Err(Some(Errno::PERM.raw_os_error())), "{name}");
        }
    }
}
