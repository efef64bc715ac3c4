//! How a crawl ended.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::progress::{Counts, Quarantined};
use super::request::ModeName;
use super::undefined::Undefined;
use crate::clock::{Timestamp, to_milliseconds};
use crate::connector::Digest;
use crate::ledger::{AccessShifts, Sample};
use crate::name::{ConnectionName, UploadId};
use crate::text::{bounded, count};

/// How a whole crawl ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything was read and uploaded, and Glean was told to delete the rest.
    Complete,
    /// Not everything could be read: what was uploaded stays, and nothing was deleted.
    Partial,
    /// A person has to look before anything is deleted.
    Held,
    Failed,
}

impl Outcome {
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Partial | Self::Held => 5,
            Self::Failed => 1,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Held => "held",
            Self::Failed => "failed",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a crawl ended: what `sync --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlResult {
    pub connection: ConnectionName,
    pub datasource: String,
    pub mode: ModeName,
    pub outcome: Outcome,
    pub upload_id: UploadId,
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
    /// Of the changed ones, how many may be found by others than before.
    #[serde(default)]
    pub access: Box<AccessShifts>,
    pub quarantined: u64,
    pub access_unknown: u64,
    /// Groups and users that documents name and nobody told Glean of.
    #[serde(default)]
    pub undefined: Box<Undefined>,
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
    /// The next full crawl, within 12 hours of its end, resumes what is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub resumable: bool,
    /// Why it is not complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub quarantine: Vec<Quarantined>,
    /// What waits for an approval.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held: Option<AwaitingApproval>,
    /// How its users and groups stand, where that is not well: they are told before the documents, and stop none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identities: Option<Outcome>,
}

impl CrawlResult {
    /// 0 where the crawl is complete, and nothing of users and groups waits or is missing.
    pub fn exit_code(&self) -> u8 {
        match self.outcome.exit_code() {
            0 if self.identities.is_some() => Outcome::Partial.exit_code(),
            code => code,
        }
    }

    /// What a crawl came to, before it is known what was different from before.
    pub fn new(
        plan: &Plan,
        outcome: Outcome,
        total: &Counts,
        seconds: f64,
        reasons: &[String],
    ) -> Self {
        Self {
            connection: plan.connection.clone(),
            datasource: plan.datasource.clone(),
            mode: plan.mode,
            outcome,
            upload_id: plan.upload_id.clone(),
            connector: plan.connector.clone(),
            digest: plan.digest.clone(),
            documents: total.documents,
            added: 0,
            changed: 0,
            unchanged: 0,
            deleted: total.deleted,
            access: Box::default(),
            quarantined: total.quarantined,
            access_unknown: total.access_unknown,
            undefined: total.undefined.clone(),
            batches: total.batches,
            bytes: total.bytes,
            cpu_ms: total.cpu_ms,
            memory: total.memory,
            seconds: to_milliseconds(seconds),
            ended_at: Timestamp::now(),
            resumable: false,
            reason: joined(reasons),
            quarantine: total.samples.clone(),
            held: None,
            identities: None,
        }
    }
}

/// A deletion that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AwaitingApproval {
    /// What an approval has to name.
    #[serde(default)]
    pub upload_id: UploadId,
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

impl AwaitingApproval {
    /// The command that approves what is shown here, and nothing else.
    pub fn command(&self, connection: &str) -> String {
        let Self { upload_id, would_go, .. } = self;
        format!("sheaf approve {connection} --upload {upload_id} --deletes {would_go}")
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
