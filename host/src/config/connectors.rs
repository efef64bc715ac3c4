//! `[connectors]`: where their files are, and what it may take to compile one.

use std::path::PathBuf;

use serde::Deserialize;

use super::values::{Size, Span};
use crate::cell::CompileLimits;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    pub(super) folder: Option<PathBuf>,
    max_bytes: Option<Size>,
    compile_time: Option<Span>,
    compile_memory: Option<Size>,
}

impl Section {
    pub(super) fn limits(&self) -> CompileLimits {
        let usual = CompileLimits::default();
        CompileLimits {
            max_bytes: self.max_bytes.map_or(usual.max_bytes, |size| size.0),
            compile_time: self.compile_time.map_or(usual.compile_time, |span| span.0),
            compile_memory: self.compile_memory.map_or(usual.compile_memory, |size| size.0 as u64),
        }
    }
}
