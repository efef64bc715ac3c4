//! The end of a full crawl that Glean has not done yet: what is remembered of it. What becomes of it is
//! told by `late_deletion`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ledger::run::Run;
use crate::name::UploadId;

/// The end of a full crawl that Glean has not done yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingEnd {
    pub upload_id: UploadId,
    pub datasource: String,
    pub at: Timestamp,
    /// Glean holds the deletion back.
    pub paused: bool,
    /// What it was to delete, and how many of these others had put there.
    pub deleted: u64,
    pub(super) foreign: u64,
    pub(super) added: u64,
    /// The ledger before it; scopes and number of documents before it, or after it while it is paused.
    pub(super) runs: Vec<Run>,
    pub(super) scopes: BTreeMap<String, String>,
    pub(super) whole: Option<u64>,
}

pub const PAUSED: &str = "Glean holds the deletion of more than a fifth of the datasource back; look at what \
     would go, and let Glean's support release it or upload what is missing";

impl PendingEnd {
    /// Runs that may be the ledger again.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }
}
