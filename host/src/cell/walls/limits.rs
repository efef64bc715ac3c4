//! How much of the machine a cell may use.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// The most that a cell may use of each.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Most {
    /// Memory that it writes to, in bytes: what is only reserved does not count.
    pub memory: u64,
    /// Seconds of computing, on all processors together.
    pub cpu_seconds: u64,
    /// Bytes of a file that it writes.
    pub file_bytes: u64,
    pub descriptors: u64,
}

pub(super) fn set(most: &Most) -> io::Result<()> {
    // Whoever has computed for too long is told so before they are ended.
    for (resource, most, more) in [
        (Resource::Core, 0, 0),
        (Resource::Data, most.memory, 0),
        (Resource::Cpu, most.cpu_seconds, 5),
        (Resource::Fsize, most.file_bytes, 0),
        (Resource::Nofile, most.descriptors, 0),
    ] {
        // Nobody may give themselves more than they have.
        let allowed = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
        let maximum = Some(most.saturating_add(more).min(allowed));
        setrlimit(resource, Rlimit { current: Some(most.min(allowed)), maximum })?;
    }
    Ok(())
}
