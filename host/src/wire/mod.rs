//! Documents as Glean reads them, and requests full of them. Nothing here knows how they are sent.
//!
//! [`document`] writes one, [`size`] measures it before that, [`batch`] fills requests up to a size, and `received` takes those that another process has filled. [`identities`] has users, groups and memberships, [`permissions`] reads back who may find a document.
//! Glean: "Indexing API", and the limits of "Bulk upload model".

pub mod batch;
pub mod document;
pub mod identities;
pub mod permissions;
mod received;
pub mod size;

pub use batch::{Batch, Batcher};
pub use received::received;
