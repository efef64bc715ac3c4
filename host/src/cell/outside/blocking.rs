//! Work that holds a thread for long.

use crate::failure::{Failure, Result};

/// Does what holds a thread for long where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(format!("a background task failed: {error}")))
}
