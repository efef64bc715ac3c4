//! Compiled code on this machine, which is as trusted as this program: only its user may write it.

use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::private::PrivateFolder;
use super::trusted;
use crate::connector::digest::Digest;
use crate::failure::Result;

/// Where compiled code of all of this user's connectors is kept: not beside a `sheaf.toml`, which may
/// have come from somebody else together with a cache.
pub fn cache_folder() -> Result<PathBuf> {
    Ok(crate::machine::user_cache()?.join("compiled"))
}

/// What a component's compiled code is called: by what it is, and by what compiled it.
pub(super) fn name_of(digest: &Digest, engine: &Engine) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}.cwasm", digest.hex(), hasher.finish())
}

/// Code that an earlier run compiled, or nothing if there is none that fits or that can be trusted.
pub(super) fn reload(engine: &Engine, folder: &Path, name: &str) -> Option<Component> {
    let file = PrivateFolder::open(folder).and_then(|folder| folder.file(name)).ok()?;
    trusted::reload(engine, &file)
}

pub(super) fn keep(folder: &Path, name: &str, code: &[u8]) -> std::io::Result<()> {
    PrivateFolder::create(folder)?.write(name, code)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn compiled_code_in_a_folder_that_others_can_write_to_is_neither_kept_nor_loaded() {
        let engine = Engine::default();
        let code = engine.precompile_component(b"\0asm\x0d\0\x01\0").expect("compiles");
        let folder = tempfile::tempdir().expect("a folder");
        let above = folder.path().join("above");
        let cache = above.join("cache");
        let name = "code.cwasm";
        keep(&cache, name, &code).expect("kept");
        assert!(reload(&engine, &cache, name).is_some());
        for open in [&cache, &above] {
            let set = |mode| {
                std::fs::set_permissions(open, std::fs::Permissions::from_mode(mode)).expect("set");
            };
            set(0o777);
            assert!(reload(&engine, &cache, name).is_none());
            assert!(keep(&cache, name, &code).is_err());
            set(0o700);
        }
        // Code of somebody else's, by way of a link.
        let file = cache.join(name);
        std::fs::rename(&file, folder.path().join("elsewhere")).expect("moved");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &file).expect("a link");
        assert!(reload(&engine, &cache, name).is_none());
        keep(&cache, name, &code).expect("the link is replaced");
        assert!(reload(&engine, &cache, name).is_some());
    }
}
