//! Reads, checks and compiles a connector's file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use super::engine::{CompileLimits, Engine};
use super::guest::{Grants, Guest};
use super::inspect::{Inspection, inspect};
use super::v0_1;
use crate::document::Manifest;
use crate::failure::{Failure, Kind, Result};
use crate::sandbox::Limits;
use crate::text::{bounded, bytes};

/// No toolchain makes a larger one; Python's are some 40 MB.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// `sha256:` and 64 hexadecimal digits: what a connector is, to the byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{:x}", Sha256::digest(bytes)))
    }

    /// Without the algorithm's name: fit for a file name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// Enough to tell one from another in a line of text.
    pub fn short(&self) -> &str {
        let hex = self.hex();
        hex.get(..12).unwrap_or(hex)
    }
}

impl std::str::FromStr for Digest {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(lower) {
            return Ok(Self(text.to_owned()));
        }
        Err(Failure::settings(format!("`{text}` is not a connector's digest"))
            .next("write `sha256:` and 64 hexadecimal digits, as `sheaf inspect` prints them"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connector that can be started.
pub struct Connector {
    pub digest: Digest,
    pub bytes: u64,
    pub inspection: Inspection,
    pub manifest: Manifest,
    pub(super) engine: Engine,
    pub(super) pre: v0_1::Pre,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({} {})", self.manifest.name, self.digest.short())
    }
}

/// A connector's file, read and inspected but neither compiled nor run.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub path: PathBuf,
    pub digest: Digest,
    pub inspection: Inspection,
    bytes: Arc<[u8]>,
}

impl Candidate {
    pub async fn read(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        blocking(move || {
            let at = path.display().to_string();
            let unreadable = |error: std::io::Error| {
                Failure::settings(format!("cannot read the connector: {error}"))
                    .at(at.clone())
                    .next("correct the path, or build the connector first")
            };
            let size = std::fs::metadata(&path).map_err(unreadable)?.len();
            if size > MAX_FILE_BYTES {
                return Err(Failure::new(
                    Kind::Contract,
                    format!("the file has {} MiB, and 1 GiB is the most", size >> 20),
                )
                .at(at)
                .next("build the connector without debug information"));
            }
            let bytes: Arc<[u8]> = std::fs::read(&path).map_err(unreadable)?.into();
            let inspection = inspect(&bytes).map_err(|failure| failure.at(at))?;
            Ok(Self { digest: Digest::of(&bytes), path, inspection, bytes })
        })
        .await
    }

    /// A connector whose bytes are at hand; `path` is for people.
    pub fn of(path: PathBuf, bytes: &[u8]) -> Result<Self> {
        let inspection =
            inspect(bytes).map_err(|failure| failure.at(path.display().to_string()))?;
        Ok(Self { digest: Digest::of(bytes), path, inspection, bytes: bytes.into() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Engine {
    /// Loads a connector's file, compiling it unless that was done before.
    pub async fn load_file(&self, path: &Path) -> Result<Arc<Connector>> {
        self.load(Candidate::read(path).await?).await
    }

    /// Compiles a candidate (once in a process, and once on this machine) and asks it what it is.
    pub async fn load(&self, candidate: Candidate) -> Result<Arc<Connector>> {
        let digest = candidate.digest.clone();
        if let Some(failure) = self.refused(&digest) {
            return Err(failure);
        }
        let cell = self.cell(&digest);
        let loaded = cell.get_or_try_init(|| self.prepare(candidate)).await.cloned();
        if let Err(failure) = &loaded
            && !matches!(failure.kind, Kind::Internal | Kind::TimedOut)
        {
            self.refuse(&digest, failure);
        }
        loaded
    }

    /// A connector that this process has loaded already.
    pub fn loaded(&self, digest: &Digest) -> Option<Arc<Connector>> {
        self.cell(digest).get().cloned()
    }

    async fn prepare(&self, candidate: Candidate) -> Result<Arc<Connector>> {
        let at = candidate.path.display().to_string();
        let component =
            self.compile(&candidate).await.map_err(|failure| failure.at_least(|| at.clone()))?;
        let pre = self.linker().instantiate_pre(&component).and_then(v0_1::Pre::new).map_err(
            |error| {
                Failure::new(
                    Kind::Contract,
                    format!("the connector does not fit the contract: {}", first_line(&error)),
                )
                .detail(format!("{error:#}"))
                .next("rebuild it against Sheaf's `wit/`; `sheaf inspect` lists its imports")
                .at(at.clone())
            },
        )?;
        let mut guest =
            Guest::start(self, &pre, Grants::none("describe", Limits::for_describe())).await?;
        let manifest = guest.describe().await.map_err(|failure| failure.at_least(|| at.clone()))?;
        Ok(Arc::new(Connector {
            bytes: candidate.bytes.len() as u64,
            digest: candidate.digest,
            inspection: candidate.inspection,
            manifest,
            engine: self.clone(),
            pre,
        }))
    }

    /// What takes too long is given up, and goes on by itself: when it is tried again, its code may lie
    /// in the cache. Until then it keeps nobody's turn, and is not begun a second time.
    async fn compile(&self, candidate: &Candidate) -> Result<Component> {
        let CompileLimits { max_bytes, compile_time } = self.limits();
        let over = |what: String, key: &str| {
            Failure::new(Kind::Limit, what)
                .next(format!("raise `{key}` in [connectors], or use a smaller component"))
        };
        if candidate.bytes.len() > max_bytes {
            let (size, most) = (bytes(candidate.bytes.len() as u64), bytes(max_bytes as u64));
            let what = format!("the component has {size}, and the limit is {most}");
            return Err(over(what, "max_bytes"));
        }
        let turn = self.compilations().acquire().await;
        if !self.begin_compiling(&candidate.digest) {
            let what = "the component is still being compiled, after it was given up".to_owned();
            return Err(Failure { kind: Kind::TimedOut, ..over(what, "compile_time") });
        }
        let engine = self.clone();
        let candidate = candidate.clone();
        let compiling = blocking(move || {
            let _compiling = Compiling(engine.clone(), candidate.digest.clone());
            let cached = engine.compiled_file(&candidate.digest);
            if let Some(component) = trusted::reload(engine.wasmtime(), &cached) {
                return Ok(component);
            }
            let damaged = |error: wasmtime::Error| {
                Failure::new(
                    Kind::Contract,
                    format!("the component does not compile: {}", first_line(&error)),
                )
                .detail(format!("{error:#}"))
                .next("build or download it again")
            };
            let code = engine.wasmtime().precompile_component(&candidate.bytes).map_err(damaged)?;
            if let Err(error) = keep(&cached, &code) {
                tracing::warn!(%error, "compiled code is not cached; the next start is slow again");
                return Component::from_binary(engine.wasmtime(), &candidate.bytes)
                    .map_err(damaged);
            }
            drop(code);
            trusted::reload(engine.wasmtime(), &cached).ok_or_else(|| {
                Failure::internal("compiled code cannot be read back")
                    .at(cached.display().to_string())
            })
        });
        let compiled = tokio::time::timeout(compile_time, compiling).await;
        drop(turn);
        compiled.unwrap_or_else(|_| {
            let what = format!("the component was not compiled within {compile_time:?}");
            Err(Failure { kind: Kind::TimedOut, ..over(what, "compile_time") })
        })
    }

    /// Where a component's compiled code is kept: by what it is, and by what compiled it.
    fn compiled_file(&self, digest: &Digest) -> PathBuf {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        self.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
        self.cache().join(format!("{}-{:016x}.cwasm", digest.hex(), hasher.finish()))
    }
}

/// Where compiled code of all of this user's connectors is kept: not beside a `sheaf.toml`, which may
/// have come from somebody else together with a cache.
pub fn cache_folder() -> PathBuf {
    crate::machine::user_cache().join("compiled")
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
fn keep(file: &Path, code: &[u8]) -> std::io::Result<()> {
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
mod trusted {
    use std::path::Path;

    use wasmtime::Engine;
    use wasmtime::component::Component;

    /// Code that an earlier run compiled, or nothing if there is none that fits.
    #[allow(unsafe_code)]
    pub fn reload(engine: &Engine, file: &Path) -> Option<Component> {
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

/// A compilation under way.
struct Compiling(Engine, Digest);

impl Drop for Compiling {
    fn drop(&mut self) {
        self.0.end_compiling(&self.1);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Failure::internal(format!("a background task failed: {error}")))
    })
}

/// The innermost cause, which says most.
fn first_line(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    bounded(cause.lines().next().unwrap_or("no reason given").to_owned(), 300)
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
