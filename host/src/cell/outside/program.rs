//! The program that a cell is: this one, unless it is told otherwise.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

/// What the program is started with to be a cell.
const COMMAND: &str = "cell";

/// Whether this process was started to be a cell.
pub fn is_asked_for() -> bool {
    std::env::args_os().nth(1).is_some_and(|first| first == COMMAND)
}

#[derive(Clone, Debug)]
pub struct Program(PathBuf);

impl Program {
    /// This very program, even if its file was replaced since.
    pub fn this() -> Self {
        #[cfg(target_os = "linux")]
        return Self("/proc/self/exe".into());
        #[cfg(not(target_os = "linux"))]
        Self(std::env::current_exe().unwrap_or_else(|_| "sheaf".into()))
    }

    /// Another one, for what is not the program itself: a test.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// None of this process's variables: one may be another connection's secret.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        command.arg0("sheaf").arg(COMMAND).env_clear();
        command
    }
}
