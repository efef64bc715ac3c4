//! What a connector may touch, and how much of it.
//!
//! Everything here denies unless the operator granted it: a guest sees the granted folders read-only,
//! its own settings and a log, and reaches the granted hosts; it has no environment, no arguments and
//! no sockets, and never holds a credential. Each limit has a default and is named in the failure it
//! causes.

pub mod credentials;
pub mod egress;
pub mod folders;
pub mod limits;
pub mod output;

pub use limits::Limits;
