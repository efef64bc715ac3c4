//! A `.wasm` file becomes a running cursor.
//!
//! Each module knows only those before it. `outline` counts what a component is made of before anything else reads
//! it, `inspect` says what a file is without running it, `manifest` what a connector may say of itself, and [`schema`]
//! holds settings against that. `state` is what the
//! host keeps for one guest, `v0_1` converts what a guest of that contract says into
//! [`crate::document`], and the [`Engine`] links the two. A [`Guest`] is one running instance, every
//! `call` of which is bounded and explained; what it delivers is checked in `delivered`. The
//! [`Compiler`] makes code of a component and asks it what it is.

mod backtrace;
mod call;
mod compiler;
mod delivered;
mod digest;
mod engine;
mod fault;
mod grants;
mod guest;
mod host_limit;
mod inspect;
mod manifest;
mod nesting;
mod outline;
mod runnable;
pub mod schema;
mod schema_rules;
mod state;
mod trap;
mod v0_1;
mod v0_1_identities;
mod v0_1_wit;

pub use compiler::{Compiler, Unloaded};
pub(crate) use delivered::{sentence, unread, with_short_titles};
pub use digest::{Digest, Digesting};
pub use engine::Engine;
pub(crate) use engine::code_version;
pub(crate) use grants::Given;
pub use grants::Grants;
pub use guest::{Cursor, Guest, IdentityCursor};
pub use inspect::Inspection;
pub(crate) use inspect::{CONTRACTS, inspect};
pub use manifest::{CredentialRequest, Description, Manifest};
pub(crate) use runnable::Runnable;
