//! The one place that loads machine code.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use wasmtime::Engine;
use wasmtime::component::Component;

/// Code that an earlier run compiled, or nothing if it does not fit. `file` is one of a [`PrivateFolder`].
///
/// [`PrivateFolder`]: super::private::PrivateFolder
#[allow(unsafe_code)]
pub(super) fn reload(engine: &Engine, file: &File) -> Option<Component> {
    // The very file that was looked at, by its descriptor: wasmtime maps components by path only.
    let path = format!("/dev/fd/{}", file.as_raw_fd());
    // SAFETY: only this user or root can have written the file: it was looked at when it was opened, like its
    // folder and all above. Its name is made of the component's digest. Files that others supply never come here.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::debug!(%error, "compiled code does not fit and is made again");
            None
        }
    }
}

/// Code that this process has just compiled, where it cannot be kept.
#[allow(unsafe_code)]
pub(super) fn adopt(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: whoever calls has it from the engine's compiler, and it never left this process's memory.
    unsafe { Component::deserialize(engine, code) }
}
