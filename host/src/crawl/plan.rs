//! What a crawl does, and how it ended: what travels between processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lease::Who;
use super::progress::{Counts, Outcome, Quarantined};
use crate::clock::Timestamp;
use crate::connector::Digest;
use crate::document::{Mode, Scope};
use crate::ledger::Sample;
use crate::ledger::run::Run;
use crate::text::{bounded, count};

/// Which crawl is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    #[default]
    Full,
    Incremental,
}

impl std::fmt::Display for ModeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// What a crawl does, fixed when it begins: a connector or bookmark that changes meanwhile is the
/// next crawl's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub connection: String,
    pub datasource: String,
    /// Name and version, for people.
    pub connector: String,
    pub digest: Digest,
    pub mode: ModeName,
    pub upload_id: String,
    /// The Glean it uploads to: a worker that uploads elsewhere must not touch it.
    #[serde(default)]
    pub glean: String,
    pub scopes: Vec<Scope>,
    /// Incremental crawls: where each scope begins.
    #[serde(default)]
    pub bookmarks: BTreeMap<String, String>,
    /// The session was opened by an empty page, for several scopes to share.
    pub opened: bool,
    /// The ledger when it began.
    #[serde(default)]
    pub runs: Vec<Run>,
    /// Incremental crawls: the session of a full crawl that waits for approval.
    #[serde(default)]
    pub beside: Option<String>,
    /// Who runs it; nothing where an earlier version began it.
    #[serde(default)]
    pub who: Option<Who>,
}

impl Plan {
    pub fn scope_mode(&self, scope: &str) -> Mode {
        match (self.mode, self.bookmarks.get(scope)) {
            (ModeName::Incremental, Some(bookmark)) => {
                Mode::Incremental { bookmark: bookmark.clone() }
            }
            _ => Mode::Full,
        }
    }

    pub fn is_workflows(&self) -> bool {
        matches!(self.who, Some(Who::Workflow { .. }))
    }

    /// What of it travels through Temporal.
    pub fn travels(&self) -> CrawlRef {
        CrawlRef {
            connection: self.connection.clone(),
            datasource: self.datasource.clone(),
            connector: self.connector.clone(),
            digest: self.digest.clone(),
            mode: self.mode,
            upload_id: self.upload_id.clone(),
            glean: self.glean.clone(),
            who: self.who.clone(),
            opened: self.opened,
            scopes: Scopes::Count(self.scopes.len()),
            estimate: self.scopes.iter().map(|scope| scope.documents).sum(),
        }
    }

    pub fn result(
        &self,
        outcome: Outcome,
        total: &Counts,
        seconds: f64,
        reasons: &[String],
    ) -> CrawlResult {
        CrawlResult {
            connection: self.connection.clone(),
            datasource: self.datasource.clone(),
            mode: self.mode,
            outcome,
            upload_id: self.upload_id.clone(),
            connector: self.connector.clone(),
            digest: self.digest.clone(),
            documents: total.documents,
            added: 0,
            changed: 0,
            unchanged: 0,
            deleted: total.deleted,
            quarantined: total.quarantined,
            access_unknown: total.access_unknown,
            batches: total.batches,
            bytes: total.bytes,
            cpu_ms: total.cpu_ms,
            memory: total.memory,
            seconds: (seconds * 1000.0).round() / 1000.0,
            ended_at: Timestamp::now(),
            resumable: false,
            reason: joined(reasons),
            quarantine: total.samples.clone(),
            held: None,
        }
    }
}

/// A crawl as it travels: small, however many scopes it has. They and all else are in its journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlRef {
    pub connection: String,
    pub datasource: String,
    pub connector: String,
    pub digest: Digest,
    pub mode: ModeName,
    pub upload_id: String,
    #[serde(default)]
    pub glean: String,
    /// Who runs it.
    #[serde(default)]
    pub who: Option<Who>,
    /// Read by workers of earlier versions only.
    #[serde(default)]
    opened: bool,
    pub scopes: Scopes,
    /// The connector's estimate of its documents, where it has one of each scope.
    #[serde(default)]
    pub estimate: Option<u64>,
}

/// The scopes of a crawl that travels.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scopes {
    /// How many there are: activities take ranges of them.
    Count(usize),
    /// Each, as earlier versions sent them; each was an activity of its own.
    Listed(Vec<Scope>),
}

impl Scopes {
    pub fn count(&self) -> usize {
        match self {
            Self::Count(count) => *count,
            Self::Listed(scopes) => scopes.len(),
        }
    }
}

impl CrawlRef {
    /// The same for a workflow of an earlier version, which crawls each scope for itself.
    #[must_use]
    pub fn listing(self, scopes: Vec<Scope>) -> Self {
        Self { scopes: Scopes::Listed(scopes), ..self }
    }
}

/// The longest text that several reasons make together.
const MAX_REASONS: usize = 2_000;

/// Reasons as one text. Where there are too many, the others are counted.
pub fn joined(reasons: &[String]) -> Option<String> {
    let (first, others) = reasons.split_first()?;
    let mut text = bounded(first.clone(), MAX_REASONS);
    for (at, reason) in others.iter().enumerate() {
        if text.len() + reason.len() > MAX_REASONS {
            let more = count((others.len() - at) as u64, "other reason");
            return Some(format!("{text}; and {more}"));
        }
        text.push_str("; ");
        text.push_str(reason);
    }
    Some(text)
}

/// Reasons that are listed one by one; where there are too many, the last says how many are left out.
pub fn listed(mut reasons: Vec<String>) -> Vec<String> {
    const MOST: usize = 20;
    let more = reasons.len().saturating_sub(MOST);
    reasons.truncate(MOST);
    reasons = reasons.into_iter().map(|reason| bounded(reason, 500)).collect();
    if more > 0 {
        reasons.push(format!("and {}", count(more as u64, "other reason")));
    }
    reasons
}

/// How a crawl ended: what `sync --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlResult {
    pub connection: String,
    pub datasource: String,
    pub mode: ModeName,
    pub outcome: Outcome,
    pub upload_id: String,
    pub connector: String,
    pub digest: Digest,
    /// Documents uploaded, each counted once.
    pub documents: u64,
    /// Of these, how many Glean had not, or had with another content. Full crawls only.
    #[serde(default)]
    pub added: u64,
    #[serde(default)]
    pub changed: u64,
    #[serde(default)]
    pub unchanged: u64,
    pub deleted: u64,
    pub quarantined: u64,
    pub access_unknown: u64,
    pub batches: u64,
    pub bytes: u64,
    /// Time that the guests computed, in milliseconds, and the most memory that one of them had, in
    /// bytes: what to set limits by.
    #[serde(default)]
    pub cpu_ms: u64,
    #[serde(default)]
    pub memory: u64,
    pub seconds: f64,
    #[serde(default)]
    pub ended_at: Timestamp,
    /// The next full crawl, within 12 hours of its end, goes on with what is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub resumable: bool,
    /// Why it is not complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub quarantine: Vec<Quarantined>,
    /// What waits for an approval.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held: Option<Waiting>,
}

/// A deletion that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// What an approval has to name.
    #[serde(default)]
    pub upload_id: String,
    /// Documents that would be deleted, of how many.
    pub would_go: u64,
    pub of: u64,
    pub reasons: Vec<String>,
    /// Some of them.
    pub samples: Vec<Sample>,
    /// Afterwards nothing is deleted.
    pub until: Timestamp,
    /// How long that is from the crawl's end.
    pub wait_seconds: u64,
}

impl Waiting {
    /// The command that approves what is shown here, and nothing else.
    pub fn command(&self, connection: &str) -> String {
        let Self { upload_id, would_go, .. } = self;
        format!("sheaf approve {connection} --upload {upload_id} --deletes {would_go}")
    }
}

/// What a person, or nobody, said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Approve,
    Reject,
    /// Nobody answered in time.
    Expire,
}
