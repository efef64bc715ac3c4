//! A connector's project, as `sheaf new` writes it: a template in the author's language, the SDK and the contract
//! that this program speaks, and a sample to read. Nothing in it leads back to Sheaf's own checkout.

mod files;
mod language;
mod name;
mod write;

pub(crate) use language::Language;
pub(crate) use name::Name;
pub(crate) use write::write;
