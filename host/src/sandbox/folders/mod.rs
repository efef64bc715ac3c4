//! Folder grants: a guest's path, and the folder of this machine that stands behind it, read-only.

mod grant;
mod names;
mod roots;
mod wasi;

pub use grant::FolderGrant;
pub(crate) use grant::check_guest_path;
pub(crate) use roots::Roots;
pub(crate) use wasi::{Folders, add_to_linker};
