//! What a folder holds, and whether that is all of it.
//!
//! No file system promises that a listing has what is renamed while it is made; some leave out a file
//! that another is renamed over, though its name is there all the time. So a listing counts when the
//! folder was not modified while it was made. Otherwise it is made again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

/// A folder that is being modified is listed this many times.
const PASSES: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
}

pub(crate) struct Listing {
    /// Files and folders by name. Links, FIFOs, sockets and devices are left out.
    pub names: BTreeMap<String, Kind>,
    /// Why there may be more.
    pub doubt: Option<Doubt>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Each time that it was listed.
    Modified,
    Error(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modified => f.write_str("files in it were replaced each time that it was listed"),
            Self::Error(error) => f.write_str(error),
        }
    }
}

/// Whether a link in the folder's place is followed. Only the root may be one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    Follow,
    Leave,
}

/// Lists a folder; `None` where there is no such folder.
pub(crate) fn read(folder: &Path, links: Links) -> Option<Listing> {
    settle(|| modified(folder, links), || names(folder, links), thread::sleep)
}

/// Lists it once, for an estimate.
pub(crate) fn glance(folder: &Path, links: Links) -> Option<Listing> {
    match names(folder, links) {
        Ok(names) => Some(Listing { names: names.into_iter().collect(), doubt: None }),
        Err(error) if is_absence(&error) => None,
        Err(error) => {
            let doubt = Some(Doubt::Error(error.to_string()));
            Some(Listing { names: BTreeMap::new(), doubt })
        }
    }
}

/// Whether an error says that nothing is where something was looked up by its own path.
fn is_absence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn modified(folder: &Path, links: Links) -> Result<SystemTime> {
    let found = match links {
        Links::Follow => fs::metadata(folder)?,
        Links::Leave => fs::symlink_metadata(folder)?,
    };
    if found.is_dir() { found.modified() } else { Err(ErrorKind::NotADirectory.into()) }
}

fn settle(
    modified: impl Fn() -> Result<SystemTime>,
    names: impl Fn() -> Result<Vec<(String, Kind)>>,
    pause: impl Fn(Duration),
) -> Option<Listing> {
    let mut met = BTreeMap::new();
    let mut doubt = None;
    for _ in 0..PASSES {
        let before = match modified() {
            Ok(time) => {
                let wait = until_dated(time);
                if wait.is_zero() {
                    Ok(time)
                } else {
                    pause(wait);
                    modified()
                }
            }
            error => error,
        };
        // Only here is the folder itself known to be gone.
        if let Err(error) = &before
            && is_absence(error)
        {
            return None;
        }
        let dated = before.as_ref().is_ok_and(|time| until_dated(*time).is_zero());
        match before.and_then(|before| Ok((before, names()?, modified()?))) {
            Ok((before, names, after)) if dated && before == after => {
                return Some(Listing { names: names.into_iter().collect(), doubt: None });
            }
            Ok((_, names, _)) => {
                // A file that one listing has and another has not may be there: opening it tells.
                met.extend(names);
                doubt = Some(Doubt::Modified);
            }
            Err(error) => {
                let for_good = error.kind() == ErrorKind::PermissionDenied;
                doubt = Some(Doubt::Error(error.to_string()));
                if for_good {
                    break;
                }
            }
        }
    }
    Some(Listing { names: met, doubt })
}

/// How long to wait until a modification would show in the folder's time: clocks of file systems tick, and
/// two modifications within one tick have one time. Nothing for a time that is not of just now.
fn until_dated(time: SystemTime) -> Duration {
    let now = SystemTime::now();
    let age = now.duration_since(time).unwrap_or_else(|later| later.duration());
    let whole =
        time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.subsec_nanos() == 0);
    // Times in whole seconds are of file systems with nothing finer, down to two seconds of FAT.
    let tick = Duration::from_millis(if whole { 2_100 } else { 20 });
    tick.saturating_sub(age)
}

/// In the sandbox, by WASI itself: the standard library asks for more of each entry, at four times the
/// price, and ends the listing where one is gone.
#[cfg(target_family = "wasm")]
fn names(folder: &Path, links: Links) -> Result<Vec<(String, Kind)>> {
    use wasip2::filesystem::types::{DescriptorFlags, DescriptorType, OpenFlags, PathFlags};
    let granted = wasip2::filesystem::preopens::get_directories();
    let (root, path) = granted
        .iter()
        .filter_map(|(root, name)| Some((root, folder.strip_prefix(name).ok()?)))
        .min_by_key(|(_, path)| path.as_os_str().len())
        .ok_or(ErrorKind::NotFound)?;
    let path = match path.to_str() {
        Some("") => ".",
        Some(path) => path,
        None => return Err(ErrorKind::InvalidFilename.into()),
    };
    let path_flags = match links {
        Links::Follow => PathFlags::SYMLINK_FOLLOW,
        Links::Leave => PathFlags::empty(),
    };
    let opened = root
        .open_at(path_flags, path, OpenFlags::DIRECTORY, DescriptorFlags::READ)
        .map_err(error)?;
    let entries = opened.read_directory().map_err(error)?;
    let mut names = Vec::new();
    while let Some(entry) = entries.read_directory_entry().map_err(error)? {
        match entry.type_ {
            DescriptorType::RegularFile => names.push((entry.name, Kind::File)),
            DescriptorType::Directory => names.push((entry.name, Kind::Folder)),
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(target_family = "wasm")]
fn error(code: wasip2::filesystem::types::ErrorCode) -> Error {
    use wasip2::filesystem::types::ErrorCode;
    let kind = match code {
        ErrorCode::NoEntry => ErrorKind::NotFound,
        ErrorCode::NotDirectory => ErrorKind::NotADirectory,
        ErrorCode::Access | ErrorCode::NotPermitted => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    Error::new(kind, code.message())
}

/// Outside of it, in tests.
#[cfg(not(target_family = "wasm"))]
fn names(folder: &Path, _: Links) -> Result<Vec<(String, Kind)>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name().into_string().map_err(|_| {
            Error::new(ErrorKind::InvalidData, "a name that the host did not escape")
        })?;
        match (kind.is_file(), kind.is_dir()) {
            (true, _) => names.push((name, Kind::File)),
            (_, true) => names.push((name, Kind::Folder)),
            _ => {}
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A folder whose time is the first of `times`, then the next; the last stays. Passes give what
    /// `passes` says, in turn.
    fn settled(
        times: &[u64],
        passes: &[std::result::Result<&[&str], ErrorKind>],
    ) -> Option<Listing> {
        let asked = Cell::new(0);
        let time = || {
            let at = asked.replace(asked.get() + 1).min(times.len() - 1);
            match times[at] {
                0 => Err(ErrorKind::NotFound.into()),
                seconds => Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
            }
        };
        let passes = RefCell::new(passes.iter());
        let names = || match passes.borrow_mut().next().expect("no more passes than these") {
            Ok(names) => Ok(names.iter().map(|name| ((*name).to_owned(), Kind::File)).collect()),
            Err(kind) => Err((*kind).into()),
        };
        settle(time, names, |_| {})
    }

    fn names_of(listing: Option<&Listing>) -> Vec<&str> {
        listing
            .map(|listing| listing.names.keys().map(String::as_str).collect())
            .unwrap_or_default()
    }

    #[test]
    fn a_folder_that_is_left_alone_is_listed_once() {
        let listing = settled(&[1], &[Ok(&["a", "b"])]);
        assert_eq!(names_of(listing.as_ref()), ["a", "b"]);
        assert_eq!(listing.and_then(|listing| listing.doubt), None);
    }

    #[test]
    fn a_folder_that_is_modified_while_it_is_listed_is_listed_again() {
        let listing = settled(&[1, 2, 2], &[Ok(&["a", "b.tmp"]), Ok(&["a", "b"])]);
        assert_eq!(names_of(listing.as_ref()), ["a", "b"]);
        assert_eq!(listing.and_then(|listing| listing.doubt), None);
    }

    #[test]
    fn an_entry_that_vanishes_during_a_listing_is_not_the_folder() {
        let listing = settled(&[1], &[Err(ErrorKind::NotFound), Ok(&["a", "b"])]);
        assert_eq!(names_of(listing.as_ref()), ["a", "b"]);
        assert!(settled(&[0], &[]).is_none());
    }

    #[test]
    fn a_folder_that_never_rests_gives_all_that_was_seen_and_a_doubt() {
        let times: Vec<u64> = (1..100).collect();
        let passes: Vec<std::result::Result<&[&str], _>> =
            (0..PASSES).map(|pass| Ok(if pass == 3 { &["b"][..] } else { &["a"] })).collect();
        let listing = settled(&times, &passes);
        assert_eq!(names_of(listing.as_ref()), ["a", "b"]);
        assert!(listing.is_some_and(|listing| listing.doubt.is_some()));
    }

    #[test]
    fn a_folder_that_may_not_be_read_is_asked_once() {
        let listing = settled(&[1], &[Err(ErrorKind::PermissionDenied)]).expect("it is there");
        assert!(listing.doubt.is_some());
    }
}
