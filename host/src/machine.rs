//! This machine and its user: a name for people, an id, locks, and a cache.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::{Failure, Kind, Result};

/// This machine, as its folder of local state knows it.
#[derive(Clone, Debug)]
pub struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// `folder` is the local state's.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The machine's id, made at the first call.
    pub fn id(&self) -> Result<String> {
        let path = self.folder.join("machine");
        let unusable = |error: std::io::Error| {
            Failure::settings(format!("this machine's id cannot be kept: {error}"))
                .at(path.display().to_string())
                .next("correct the folder's permissions, or change `state_folder`")
        };
        for _ in 0..2 {
            match std::fs::read_to_string(&path) {
                Ok(id) => return Ok(id.trim().to_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(unusable(error)),
            }
            std::fs::create_dir_all(&self.folder).map_err(unusable)?;
            // Whole or not at all, and whoever comes second takes the first one's.
            let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(unusable)?;
            writeln!(file, "{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>())
                .map_err(unusable)?;
            match file.persist_noclobber(&path) {
                Err(refused) if refused.error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(unusable(refused.error));
                }
                _ => {}
            }
        }
        Err(unusable(std::io::ErrorKind::NotFound.into()))
    }

    /// Keeps other local crawls of this connection out until the answer is dropped.
    pub fn lock(&self, connection: &str) -> Result<File> {
        let locks = self.folder.join("locks");
        let path = locks.join(format!("{connection}.lock"));
        let unusable = |error: std::io::Error| {
            Failure::settings(format!("a connection cannot be locked: {error}"))
                .at(path.display().to_string())
                .next("correct the folder's permissions")
        };
        std::fs::create_dir_all(&locks).map_err(unusable)?;
        let file = File::create(&path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Kind::Busy,
                match connection.split_once('.') {
                    Some((connection, what)) => format!(
                        "another process on this machine is at the {what} of `{connection}` already"
                    ),
                    None => {
                        format!(
                            "`{connection}` is being crawled by another process on this machine"
                        )
                    }
                },
            )
            .next("wait for it to end, or stop it")),
            Err(TryLockError::Error(error)) => Err(unusable(error)),
        }
    }
}

/// For people; two machines may have one name.
pub fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname")
        .map_or_else(|_| "localhost".into(), |name| name.trim().to_owned())
}

/// This process, for people.
pub fn this_process() -> String {
    format!("process {} on {}", std::process::id(), host_name())
}

/// What this process has used so far, without the cells that it started.
pub struct Used {
    pub cpu: Duration,
    /// In bytes; 0 where the system does not say.
    pub memory: u64,
}

#[cfg(unix)]
pub fn used() -> Used {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
    // Pages: of the whole address space, and of those those that are in memory.
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let resident = pages.and_then(|pages| pages.split_whitespace().nth(1)?.parse::<u64>().ok());
    Used {
        cpu: Duration::new(time.tv_sec.unsigned_abs(), nanoseconds),
        memory: resident.unwrap_or(0) * rustix::param::page_size() as u64,
    }
}

/// Where Sheaf caches what can be made again, for this user: compiled code, which is believed, so never where
/// others might put something before.
pub fn user_cache() -> Result<PathBuf> {
    cache_within(std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from), std::env::home_dir())
}

fn cache_within(named: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf> {
    let home = home.map(|home| home.join(".cache"));
    // One that is relative is ignored, as the specification asks.
    let base = [named, home].into_iter().flatten().find(|base| base.is_absolute());
    base.map(|base| base.join("sheaf")).ok_or_else(|| {
        Failure::settings("there is no place for compiled code: this user has no home").next(
            "set XDG_CACHE_HOME to a folder that only this user can write to, by its whole path",
        )
    })
}

pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// As many open files as this process may have: each guest and each request takes some, and the usual limit is
/// that of a shell.
pub fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files stays at {current:?}");
    }
}

/// Large pieces of memory go back to the system when they are freed. Unless it is told so, glibc keeps what was once
/// freed for the next that is as large, in each thread's own heap: the end of a crawl would be paid for until this
/// process ends.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn return_freed_memory() {
    /// From this size on a piece has pages of its own.
    const LARGE: i32 = 128 << 10;
    // SAFETY: it sets a number of the allocator's, under its own lock.
    #[allow(unsafe_code)]
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    if done == 0 {
        tracing::debug!("the allocator keeps what is freed");
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_freed_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cached_for_a_user_is_kept_nowhere_but_in_places_of_theirs() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (named, home, cache) in [
            (path("/var/cache/me"), path("/home/me"), "/var/cache/me/sheaf"),
            (None, path("/home/me"), "/home/me/.cache/sheaf"),
            (path("relative"), path("/home/me"), "/home/me/.cache/sheaf"),
            (path(""), path("/home/me"), "/home/me/.cache/sheaf"),
        ] {
            assert_eq!(cache_within(named, home).expect("a place"), Path::new(cache));
        }
        for home in [None, path(""), path("relative")] {
            let failure = cache_within(None, home).expect_err("nowhere");
            assert!(failure.next.is_some_and(|next| next.contains("XDG_CACHE_HOME")));
        }
    }
}
