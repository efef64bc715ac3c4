//! Turns files into connectors that can be started. Each is compiled once on this machine, and asked once in
//! a process what it is; both in a cell.

mod cache;
mod candidate;
mod compile;
mod file;
mod limits;
mod private;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

pub use cache::cache_folder;
pub use candidate::Candidate;
use compile::{Compiler, Found};
pub use limits::CompileLimits;

use super::outside::ConnectionCell;
use super::outside::Program;
use super::protocol::Serving;
use crate::connector::{Description, Digest, Grants, Inspection, Manifest, Unloaded};
use crate::failure::{Failure, Kind, Result};
use crate::sandbox::egress::Broker;
use crate::traces;

/// A connector that can be started.
pub struct Connector {
    pub digest: Digest,
    pub bytes: u64,
    pub inspection: Inspection,
    pub manifest: Manifest,
    /// What a cell compiled of it. Nobody here looks into it.
    code: File,
    program: Program,
    guarded: bool,
}

impl Connector {
    /// Starts a cell for the guests of a connection. `broker`: who does what their requests need of the world;
    /// without one they reach nobody.
    pub async fn serve(
        &self,
        grants: Grants,
        broker: Option<Arc<Broker>>,
    ) -> Result<ConnectionCell> {
        let code = self.code.try_clone().map_err(|error| {
            Failure::internal(format!("a connector's code cannot be handed on: {error}"))
                .next("see the limit of open files of this process")
        })?;
        let level = tracing::level_filters::LevelFilter::current().to_string();
        let traced = traces::are_sent();
        let serving = Serving { grants, guarded: self.guarded, level, traced };
        ConnectionCell::start(&self.program, code, serving, broker).await
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({} {})", self.manifest.name, self.digest.short())
    }
}

struct Refused {
    failure: Failure,
    /// When it is tried again; never where nothing can help.
    until: Option<Instant>,
}

/// What took too long is not tried again so soon: the machine may have been busy, but all who load a folder's
/// files wait for it.
const PAUSE: Duration = Duration::from_secs(600);

/// The connectors of this process.
#[derive(Clone)]
pub struct Loader(Arc<Inner>);

struct Inner {
    compiler: Compiler,
    /// What was refused, so that it does not cost everybody's time again.
    refused: Mutex<HashMap<Digest, Refused>>,
    /// One cell a digest, so that a component is compiled once however many ask for it.
    loaded: Mutex<HashMap<Digest, Arc<OnceCell<Arc<Connector>>>>>,
}

impl Loader {
    /// Compiled code is kept in `cache`, which is created.
    pub fn new(program: Program, cache: impl Into<PathBuf>) -> Result<Self> {
        Self::limited(program, cache, CompileLimits::default())
    }

    pub fn limited(
        program: Program,
        cache: impl Into<PathBuf>,
        limits: CompileLimits,
    ) -> Result<Self> {
        Ok(Self::with(Compiler::new(program, true, cache.into(), limits)?))
    }

    /// Connectors whose guests nobody stops, for the benchmark of what the guards cost. `cache` must be
    /// another one: its code lacks what a guarded guest is stopped by.
    pub fn unguarded(program: Program, cache: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self::with(Compiler::new(program, false, cache.into(), CompileLimits::default())?))
    }

    fn with(compiler: Compiler) -> Self {
        let (refused, loaded) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { compiler, refused, loaded }))
    }

    /// Loads a connector's file, compiling it unless that was done before.
    pub fn limits(&self) -> CompileLimits {
        self.0.compiler.limits()
    }

    pub async fn load_file(&self, path: &Path) -> Result<Arc<Connector>> {
        self.load(self.read(path).await?).await
    }

    /// Reads a connector's file, unless it is larger than what this loader compiles.
    pub async fn read(&self, path: &Path) -> Result<Candidate> {
        Candidate::read(path, self.0.compiler.limits()).await
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
            Err(Unloaded::Later(failure)) => {
                if failure.kind == Kind::TimedOut {
                    self.refuse(digest, &failure, Some(Instant::now() + PAUSE));
                }
                Err(failure)
            }
            Err(Unloaded::NoMemory) => {
                Err(Failure::internal("there is not enough memory to load a connector"))
            }
            Err(Unloaded::Refused(failure)) => {
                self.refuse(digest, &failure, None);
                Err(failure)
            }
        }
    }

    /// A connector that this process has loaded already.
    pub(crate) fn loaded(&self, digest: &Digest) -> Option<Arc<Connector>> {
        self.cell(digest).get().cloned()
    }

    fn refuse(&self, digest: Digest, failure: &Failure, until: Option<Instant>) {
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(digest, Refused { failure: failure.clone(), until });
    }

    fn refused(&self, digest: &Digest) -> Option<Failure> {
        let refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Refused { failure, until } = refused.get(digest)?;
        until.is_none_or(|until| Instant::now() < until).then(|| failure.clone())
    }

    fn cell(&self, digest: &Digest) -> Arc<OnceCell<Arc<Connector>>> {
        let mut loaded = self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.entry(digest.clone()).or_default().clone()
    }

    async fn prepare(&self, candidate: Candidate) -> Result<Arc<Connector>, Unloaded> {
        let compiler = &self.0.compiler;
        let at = candidate.path.display().to_string();
        let found = compiler.load(&candidate).await;
        let connector = match found.map_err(Unloaded::Later) {
            Ok(Found::Connector { inspection, description, code }) => {
                connector(&candidate, inspection, description, code, compiler)
            }
            Ok(Found::Not(unloaded)) | Err(unloaded) => Err(unloaded),
        };
        connector.map(Arc::new).map_err(|unloaded| unloaded.at_least(&at))
    }
}

/// What a cell says of a component is looked at again: a guest may have taken the cell over.
fn connector(
    candidate: &Candidate,
    inspection: Inspection,
    description: Description,
    code: File,
    compiler: &Compiler,
) -> Result<Connector, Unloaded> {
    let inspection = inspection.bounded();
    if !inspection.is_spoken() {
        let what = format!("the connector speaks contract {}", inspection.contract);
        return Err(Unloaded::Refused(Failure::new(Kind::Contract, what)));
    }
    let manifest = Manifest::of(description).map_err(|reason| {
        let what = format!("the connector describes itself wrongly: {reason}");
        let failure = Failure::new(Kind::Contract, what);
        Unloaded::Refused(failure.next("mend `describe` in the connector"))
    })?;
    Ok(Connector {
        bytes: candidate.bytes().len() as u64,
        digest: candidate.digest.clone(),
        inspection,
        manifest,
        code,
        program: compiler.program().clone(),
        guarded: compiler.is_guarded(),
    })
}
