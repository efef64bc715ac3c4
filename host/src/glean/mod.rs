//! Glean's Indexing API: how requests go there, and how often they may.
//!
//! [`client`] sends requests with deadlines, retries and pacing, [`error`] is what it came to, [`upload`]
//! keeps the rules of a bulk session of documents, [`identities`] those of users, groups and
//! memberships (`sieve` finds the rows at fault), [`status`] is what Glean says of a datasource, and [`access`] of who may
//! find a document.
//! Limits and rules: Glean's "Indexing API", "Bulk upload model" and "Rate limits" pages.

pub mod access;
pub mod client;
pub mod error;
pub mod identities;
pub mod patience;
mod sieve;
pub mod status;
mod token;
pub mod upload;

pub use client::{Client, Endpoint};
pub use error::Error;
