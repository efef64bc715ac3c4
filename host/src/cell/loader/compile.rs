//! Has cells compile a component and ask it what it is, and keeps the code.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::cache::{self, New};
use super::candidate::Candidate;
use super::limits::{CompileLimits, over};
use crate::cell::outside::{Cell, Death, Program, blocking};
use crate::cell::protocol::{Job, Said};
use crate::cell::walls::Most;
use crate::connector::{Description, Inspection, Unloaded, code_version};
use crate::failure::{Failure, Kind, Result};
use crate::text::bytes;

/// Components that are compiled at the same time: each can take hundreds of megabytes.
const COMPILATIONS: usize = 1;
/// Connectors that say at the same time what they are.
const DESCRIPTIONS: usize = 4;
/// What that may take: both its start-up and `describe` have a limit of their own, which is told by name.
const DESCRIBING: Duration = Duration::from_secs(60);
/// The largest compiled code; code of the largest component that tools make is a quarter of it.
const MOST_CODE: u64 = 1 << 30;
const DESCRIPTORS: u64 = 64;

/// What came of a component.
pub(super) enum Found {
    Connector { inspection: Inspection, description: Description, code: File },
    Not(Unloaded),
}

pub(super) struct Compiler {
    program: Program,
    guarded: bool,
    /// What compiled code is called by, besides the component.
    version: u64,
    /// Where compiled code is kept.
    cache: PathBuf,
    limits: CompileLimits,
    compilations: Semaphore,
    descriptions: Semaphore,
}

impl Compiler {
    pub(super) fn new(
        program: Program,
        guarded: bool,
        cache: PathBuf,
        limits: CompileLimits,
    ) -> Result<Self> {
        let [compilations, descriptions] = [COMPILATIONS, DESCRIPTIONS].map(Semaphore::new);
        let version = code_version(guarded)?;
        Ok(Self { program, guarded, version, cache, limits, compilations, descriptions })
    }

    pub(super) fn program(&self) -> &Program {
        &self.program
    }

    pub(super) fn is_guarded(&self) -> bool {
        self.guarded
    }

    pub(super) fn limits(&self) -> CompileLimits {
        self.limits
    }

    /// What a component is, and its code. Fails where it is nobody's fault.
    pub(super) async fn load(&self, candidate: &Candidate) -> Result<Found> {
        if let Err(failure) = self.limits.allow(candidate.bytes().len() as u64) {
            return Ok(Found::Not(Unloaded::Refused(failure)));
        }
        let name = cache::name_of(&candidate.digest, self.version);
        if let Some(code) = cache::open(&self.cache, &name) {
            if let Some(found) = self.describe(candidate, code).await? {
                return Ok(found);
            }
            tracing::debug!(name, "compiled code does not fit and is made again");
        }
        let code = match self.compile(candidate, &name).await? {
            Ok(code) => code,
            Err(unloaded) => return Ok(Found::Not(unloaded)),
        };
        let found = self.describe(candidate, code).await?;
        Ok(found.unwrap_or_else(|| Found::Not(self.senseless("what it compiled is no code"))))
    }

    /// New code, in a cell that is gone before anything of it runs.
    async fn compile(&self, candidate: &Candidate, name: &str) -> Result<Result<File, Unloaded>> {
        let CompileLimits { compile_time, compile_memory, .. } = self.limits;
        let _turn = self.compilations.acquire().await;
        let new = New::begin(&self.cache, name).map_err(|error| no_file(&error))?;
        let file = new.file().try_clone().map_err(|error| no_file(&error))?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let most = Most {
            memory: compile_memory,
            cpu_seconds: compile_time.as_secs().saturating_add(1).saturating_mul(processors),
            file_bytes: MOST_CODE,
            descriptors: DESCRIPTORS,
        };
        let job = Job::Compile { most, guarded: self.guarded };
        let said = self.have_done(job, candidate, file, compile_time).await?;
        Ok(match said {
            Ok(Said::Compiled) => Ok(new.keep().map_err(|error| no_file(&error))?),
            Ok(Said::Not(unloaded)) => Err(self.told(unloaded)),
            Ok(_) => Err(self.senseless("it knows what has no code")),
            Err(Death::Cpu | Death::Late) => {
                let what = format!("the component was not compiled within {compile_time:?}");
                Err(Unloaded::Later(over(Kind::TimedOut, what, "compile_time")))
            }
            Err(death) => Err(self.ended(&death)),
        })
    }

    /// What the component says of itself; nothing where this is none of its code.
    async fn describe(&self, candidate: &Candidate, code: File) -> Result<Option<Found>> {
        let _turn = self.descriptions.acquire().await;
        let most = Most {
            memory: self.limits.compile_memory,
            cpu_seconds: DESCRIBING.as_secs(),
            file_bytes: 0,
            descriptors: DESCRIPTORS,
        };
        let job = Job::Describe { most, guarded: self.guarded };
        let file = code.try_clone().map_err(|error| no_file(&error))?;
        let said = self.have_done(job, candidate, file, DESCRIBING).await?;
        Ok(Some(match said {
            Ok(Said::Connector { inspection, description }) => {
                Found::Connector { inspection, description, code }
            }
            Ok(Said::NoCode) => return Ok(None),
            Ok(Said::Not(unloaded)) => Found::Not(self.told(unloaded)),
            Ok(Said::Compiled) => Found::Not(self.senseless("it compiled what was compiled")),
            Err(Death::Cpu | Death::Late) => {
                let what = format!("the connector did not say within {DESCRIBING:?} what it is");
                let failure = Failure::new(Kind::TimedOut, what);
                let next = "mend `describe` in the connector, or its start-up";
                Found::Not(Unloaded::Later(failure.next(next)))
            }
            Err(death) => Found::Not(self.ended(&death)),
        }))
    }

    async fn have_done(
        &self,
        job: Job,
        candidate: &Candidate,
        code: File,
        within: Duration,
    ) -> Result<Result<Said, Death>> {
        let (mut cell, leash) = Cell::start(&self.program).map_err(|error| {
            Failure::internal(format!("no process can be started for a connector: {error}"))
                .next("see the limits of this process; on Linux Sheaf needs /proc")
        })?;
        let candidate = candidate.clone();
        let work = move || {
            let component = shown(candidate.bytes())?;
            let told = cell.tell(&job, &[component.as_fd(), code.as_fd()]);
            Ok(told.and_then(|()| cell.hear(within)))
        };
        let said: io::Result<_> = blocking(work).await?;
        drop(leash);
        said.map_err(|error| no_file(&error))
    }

    /// What a cell says is told in words that it can have, whatever it says.
    fn told(&self, unloaded: Unloaded) -> Unloaded {
        match unloaded {
            Unloaded::NoMemory => self.ended(&Death::Memory),
            other => other.bounded(),
        }
    }

    fn senseless(&self, why: &str) -> Unloaded {
        self.ended(&Death::Other(format!("its answer makes no sense: {why}")))
    }

    fn ended(&self, death: &Death) -> Unloaded {
        match death {
            Death::Memory => {
                let what = format!(
                    "to load the component takes more memory than {}",
                    bytes(self.limits.compile_memory)
                );
                Unloaded::Refused(over(Kind::Limit, what, "compile_memory"))
            }
            Death::Other(how) => {
                let what = format!("the component broke the process that loads it ({how})");
                let next = "do not use it; if it is meant to work, report it with the component";
                Unloaded::Refused(Failure::new(Kind::Contract, what).next(next))
            }
            Death::Cpu | Death::Late | Death::Granted | Death::Machine(_) | Death::Unborn(_) => {
                let what = format!("the process that loads the component has ended: {death}");
                let next = "see whether this machine is short of memory or processes";
                Unloaded::Later(Failure::internal(what).next(next))
            }
        }
    }
}

fn no_file(error: &io::Error) -> Failure {
    Failure::internal(format!("no temporary file can be written: {error}"))
        .next("see that the disk is not full, and TMPDIR")
}

/// Bytes as a file without a name.
fn shown(bytes: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
