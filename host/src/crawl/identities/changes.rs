//! What a reading changes in Glean, and what of that a person has to look at first. Pure policy.
//!
//! Glean replaces a group's members without any check of its own: a list that was cut off takes everybody else's
//! access, in silence. So what looks like that is held, and all the rest is done: who has left one group does not wait
//! for a word about another.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::reading::{LeftOut, Read, is_email, key};
use super::roster::{Account, Doubt, Known, Member, Members, Roster};
use crate::clock::Timestamp;
use crate::identities;
use crate::text::{count, grouped, one_line};

/// A group of so many members or more is held where it would lose more than half of them.
const LARGE: usize = 10;
/// All groups together are, where they have so many.
const MANY: usize = 100;
/// More than one in so many users, or groups, that vanish are held.
const SHARE: usize = 10;
/// What is held is named up to so many times.
const MAX_NAMES: usize = 20;

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
    /// What is not done without approval, and why.
    pub held: Vec<String>,
    /// Groups that keep the members they had, because theirs were not read.
    pub unreadable: LeftOut,
    /// What was delivered and cannot be told.
    pub left_out: LeftOut,
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
    /// What a person has looked at and approved, in the words in which it was held.
    pub approved: &'a [String],
    /// Why it is not known what Glean was told, if so.
    pub lost: Option<&'a str>,
}

/// What would be held, unless it was approved.
struct Objections<'a> {
    approved: &'a [String],
    reasons: Vec<String>,
    /// A person has let everything go.
    none: bool,
}

impl Objections<'_> {
    /// Whether it is held.
    fn hold(&mut self, reason: String) -> bool {
        let holds = !self.none && !self.approved.contains(&reason);
        if holds {
            self.reasons.push(reason);
        }
        holds
    }
}

pub fn changes(known: &Known, read: Read, terms: &Terms<'_>) -> Changes {
    let (approved, reasons) = (terms.approved, Vec::new());
    let mut objections = Objections { approved, reasons, none: false };
    if nothing_is_done(known, &read, terms, &mut objections) {
        let target = known.roster.clone();
        return Changes { target, held: objections.reasons, ..Changes::default() };
    }
    let Read { users, ids, groups, unreadable, partial, mut left_out } = read;
    let is_whole = partial.is_none();
    let users = users_of(&known.roster, users, is_whole, &mut objections);
    let mut kept = kept_groups(&known.roster, &groups, &unreadable, is_whole, &mut objections);
    let names: BTreeSet<String> = groups.keys().chain(&kept).cloned().collect();
    let people = People::new(&users, &ids, terms.by_email);
    let mut unread = LeftOut::default();
    for (name, why) in &unreadable {
        unread.add(&format!("{name}: {why}"));
    }
    let mut resolved = BTreeMap::new();
    for (name, members) in &groups {
        match people.all(members, &names) {
            Ok(members) => drop(resolved.insert(name.clone(), members)),
            Err((members, unknown)) if is_whole => {
                for member in unknown {
                    left_out.add(&format!("{member:?} of group {name}: nobody who was delivered"));
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
    hold_shrunk(&known.roster, &users, &resolved, &mut kept, &mut objections);
    let target = put_together(&known.roster, users, resolved, &kept);
    let held = objections.reasons;
    Changes { held, unreadable: unread, left_out, ..told(known, target) }
}

/// Whether the reading is such that nothing at all is done without approval.
fn nothing_is_done(
    known: &Known,
    read: &Read,
    terms: &Terms<'_>,
    objections: &mut Objections<'_>,
) -> bool {
    if let Some(why) = terms.lost
        && objections.hold(format!(
            "it is not known any more what Glean was told, so a list that was cut off would not be noticed: {why}{}",
            if read.partial.is_some() || !read.unreadable.is_empty() {
                "; and not all was read, so that who is missing would be deleted"
            } else {
                ""
            }
        ))
    {
        return true;
    }
    let Roster { users, groups } = &known.roster;
    let is_whole = read.partial.is_none() && read.unreadable.is_empty();
    let is_empty = read.users.is_empty() && read.groups.is_empty() && is_whole;
    let had_any = !users.is_empty() || !groups.is_empty();
    if !(is_empty && had_any) {
        return false;
    }
    let holds = objections.hold(format!(
        "the source delivered neither users nor groups: {} and {} would be deleted",
        count(users.len() as u64, "user"),
        count(groups.len() as u64, "group")
    ));
    objections.none = !holds;
    holds
}

/// The users that Glean is to know: those that were read, and of the others those that may not go.
fn users_of(
    known: &Roster,
    mut users: BTreeMap<String, Account>,
    is_whole: bool,
    objections: &mut Objections<'_>,
) -> BTreeMap<String, Account> {
    let gone: Vec<_> = known.users.keys().filter(|key| !users.contains_key(*key)).collect();
    if !is_whole || may_not_vanish(&gone, known.users.len(), "user", objections) {
        users.extend(gone.into_iter().map(|key| (key.clone(), known.users[key].clone())));
    }
    users
}

/// The groups that keep the members they had.
fn kept_groups(
    known: &Roster,
    groups: &BTreeMap<String, BTreeSet<identities::Member>>,
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
    if may_not_vanish(&gone, known.groups.len(), "group", objections) {
        kept.extend(gone.into_iter().cloned());
    }
    kept
}

/// Whether these are too many to go without approval.
fn may_not_vanish(
    gone: &[&String],
    of: usize,
    what: &str,
    objections: &mut Objections<'_>,
) -> bool {
    gone.len() * SHARE > of
        && objections.hold(format!(
            "{} of {} would be deleted, and one in {SHARE} may be without approval: {}",
            grouped(gone.len() as u64),
            count(of as u64, what),
            named(gone)
        ))
}

/// Groups that would lose too many of their members keep them. One that goes loses all.
fn hold_shrunk(
    known: &Roster,
    users: &BTreeMap<String, Account>,
    resolved: &BTreeMap<String, Members>,
    kept: &mut BTreeSet<String>,
    objections: &mut Objections<'_>,
) {
    let (before, now) = (Names::new(&known.users), Names::new(users));
    let none = Members::new();
    let (mut large, mut smaller, mut lost_of_all) = (Vec::new(), Vec::new(), 0);
    for (name, had) in known.groups.iter().filter(|(name, _)| !kept.contains(*name)) {
        let has = resolved.get(name).unwrap_or(&none);
        if had.difference(has).next().is_none() {
            continue;
        }
        // People, and not what they are called.
        let has: BTreeSet<_> = has.iter().map(|member| now.who(member)).collect();
        let lost = had.iter().filter(|member| !has.contains(&before.who(member))).count();
        if had.len() >= LARGE && lost * 2 > had.len() {
            large.push((name, lost, had.len()));
        } else if lost > 0 {
            lost_of_all += lost;
            smaller.push(name);
        }
    }
    let more = large.split_off(large.len().min(MAX_NAMES));
    for (name, lost, of) in large {
        if objections.hold(format!(
            "the group `{}` would lose {} of {}",
            one_line(name),
            grouped(lost as u64),
            count(of as u64, "member")
        )) {
            kept.insert(name.clone());
        }
    }
    let names: Vec<_> = more.into_iter().map(|(name, ..)| name).collect();
    if !names.is_empty()
        && objections.hold(format!(
            "{} would lose more than half of their members: {}",
            count(names.len() as u64, "more group"),
            named(&names)
        ))
    {
        kept.extend(names.into_iter().cloned());
    }
    let all = known.memberships();
    if all >= MANY as u64
        && lost_of_all as u64 * 2 > all
        && objections.hold(format!(
            "{} together would lose {} of {}: {}",
            count(smaller.len() as u64, "group"),
            grouped(lost_of_all as u64),
            count(all, "membership"),
            named(&smaller)
        ))
    {
        kept.extend(smaller.into_iter().cloned());
    }
}

/// Who is meant by what members are called.
struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    fn new(users: &'a BTreeMap<String, Account>) -> Self {
        let names = users.iter().flat_map(|(key, user)| {
            let names = [Some(user.email.as_str()), user.id.as_deref()];
            names.into_iter().flatten().map(move |name| (name, key.as_str()))
        });
        Self(names.collect())
    }

    fn who<'m>(&self, member: &'m Member) -> (bool, Cow<'m, str>)
    where
        'a: 'm,
    {
        match member {
            Member::Group(name) => (true, Cow::Borrowed(name)),
            Member::User(name) => match self.0.get(name.as_str()) {
                Some(key) => (false, Cow::Borrowed(*key)),
                None => (false, Cow::Owned(key(name))),
            },
        }
    }
}

fn put_together(
    known: &Roster,
    users: BTreeMap<String, Account>,
    mut groups: BTreeMap<String, Members>,
    kept: &BTreeSet<String>,
) -> Roster {
    let gone = Gone::new(known, &users);
    for name in kept {
        // A group that was never read has no members that are known: it is not told of.
        match known.groups.get(name) {
            Some(had) => drop(groups.insert(name.clone(), gone.left_of(had))),
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
    let Known { roster: before, doubt } = known;
    let differs =
        |(name, members): &(&String, &Members)| before.groups.get(*name) != Some(*members);
    let different: BTreeSet<_> =
        target.groups.iter().filter(differs).map(|(name, _)| name).collect();
    let in_doubt = doubt.members.keys().filter(|name| target.groups.contains_key(*name));
    let memberships: BTreeSet<&String> = different.iter().copied().chain(in_doubt).collect();
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
        counts,
        target,
        ..Changes::default()
    }
}

impl Changes {
    pub fn has_any(&self) -> bool {
        self.users || self.groups || !self.memberships.is_empty()
    }

    /// What is known while it is told: what is about to be sent is in doubt until it was answered.
    pub fn while_told(&self, known: &Known) -> Known {
        let now = Timestamp::now();
        let before = &known.doubt;
        let had = |name: &String| known.roster.groups.get(name).cloned().unwrap_or_default();
        let groups = self.target.groups.keys().map(|name| (name.clone(), had(name))).collect();
        let doubt = |name: &String| before.members.get(name).copied().unwrap_or(now);
        Known {
            roster: Roster { users: self.target.users.clone(), groups },
            doubt: Doubt {
                users: self.users.then(|| before.users.unwrap_or(now)),
                groups: self.groups.then(|| before.groups.unwrap_or(now)),
                members: self.memberships.iter().map(|name| (name.clone(), doubt(name))).collect(),
            },
        }
    }
}

/// Who is who in a reading.
struct People<'a> {
    users: &'a BTreeMap<String, Account>,
    ids: BTreeMap<&'a str, Option<&'a Account>>,
    by_email: bool,
}

impl<'a> People<'a> {
    fn new(
        users: &'a BTreeMap<String, Account>,
        read: &'a BTreeMap<String, Option<String>>,
        by_email: bool,
    ) -> Self {
        let account = |key: &Option<String>| key.as_ref().and_then(|key| users.get(key));
        let mut ids: BTreeMap<_, _> =
            read.iter().map(|(id, key)| (id.as_str(), account(key))).collect();
        // Those that were not read, and stay.
        for user in users.values() {
            if let Some(id) = &user.id {
                ids.entry(id).or_insert(Some(user));
            }
        }
        Self { users, ids, by_email }
    }

    /// The members as Glean is told of them; where some are unknown, the others, and those.
    fn all<'m>(
        &self,
        members: &'m BTreeSet<identities::Member>,
        groups: &BTreeSet<String>,
    ) -> Result<Members, (Members, Vec<&'m identities::Member>)> {
        let (mut known, mut unknown) = (Members::new(), Vec::new());
        for member in members {
            match self.one(member, groups) {
                Some(member) => drop(known.insert(member)),
                None => unknown.push(member),
            }
        }
        if unknown.is_empty() { Ok(known) } else { Err((known, unknown)) }
    }

    fn one(&self, member: &identities::Member, groups: &BTreeSet<String>) -> Option<Member> {
        match member {
            identities::Member::Email(email) => match self.users.get(&key(email)) {
                Some(user) => Some(self.told(user)),
                // Glean knows people by their e-mails, also those that no list names.
                None => (self.by_email && is_email(email)).then(|| Member::User(email.clone())),
            },
            identities::Member::Id(id) => {
                self.ids.get(id.as_str()).copied().flatten().map(|user| self.told(user))
            }
            identities::Member::Group(name) => {
                groups.contains(name).then(|| Member::Group(name.clone()))
            }
        }
    }

    fn told(&self, user: &Account) -> Member {
        Member::User(match &user.id {
            Some(id) if !self.by_email => id.clone(),
            _ => user.email.clone(),
        })
    }
}

/// What users are called who go, and nobody else is: they are in no group any more.
struct Gone<'a>(BTreeSet<&'a str>);

impl<'a> Gone<'a> {
    fn new(known: &'a Roster, users: &BTreeMap<String, Account>) -> Self {
        let there = Names::new(users);
        let gone = known.users.iter().filter(|(key, _)| !users.contains_key(*key));
        let names = gone.flat_map(|(_, user)| [Some(user.email.as_str()), user.id.as_deref()]);
        Self(names.flatten().filter(|name| !there.0.contains_key(name)).collect())
    }

    fn left_of(&self, members: &Members) -> Members {
        let stays = |member: &&Member| !matches!(member, Member::User(user) if self.0.contains(user.as_str()));
        members.iter().filter(stays).cloned().collect()
    }
}

/// How many of these are not among those.
fn missing<V>(these: &BTreeMap<String, V>, those: &BTreeMap<String, V>) -> u64 {
    these.keys().filter(|key| !those.contains_key(*key)).count() as u64
}

fn named(all: &[&String]) -> String {
    let mut named: Vec<_> =
        all.iter().take(MAX_NAMES).map(|name| format!("`{}`", one_line(name))).collect();
    if all.len() > named.len() {
        named.push(format!("and {} more", grouped((all.len() - named.len()) as u64)));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests;
