//! Whose fault it is that a scope's crawl stopped.

use crate::failure::{Failure, Kind};
use crate::{glean, ledger};

/// It is told by where the failure comes from, not by its kind: a feed that is not there and a
/// connection without settings are both settings that are wrong.
#[derive(Debug)]
pub enum Stopped {
    /// The source's, as this scope shows it: another scope may well be read.
    Scope(Failure),
    /// Glean's, the store's, the connection's or a person's: the next scope would meet the same.
    Crawl(Failure),
}

pub type Result<T> = std::result::Result<T, Stopped>;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Scope(failure) | Self::Crawl(failure)) = self;
        failure.fmt(f)
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Crawl(failure)
    }
}

impl From<glean::Error> for Stopped {
    fn from(error: glean::Error) -> Self {
        Self::Crawl(error.into())
    }
}

impl From<ledger::Error> for Stopped {
    fn from(error: ledger::Error) -> Self {
        Self::Crawl(error.into())
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Scope(failure) | Stopped::Crawl(failure) => failure,
        }
    }
}

pub fn interrupted() -> Failure {
    Failure::new(Kind::Interrupted, "the crawl was interrupted")
        .next("run it again: it is resumed from its checkpoint")
}

impl Stopped {
    /// What a guest, or a check of what it delivered, ended with.
    pub fn of_guest(failure: Failure) -> Self {
        match failure.kind {
            // Whoever keeps the secret is no part of the source, and whoever grants neither.
            Kind::Secret | Kind::Regranted => Self::Crawl(failure),
            _ => Self::Scope(failure),
        }
    }

    #[must_use]
    pub fn map(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Self::Scope(failure) => Self::Scope(change(failure)),
            Self::Crawl(failure) => Self::Crawl(change(failure)),
        }
    }
}
