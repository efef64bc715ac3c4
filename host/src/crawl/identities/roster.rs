//! Who is who in Glean, as far as it was told. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::crawl::undefined::Defined;

/// Users by their e-mails in lower case, and groups with their members by their names in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    pub users: BTreeMap<String, Account>,
    pub groups: BTreeMap<String, Members>,
}

pub type Members = BTreeSet<Member>;

/// Somebody's account in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub email: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub active: bool,
}

/// As Glean is told of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Member {
    /// By e-mail or by id, whichever the datasource knows users by.
    User(String),
    Group(String),
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "{name}"),
            Self::Group(name) => write!(f, "the group {name}"),
        }
    }
}

impl Roster {
    pub fn memberships(&self) -> u64 {
        self.groups.values().map(|members| members.len() as u64).sum()
    }

    /// Whom documents may name. `by_email`: the datasource knows users by their e-mails.
    pub fn defined(&self, by_email: bool) -> Defined {
        let ids = self.users.values().filter_map(|user| user.id.clone());
        let users = self.users.keys().cloned().chain(ids).collect();
        Defined { groups: self.groups.keys().cloned().collect(), users, by_email }
    }
}

/// Who stays until a person has looked, or the source has them again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waits {
    pub users: BTreeSet<String>,
    /// Groups, and which of their members would go.
    pub groups: BTreeMap<String, Members>,
    /// Users and groups that may go, and stay only because a group that waits has them as members.
    pub leaving: BTreeSet<Member>,
}

/// Each with the time of the last request of which nobody knows what became.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doubt {
    pub users: Option<Timestamp>,
    pub groups: Option<Timestamp>,
    /// Groups whose members are in doubt.
    pub members: BTreeMap<String, Timestamp>,
}

/// A request that nobody answered is carried out within this, if ever.
const LATE: Duration = Duration::from_secs(30 * 60);

impl Doubt {
    /// These are about to be asked for.
    pub fn of_members<'a>(&mut self, names: impl IntoIterator<Item = &'a String>) {
        for name in names {
            self.members.entry(name.clone()).or_insert_with(Timestamp::now);
        }
    }

    /// Of everything, and of no request that may still come.
    pub fn everything(roster: &Roster) -> Self {
        let long_ago = Timestamp::default();
        let members = roster.groups.keys().map(|name| (name.clone(), long_ago)).collect();
        Self { users: Some(long_ago), groups: Some(long_ago), members }
    }

    /// What is left of a doubt once what it is about was told for certain: a request from before may still come.
    pub fn after_telling(before: Option<Timestamp>) -> Option<Timestamp> {
        before.filter(|at| Self::may_come_late(*at))
    }

    /// Whether a request from then may still come.
    pub fn may_come_late(at: Timestamp) -> bool {
        at.age() < LATE
    }
}
