//! Changes of single documents that are not done yet: deletions and changes of access that Glean has
//! refused, and those that the end of a session may undo.
//!
//! An incremental crawl reports a deletion, or that somebody may no longer see a document, once: its
//! bookmark moves on. So a change that Glean refuses is kept here by name, with what was wanted, and
//! tried again by each later crawl before it reads anything: whatever that crawl then brings is newer. It
//! is kept until it passes, until a crawl brings the document again, or until the document is gone. A full
//! crawl that is complete ends it in either way.
//!
//! While a full crawl's session is open (held, or stopped and not yet resumed), a change that passes is
//! kept too. The session contains the document as it was, and Glean does not document what its end does
//! to what was changed in between: in the worst case a deleted document is there again, and a document is
//! open again for whoever might see it before. Documents can be sent to the session as well; deletions
//! and changes of access cannot, so they are done once more after its end.

use std::collections::HashSet;

use super::change::{Change, Want};
use super::connection_state::{ConnectionState, States};
use super::pending_end::PAUSED;
use super::plan::Plan;
use super::result::{CrawlResult, Outcome};
use crate::audience::Audience;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::name::{ConnectionName, UploadId};
use crate::text::{count, short_line};

/// Changes that are kept, as a crawl's scope sees them.
#[derive(Clone, Debug)]
pub struct KeptChanges {
    states: States,
    connection: ConnectionName,
    upload_id: UploadId,
    beside: Option<UploadId>,
}

impl KeptChanges {
    pub fn new(states: &States, plan: &Plan) -> Self {
        Self {
            states: states.clone(),
            connection: plan.connection.clone(),
            upload_id: plan.upload_id.clone(),
            beside: plan.beside.clone(),
        }
    }

    /// The documents whose changes are kept now, and those among them that this crawl kept.
    pub async fn known(&self) -> Result<(HashSet<u128>, HashSet<u128>)> {
        let state = self.states.of(&self.connection).await?;
        let ours = state.changes.iter().filter(|change| change.upload_id == self.upload_id);
        Ok((state.changes.iter().map(Change::key).collect(), ours.map(Change::key).collect()))
    }

    pub fn change(&self, id: &str, object_type: &str, want: Want) -> Change {
        Change {
            id: id.to_owned(),
            object_type: object_type.to_owned(),
            want,
            audience: Audience::NONE,
            refused: None,
            beside: self.beside.clone(),
            upload_id: self.upload_id.clone(),
            since: Timestamp::now(),
            attempts: 1,
        }
    }

    /// Keeps changes, and forgets those of documents that were changed since.
    pub async fn keep(&self, changes: &[Change], over: &HashSet<u128>) -> Result<()> {
        let keys: HashSet<u128> = changes.iter().map(Change::key).collect();
        self.states
            .update(&self.connection, |state| {
                state.changes.retain(|kept| {
                    let key = kept.key();
                    !keys.contains(&key) && !over.contains(&key)
                });
                state.changes.extend(changes.iter().cloned());
            })
            .await
            .map(drop)
    }
}

/// Refused changes that a result names.
const NAMED: usize = 3;
/// So much of the id of one, and of the reason.
const MAX_ID: usize = 300;

/// What a crawl's result says of changes that are still refused.
pub fn told(mut result: CrawlResult, state: &ConnectionState) -> CrawlResult {
    let refused: Vec<_> = refused(state).collect();
    if refused.is_empty() || !matches!(result.outcome, Outcome::Complete | Outcome::Partial) {
        return result;
    }
    result.outcome = Outcome::Partial;
    let named = refused.iter().take(NAMED).map(|change| {
        let reason = change.refused.as_deref().unwrap_or_default();
        // Of a change the id is as long as its connector likes.
        let id = short_line(&change.id, MAX_ID);
        format!("{} of `{id}` ({})", change.wanted(), short_line(reason, MAX_ID))
    });
    let said = format!(
        "Glean refused {}, which each crawl tries again: {}",
        count(refused.len() as u64, "change"),
        named.collect::<Vec<_>>().join("; ")
    );
    result.reason = Some(match result.reason {
        Some(reason) => format!("{reason}; {said}"),
        None => said,
    });
    result
}

/// Changes that Glean refuses.
pub fn refused(state: &ConnectionState) -> impl Iterator<Item = &Change> {
    state.changes.iter().filter(|change| change.refused.is_some())
}

/// What an operator has to know besides how the last crawl ended.
pub fn notes(state: &ConnectionState, name: &str) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(closing) = &state.closing {
        let of = count(closing.deleted, "document");
        let upload = &closing.upload_id;
        if closing.paused {
            notes.push(format!("{PAUSED} ({of}, upload {upload})"));
        } else if closing.deleted > 0 {
            notes.push(format!("Glean has yet to delete {of} (upload {upload})"));
        }
    }
    match refused(state).count() as u64 {
        0 => {}
        refused => notes.push(format!(
            "Glean refuses {}, which each crawl tries again: `sheaf quarantine list {name}`",
            count(refused, "change")
        )),
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_result_says_of_refused_changes_is_short_however_long_their_ids_are() {
        let change = Change {
            id: "\u{1b}".repeat(1 << 20),
            object_type: "Page".into(),
            want: Want::Delete,
            audience: Audience::NONE,
            refused: Some("no such document".into()),
            beside: None,
            upload_id: "u".into(),
            since: Timestamp::from_seconds(1),
            attempts: 1,
        };
        let state = ConnectionState { changes: vec![change; 5], ..ConnectionState::default() };
        let result: CrawlResult = serde_json::from_value(serde_json::json!({
            "connection": "docs", "datasource": "docs", "mode": "incremental",
            "outcome": "complete", "upload_id": "u", "connector": "x 1",
            "digest": crate::connector::Digest::of(b""), "documents": 0, "deleted": 0,
            "quarantined": 0, "access_unknown": 0, "batches": 0, "bytes": 0, "seconds": 0.0,
        }))
        .expect("a result");
        let told = told(result, &state);
        let reason = told.reason.expect("a reason");
        assert!(reason.starts_with("Glean refused 5 changes"), "{reason}");
        assert!(reason.len() < 2_000 && !reason.contains('\u{1b}'), "{reason}");
    }
}
