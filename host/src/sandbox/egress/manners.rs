//! How this client shows itself, and what it takes of a server.

use std::time::Duration;

use crate::sandbox::limits::HttpLimits;

pub(super) const USER_AGENT: &str = concat!("sheaf/", env!("CARGO_PKG_VERSION"));

/// Headers of one response.
pub(super) const MOST_HEADERS: usize = 256;

/// A connection that nobody uses is kept for so long.
pub(super) const POOL_IDLE: Duration = Duration::from_secs(60);

/// All headers of a response over HTTP/2.
pub(super) fn header_bytes(limits: &HttpLimits) -> u32 {
    u32::try_from(limits.response_header_bytes).unwrap_or(u32::MAX)
}
