//! How connections stand, as far as it is shown: little of each, because it stays in memory.

use std::time::Duration;

use super::schedules::{Kind, Rhythm};
use crate::cell::Connector;
use crate::clock::Timestamp;
use crate::crawl::connection_state::ConnectionState;
use crate::crawl::history::History;
use crate::crawl::result::{CrawlResult, Outcome};
use crate::crawl::status::{State, Status};
use crate::crawl::{Connection, ModeName, kept_changes};
use crate::failure::Failure;
use crate::registry::lock::Locked;
use crate::text::{bounded_str, one_line};

/// The longest reason that is shown, in bytes.
const REASON: usize = 500;

/// All connections, as they were at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) at: Timestamp,
    pub(super) connections: Vec<SeenConnection>,
    /// Why Temporal's schedules are not known.
    pub(super) no_schedules: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct SeenConnection {
    pub(super) name: String,
    pub(super) datasource: String,
    pub(super) connector: SeenConnector,
    pub(super) state: State,
    /// What there is to say first.
    pub(super) headline: String,
    pub(super) kinds: Vec<SeenKind>,
    pub(super) held: Option<Held>,
    /// Changes that Glean refuses.
    pub(super) refused: usize,
    pub(super) notes: Vec<String>,
    /// Of the last full crawl.
    pub(super) full: Option<OfFull>,
    pub(super) ledger_bytes: u64,
    /// Somebody crawls it now.
    pub(super) at_work: bool,
}

/// The connector of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenConnector {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) digest: String,
    pub(super) signer: String,
    /// Why it cannot be loaded.
    pub(super) failure: Option<String>,
}

/// The crawls of one kind.
#[derive(Clone, Debug)]
pub(super) struct SeenKind {
    pub(super) kind: Kind,
    pub(super) rhythm: Option<Rhythm>,
    /// When the last complete one ended; of identities, when it began.
    pub(super) complete: Option<Timestamp>,
    pub(super) last: Option<Last>,
    /// In a row.
    pub(super) failures: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) outcome: Outcome,
    pub(super) ended: Timestamp,
    pub(super) documents: u64,
}

/// What waits for a person.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) since: Timestamp,
    pub(super) why: String,
    pub(super) command: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OfFull {
    pub(super) documents: u64,
    pub(super) quarantined: u64,
    pub(super) access_unknown: u64,
    pub(super) memory: u64,
}

impl OfFull {
    fn of(result: &CrawlResult) -> Self {
        let CrawlResult { documents, quarantined, access_unknown, memory, .. } = *result;
        Self { documents, quarantined, access_unknown, memory }
    }
}

impl SeenConnector {
    pub(super) fn of(connector: &Connector, locked: Option<&Locked>) -> Self {
        let signer = locked.and_then(|locked| locked.signer.as_ref());
        Self {
            name: connector.manifest.name.clone(),
            version: connector.manifest.version.clone(),
            digest: connector.digest.short().to_owned(),
            signer: signer.map_or_else(String::new, |id| id.short().to_owned()),
            failure: None,
        }
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.failure.is_none() && !self.digest.is_empty()
    }

    pub(super) fn failed(named: &str, failure: &Failure) -> Self {
        Self { name: named.to_owned(), failure: Some(failure.to_string()), ..Self::default() }
    }
}

impl SeenConnection {
    pub(super) fn of(
        connection: &Connection,
        connector: SeenConnector,
        status: &Status,
        rhythms: impl Fn(Kind) -> Option<Rhythm>,
        ledger_bytes: u64,
    ) -> Self {
        let name = connection.name.to_string();
        let kept = &status.kept;
        let kinds = Kind::ALL.into_iter().filter_map(|kind| kind_of(kept, kind, rhythms(kind)));
        Self {
            datasource: connection.datasource.clone(),
            connector,
            state: status.state(connection.identities_max_age),
            headline: status
                .standing()
                .words(&|reason| one_line(bounded_str(reason, REASON)).into_owned()),
            kinds: kinds.collect(),
            held: held(status, &name),
            refused: status.refused().count(),
            notes: kept_changes::notes(kept, &name),
            full: kept.history.full.last.as_ref().map(OfFull::of),
            ledger_bytes,
            at_work: status.at_work,
            name,
        }
    }

    /// What cannot be read now stands as it stood, but for its state and why.
    pub(super) fn or_as_it_was(self, before: &Seen) -> Self {
        let known = before.connections.iter().find(|one| one.name == self.name);
        match known.filter(|_| self.state == State::Unreadable) {
            Some(known) => Self {
                state: self.state,
                headline: self.headline,
                connector: self.connector,
                ..known.clone()
            },
            None => self,
        }
    }

    /// Nothing of it can be read.
    pub(super) fn unreadable(
        connection: &Connection,
        connector: SeenConnector,
        why: &Failure,
    ) -> Self {
        Self {
            name: connection.name.to_string(),
            datasource: connection.datasource.clone(),
            connector,
            state: State::Unreadable,
            headline: why.to_string(),
            kinds: Vec::new(),
            held: None,
            refused: 0,
            notes: Vec::new(),
            full: None,
            ledger_bytes: 0,
            at_work: false,
        }
    }
}

/// Nothing where such crawls are neither scheduled nor ever ended.
fn kind_of(kept: &ConnectionState, kind: Kind, rhythm: Option<Rhythm>) -> Option<SeenKind> {
    let seen = if let Some(mode) = kind.mode() {
        let of = kept.history.of(mode);
        let last = of.last.as_ref().map(|last| Last {
            outcome: last.outcome,
            ended: last.ended_at,
            documents: last.documents,
        });
        let complete = complete(&kept.history, kind);
        let failures = of.failing.as_ref().map_or(0, |failing| failing.times);
        SeenKind { kind, rhythm, complete, last, failures }
    } else {
        let standing = &kept.identities;
        let last = standing.last.as_ref().map(|last| Last {
            outcome: last.outcome,
            ended: last.ended_at,
            documents: 0,
        });
        let failures = standing.failing.as_ref().map_or(0, |failing| failing.times);
        SeenKind { kind, rhythm, complete: standing.as_of, last, failures }
    };
    let is_there = seen.rhythm.is_some() || seen.last.is_some() || seen.failures > 0;
    is_there.then_some(seen)
}

/// A full crawl does all that an incremental one would have.
fn complete(history: &History, kind: Kind) -> Option<Timestamp> {
    match kind {
        Kind::Incremental => {
            history.complete(ModeName::Incremental).max(history.complete(ModeName::Full))
        }
        _ => history.complete(ModeName::Full),
    }
}

fn held(status: &Status, connection: &str) -> Option<Held> {
    if let Some(waiting) = &status.waiting {
        let wait = Duration::from_secs(waiting.wait_seconds);
        return Some(Held {
            since: waiting.until - wait,
            why: format!(
                "{} of {} documents would be deleted: {}",
                waiting.would_go,
                waiting.of,
                waiting.reasons.join("; ")
            ),
            command: waiting.command(connection),
        });
    }
    let held = status.kept.identities.held.as_ref()?;
    let reasons = held.reasons.iter().map(ToString::to_string).collect::<Vec<_>>();
    Some(Held {
        since: held.since,
        why: format!("users and groups: {}", reasons.join("; ")),
        command: format!("sheaf approve {connection} --identities --upload {}", held.upload_id),
    })
}
