//! Compiled code on this machine, which is as trusted as this program: only its user may write it.

use std::path::{Path, PathBuf};

use super::trusted::is_private;
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

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::connector::loader::trusted;

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
