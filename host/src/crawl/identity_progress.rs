//! How far a crawl of users and groups is: what it has read, and what of that Glean was told.

use serde::{Deserialize, Serialize};

use crate::text::count;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdentityProgress {
    pub phase: IdentityPhase,
    pub read: IdentityCounts,
    /// Only what has changed is told.
    pub told: IdentityCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityPhase {
    #[default]
    Reading,
    Telling,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdentityCounts {
    pub users: u64,
    pub groups: u64,
    pub members: u64,
}

impl std::fmt::Display for IdentityCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [users, groups] = [count(self.users, "user"), count(self.groups, "group")];
        write!(f, "{users}, {groups} and {}", count(self.members, "member"))
    }
}

impl std::fmt::Display for IdentityProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.phase {
            IdentityPhase::Reading => write!(f, "reading: {} so far", self.read),
            IdentityPhase::Telling => {
                write!(f, "read {}; telling: {} so far", self.read, self.told)
            }
        }
    }
}

/// Who hears of it.
pub type Say<'a> = &'a (dyn Fn(IdentityProgress) + Send + Sync);
