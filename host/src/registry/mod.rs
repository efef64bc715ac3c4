//! Connectors by name: the lock, which says what is meant to the byte; the folder that `.wasm` files are dropped into;
//! and the store that keeps each one that is in use by its digest.
//!
//! Another file in the folder, or another lock, changes what the next crawl uses; a crawl under way keeps to the copy in
//! the store.

mod asks;
pub mod contract;
mod find;
mod kept;
mod layout;
pub mod lock;
mod locked;
mod newest;
pub mod oci;
pub mod publish;
mod published;
pub mod refusal;
mod rules;
mod take;
pub mod trust;

pub use asks::Asks;
pub use find::{Found, Registry};
pub use layout::{Archive, ArchiveWriter};
pub use locked::other_in_folder;
pub use newest::{Newest, is_compatible, is_newer};
pub use published::{Place, Published};
pub use rules::Rules;
pub use take::{Consent, Placed, Taken};
