//! What a crawl needs to know of a connection.

use std::time::Duration;

use super::guard::Deletions;
use super::quarantine::Tolerance;
use crate::connector::Digest;
use crate::name::ConnectionName;
use crate::sandbox::{Granted, Limits};

/// A connector, its settings and its grants: one datasource in Glean.
#[derive(Clone, Debug)]
pub struct Connection {
    pub name: ConnectionName,
    pub connector: String,
    pub datasource: String,
    pub settings: serde_json::Value,
    pub grants: Granted,
    pub limits: Limits,
    pub deletions: Deletions,
    pub quarantine: Tolerance,
    /// How old what Glean knows of users and groups may be.
    pub identities_max_age: Duration,
}

impl Connection {
    /// A digest of what decides which documents there are.
    pub fn settings_digest(&self) -> String {
        let folders = self.grants.folders.iter().map(|folder| (&folder.guest, &folder.host));
        let folders: Vec<_> = folders.collect();
        let text = serde_json::json!([self.settings, folders]).to_string();
        Digest::of(text.as_bytes()).to_string()
    }

    /// Whether a crawl that wrote down this digest began with these settings.
    pub fn has_settings(&self, digest: &str) -> bool {
        // Earlier versions wrote down another digest of the same.
        let before = format!("{} {:?}", self.settings, self.grants.folders);
        digest == self.settings_digest() || digest == Digest::of(before.as_bytes()).to_string()
    }
}
