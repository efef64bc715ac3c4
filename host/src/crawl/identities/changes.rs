//! What a reading changes in Glean, and what of that a person has to look at first. Pure policy.
//!
//! Glean replaces a group's members without any check of its own: a list that was cut off takes everybody else's
//! access, in silence. So what looks like that is held, and all the rest is done: who has left one group does not wait
//! for a word about another.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::known::Known;
use super::objections::{Objection, Objections};
use super::people::{Gone, Names, People, without_inactive};
use super::reading::{LeftOut, Read};
use super::refused::Refused;
use super::roster::{Account, Doubt, Member, Members, Roster, Waits};
use super::shifts::GroupShifts;
use crate::clock::Timestamp;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// What Glean is to know afterwards.
    pub target: Roster,
    /// Whether users are sent, and groups: all of them.
    pub users: bool,
    pub groups: bool,
    /// Groups whose members are sent.
    pub memberships: Vec<String>,
    pub counts: Counts,
    /// Of those that are sent, groups that lose members with a user who goes, and have them again afterwards.
    pub again: BTreeSet<String>,
    /// Groups that are to go, and are emptied before: Glean may take its time to delete them, or hold that back.
    pub emptied: Vec<String>,
    /// What is not done without approval, and why.
    pub held: Vec<Objection>,
    /// Of whom that is.
    pub waits: Waits,
    /// Approvals that applied, by their digests.
    pub used: Vec<String>,
    /// Groups whose members go by those, each with the approval's digest.
    pub used_by: BTreeMap<String, String>,
    /// Groups that keep the members they had, because theirs were not read.
    pub unreadable: LeftOut,
    /// What was delivered and cannot be told.
    pub left_out: LeftOut,
    /// Members who are no users of a source that tells of users. Glean is told of them by their e-mails.
    pub strangers: LeftOut,
    /// Groups that get others.
    pub shifts: GroupShifts,
    /// What Glean refused before, and is not told again yet.
    pub refused: Refused,
}

/// What is done, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub new_users: u64,
    pub gone_users: u64,
    /// Users of whom something else is different.
    pub changed_users: u64,
    pub new_groups: u64,
    pub gone_groups: u64,
    /// Groups whose members are others than before, or that are new.
    pub changed_groups: u64,
    /// Groups whose members are the same, and are told again: Glean may not have them.
    pub told_again: u64,
}

/// Who reads it, and how.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Whether the datasource knows users by their e-mails, and not by ids.
    pub by_email: bool,
    /// What a person has looked at and approved.
    pub approved: &'a [Objection],
    /// Why it is not known what Glean was told, if so.
    pub lost: Option<&'a str>,
}

pub fn changes(known: &Known, read: Read, terms: &Terms<'_>) -> Changes {
    let mut objections = Objections::new(terms.approved, &known.waits);
    if objections.hold_lost(terms.lost, &read) || objections.hold_nobody(&known.roster, &read) {
        let (target, waits) = (known.roster.clone(), known.waits.clone());
        let refused = known.refused.clone();
        let Objections { held, used, .. } = objections;
        return Changes { target, held, waits, used, refused, ..Changes::default() };
    }
    let Read { users, ids, groups, unreadable, partial, mut left_out } = read;
    let is_whole = partial.is_none();
    let mut users = users_of(&known.roster, users, is_whole, &mut objections);
    let mut kept = kept_groups(&known.roster, &groups, &unreadable, is_whole, &mut objections);
    let names: BTreeSet<String> = groups.keys().chain(&kept).cloned().collect();
    let people = People::new(&users, &ids, terms.by_email);
    let mut unread = LeftOut::default();
    for (name, why) in &unreadable {
        unread.add(&format!("{name}: {why}"));
    }
    let mut resolved = BTreeMap::new();
    let mut strangers = LeftOut::default();
    for (name, members) in &groups {
        for email in people.strangers(members) {
            strangers.add(&format!("{email} of group {name}"));
        }
        match people.all(members, &names) {
            Ok(members) => drop(resolved.insert(name.clone(), members)),
            Err((members, unknown)) if is_whole => {
                for member in unknown {
                    left_out.add(&format!("{member} of group {name}: nobody who was delivered"));
                }
                resolved.insert(name.clone(), members);
            }
            // Who it is may be among those that were not read: the group stays as it was.
            Err(_) => {
                unread.add(&format!("{name}: who is in it was not read to the end"));
                kept.insert(name.clone());
            }
        }
    }
    let named = known.refused.and_users(known.roster.users.clone());
    objections.hold_shrunk(&known.roster, (&named, &users), &resolved, &mut kept);
    objections.carry_over(&kept, is_whole);
    objections.keep_members(&known.roster, &mut users, &resolved, &mut kept);
    let Objections { held, waits, used, used_by, .. } = objections;
    let target = put_together(&known.roster, users, resolved, (&kept, &waits));
    let told = told(known, target);
    Changes { held, waits, used, used_by, unreadable: unread, left_out, strangers, ..told }
}

/// The users that Glean is to know: those that were read, and of the others those that may not go. Who may not be inactive
/// all at once is as before.
fn users_of(
    known: &Roster,
    mut users: BTreeMap<String, Account>,
    is_whole: bool,
    objections: &mut Objections<'_>,
) -> BTreeMap<String, Account> {
    let missing = known.users.keys().filter(|key| !users.contains_key(*key));
    let (gone, unread): (Vec<_>, Vec<_>) = missing.partition(|_| is_whole);
    let is_active = |user: Option<&Account>| user.is_some_and(|user| user.active);
    let was_active = known.users.iter().filter(|(_, user)| user.active).map(|(key, _)| key);
    let inactive: Vec<_> =
        was_active.filter(|key| users.contains_key(*key) && !is_active(users.get(*key))).collect();
    let mut stay = objections.hold_gone_users(&gone, &inactive, known.users.len());
    stay.extend(unread.into_iter().cloned());
    users.extend(stay.into_iter().filter_map(|key| known.users.get_key_value(&key)).map(own));
    users
}

fn own((key, account): (&String, &Account)) -> (String, Account) {
    (key.clone(), account.clone())
}

/// The groups that keep the members they had.
fn kept_groups(
    known: &Roster,
    groups: &BTreeMap<String, BTreeSet<crate::identities::Member>>,
    unreadable: &BTreeMap<String, String>,
    is_whole: bool,
    objections: &mut Objections<'_>,
) -> BTreeSet<String> {
    let (mut kept, mut gone) = (BTreeSet::new(), Vec::new());
    for name in known.groups.keys().filter(|name| !groups.contains_key(*name)) {
        if unreadable.contains_key(name) || !is_whole {
            kept.insert(name.clone());
        } else {
            gone.push(name);
        }
    }
    kept.extend(objections.hold_gone_groups(&gone, known));
    kept
}

fn put_together(
    known: &Roster,
    users: BTreeMap<String, Account>,
    mut groups: BTreeMap<String, Members>,
    (kept, waits): (&BTreeSet<String>, &Waits),
) -> Roster {
    let (gone, names) = (Gone::new(known, &users), Names::new(&users));
    let is_waiting = |name: &String| {
        waits.groups.contains_key(name) || waits.leaving.contains(&Member::Group(name.clone()))
    };
    for name in kept {
        // A group that was never read has no members that are known: it is not told of.
        match known.groups.get(name) {
            Some(had) => {
                let mut members = gone.left_of(had);
                // What waits for a person is as it was.
                if !is_waiting(name) {
                    without_inactive(&mut members, &users, &names);
                }
                groups.insert(name.clone(), members);
            }
            None => drop(groups.remove(name)),
        }
    }
    // A member that is no group of ours would be refused, with all the others of its group.
    let all: BTreeSet<String> = groups.keys().cloned().collect();
    for members in groups.values_mut() {
        members.retain(|member| !matches!(member, Member::Group(name) if !all.contains(name)));
    }
    Roster { users, groups }
}

/// What of it is sent: what is different, and what is in doubt.
fn told(known: &Known, target: Roster) -> Changes {
    let Known { roster, doubt, .. } = known;
    let refused = known.refused.standing(&target);
    let before = &refused.with(roster, &target);
    let differs =
        |(name, members): &(&String, &Members)| before.groups.get(*name) != Some(*members);
    let different: BTreeSet<_> =
        target.groups.iter().filter(differs).map(|(name, _)| name).collect();
    let is_refused = |name: &String| refused.wholes.contains_key(name);
    let in_doubt = doubt.members.keys();
    let in_doubt = in_doubt.filter(|name| target.groups.contains_key(*name) && !is_refused(name));
    // With a user go the memberships, also of one who is no user any more and still in a group.
    let gone = Gone::new(before, &target.users);
    let lost = target.groups.iter().filter(|(_, members)| gone.is_in(members));
    let again: BTreeSet<String> = lost.map(|(name, _)| name.clone()).collect();
    let told_again = in_doubt.chain(&again);
    let memberships: BTreeSet<&String> = different.iter().copied().chain(told_again).collect();
    let memberships: Vec<_> = memberships.into_iter().cloned().collect();
    let changed =
        |(key, now): &(&String, &Account)| before.users.get(*key).is_some_and(|was| was != *now);
    let counts = Counts {
        new_users: missing(&target.users, &before.users),
        gone_users: missing(&before.users, &target.users),
        changed_users: target.users.iter().filter(changed).count() as u64,
        new_groups: missing(&target.groups, &before.groups),
        gone_groups: missing(&before.groups, &target.groups),
        changed_groups: different.len() as u64,
        told_again: (memberships.len() - different.len()) as u64,
    };
    Changes {
        users: counts.new_users + counts.gone_users + counts.changed_users > 0
            || doubt.users.is_some(),
        groups: counts.new_groups + counts.gone_groups > 0 || doubt.groups.is_some(),
        memberships,
        again,
        emptied: gone_groups(before, &target).cloned().collect(),
        counts,
        shifts: GroupShifts::between(
            (&Names::new(&before.users), before),
            (&Names::new(&target.users), &target),
        ),
        target,
        refused,
        ..Changes::default()
    }
}

impl Changes {
    pub fn has_any(&self) -> bool {
        self.users || self.groups || !self.memberships.is_empty()
    }

    /// The counts where of these groups nothing was done. `had`: what Glean knew before.
    pub fn counts_without(&self, undone: &BTreeSet<String>, had: &Roster) -> Counts {
        let mut counts = self.counts;
        for name in undone.iter().filter(|name| self.memberships.binary_search(name).is_ok()) {
            let mut before = had.groups.get(name).cloned();
            if let (Some(before), Some(refused)) = (&mut before, self.refused.members.get(name)) {
                before.extend(refused.iter().map(|(member, _)| member.clone()));
            }
            let is_same = before.as_ref() == self.target.groups.get(name);
            let count = if is_same { &mut counts.told_again } else { &mut counts.changed_groups };
            *count = count.saturating_sub(1);
        }
        counts
    }

    /// What is known while it is told. What is about to be sent is in doubt until it was answered, and a group goes
    /// when Glean was told so.
    pub fn while_told(&self, known: &Known) -> Known {
        let now = Timestamp::now();
        let before = &known.doubt;
        let is_refused = |name: &&String| self.refused.groups.contains_key(*name);
        let all = self.target.groups.keys().chain(&self.emptied).filter(|name| !is_refused(name));
        let had = |name: &String| known.roster.groups.get(name).cloned().unwrap_or_default();
        let groups = all.map(|name| (name.clone(), had(name))).collect();
        let mut users = self.target.users.clone();
        users.retain(|key, _| !self.refused.users.contains_key(key));
        // Of a group that is gone a late request may still come, when it is back.
        let is_of_use = |(name, at): &(&String, &Timestamp)| {
            self.target.groups.contains_key(*name) || Doubt::may_come_late(**at)
        };
        let members = before.members.iter().filter(is_of_use);
        let mut doubt = Doubt {
            users: self.users.then(|| before.users.unwrap_or(now)),
            groups: self.groups.then(|| before.groups.unwrap_or(now)),
            members: members.map(|(name, at)| (name.clone(), *at)).collect(),
        };
        // These change with what is sent before them.
        doubt.of_members(self.emptied.iter().chain(&self.again));
        // Of those that are told it is not known any more whether they will be refused.
        let mut refused = self.refused.clone();
        refused.wholes.retain(|name, _| self.memberships.binary_search(name).is_err());
        Known { roster: Roster { users, groups }, doubt, waits: self.waits.clone(), refused }
    }
}

fn gone_groups<'a>(before: &'a Roster, after: &'a Roster) -> impl Iterator<Item = &'a String> {
    before.groups.keys().filter(|name| !after.groups.contains_key(*name))
}

/// How many of these are not among those.
fn missing<V>(these: &BTreeMap<String, V>, those: &BTreeMap<String, V>) -> u64 {
    these.keys().filter(|key| !those.contains_key(*key)).count() as u64
}

#[cfg(test)]
mod tests;
