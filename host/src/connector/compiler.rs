//! Makes code of a component, and asks that code what it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::component::Component;

use super::call::CallError;
use super::engine::Engine;
use super::grants::{Given, Grants};
use super::manifest::Description;
use super::runnable::Runnable;
use crate::failure::{Failure, Kind, Result};
use crate::sandbox::Limits;
use crate::text::bounded;

/// Why a component was not loaded, and so whether it is worth another try.
#[derive(Debug, Serialize, Deserialize)]
pub enum Unloaded {
    /// It is no connector for this host, however often it is tried.
    Refused(Failure),
    /// It may be one: it was not tried to the end.
    Later(Failure),
    /// There was not enough memory to find out.
    NoMemory,
}

impl Unloaded {
    /// Names the place, unless a nearer one is named already.
    #[must_use]
    pub(crate) fn at_least(self, at: &str) -> Self {
        match self {
            Self::Refused(failure) => Self::Refused(failure.at_least(|| at.to_owned())),
            Self::Later(failure) => Self::Later(failure.at_least(|| at.to_owned())),
            Self::NoMemory => Self::NoMemory,
        }
    }

    /// The same in the words of the host, whatever it was made of.
    #[must_use]
    pub(crate) fn bounded(self) -> Self {
        match self {
            Self::Refused(failure) => Self::Refused(of_a_component(failure)),
            Self::Later(failure) => Self::Later(of_a_component(failure)),
            Self::NoMemory => Self::NoMemory,
        }
    }
}

impl From<CallError> for Unloaded {
    fn from(error: CallError) -> Self {
        match error {
            CallError::TooSlow(failure) => Self::Later(failure),
            CallError::Failed(failure) => Self::Refused(failure),
        }
    }
}

pub struct Compiler(Engine);

impl Compiler {
    /// Code of an engine that is not guarded serves a benchmark only.
    pub fn new(guarded: bool) -> Result<Self> {
        Ok(Self(if guarded { Engine::new()? } else { Engine::unguarded()? }))
    }

    /// What is wrong with a component that has no code.
    pub fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Unloaded> {
        self.0.wasmtime().precompile_component(component).map_err(|error| {
            unloaded("the component does not compile", &error, "build or download it again")
        })
    }

    /// The component of this code; nothing where it is none of this program's.
    pub fn load(&self, code: &[u8]) -> Result<Option<Component>, Unloaded> {
        match self.component(code) {
            Ok(component) => Ok(Some(component)),
            Err(error) if lacks_memory(&error) => Err(Unloaded::NoMemory),
            Err(_) => Ok(None),
        }
    }

    /// Holds a component against the contract.
    pub(crate) fn runnable(&self, component: &Component) -> Result<Runnable, Unloaded> {
        Runnable::new(&self.0, component).map_err(|error| {
            let next = "rebuild it against Sheaf's `wit/`; `sheaf inspect` lists its imports";
            unloaded("the connector does not fit the contract", &error, next)
        })
    }

    /// What a connector says of itself. It is granted nothing.
    pub async fn describe(&self, component: &Component) -> Result<Description, Unloaded> {
        let grants = Arc::new(Grants::none("describe", Limits::for_describe()));
        let given = Given { grants, egress: None, usage: Arc::default(), requests: Arc::default() };
        let mut guest = self.runnable(component)?.start_or_say_why(given).await?;
        Ok(guest.describe().await?)
    }

    #[allow(unsafe_code)]
    fn component(&self, code: &[u8]) -> wasmtime::Result<Component> {
        // SAFETY: a cell made it of this very component, and it was kept where nobody else can write. A
        // component that has taken over its compiler could have written anything there: it would have this
        // cell, which is as walled in as the one before.
        unsafe { Component::deserialize(self.0.wasmtime(), code) }
    }
}

/// A failure of a sort that a component can have: others decide about crawls.
fn of_a_component(failure: Failure) -> Failure {
    let kind = match failure.kind {
        kind @ (Kind::Contract | Kind::Limit | Kind::TimedOut | Kind::Trap | Kind::Denied) => kind,
        _ => Kind::Internal,
    };
    Failure { kind, retry_after: None, ..failure.bounded() }
}

/// Wasmtime refused it.
fn unloaded(what: &str, error: &wasmtime::Error, next: &str) -> Unloaded {
    if lacks_memory(error) {
        return Unloaded::NoMemory;
    }
    let failure = Failure::new(Kind::Contract, format!("{what}: {}", first_line(error)));
    Unloaded::Refused(failure.detail(format!("{error:#}")).next(next))
}

fn lacks_memory(error: &wasmtime::Error) -> bool {
    let of_the_system = |error: &std::io::Error| error.kind() == std::io::ErrorKind::OutOfMemory;
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(of_the_system)
            || cause.downcast_ref::<rustix::io::Errno>() == Some(&rustix::io::Errno::NOMEM)
            || cause.is::<wasmtime::error::OutOfMemory>()
    })
}

/// The innermost cause, which says most.
fn first_line(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    bounded(cause.lines().next().unwrap_or("no reason given").to_owned(), 300)
}
