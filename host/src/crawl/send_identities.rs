//! Tells Glean who is who, in its order, and writes down what it was told.
//!
//! It may end at any request. What is about to be asked for is written down as in doubt before it is, and as told
//! afterwards: whatever happens between the two, the next crawl tells it again.

use std::collections::BTreeSet;

use serde_json::Value;

use super::identities::{Account, Changes, Doubt, Known, LeftOut, Member};
use super::kept_identities::KeptIdentities;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean::identities::{Identities, Told};
use crate::wire::identities::{Replaced, Row, group_name};

/// Groups of which is written down together that they are asked for. What was asked for when a crawl ended is told
/// again for a while.
const AT_ONCE: usize = 200;
/// Groups in a row that Glean refuses: then it is not the groups.
const MAX_REFUSED: u32 = 20;

pub(super) struct Sending<'a> {
    pub(super) upload: Identities,
    pub(super) kept: &'a KeptIdentities,
}

impl Sending<'_> {
    /// Groups that Glean refuses keep the members that they had, and are told again by the next crawl.
    pub(super) async fn tell(
        &self,
        config: &Value,
        known: Known,
        changes: &Changes,
    ) -> Result<LeftOut> {
        let (upload, target) = (&self.upload, &changes.target);
        upload.client.add_datasource(config).await?;
        let before = known.doubt.clone();
        let told = changes.while_told(&known);
        let had = known.roster.groups.into_keys().collect();
        let mut known = told;
        self.keep(&known).await?;
        for name in &changes.emptied {
            match left(self.empty(name).await?, before.members.get(name).copied()) {
                Some(at) => drop(known.doubt.members.insert(name.clone(), at)),
                None => drop(known.doubt.members.remove(name)),
            }
        }
        if changes.users {
            let told = upload.replace(Replaced::Users, || target.users.values().map(user)).await?;
            known.doubt.users = left(told, before.users);
        }
        let mut shaky = Shaky::default();
        if known.doubt.users.is_some() {
            shaky.names.extend(changes.again.iter().cloned());
        }
        if changes.groups {
            let rows = || target.groups.keys().map(String::as_str).map(group);
            known.doubt.groups = left(upload.replace(Replaced::Groups, rows).await?, before.groups);
            known.roster.groups.retain(|name, _| target.groups.contains_key(name));
        }
        // One that deletes a group may come when the group is back.
        shaky.new = before.groups.filter(|at| Doubt::may_come_late(*at));
        shaky.known = had;
        let refused = self.tell_members(&mut known, &before, &shaky, changes).await?;
        self.keep(&known).await?;
        Ok(refused)
    }

    async fn keep(&self, known: &Known) -> Result<()> {
        self.kept.keep_known(&self.upload.datasource, known).await
    }

    /// Nobody is in it any more. One that Glean does not know has nobody.
    async fn empty(&self, name: &str) -> Result<Told> {
        match self.upload.replace(Replaced::MembersOf(name), std::iter::empty).await {
            Err(error) if error.is_refusal() => Ok(Told::Certain),
            told => Ok(told?),
        }
    }

    async fn tell_members(
        &self,
        known: &mut Known,
        before: &Doubt,
        shaky: &Shaky,
        changes: &Changes,
    ) -> Result<LeftOut> {
        let (mut refused, mut in_a_row) = (LeftOut::default(), 0);
        for names in changes.memberships.chunks(AT_ONCE) {
            known.doubt.of_members(names);
            self.keep(known).await?;
            for name in names {
                let Some(members) = changes.target.groups.get(name) else { continue };
                let rows = || members.iter().map(member);
                match self.upload.replace(Replaced::MembersOf(name), rows).await {
                    Ok(told) => {
                        in_a_row = 0;
                        known.roster.groups.insert(name.clone(), members.clone());
                        let left = left(told, before.members.get(name).copied());
                        match left.or_else(|| shaky.since(name)) {
                            Some(at) => drop(known.doubt.members.insert(name.clone(), at)),
                            None => drop(known.doubt.members.remove(name)),
                        }
                    }
                    Err(error) if error.is_refusal() && in_a_row < MAX_REFUSED => {
                        in_a_row += 1;
                        refused.add(&format!("{name}: {error}"));
                    }
                    Err(error) => {
                        self.keep(known).await?;
                        return Err(error.into());
                    }
                }
            }
        }
        self.upload.process_memberships().await?;
        Ok(refused)
    }
}

/// Groups whose members a late request of users or groups may take away, also after they were told.
#[derive(Default)]
struct Shaky {
    names: BTreeSet<String>,
    /// Since when groups that are new may go again.
    new: Option<Timestamp>,
    /// Groups that are not new.
    known: BTreeSet<String>,
}

impl Shaky {
    fn since(&self, name: &str) -> Option<Timestamp> {
        if self.names.contains(name) {
            return Some(Timestamp::now());
        }
        self.new.filter(|_| !self.known.contains(name))
    }
}

/// What is in doubt once it was told.
fn left(told: Told, before: Option<Timestamp>) -> Option<Timestamp> {
    match told {
        Told::Certain => Doubt::after_telling(before),
        Told::InDoubt => Some(Timestamp::now()),
    }
}

fn user(account: &Account) -> Row<'_> {
    let Account { email, id, name, active } = account;
    let name = name.as_deref().unwrap_or(email);
    Row::User { email, user_id: id.as_deref(), name, is_active: *active }
}

fn group(name: &str) -> Row<'_> {
    Row::Group { name: group_name(name) }
}

fn member(member: &Member) -> Row<'_> {
    match member {
        Member::User(user) => Row::UserIn { member_user_id: user },
        Member::Group(name) => Row::GroupIn { member_group_name: group_name(name) },
    }
}
