//! What Glean refused of users and groups, row by row. Pure.
//!
//! Such a row is not in what Glean knows, so it would be told again by each crawl, and all others of its list with it:
//! Glean replaces lists as wholes. It would most probably be refused again. So a row that is as it was is told again once a
//! day only, and before that whenever its list is told for another reason. Until it passes, each crawl names it, and is
//! not complete. So is a group of which Glean refused whoever is in it, unless somebody may be in it who has left.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::reading::LeftOut;
use super::roster::{Account, Member, Members, Roster};
use crate::clock::Timestamp;
use crate::text::cut;

/// So long after a row was refused it is told again, also where nothing has changed.
const AGAIN: Duration = Duration::from_secs(24 * 3600);
const MAX_REASON: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    pub users: BTreeMap<String, (Account, Refusal)>,
    pub groups: BTreeMap<String, Refusal>,
    /// Members, by their groups.
    pub members: BTreeMap<String, Vec<(Member, Refusal)>>,
    /// Groups of which Glean refused whoever is in them.
    pub wholes: BTreeMap<String, Whole>,
}

/// A group of which Glean took nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// A digest of the members that it was told. Nothing where some may be in it still who are not to be: each crawl tells it
    /// again.
    pub members: Option<String>,
    pub why: Refusal,
}

impl Whole {
    pub fn new(members: &Members, may_have_others: bool, why: &str) -> Self {
        if may_have_others {
            let why = Refusal::new(&format!("who has left it may still be in it: {why}"));
            return Self { members: None, why };
        }
        Self { members: Some(digest_of(members)), why: Refusal::new(why) }
    }
}

fn digest_of(members: &Members) -> String {
    let mut hash = Xxh3Default::new();
    for member in members {
        let (kind, name) = match member {
            Member::User(name) => (b"u", name),
            Member::Group(name) => (b"g", name),
        };
        hash.update(kind);
        hash.update(name.as_bytes());
        hash.update(&[0]);
    }
    format!("{:016x}", hash.digest())
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub at: Timestamp,
    pub reason: String,
}

impl Refusal {
    pub fn new(reason: &str) -> Self {
        Self { at: Timestamp::now(), reason: cut(reason, MAX_REASON) }
    }

    fn is_young(&self) -> bool {
        self.at.age() < AGAIN
    }
}

impl Refused {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What of it is still so in the source, and need not be told again yet.
    pub(super) fn standing(&self, target: &Roster) -> Self {
        let users = self.users.iter().filter(|(key, (account, why))| {
            why.is_young() && target.users.get(*key) == Some(account)
        });
        let groups = self
            .groups
            .iter()
            .filter(|(name, why)| why.is_young() && target.groups.contains_key(*name));
        let members = self.members.iter().filter_map(|(name, members)| {
            let there = target.groups.get(name)?;
            let is_so =
                |(member, why): &&(Member, Refusal)| why.is_young() && there.contains(member);
            let members: Vec<_> = members.iter().filter(is_so).cloned().collect();
            (!members.is_empty()).then(|| (name.clone(), members))
        });
        let wholes = self.wholes.iter().filter(|(name, whole)| {
            let is_same = |there| whole.members.as_ref() == Some(&digest_of(there));
            whole.why.is_young() && target.groups.get(*name).is_some_and(is_same)
        });
        let own = |(name, why): (&String, &Refusal)| (name.clone(), why.clone());
        Self {
            users: users.map(|(key, user)| (key.clone(), user.clone())).collect(),
            groups: groups.map(own).collect(),
            members: members.collect(),
            wholes: wholes.map(|(name, whole)| (name.clone(), whole.clone())).collect(),
        }
    }

    /// What Glean knows, as if it had taken this too: what differs from that is told.
    pub(super) fn with(&self, known: &Roster, target: &Roster) -> Roster {
        let mut all = known.clone();
        all.users = self.and_users(all.users);
        for name in self.groups.keys().chain(self.wholes.keys()) {
            let members = target.groups.get(name).cloned().unwrap_or_default();
            all.groups.insert(name.clone(), members);
        }
        for (name, members) in &self.members {
            if let Some(had) = all.groups.get_mut(name) {
                had.extend(members.iter().map(|(member, _)| member.clone()));
            }
        }
        all
    }

    /// These users, and those whom Glean refused: people are called by either.
    pub fn and_users(&self, mut users: BTreeMap<String, Account>) -> BTreeMap<String, Account> {
        for (key, (account, _)) in &self.users {
            users.entry(key.clone()).or_insert_with(|| account.clone());
        }
        users
    }

    /// By name, and why.
    pub fn left_out(&self) -> LeftOut {
        let mut left = LeftOut::default();
        for (account, why) in self.users.values() {
            left.add(&format!("user {}: {}", account.email, why.reason));
        }
        for (name, why) in &self.groups {
            left.add(&format!("group {name}: {}", why.reason));
        }
        for (name, members) in &self.members {
            for (member, why) in members {
                left.add(&format!("{member} of group {name}: {}", why.reason));
            }
        }
        for (name, whole) in &self.wholes {
            left.add(&format!("who is in {name}: {}", whole.why.reason));
        }
        left
    }
}
