//! One error type for everything an operator may read: what went wrong, where, and what to do next.
//!
//! The [`Kind`] decides the rest: the exit code, whether a retry can help, and the failure's type
//! name in Temporal. Texts are bounded, because they pass through Temporal's history, and clean, because
//! they quote strangers.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::redact::redacted;
use crate::text::{bounded, lines, one_line};

/// The longest text that leaves the process in one part of a failure.
const MAX_TEXT: usize = 2_000;
/// The longest detail: a guest's backtrace and the last 8 KiB of its stderr.
const MAX_DETAIL: usize = 16_000;
/// Nobody is left alone for longer, whatever a connector or a server asks for: a crawl that waits for
/// years holds its place for as long.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What sort of failure this is, as far as anyone has to act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Wrong command line, `sheaf.toml`, settings or grants.
    Settings,
    /// The file is not a connector this host can run.
    Contract,
    /// Glean or Temporal does not answer.
    Unreachable,
    /// Glean refused a request for good.
    Refused,
    /// Glean refused the token.
    Unauthorized,
    /// The connector asked to be tried again later.
    Source,
    /// The connector said that nothing will help.
    SourceGaveUp,
    /// The connector said that a credential must be renewed.
    SourceUnauthorized,
    /// The connector said that its checkpoint or bookmark is no longer valid.
    StartOver,
    /// The guest trapped.
    Trap,
    /// The guest used up a limit of its sandbox.
    Limit,
    /// A published connector is not what it should be, or not from whom.
    Untrusted,
    /// The guest wanted what it is not granted.
    Denied,
    /// A credential's secret cannot be had from where it is kept.
    Secret,
    /// The guest did not answer in time: its source may be slow today.
    TimedOut,
    /// Too many documents were quarantined.
    Quarantine,
    /// Something else is at work on the same datasource.
    Busy,
    /// A late copy of our own request replaced the upload session: the crawl has to begin again.
    SessionLost,
    /// A part of Sheaf's own state cannot be read.
    Damaged,
    /// Another attempt at the same part of a crawl writes its journal now.
    TakenOver,
    /// Stopped from outside; resumed from its checkpoint.
    Interrupted,
    /// What its guests were granted has changed: it begins again with what they are granted now.
    Regranted,
    /// The store cannot be reached from here, or does not let us: another worker may fare better.
    Store,
    /// Anything else; a defect of Sheaf's if it is seen.
    Internal,
}

impl Kind {
    /// The exit code of a command that ends with this failure.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Settings | Self::Contract | Self::Denied | Self::Untrusted | Self::Secret => 2,
            Self::Unreachable => 3,
            Self::Refused
            | Self::Unauthorized
            | Self::Source
            | Self::SourceGaveUp
            | Self::SourceUnauthorized
            | Self::StartOver => 4,
            Self::Trap
            | Self::Limit
            | Self::TimedOut
            | Self::Quarantine
            | Self::Busy
            | Self::SessionLost
            | Self::Damaged
            | Self::TakenOver
            | Self::Regranted
            | Self::Store
            | Self::Internal => 1,
            Self::Interrupted => 130,
        }
    }

    /// Whether trying again, with nothing changed by a person, can succeed.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Source
                | Self::StartOver
                | Self::Trap
                | Self::TimedOut
                | Self::Secret
                | Self::TakenOver
                | Self::Regranted
                | Self::Store
                | Self::Internal
        )
    }

    /// Whether the source may just be away.
    pub fn is_away(self) -> bool {
        matches!(self, Self::Source | Self::TimedOut)
    }

    /// The failure's type name in Temporal.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Settings => "Settings",
            Self::Contract => "Contract",
            Self::Unreachable => "Unreachable",
            Self::Refused => "Refused",
            Self::Unauthorized => "Unauthorized",
            Self::Source => "Source",
            Self::SourceGaveUp => "SourceGaveUp",
            Self::SourceUnauthorized => "SourceUnauthorized",
            Self::StartOver => "StartOver",
            Self::Trap => "Trap",
            Self::Limit => "Limit",
            Self::Denied => "Denied",
            Self::Untrusted => "Untrusted",
            Self::Secret => "Secret",
            Self::TimedOut => "TimedOut",
            Self::Quarantine => "Quarantine",
            Self::Busy => "Busy",
            Self::SessionLost => "SessionLost",
            Self::Damaged => "Damaged",
            Self::TakenOver => "TakenOver",
            Self::Interrupted => "Interrupted",
            Self::Regranted => "Regranted",
            Self::Store => "Store",
            Self::Internal => "Internal",
        }
    }
}

/// A failure in words an operator can act on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: Kind,
    /// One sentence: what went wrong.
    pub what: String,
    /// The file and key, connection, or document id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// What only `-v` shows: a guest's backtrace and stderr, an answer's body.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// How long the other side asked to be left alone.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "pause")]
    pub retry_after: Option<Duration>,
}

/// What an earlier version wrote down is no longer than what this one would.
fn pause<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let asked: Option<Duration> = Option::deserialize(deserializer)?;
    Ok(asked.map(|asked| asked.min(LONGEST_PAUSE)))
}

impl Failure {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        let what = clean(what.into(), one_line, MAX_TEXT);
        Self { kind, what, at: None, next: None, detail: None, retry_after: None }
    }

    pub fn settings(what: impl Into<String>) -> Self {
        Self::new(Kind::Settings, what)
    }

    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Kind::Internal, what)
    }

    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Self {
        self.at = Some(clean(at.into(), one_line, MAX_TEXT));
        self
    }

    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(clean(next.into(), one_line, MAX_TEXT));
        self
    }

    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        let detail = clean(detail.into(), lines, MAX_DETAIL);
        self.detail = (!detail.trim().is_empty()).then_some(detail);
        self
    }

    #[must_use]
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after.map(|after| after.min(LONGEST_PAUSE));
        self
    }

    /// The same as if it was made here: one that another process wrote may hold anything.
    #[must_use]
    pub fn bounded(self) -> Self {
        let Self { kind, what, at, next, detail, retry_after } = self;
        let mut made = Self::new(kind, what).retry_after(retry_after);
        if let Some(at) = at {
            made = made.at(at);
        }
        if let Some(next) = next {
            made = made.next(next);
        }
        match detail {
            Some(detail) => made.detail(detail),
            None => made,
        }
    }

    /// Whether a person would read the same twice.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.kind == other.kind && self.what == other.what
    }

    /// Names the place, unless a nearer one is named already.
    #[must_use]
    pub fn at_least(mut self, at: impl FnOnce() -> String) -> Self {
        if self.at.is_none() {
            self = self.at(at());
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(at) = &self.at {
            write!(f, " ({at})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// Without secrets and what nobody sees, and bounded.
fn clean(text: String, seen: fn(&str) -> Cow<'_, str>, most: usize) -> String {
    let text = redacted(text);
    let text = match seen(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
    };
    bounded(text, most)
}

/// The innermost cause of an error, which says most.
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_says_in_a_failure_is_one_line_and_its_detail_several() {
        let said = "gone\nerror: sheaf is broken\u{1b}[2J\u{202e}";
        let failure = Failure::new(Kind::Source, said).at(said).next(said).detail(said);
        let one = r"gone error: sheaf is broken\u{1b}[2J\u{202e}";
        assert_eq!(failure.to_string(), format!("{one} ({one})"));
        assert_eq!(failure.next.as_deref(), Some(one));
        let several = "gone\nerror: sheaf is broken\\u{1b}[2J\\u{202e}";
        assert_eq!(failure.detail.as_deref(), Some(several));
    }

    #[test]
    fn nobody_is_left_alone_for_longer_than_an_hour() {
        let asks = |seconds| {
            let after = Some(Duration::from_secs(seconds));
            Failure::new(Kind::StartOver, "later").retry_after(after)
        };
        assert_eq!(asks(60).retry_after, Some(Duration::from_secs(60)));
        assert_eq!(asks(u64::from(u32::MAX)).retry_after, Some(LONGEST_PAUSE));
        // An earlier version may have written down another.
        let mut kept = serde_json::to_value(asks(60)).expect("JSON");
        kept["retry_after"]["secs"] = u64::MAX.into();
        let read: Failure = serde_json::from_value(kept).expect("a failure");
        assert_eq!(read.retry_after, Some(LONGEST_PAUSE));
    }
}
