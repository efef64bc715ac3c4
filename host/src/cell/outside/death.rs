//! Why a cell did not answer.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use rustix::process::Signal;

use crate::text::bounded;

/// What became of a cell that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// It wanted more memory than it may have.
    Memory,
    /// It computed for longer than it may.
    Cpu,
    /// It was ended here, after it had not answered in time.
    Late,
    /// The system, or a person, has ended it; or it could have no more threads.
    Machine(&'static str),
    /// What it was granted has changed: it was ended here.
    Granted,
    /// Anything else: a signal, or an end without a word; and the last that it said.
    Other(String),
    /// It could not be started at all.
    Unborn(String),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("it wanted more memory than it may have"),
            Self::Cpu => f.write_str("it computed for longer than it may"),
            Self::Late => f.write_str("it did not answer in time"),
            Self::Granted => f.write_str("its grants have changed"),
            Self::Machine(why) => f.write_str(why),
            Self::Other(how) => f.write_str(how),
            Self::Unborn(why) => write!(f, "it cannot be watched: {why}"),
        }
    }
}

impl From<io::Error> for Death {
    fn from(error: io::Error) -> Self {
        Self::Unborn(error.to_string())
    }
}

impl Death {
    /// `said`: the end of its standard error.
    pub(super) fn of(status: ExitStatus, said: &str) -> Self {
        // What Rust says of an allocation that failed, and the system of one.
        if ["memory allocation of", "(os error 12)"].iter().any(|words| said.contains(words)) {
            return Self::Memory;
        }
        if said.contains("(os error 11)") {
            return Self::Machine("it could have no more threads");
        }
        let name = match status.signal().map(|signal| (signal, Signal::from_named_raw(signal))) {
            Some((_, Some(Signal::XCPU))) => return Self::Cpu,
            Some((_, Some(Signal::KILL | Signal::TERM | Signal::INT))) => {
                return Self::Machine(
                    "it was ended from outside, as the system does where memory is short",
                );
            }
            Some((signal, _)) => format!("signal {signal}{}", named(signal)),
            None => format!("exit code {}", status.code().unwrap_or_default()),
        };
        // Rust ends a panic with advice.
        let is_told = |line: &&str| !line.trim().is_empty() && !line.starts_with("note:");
        let last = said.lines().rev().find(is_told).unwrap_or_default();
        let last = bounded(last.trim().to_owned(), 300);
        Self::Other(if last.is_empty() { name } else { format!("{name}: {last}") })
    }
}

fn named(signal: i32) -> &'static str {
    match Signal::from_named_raw(signal) {
        Some(Signal::ABORT) => ", aborted",
        Some(Signal::SEGV | Signal::BUS) => ", a fault of memory",
        Some(Signal::ILL) => ", an illegal instruction",
        Some(Signal::SYS) => ", a system call that it may not make",
        Some(Signal::XFSZ) => ", a file that grew too large",
        _ => "",
    }
}
