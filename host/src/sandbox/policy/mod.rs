//! What a connection may reach, decided without reaching it.
//!
//! A URL becomes one [`Target`]; a [`Policy`] holds it against the [`Pattern`]s of what is granted and
//! asked for, and the addresses that its name leads to against those that are nobody's on the open
//! internet. What is refused is [`Denied`], which says what would allow it. Everything here is pure: it
//! knows no network, no wasmtime and no clock.

mod address;
mod denied;
mod look_alike;
mod methods;
mod networks;
mod pattern;
mod reach;
mod target;

pub use denied::Denied;
pub use methods::Methods;
pub use pattern::Pattern;
pub use reach::{Allowed, Policy};
pub(super) use target::without_query;
pub use target::{InvalidTarget, Scheme, Target};
