//! Tells Glean who is who, in its order, and writes down what it was told.
//!
//! It may end at any request. What is about to be asked for is written down as in doubt before it is, and as told
//! afterwards: whatever happens between the two, the next crawl tells it again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::identities::{
    Account, Changes, Doubt, Known, LeftOut, Member, Members, Refusal, Refused, Roster,
};
use super::identity_progress::{IdentityCounts, IdentityPhase, IdentityProgress, Say};
use super::kept_identities::KeptIdentities;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean;
use crate::glean::identities::{Identities, Replacement, Told};
use crate::wire::identities::{Replaced, Row, group_name};

/// Groups of which is written down together that they are asked for. What was asked for when a crawl ended is told
/// again for a while.
const AT_ONCE: usize = 200;
/// Groups in a row that Glean refuses: then it is not the groups.
const MAX_REFUSED: u32 = 20;

pub(super) struct Sending<'a> {
    pub(super) upload: Identities,
    pub(super) kept: &'a KeptIdentities,
    /// How far it is.
    pub(super) progress: Mutex<IdentityProgress>,
    pub(super) say: Say<'a>,
}

/// What is known once all was told.
pub(super) struct Said {
    pub(super) known: Known,
    /// Groups that Glean refused as wholes.
    pub(super) refused: LeftOut,
}

impl Sending<'_> {
    /// What Glean refuses is left out, row by row. A group that it refuses as a whole keeps the members that it had, and is
    /// told again by the next crawl.
    pub(super) async fn tell(
        &self,
        config: &Value,
        known: Known,
        changes: &Changes,
    ) -> Result<Said> {
        self.says(|_| {});
        self.upload.client.add_datasource(config).await?;
        let (before, refused_before) = (known.doubt.clone(), known.refused.clone());
        let told = changes.while_told(&known);
        let had = known.roster;
        let mut known = told;
        self.keep(&known).await?;
        for name in &changes.emptied {
            match left(self.empty(name).await?, before.members.get(name).copied()) {
                Some(at) => drop(known.doubt.members.insert(name.clone(), at)),
                None => drop(known.doubt.members.remove(name)),
            }
        }
        if changes.users {
            self.tell_users(&mut known, before.users, changes).await?;
        }
        let mut shaky = Shaky::default();
        if known.doubt.users.is_some() {
            shaky.names.extend(changes.again.iter().cloned());
        }
        if changes.groups {
            self.tell_groups(&mut known, before.groups, changes).await?;
        }
        let names = also(&changes.memberships, &changes.target, &had, &refused_before, &known);
        // One that deletes a group may come when the group is back.
        shaky.new = before.groups.filter(|at| Doubt::may_come_late(*at));
        shaky.known = had.groups.into_keys().collect();
        let refused = self.tell_members(&mut known, &before, &shaky, (&names, changes)).await?;
        self.keep(&known).await?;
        Ok(Said { known, refused })
    }

    fn says(&self, more: impl FnOnce(&mut IdentityCounts)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.phase = IdentityPhase::Telling;
        more(&mut progress.told);
        (self.say)(*progress);
    }

    async fn keep(&self, known: &Known) -> Result<()> {
        self.kept.keep_known(&self.upload.datasource, known).await
    }

    async fn tell_users(
        &self,
        known: &mut Known,
        before: Option<Timestamp>,
        changes: &Changes,
    ) -> Result<()> {
        let users = &changes.target.users;
        let told = self.upload.replace(Replaced::Users, || users.values().map(user)).await?;
        self.says(|told| told.users = users.len() as u64);
        let refused = numbered(users.iter(), told.refused);
        known.roster.users.clone_from(users);
        known.refused.users =
            refused.map(|((key, account), why)| (key.clone(), (account.clone(), why))).collect();
        for key in known.refused.users.keys() {
            known.roster.users.remove(key);
        }
        known.doubt.users = left(told.told, before);
        Ok(())
    }

    async fn tell_groups(
        &self,
        known: &mut Known,
        before: Option<Timestamp>,
        changes: &Changes,
    ) -> Result<()> {
        let groups = &changes.target.groups;
        let rows = || groups.keys().map(String::as_str).map(group);
        let told = self.upload.replace(Replaced::Groups, rows).await?;
        let refused = numbered(groups.keys(), told.refused);
        known.refused.groups = refused.map(|(name, why)| (name.clone(), why)).collect();
        let is_known =
            |name: &String| groups.contains_key(name) && !known.refused.groups.contains_key(name);
        known.roster.groups.retain(|name, _| is_known(name));
        known.doubt.groups = left(told.told, before);
        Ok(())
    }

    /// Nobody is in it any more. One that Glean does not know has nobody.
    async fn empty(&self, name: &str) -> Result<Told> {
        match self.upload.replace(Replaced::MembersOf(name), std::iter::empty).await {
            Err(error) if error.is_refusal() => Ok(Told::Certain),
            told => Ok(told?.told),
        }
    }

    async fn tell_members(
        &self,
        known: &mut Known,
        before: &Doubt,
        shaky: &Shaky,
        (names, changes): (&[String], &Changes),
    ) -> Result<LeftOut> {
        let (mut refused, mut in_a_row) = (LeftOut::default(), 0);
        for names in names.chunks(AT_ONCE) {
            known.doubt.of_members(names);
            self.keep(known).await?;
            for name in names {
                let Some(members) = changes.target.groups.get(name) else { continue };
                match self.tell_group(known, name, members).await {
                    Ok(told) => {
                        in_a_row = 0;
                        self.says(|told| {
                            told.groups += 1;
                            told.members += members.len() as u64;
                        });
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

    /// All who are in a group, but for those whom Glean does not take.
    async fn tell_group(
        &self,
        known: &mut Known,
        name: &str,
        members: &Members,
    ) -> Result<Told, glean::Error> {
        // Glean knows no group that it refused, nor who is in one.
        let is_told = |member: &Member| !matches!(member, Member::Group(name) if known.refused.groups.contains_key(name));
        let (said, unsaid): (Members, Members) = members.iter().cloned().partition(is_told);
        let rows = || said.iter().map(member);
        let told = match self.upload.replace(Replaced::MembersOf(name), rows).await {
            Err(error) if error.is_refusal() && is_new(known, name, members) => {
                // All are new in it: whoever was in it leaves it, and nobody else does.
                let told = self.upload.replace(Replaced::MembersOf(name), std::iter::empty).await?;
                let refused = (0..said.len()).map(|number| (number, error.clone())).collect();
                Replacement { refused, ..told }
            }
            told => told?,
        };
        let why = || Refusal::new("Glean refused that group");
        let unsaid = unsaid.into_iter().map(|group| (group, why()));
        let refused = numbered(said.iter(), told.refused);
        let refused: Vec<_> =
            unsaid.chain(refused.map(|(member, why)| (member.clone(), why))).collect();
        let is_refused = |one: &&Member| refused.iter().any(|(member, _)| member == *one);
        let there = members.iter().filter(|member| !is_refused(member)).cloned().collect();
        known.roster.groups.insert(name.to_owned(), there);
        if refused.is_empty() {
            known.refused.members.remove(name);
        } else {
            known.refused.members.insert(name.to_owned(), refused);
        }
        Ok(told.told)
    }
}

/// Whether none of them was in the group before, and others were.
fn is_new(known: &Known, group: &str, members: &Members) -> bool {
    let had = known.roster.groups.get(group);
    had.is_some_and(|had| !had.is_empty() && had.is_disjoint(members))
}

/// The rows of these numbers, and why Glean refused them. Both in order.
fn numbered<'a, T>(
    rows: impl Iterator<Item = T> + 'a,
    refused: Vec<(usize, glean::Error)>,
) -> impl Iterator<Item = (T, Refusal)> + 'a {
    let mut refused = refused.into_iter().peekable();
    rows.enumerate().filter_map(move |(number, row)| {
        let (_, error) = refused.next_if(|(at, _)| *at == number)?;
        Some((row, Refusal::new(&error.to_string())))
    })
}

/// Groups whose members are told: those of which they are others, and those that what was refused, or is not any more, is
/// in. Glean deletes memberships with a user or a group that it had.
fn also(
    names: &[String],
    target: &Roster,
    had: &Roster,
    before: &Refused,
    known: &Known,
) -> Vec<String> {
    let now = &known.refused;
    let mut all: BTreeSet<String> = names.iter().cloned().collect();
    let passed = before.users.keys().any(|key| known.roster.users.contains_key(key));
    if passed {
        all.extend(before.members.keys().cloned());
    }
    let lost = now.users.iter().filter(|(key, _)| had.users.contains_key(*key));
    let lost: BTreeSet<&str> = lost
        .flat_map(|(_, (user, _))| [Some(user.email.as_str()), user.id.as_deref()])
        .flatten()
        .collect();
    let differs = |name: &String| before.groups.contains_key(name) != now.groups.contains_key(name);
    let is_of_those = |member: &Member| match member {
        Member::User(name) => lost.contains(name.as_str()),
        Member::Group(name) => differs(name),
    };
    for (name, members) in &target.groups {
        if differs(name) || members.iter().any(is_of_those) {
            all.insert(name.clone());
        }
    }
    // Nobody is in a group that Glean does not know.
    all.retain(|name| !now.groups.contains_key(name));
    all.into_iter().collect()
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
