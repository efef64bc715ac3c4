//! How much a guest may use: what is allowed, and what is used of it.

mod keys;
mod meters;
pub(crate) mod priority;

pub(crate) use keys::over;
pub use keys::{HttpLimits, Limits};
pub use meters::Usage;
pub(crate) use meters::{CpuMeter, Exceeded, MemoryMeter};
