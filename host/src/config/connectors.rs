//! `[connectors]`: where their files are, and what it may take to compile one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::locate::Locate;
use super::values::{Size, Span};
use crate::cell::CompileLimits;
use crate::connector::Digest;
use crate::failure::{Failure, Result};
use crate::registry::Rules;
use crate::registry::lock::FILE_NAME;
use crate::registry::trust::{Pattern, PublicKey, Trust, Unsigned};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    pub(super) folder: Option<PathBuf>,
    max_bytes: Option<Size>,
    compile_time: Option<Span>,
    compile_memory: Option<Size>,
    #[serde(default)]
    deny: Vec<String>,
    #[serde(default)]
    trust: BTreeMap<String, Trusted>,
}

/// Files of public keys; or, under `unsigned`, what becomes of what nobody signed.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a file of a public key, or a list of them")]
enum Trusted {
    One(String),
    Several(Vec<String>),
}

impl Section {
    /// What may be loaded. The lock stands beside the configuration.
    pub(super) fn rules(&self, base: &Path, locate: &Locate<'_>) -> Result<Rules> {
        let denied = |text: &String| {
            let digest = text.parse::<Digest>();
            digest.map_err(|failure| failure.at(locate.place(&["connectors", "deny"])))
        };
        let deny = self.deny.iter().map(denied).collect::<Result<_>>()?;
        let mut trust = Trust::default();
        for (name, value) in &self.trust {
            let keys = ["connectors", "trust", name];
            if name == "unsigned" {
                trust.unsigned = unsigned(value)
                    .ok_or_else(|| locate.failure(&keys, "it must be \"refuse\" or \"warn\""))?;
                continue;
            }
            let pattern = Pattern::new(name).ok_or_else(|| {
                locate.failure(&keys, format!("`{name}` is no place of connectors")).next(
                    "write oci://registry.example.com/name, or oci://registry.example.com/team/*",
                )
            })?;
            let files = match value {
                Trusted::One(file) => std::slice::from_ref(file),
                Trusted::Several(files) => files,
            };
            let read = files.iter().map(|file| key(&base.join(file)));
            let read: Result<Vec<_>> = read.collect();
            let read = read.map_err(|failure| failure.at_least(|| locate.place(&keys)))?;
            if read.is_empty() {
                return Err(locate.failure(&keys, "it names no key, and would trust nobody"));
            }
            trust.keys.push((pattern, read));
        }
        Ok(Rules { lock: base.join(FILE_NAME), trust, deny })
    }

    pub(super) fn limits(&self) -> CompileLimits {
        let usual = CompileLimits::default();
        CompileLimits {
            max_bytes: self.max_bytes.map_or(usual.max_bytes, |size| size.0),
            compile_time: self.compile_time.map_or(usual.compile_time, |span| span.0),
            compile_memory: self.compile_memory.map_or(usual.compile_memory, |size| size.0 as u64),
        }
    }
}

fn unsigned(value: &Trusted) -> Option<Unsigned> {
    match value {
        Trusted::One(text) if text == "refuse" => Some(Unsigned::Refuse),
        Trusted::One(text) if text == "warn" => Some(Unsigned::Warn),
        _ => None,
    }
}

fn key(file: &Path) -> Result<PublicKey> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::settings(format!("the public key {} cannot be read: {error}", file.display()))
            .next("paths are relative to sheaf.toml")
    })?;
    PublicKey::from_pem(&text).map_err(|failure| failure.at(file.display().to_string()))
}
