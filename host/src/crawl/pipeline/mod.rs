//! One scope's way from the connector into Glean.
//!
//! Its source hands over pages that were checked and cut into batches ([`crate::intake`]); a bounded number
//! of batches, and of bytes, is on its way at a time (`window`), and the connector waits while the window
//! is full. `delivery` sends them. A page passes when every batch that holds a document of it is
//! acknowledged (`frontier`), and counts when the journal has it (`keeper`, `page_records`): what a
//! crash costs is at most one window, or one page if that is larger, to be uploaded again.
//!
//! No guest is called here. Only `driver` decides what is waited for.

mod delivery;
mod driver;
mod frontier;
mod keeper;
mod page_records;
mod parts;
mod window;

pub use delivery::Delivery;
pub use parts::{Pipeline, Report};
pub use window::UploadLimits;
