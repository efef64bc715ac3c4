//! Compiles components, a few at a time, and gives up what takes too long.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::Component;

use super::blocking::blocking;
use super::cache;
use super::candidate::Candidate;
use super::trusted;
use super::unloaded::Unloaded;
use crate::connector::digest::Digest;
use crate::failure::{Failure, Kind};
use crate::text::bytes;

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

    /// Nothing, if the same is under way already.
    pub(super) fn begin(&self, digest: &Digest) -> Option<Turn> {
        let mut digests = self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner);
        digests.insert(digest.clone()).then(|| Turn(self.under_way.clone(), digest.clone()))
    }

    /// What takes too long is given up, and goes on by itself: when it is tried again, its code may lie
    /// in the cache. Until then it keeps nobody's turn, and is not begun a second time.
    pub(super) async fn compile(&self, candidate: &Candidate) -> Result<Component, Unloaded> {
        let CompileLimits { max_bytes, compile_time } = self.limits;
        if candidate.bytes().len() > max_bytes {
            let (size, most) = (bytes(candidate.bytes().len() as u64), bytes(max_bytes as u64));
            let what = format!("the component has {size}, and the limit is {most}");
            return Err(Unloaded::Refused(over(Kind::Limit, what, "max_bytes")));
        }
        let late = |what| Unloaded::Later(over(Kind::TimedOut, what, "compile_time"));
        let place = self.turns.acquire().await;
        let Some(turn) = self.begin(&candidate.digest) else {
            return Err(late(
                "the component is still being compiled, after it was given up".into(),
            ));
        };
        let engine = self.engine.clone();
        let file = cache::file_of(&self.cache, &candidate.digest, &engine);
        let candidate = candidate.clone();
        let compiling = blocking(move || {
            let _turn = turn;
            compiled(&engine, &candidate, &file)
        });
        let compiled = tokio::time::timeout(compile_time, compiling).await;
        drop(place);
        let compiled = compiled
            .map_err(|_| late(format!("the component was not compiled within {compile_time:?}")))?;
        compiled.map_err(Unloaded::Later)?
    }
}

fn over(kind: Kind, what: String, key: &str) -> Failure {
    Failure::new(kind, what)
        .next(format!("raise `{key}` in [connectors], or use a smaller component"))
}

/// The code in the cache, or new code, which is kept there.
fn compiled(
    engine: &wasmtime::Engine,
    candidate: &Candidate,
    file: &Path,
) -> Result<Component, Unloaded> {
    if let Some(component) = trusted::reload(engine, file) {
        return Ok(component);
    }
    let damaged = |error: wasmtime::Error| {
        Unloaded::refused("the component does not compile", &error, "build or download it again")
    };
    let code = engine.precompile_component(candidate.bytes()).map_err(damaged)?;
    if let Err(error) = cache::keep(file, &code) {
        tracing::warn!(%error, "compiled code is not cached; the next start is slow again");
        return Component::from_binary(engine, candidate.bytes()).map_err(damaged);
    }
    drop(code);
    trusted::reload(engine, file).ok_or_else(|| {
        let failure = Failure::internal("compiled code cannot be read back");
        Unloaded::Later(failure.at(file.display().to_string()))
    })
}
