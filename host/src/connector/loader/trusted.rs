//! The one place that loads machine code.

use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Whether nobody but this user can have written into a folder.
#[cfg(unix)]
pub(super) fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(folder).is_ok_and(|found| {
        found.is_dir() && found.uid() == crate::machine::user_id() && found.mode() & 0o022 == 0
    })
}

#[cfg(not(unix))]
pub(super) fn is_private(folder: &Path) -> bool {
    folder.is_dir()
}

/// Code that an earlier run compiled, or nothing if there is none that fits.
#[allow(unsafe_code)]
pub(super) fn reload(engine: &Engine, file: &Path) -> Option<Component> {
    if !file.is_file() || !file.parent().is_some_and(is_private) {
        return None;
    }
    // SAFETY: the file is in this user's own cache, in a folder that belongs to them and that
    // nobody else can write to, which was just looked at; its name is made of the component's
    // digest. Files that others supply never come here.
    match unsafe { Component::deserialize_file(engine, file) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::debug!(%error, "compiled code does not fit and is made again");
            None
        }
    }
}
