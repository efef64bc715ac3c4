//! What a crawl does, fixed when it begins, and what of it travels between processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::census::Counted;
use super::lease::{Coordinator, Who};
use super::request::ModeName;
use crate::clock::Timestamp;
use crate::connector::Digest;
use crate::document::{Mode, Scope};
use crate::ledger::run::Run;
use crate::name::{ConnectionName, UploadId};

/// What a crawl does, fixed when it begins: a connector or bookmark that changes meanwhile is the
/// next crawl's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub connection: ConnectionName,
    pub datasource: String,
    /// Name and version, for people.
    pub connector: String,
    pub digest: Digest,
    pub mode: ModeName,
    pub upload_id: UploadId,
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
    pub beside: Option<UploadId>,
    /// Who runs it; nothing where an earlier version began it.
    #[serde(default)]
    pub who: Option<Who>,
    /// Users and groups are told before its documents.
    #[serde(default)]
    pub identities: bool,
    /// It is only read, and nothing is sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub planned: bool,
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

    /// What takes its steps. Earlier versions did not say, and only a process resumes those.
    pub fn coordinator(&self) -> Coordinator {
        self.who.as_ref().map_or(Coordinator::Process, Who::coordinator)
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
            identities: self.identities,
            scopes: Scopes::Count(self.scopes.len()),
            estimate: self.scopes.iter().try_fold(0, |sum: u64, scope| {
                // A connector may name any number.
                Some(sum.saturating_add(scope.documents?))
            }),
        }
    }
}

/// A crawl as it travels: small, however many scopes it has. They and all else are in its journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlRef {
    pub connection: ConnectionName,
    pub datasource: String,
    pub connector: String,
    pub digest: Digest,
    pub mode: ModeName,
    pub upload_id: UploadId,
    #[serde(default)]
    pub glean: String,
    /// Who runs it.
    #[serde(default)]
    pub who: Option<Who>,
    /// Read by workers of earlier versions only.
    #[serde(default)]
    opened: bool,
    /// Users and groups are told before its documents.
    #[serde(default)]
    pub identities: bool,
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

/// What the journal of a crawl begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begun {
    pub plan: Plan,
    /// A digest of the settings: a crawl with other settings is not resumed.
    pub settings: String,
    pub by: String,
    pub at: Timestamp,
    /// Full crawls: what Glean counted before it uploaded anything.
    #[serde(default)]
    pub counted: Option<Counted>,
    /// Glean was still at work on the end of the last full crawl.
    #[serde(default)]
    pub settling: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_of_any_size_add_up_where_each_scope_has_one() {
        let estimate = |estimates: &[Option<u64>]| {
            let scope = |documents: &Option<u64>| serde_json::json!({ "id": "a", "title": "A", "documents": documents });
            let plan: Plan = serde_json::from_value(serde_json::json!({
                "connection": "c", "datasource": "c", "connector": "c 1", "digest": Digest::of(b""),
                "mode": "full", "upload_id": "u", "opened": false,
                "scopes": estimates.iter().map(scope).collect::<Vec<_>>(),
            }))
            .expect("a plan");
            plan.travels().estimate
        };
        assert_eq!(estimate(&[Some(1), Some(2)]), Some(3));
        assert_eq!(estimate(&[Some(1), None]), None);
        assert_eq!(estimate(&[Some(u64::MAX), Some(u64::MAX)]), Some(u64::MAX));
    }
}
