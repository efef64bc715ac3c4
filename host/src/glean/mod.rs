//! Glean's Indexing API: what goes over the wire, and how often it may.
//!
//! [`wire`] writes documents as Glean reads them, [`size`] measures them, [`batch`] fills requests up to
//! a size, [`client`] sends them with deadlines, retries and pacing, [`error`] is what it came to,
//! [`upload`] keeps the rules of a bulk session.
//! Limits and rules: Glean's "Indexing API", "Bulk upload model" and "Rate limits" pages.

pub mod batch;
pub mod client;
pub mod error;
pub mod patience;
pub mod size;
mod token;
pub mod upload;
pub mod wire;

pub use batch::{Batch, Batcher};
pub use client::{Client, Endpoint};
pub use error::Error;
