//! Why a component was not loaded, and so whether it is worth another try.

use crate::connector::call::CallError;
use crate::failure::{Failure, Kind};
use crate::text::bounded;

pub(super) enum Unloaded {
    /// It is no connector for this host, however often it is tried.
    Refused(Failure),
    /// It may be one: it was not tried to the end.
    Later(Failure),
}

impl Unloaded {
    /// Wasmtime refused it.
    pub(super) fn refused(what: &str, error: &wasmtime::Error, next: &str) -> Self {
        let failure = Failure::new(Kind::Contract, format!("{what}: {}", first_line(error)));
        Self::Refused(failure.detail(format!("{error:#}")).next(next))
    }

    /// Names the place, unless a nearer one is named already.
    pub(super) fn at_least(self, at: &str) -> Self {
        match self {
            Self::Refused(failure) => Self::Refused(failure.at_least(|| at.to_owned())),
            Self::Later(failure) => Self::Later(failure.at_least(|| at.to_owned())),
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

/// The innermost cause, which says most.
fn first_line(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    bounded(cause.lines().next().unwrap_or("no reason given").to_owned(), 300)
}
