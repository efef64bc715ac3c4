//! `sheaf version`: which build this is, and what is in it.

use serde_json::json;

use super::output::Report;
use crate::connector::CONTRACTS;
use crate::release::{COMMIT, VERSION};

// What `build.rs` found out.
const TARGET: &str = env!("SHEAF_BUILD_TARGET");
const WASMTIME: &str = env!("SHEAF_BUILD_WASMTIME");
const TEMPORAL_SDK: &str = env!("SHEAF_BUILD_TEMPORAL_SDK");

pub(super) fn run() -> Report {
    let commit = (!COMMIT.is_empty()).then_some(COMMIT);
    let contracts = CONTRACTS.join(", ");
    let text = format!(
        "sheaf {VERSION}\n\
         commit        {}\n\
         target        {TARGET}\n\
         contracts     {contracts}\n\
         wasmtime      {WASMTIME}\n\
         Temporal SDK  {TEMPORAL_SDK}",
        commit.unwrap_or("unknown: the build was told of none"),
    );
    let result = json!({
        "version": VERSION,
        "commit": commit,
        "target": TARGET,
        "contracts": CONTRACTS,
        "wasmtime": WASMTIME,
        "temporal_sdk": TEMPORAL_SDK,
    });
    Report::new(format!("sheaf {VERSION}"), result).text(text)
}
