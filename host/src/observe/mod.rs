//! What whoever runs a worker sees of it: metrics, health, and a page.
//!
//! How connections stand is read from the store that the workers share, so each worker tells the same of them; what a
//! process counts is its own.

mod actions;
mod gauges;
mod look;
mod page;
mod schedules;
mod sdk;
mod seen;
mod serve;
mod session;
pub mod settings;

pub use look::Observer;
pub use sdk::Sdk;
