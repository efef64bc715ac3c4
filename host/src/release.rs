//! Which build this program is.

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty where the build was told of none: see `build.rs`.
pub const COMMIT: &str = env!("SHEAF_BUILD_COMMIT");

/// What tells builds apart: `0.1.0+4f2a91c`.
pub fn build_id() -> String {
    match COMMIT.get(..COMMIT.len().min(12)) {
        Some(commit) if !commit.is_empty() => format!("{VERSION}+{commit}"),
        _ => VERSION.to_owned(),
    }
}
