//! Compiled code on this machine, which is as trusted as this program: only its user may write it.

use std::path::{Path, PathBuf};

use crate::connector::digest::Digest;

/// Where compiled code of all of this user's connectors is kept: not beside a `sheaf.toml`, which may
/// have come from somebody else together with a cache.
pub fn cache_folder() -> PathBuf {
    crate::machine::user_cache().join("compiled")
}

/// Where a component's compiled code is kept: by what it is, and by what compiled it.
pub(super) fn file_of(folder: &Path, digest: &Digest, engine: &wasmtime::Engine) -> PathBuf {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    folder.join(format!("{}-{:016x}.cwasm", digest.hex(), hasher.finish()))
}

/// Whether nobody but this user can have written into a folder.
#[cfg(unix)]
fn is_private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(folder).is_ok_and(|found| {
        found.is_dir() && found.uid() == crate::machine::user_id() && found.mode() & 0o022 == 0
    })
}

#[cfg(not(unix))]
fn is_private(folder: &Path) -> bool {
    folder.is_dir()
}

/// Writes compiled code so that a reader sees all of it or nothing, in a folder of this user's only.
pub(super) fn keep(file: &Path, code: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    if !is_private(folder) {
        let what = format!("others can write to {}", folder.display());
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, what));
    }
    let part = file.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, code)?;
    std::fs::rename(&part, file)
}

/// The one place that loads machine code.
pub(super) mod trusted {
    use std::path::Path;

    use wasmtime::Engine;
    use wasmtime::component::Component;

    /// Code that an earlier run compiled, or nothing if there is none that fits.
    #[allow(unsafe_code)]
    pub(in crate::connector::loader) fn reload(engine: &Engine, file: &Path) -> Option<Component> {
        if !file.is_file() || !file.parent().is_some_and(super::is_private) {
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
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn compiled_code_in_a_folder_that_others_can_write_to_is_neither_kept_nor_loaded() {
        let engine = wasmtime::Engine::default();
        let code = engine.precompile_component(b"\0asm\x0d\0\x01\0").expect("compiles");
        let folder = tempfile::tempdir().expect("a folder");
        let cache = folder.path().join("cache");
        let file = cache.join("code.cwasm");
        keep(&file, &code).expect("kept");
        assert!(trusted::reload(&engine, &file).is_some());
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o777)).expect("set");
        assert!(trusted::reload(&engine, &file).is_none());
        assert!(keep(&file, &code).is_err());
    }
}
