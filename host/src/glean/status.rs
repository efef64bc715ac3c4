//! What Glean says of a datasource, as far as it is read.

use serde::{Deserialize, Serialize};

use crate::name::UploadId;

/// `POST /debug/{datasource}/status`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DatasourceStatus {
    pub documents: DocumentsStatus,
    /// Read with care, as counts are: crawls of documents do not need it.
    identity: serde_json::Value,
}

impl DatasourceStatus {
    /// Uploads of `users`, `groups` or `memberships`, as far as Glean tells of them.
    pub fn identity_uploads(&self, part: &str) -> Vec<UploadEvent> {
        let history = &self.identity[part]["bulkUploadHistory"];
        Vec::deserialize(history).unwrap_or_default()
    }

    /// How many users and groups Glean counts; nothing where it does not say of both.
    pub fn people_counted(&self) -> Option<u64> {
        let of = |part: &str| self.identity[part]["counts"]["uploaded"].as_u64();
        Some(of("users")?.saturating_add(of("groups")?))
    }

    /// How many `users`, `groups` or `memberships` Glean counts; none where it does not say. May be hours old.
    pub fn identities_counted(&self, part: &str) -> u64 {
        self.identity[part]["counts"]["uploaded"].as_u64().unwrap_or_default()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DocumentsStatus {
    pub bulk_upload_history: Vec<UploadEvent>,
    /// Read with care: it "might undergo breaking changes", and nothing else may fail by it.
    counts: serde_json::Value,
}

impl DocumentsStatus {
    /// How many documents Glean counts, of all types; nothing where it does not say. May be hours old.
    pub fn counted(&self) -> Option<u64> {
        let types = self.counts["uploaded"].as_array()?;
        types.iter().map(|entry| entry["count"].as_u64()).sum()
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UploadEvent {
    pub upload_id: UploadId,
    pub start_time: String,
    pub end_time: String,
    pub status: String,
    pub processing_state: String,
}

impl UploadEvent {
    pub fn is_finished(&self) -> bool {
        self.status == "SUCCESSFUL"
    }

    pub fn is_active(&self) -> bool {
        self.status == "ACTIVE"
    }
}
