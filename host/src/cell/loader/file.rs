//! A connector's file is looked at before it is read, and what was looked at is what is read: a link to
//! `/dev/zero` has no end, a FIFO may have no writer, and a gigabyte of zeros is no connector.

use std::fs::{File, FileType};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::limits::CompileLimits;
use crate::failure::{Failure, Result};

/// A file's bytes, no more than the limit has.
pub(super) fn read(path: &Path, limits: &CompileLimits) -> Result<Vec<u8>> {
    let at = path.display().to_string();
    let unreadable = |error: io::Error| {
        Failure::settings(format!("cannot read the connector: {error}"))
            .at(at.clone())
            .next("correct the path, or build the connector first")
    };
    // Opening waits for nobody.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let file = File::from(file.map_err(|error| unreadable(error.into()))?);
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        let what = format!("the connector is no file, but {}", kind(found.file_type()));
        return Err(Failure::settings(what).at(at).next("correct the path"));
    }
    let allow = |size: usize| limits.allow(size as u64).map_err(|failure| failure.at(at.clone()));
    allow(usize::try_from(found.len()).unwrap_or(usize::MAX))?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    let most = (limits.max_bytes as u64).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(unreadable)?;
    // It may have grown.
    allow(bytes.len())?;
    Ok(bytes)
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "a folder"
    } else if found.is_fifo() {
        "a FIFO"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_file_or_too_large_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let limits = CompileLimits { max_bytes: 10, ..CompileLimits::default() };
        let read = |name: &str| read(&folder.path().join(name), &limits);
        let refused = |name: &str| read(name).expect_err("refused");

        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.path().join("fifo.wasm"),
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .expect("a FIFO");
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.wasm")).expect("a link");
        std::fs::create_dir(folder.path().join("folder.wasm")).expect("a folder");
        for (name, what) in
            [("fifo.wasm", "a FIFO"), ("zero.wasm", "a device"), ("folder.wasm", "a folder")]
        {
            let failure = refused(name);
            assert_eq!(failure.what, format!("the connector is no file, but {what}"));
            assert!(failure.at.is_some_and(|at| at.ends_with(name)));
        }

        // A hole of a gigabyte takes no room, and would take long to read.
        let large = File::create(folder.path().join("large.wasm")).expect("a file");
        large.set_len(1 << 30).expect("a hole");
        let failure = refused("large.wasm");
        assert_eq!(failure.kind, Kind::Limit);
        assert!(failure.what.contains("1.0 GiB, and the limit is 10 B"), "{failure}");

        std::fs::write(folder.path().join("small.wasm"), b"0123456789").expect("written");
        std::os::unix::fs::symlink("small.wasm", folder.path().join("link.wasm")).expect("a link");
        assert_eq!(read("link.wasm").expect("read"), b"0123456789");
        // The kernel says of its own files that they are empty; they are not.
        let limits = CompileLimits { max_bytes: 3, ..limits };
        assert_eq!(super::read(Path::new("/proc/self/maps"), &limits).ok(), None);
    }
}
