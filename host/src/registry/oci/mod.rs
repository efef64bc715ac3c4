//! Connectors in OCI registries.

mod artifact;
mod login;
mod reference;
mod remote;
mod token;
mod wire;

pub use artifact::{
    About, Annotations, Artifact, Described, Descriptor, INDEX, Index, MANIFEST, Manifest,
    described,
};
pub use reference::{Reference, Repository, SCHEME, tag_of, version_of};
pub use remote::{MOST_ATTACHED, Remote};
pub use wire::Progress;
