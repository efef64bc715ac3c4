//! Who is trusted to publish what, and what they sign.

mod key;
mod policy;
mod statement;

pub use key::{KeyId, PrivateKey, PublicKey};
pub use policy::{Pattern, Trust, Unsigned};
pub use statement::{BUNDLE, PREDICATE, sign, signers};
