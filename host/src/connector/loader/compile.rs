//! Compiles components, a few at a time, and gives up what takes too long.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;
use wasmtime::component::Component;

use super::blocking::blocking;
use super::cache;
use super::candidate::Candidate;
use super::limits::{CompileLimits, over};
use super::trusted;
use super::unloaded::Unloaded;
use crate::connector::digest::Digest;
use crate::failure::{Failure, Kind};

/// Compilations at the same time: each can take hundreds of megabytes.
const COMPILATIONS: usize = 1;

pub(super) struct Compiler {
    engine: wasmtime::Engine,
    /// Where compiled code is kept.
    cache: PathBuf,
    limits: CompileLimits,
    turns: Semaphore,
    under_way: Arc<UnderWay>,
}

/// What is being compiled, and still is after it was given up.
#[derive(Default)]
struct UnderWay(Mutex<HashSet<Digest>>);

/// One compilation; it is no longer under way when this is dropped.
pub(super) struct Turn(Arc<UnderWay>, Digest);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl Compiler {
    pub(super) fn new(engine: &wasmtime::Engine, cache: PathBuf, limits: CompileLimits) -> Self {
        let turns = Semaphore::new(COMPILATIONS);
        Self { engine: engine.clone(), cache, limits, turns, under_way: Arc::default() }
    }

    pub(super) fn limits(&self) -> CompileLimits {
        self.limits
    }

    /// Nothing, if the same is under way already.
    pub(super) fn begin(&self, digest: &Digest) -> Option<Turn> {
        let mut digests = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(digest.clone()).then(|| Turn(self.under_way.clone(), digest.clone()))
    }

    /// What takes too long is given up, and goes on by itself: when it is tried again, its code may lie
    /// in the cache. Until then it keeps nobody's turn, and is not begun a second time.
    pub(super) async fn compile(&self, candidate: &Candidate) -> Result<Component, Unloaded> {
        self.limits.allow(candidate.bytes().len() as u64).map_err(Unloaded::Refused)?;
        let compile_time = self.limits.compile_time;
        let late = |what| Unloaded::Later(over(Kind::TimedOut, what, "compile_time"));
        let place = self.turns.acquire().await;
        let Some(turn) = self.begin(&candidate.digest) else {
            return Err(late(
                "the component is still being compiled, after it was given up".into(),
            ));
        };
        let engine = self.engine.clone();
        let (cache, candidate) = (self.cache.clone(), candidate.clone());
        let compiling = blocking(move || {
            let _turn = turn;
            compiled(&engine, &candidate, &cache)
        });
        let compiled = tokio::time::timeout(compile_time, compiling).await;
        drop(place);
        let compiled = compiled
            .map_err(|_| late(format!("the component was not compiled within {compile_time:?}")))?;
        compiled.map_err(Unloaded::Later)?
    }
}

/// The code in the cache, or new code, which is kept there.
fn compiled(
    engine: &wasmtime::Engine,
    candidate: &Candidate,
    folder: &Path,
) -> Result<Component, Unloaded> {
    let name = cache::name_of(&candidate.digest, engine);
    if let Some(component) = cache::reload(engine, folder, &name) {
        return Ok(component);
    }
    let code = engine.precompile_component(candidate.bytes()).map_err(|error| {
        Unloaded::refused("the component does not compile", &error, "build or download it again")
    })?;
    // What is mapped from a file is shared by all processes.
    match cache::keep(folder, &name, &code) {
        Ok(()) => {
            if let Some(component) = cache::reload(engine, folder, &name) {
                return Ok(component);
            }
        }
        Err(error) => {
            tracing::warn!(
                %error,
                "compiled code is not cached, and the next start is slow again: set XDG_CACHE_HOME to a folder that \
                 nobody else can write to, nor to those above it"
            );
        }
    }
    trusted::adopt(engine, &code).map_err(|error| {
        let what = format!("compiled code cannot be loaded: {error:#}");
        Unloaded::Later(Failure::internal(what))
    })
}
