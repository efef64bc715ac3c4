//! The wasmtime engine, its clock and its linker: what all guests of a process share, and which knows none
//! of them.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Store, WasmBacktraceDetails};

use super::state::State;
use super::v0_1;
use crate::failure::{Failure, Result};
use crate::sandbox::folders;

/// How often a computing guest is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Built once in a process.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    linker: Linker<State>,
    /// Whether guests are watched while they run.
    guarded: bool,
}

impl Engine {
    pub fn new() -> Result<Self> {
        Self::start(true)
    }

    /// An engine whose guests nobody stops, for the benchmark of what the guards cost.
    pub fn unguarded() -> Result<Self> {
        Self::start(false)
    }

    fn start(guarded: bool) -> Result<Self> {
        let mut config = config();
        config.epoch_interruption(guarded);
        let engine = wasmtime::Engine::new(&config)
            .map_err(|error| Failure::internal(format!("wasmtime does not start: {error:#}")))?;
        let linker = linker(&engine)
            .map_err(|error| Failure::internal(format!("cannot link the host: {error:#}")))?;
        if guarded {
            tick(&engine)?;
        }
        Ok(Self(Arc::new(Inner { engine, linker, guarded })))
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.0.guarded
    }

    /// Holds a component against the contract.
    pub(super) fn link(&self, component: &Component) -> wasmtime::Result<v0_1::Pre> {
        self.0.linker.instantiate_pre(component).and_then(v0_1::Pre::new)
    }

    pub(super) fn store(&self, state: State) -> Store<State> {
        Store::new(&self.0.engine, state)
    }
}

/// What code was compiled for: this version of wasmtime, this configuration, this processor.
pub(crate) fn code_version(guarded: bool) -> Result<u64> {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let engine = wasmtime::Engine::new(config().epoch_interruption(guarded))
        .map_err(|error| Failure::internal(format!("wasmtime does not start: {error:#}")))?;
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Ok(hasher.finish())
}

/// The one configuration. Compiled code is only valid under the same one.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        // A stranger's debug information is never looked at.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
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
    fn code_is_called_by_what_it_was_compiled_for() {
        let version = |guarded| code_version(guarded).expect("an engine");
        assert_eq!(version(true), version(true));
        assert_ne!(version(true), version(false));
        let engine = Engine::new().expect("an engine");
        // The smallest component: the magic number and the component layer's version.
        let code = engine.wasmtime().precompile_component(b"\0asm\x0d\0\x01\0").expect("compiles");
        assert!(wasmtime::Engine::detect_precompiled(&code).is_some());
    }
}
