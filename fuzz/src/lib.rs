//! What parses bytes from outside, given any bytes.
//!
//! One function a target: it panics where something does not hold, and says whether the bytes were read at
//! all. `cargo fuzz` searches for bytes that break one; `./test` tries each with its seeds, and with some
//! thousand changes of them.

mod cells;
mod encoding;
mod ledger;
mod policy;
#[cfg(test)]
mod short;
mod template;

pub use cells::{batch, said};
pub use encoding::document;
pub use ledger::{frames, record};
pub use policy::{host, url};
pub use template::template;
