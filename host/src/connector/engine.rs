//! The wasmtime engine, its clock and its linker. Built once in a process.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use wasmtime::component::Linker;
use wasmtime::{Config, WasmBacktraceDetails};

use super::guest::State;
use super::load::{Connector, Digest};
use super::v0_1;
use crate::failure::{Failure, Result};
use crate::sandbox::folders;

/// How often a computing guest is looked at.
pub const TICK: Duration = Duration::from_millis(10);

/// Compilations at the same time: each can take hundreds of megabytes.
const COMPILATIONS: usize = 1;

/// How large a component may be, and how long it may take to compile: `[connectors]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    pub max_bytes: usize,
    pub compile_time: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { max_bytes: 128 << 20, compile_time: Duration::from_secs(300) }
    }
}

/// Everything that is shared by all guests of this process.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    /// Where compiled code is kept. As trusted as this program: only it may write there.
    cache: PathBuf,
    compilations: Arc<Semaphore>,
    limits: CompileLimits,
    /// Whether guests are watched while they run.
    guarded: bool,
    /// What is still being compiled after it was given up.
    compiling: Mutex<HashSet<Digest>>,
    /// What was refused, so that it does not cost everybody's time again.
    refused: Mutex<HashMap<Digest, Failure>>,
    /// One cell a digest, so that a component is compiled once however many ask for it.
    loaded: Mutex<HashMap<Digest, Arc<OnceCell<Arc<Connector>>>>>,
}

impl Engine {
    /// Compiled code is kept in `cache`, which is created.
    pub fn new(cache: impl Into<PathBuf>) -> Result<Self> {
        Self::limited(cache, CompileLimits::default())
    }

    pub fn limited(cache: impl Into<PathBuf>, limits: CompileLimits) -> Result<Self> {
        Self::start(cache.into(), limits, true)
    }

    /// An engine whose guests nobody stops, for the benchmark of what the guards cost. `cache` must be
    /// another one: its code lacks what a guarded guest is stopped by.
    pub fn unguarded(cache: impl Into<PathBuf>) -> Result<Self> {
        Self::start(cache.into(), CompileLimits::default(), false)
    }

    fn start(cache: PathBuf, limits: CompileLimits, guarded: bool) -> Result<Self> {
        let mut config = config();
        config.epoch_interruption(guarded);
        let engine = wasmtime::Engine::new(&config)
            .map_err(|error| Failure::internal(format!("wasmtime does not start: {error:#}")))?;
        let linker = linker(&engine)
            .map_err(|error| Failure::internal(format!("cannot link the host: {error:#}")))?;
        if guarded {
            tick(&engine)?;
        }
        Ok(Self(Arc::new(Inner {
            engine,
            linker,
            cache,
            guarded,
            compilations: Arc::new(Semaphore::new(COMPILATIONS)),
            limits,
            compiling: Mutex::default(),
            refused: Mutex::default(),
            loaded: Mutex::default(),
        })))
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(super) fn linker(&self) -> &Linker<State> {
        &self.0.linker
    }

    pub(super) fn cache(&self) -> &PathBuf {
        &self.0.cache
    }

    pub(super) fn compilations(&self) -> &Arc<Semaphore> {
        &self.0.compilations
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.0.guarded
    }

    pub(super) fn limits(&self) -> CompileLimits {
        self.0.limits
    }

    /// Begins a compilation; false if one of the same is under way already.
    pub(super) fn begin_compiling(&self, digest: &Digest) -> bool {
        let mut compiling = self.0.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        compiling.insert(digest.clone())
    }

    pub(super) fn end_compiling(&self, digest: &Digest) {
        let mut compiling = self.0.compiling.lock().unwrap_or_else(PoisonError::into_inner);
        compiling.remove(digest);
    }

    pub(super) fn refused(&self, digest: &Digest) -> Option<Failure> {
        let refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(digest).cloned()
    }

    pub(super) fn refuse(&self, digest: &Digest, failure: &Failure) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(digest.clone(), failure.clone());
    }

    pub(super) fn cell(&self, digest: &Digest) -> Arc<OnceCell<Arc<Connector>>> {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.entry(digest.clone()).or_default().clone()
    }
}

/// The one configuration. Compiled code is only valid under the same one.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        // The contract is synchronous: without the machinery of WASI 0.3 a call costs a third.
        .concurrency_support(false)
        .max_wasm_stack(1 << 20)
        .async_stack_size(2 << 20);
    config
}

/// Links a list of interfaces, each of which denies until something is granted.
fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    // Interpreted guests import all of WASI, sockets and folders included. What they get of it is
    // decided by the context: nothing but granted folders.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    folders::add_to_linker(&mut linker)?;
    v0_1::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Advances the epoch until the last clone of the engine is gone.
fn tick(engine: &wasmtime::Engine) -> Result<()> {
    let engine = engine.weak();
    thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .map(drop)
        .map_err(|error| Failure::internal(format!("cannot start the epoch thread: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precompiled_component_reloads_under_the_same_configuration() {
        let first = wasmtime::Engine::new(&config()).expect("engine");
        let again = wasmtime::Engine::new(&config()).expect("engine");
        // The smallest component: the magic number and the component layer's version.
        let code = first.precompile_component(b"\0asm\x0d\0\x01\0").expect("compiles");
        assert!(wasmtime::Engine::detect_precompiled(&code).is_some());
        assert_eq!(hash(&first), hash(&again));
    }

    fn hash(engine: &wasmtime::Engine) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    }
}
