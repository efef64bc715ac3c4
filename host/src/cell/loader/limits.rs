//! How large a component may be, and what it may take to compile.

use std::time::Duration;

use crate::failure::{Failure, Kind, Result};
use crate::text::bytes;

/// `[connectors]`, each under its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    pub max_bytes: usize,
    pub compile_time: Duration,
    /// Bytes.
    pub compile_memory: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            max_bytes: 128 << 20,
            compile_time: Duration::from_secs(300),
            compile_memory: 2 << 30,
        }
    }
}

impl CompileLimits {
    /// Whether a component of so many bytes is looked at.
    pub fn allow(&self, size: u64) -> Result<()> {
        let most = self.max_bytes as u64;
        if size <= most {
            return Ok(());
        }
        let what = format!("the component has {}, and the limit is {}", bytes(size), bytes(most));
        Err(over(Kind::Limit, what, "max_bytes"))
    }
}

pub(super) fn over(kind: Kind, what: String, key: &str) -> Failure {
    Failure::new(kind, what)
        .next(format!("raise `{key}` in [connectors], or use a smaller component"))
}
