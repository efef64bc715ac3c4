//! Turns files into connectors that can be started. Each is compiled once on this machine, and asked once in
//! a process what it is.

mod blocking;
mod cache;
mod candidate;
mod compile;
mod file;
mod limits;
mod private;
mod trusted;
mod unloaded;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

pub use cache::cache_folder;
pub use candidate::Candidate;
use compile::Compiler;
pub use limits::CompileLimits;
use unloaded::Unloaded;

use super::digest::Digest;
use super::engine::Engine;
use super::grants::Grants;
use super::guest::Guest;
use super::inspect::Inspection;
use super::manifest::Manifest;
use super::v0_1;
use crate::failure::{Failure, Result};
use crate::sandbox::Limits;

/// A connector that can be started.
pub struct Connector {
    pub digest: Digest,
    pub bytes: u64,
    pub inspection: Inspection,
    pub manifest: Manifest,
    engine: Engine,
    pre: v0_1::Pre,
}

impl Connector {
    /// Starts an instance of its own: nothing is shared with another crawl.
    pub async fn start(&self, grants: Grants) -> Result<Guest> {
        Ok(Guest::start(&self.engine, &self.pre, grants).await?)
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({} {})", self.manifest.name, self.digest.short())
    }
}

/// The connectors of this process.
#[derive(Clone)]
pub struct Loader(Arc<Inner>);

struct Inner {
    engine: Engine,
    compiler: Compiler,
    /// What was refused, so that it does not cost everybody's time again.
    refused: Mutex<HashMap<Digest, Failure>>,
    /// One cell a digest, so that a component is compiled once however many ask for it.
    loaded: Mutex<HashMap<Digest, Arc<OnceCell<Arc<Connector>>>>>,
}

impl Loader {
    /// Compiled code is kept in `cache`, which is created.
    pub fn new(cache: impl Into<PathBuf>) -> Result<Self> {
        Self::limited(cache, CompileLimits::default())
    }

    pub fn limited(cache: impl Into<PathBuf>, limits: CompileLimits) -> Result<Self> {
        Ok(Self::with(Engine::new()?, cache.into(), limits))
    }

    /// Connectors whose guests nobody stops, for the benchmark of what the guards cost. `cache` must be
    /// another one: its code lacks what a guarded guest is stopped by.
    pub fn unguarded(cache: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self::with(Engine::unguarded()?, cache.into(), CompileLimits::default()))
    }

    fn with(engine: Engine, cache: PathBuf, limits: CompileLimits) -> Self {
        let compiler = Compiler::new(engine.wasmtime(), cache, limits);
        let (refused, loaded) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { engine, compiler, refused, loaded }))
    }

    /// Loads a connector's file, compiling it unless that was done before.
    pub async fn load_file(&self, path: &Path) -> Result<Arc<Connector>> {
        self.load(self.read(path).await?).await
    }

    /// Reads a connector's file, unless it is larger than what this loader compiles.
    pub async fn read(&self, path: &Path) -> Result<Candidate> {
        Candidate::read_within(path, self.0.compiler.limits()).await
    }

    /// Compiles a candidate (once in a process, and once on this machine) and asks it what it is.
    pub async fn load(&self, candidate: Candidate) -> Result<Arc<Connector>> {
        let digest = candidate.digest.clone();
        if let Some(failure) = self.refused(&digest) {
            return Err(failure);
        }
        let cell = self.cell(&digest);
        match cell.get_or_try_init(|| self.prepare(candidate)).await {
            Ok(connector) => Ok(connector.clone()),
            Err(Unloaded::Later(failure)) => Err(failure),
            Err(Unloaded::Refused(failure)) => {
                let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.insert(digest, failure.clone());
                Err(failure)
            }
        }
    }

    /// A connector that this process has loaded already.
    pub(crate) fn loaded(&self, digest: &Digest) -> Option<Arc<Connector>> {
        self.cell(digest).get().cloned()
    }

    fn refused(&self, digest: &Digest) -> Option<Failure> {
        let refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(digest).cloned()
    }

    fn cell(&self, digest: &Digest) -> Arc<OnceCell<Arc<Connector>>> {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.entry(digest.clone()).or_default().clone()
    }

    async fn prepare(&self, candidate: Candidate) -> Result<Arc<Connector>, Unloaded> {
        let Inner { engine, compiler, .. } = &*self.0;
        let at = candidate.path.display().to_string();
        let component =
            compiler.compile(&candidate).await.map_err(|unloaded| unloaded.at_least(&at))?;
        let pre = engine.link(&component).map_err(|error| {
            let next = "rebuild it against Sheaf's `wit/`; `sheaf inspect` lists its imports";
            Unloaded::refused("the connector does not fit the contract", &error, next).at_least(&at)
        })?;
        let grants = Grants::none("describe", Limits::for_describe());
        let mut guest = Guest::start(engine, &pre, grants).await?;
        let manifest =
            guest.describe().await.map_err(|error| Unloaded::from(error).at_least(&at))?;
        Ok(Arc::new(Connector {
            bytes: candidate.bytes().len() as u64,
            digest: candidate.digest,
            inspection: candidate.inspection,
            manifest,
            engine: engine.clone(),
            pre,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    /// From outside it looks like a connector.
    fn candidate() -> Candidate {
        let bytes = wat::parse_str(
            r#"(component
                (instance $empty)
                (export "sheaf:connector/connector@0.1.0" (instance $empty))
                (export "sheaf:connector/documents@0.1.0" (instance $empty)))"#,
        );
        Candidate::of("empty.wasm".into(), &bytes.expect("a component")).expect("a candidate")
    }

    fn loader(folder: &Path, limits: CompileLimits) -> Loader {
        Loader::limited(folder.join("compiled"), limits).expect("a loader")
    }

    #[tokio::test]
    async fn what_is_no_connector_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let usual = CompileLimits::default();
        for (limits, kind, what) in [
            (usual, Kind::Contract, "does not fit the contract"),
            (CompileLimits { max_bytes: 10, ..usual }, Kind::Limit, "the limit is 10 B"),
        ] {
            let loader = loader(folder.path(), limits);
            let failure = loader.load(candidate()).await.expect_err("not loaded");
            assert_eq!((failure.kind, failure.at.as_deref()), (kind, Some("empty.wasm")));
            assert!(failure.what.contains(what), "{failure}");
            assert_eq!(loader.refused(&candidate().digest), Some(failure));
        }
    }

    #[tokio::test]
    async fn what_was_not_tried_to_the_end_is_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = loader(folder.path(), CompileLimits::default());
        let turn = loader.0.compiler.begin(&candidate().digest).expect("the first");
        let failure = loader.load(candidate()).await.expect_err("it is compiled already");
        assert_eq!(failure.kind, Kind::TimedOut, "{failure}");
        assert_eq!(loader.refused(&candidate().digest), None);
        drop(turn);
        let failure = loader.load(candidate()).await.expect_err("tried to the end");
        assert_eq!(failure.kind, Kind::Contract, "{failure}");
    }
}
