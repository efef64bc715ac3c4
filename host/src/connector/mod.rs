//! A `.wasm` file becomes a running cursor.
//!
//! [`load`] reads, checks and compiles a file; [`inspect`] says what it is without running it;
//! [`guest`] is one running instance with the grants of one connection; `v0_1` converts what it delivers into
//! [`crate::document`], which is the same whichever WIT version the guest speaks; [`schema`] holds settings against what a connector says they must be.

pub mod engine;
pub mod guest;
pub mod inspect;
pub mod load;
pub mod schema;
mod v0_1;

pub use engine::{CompileLimits, Engine};
pub use guest::{Cursor, Grants, Guest};
pub use load::{Connector, Digest};
