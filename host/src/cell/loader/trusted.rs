//! The one place outside a cell that runs machine code.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use wasmtime::Engine;
use wasmtime::component::Component;

/// The code of a file that a cell has written.
#[allow(unsafe_code)]
pub(super) fn load(engine: &Engine, file: &File) -> wasmtime::Result<Component> {
    // The very file that was looked at, by its descriptor: wasmtime maps components by path only.
    let path = format!("/dev/fd/{}", file.as_raw_fd());
    // SAFETY: a cell compiled it, before anything of it ran, and since it was reaped nobody can have written the
    // file but this user or root: it is one of a private folder, which was looked at when it was opened, like the
    // file and all above; or it never had a name. Its name is made of the component's digest. Files that others
    // supply never come here. A component that takes its compiler over does, by way of the code: see what
    // `docs/security.md` does not promise.
    unsafe { Component::deserialize_file(engine, path) }
}
