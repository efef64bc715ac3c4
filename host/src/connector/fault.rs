//! A fault that a connector reports, and what is done about it.

use std::time::Duration;

use crate::failure::Kind;

/// What the host shall do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    FixSettings,
    Reauthenticate,
    Retry,
    StartOver,
    GiveUp,
}

#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) remedy: Remedy,
    /// In the connector's words, which nobody has looked at.
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

/// What a function answers that may report a fault.
pub(super) type Faulty<T> = wasmtime::Result<Result<T, Fault>>;

impl Remedy {
    /// What kind of failure it makes, and what the operator can do.
    pub(super) fn means(self) -> (Kind, &'static str) {
        match self {
            Self::FixSettings => {
                (Kind::Settings, "correct the connection's settings, or what they name")
            }
            Self::Reauthenticate => (Kind::SourceUnauthorized, "renew the connection's credential"),
            Self::Retry => (Kind::Source, "it is tried again from the last checkpoint"),
            Self::StartOver => (Kind::StartOver, "the scope is crawled again from its beginning"),
            Self::GiveUp => (Kind::SourceGaveUp, "ask whoever maintains the connector"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_says_who_is_to_act() {
        for (remedy, kind, next) in [
            (Remedy::FixSettings, Kind::Settings, "settings"),
            (Remedy::Reauthenticate, Kind::SourceUnauthorized, "credential"),
            (Remedy::Retry, Kind::Source, "tried again"),
            (Remedy::StartOver, Kind::StartOver, "from its beginning"),
            (Remedy::GiveUp, Kind::SourceGaveUp, "maintains the connector"),
        ] {
            let (found, said) = remedy.means();
            assert_eq!(found, kind);
            assert!(said.contains(next), "{said}");
        }
    }
}
