//! What a person has to look at before it is done: what looks like a list that was cut off. Pure policy.
//!
//! What once was held stays held until it is back in the source, or a person has approved just that: neither what
//! comes besides nor the next crawl makes a smaller share of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::people::Names;
use super::reading::Read;
use super::roster::{Account, Member, Members, Roster, Waits};
use super::shifts::{GroupShift, Turnover};
use crate::text::{count, grouped, short_line};

/// A group of so many members or more is held where it would lose more than half of them.
const LARGE: usize = 10;
/// All groups together are, where they have so many.
const MANY: usize = 100;
/// More than one in so many users, or groups, that vanish are held.
const SHARE: usize = 10;
/// What is held is named up to so many times.
const MAX_NAMES: usize = 20;
const MAX_NAME: usize = 200;

/// Something that is not done unless a person approves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// A sentence, which the names go on.
    pub why: String,
    /// How many they are.
    pub count: u64,
    /// The first of those whom it is about.
    pub names: Vec<String>,
    /// The first of the groups that it is about, and who comes into them: they wait with it. An approval is not of them:
    /// nobody needs one to come into a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupShift>,
    /// Of all of them: an approval is of just these.
    pub digest: String,
}

impl Objection {
    fn new<'n>(why: String, kind: &str, names: impl Iterator<Item = &'n str>) -> Self {
        let (mut hash, mut count, mut first) = (Xxh3Default::new(), 0, Vec::new());
        hash.update(kind.as_bytes());
        for name in names {
            hash.update(&[0]);
            hash.update(name.as_bytes());
            count += 1;
            if first.len() < MAX_NAMES {
                first.push(short_line(name, MAX_NAME));
            }
        }
        let digest = format!("{:016x}", hash.digest());
        Self { why, count, names: first, groups: Vec::new(), digest }
    }
}

impl std::fmt::Display for Objection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)?;
        let mut before = ": ";
        for name in &self.names {
            write!(f, "{before}`{name}`")?;
            before = ", ";
        }
        match self.count.saturating_sub(self.names.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {} more", grouped(more)),
        }
    }
}

/// What is held, unless it was approved.
pub(super) struct Objections<'a> {
    approved: &'a [Objection],
    /// What was held before.
    waited: &'a Waits,
    pub(super) held: Vec<Objection>,
    pub(super) waits: Waits,
    /// Approvals that applied, by their digests.
    pub(super) used: Vec<String>,
    /// Groups whose members go by those, each with the approval's digest.
    pub(super) used_by: BTreeMap<String, String>,
    /// Groups that go, and a person has said so.
    let_go: BTreeSet<String>,
    /// A person has let everything go.
    none: bool,
}

impl<'a> Objections<'a> {
    pub(super) fn new(approved: &'a [Objection], waited: &'a Waits) -> Self {
        let (held, waits, used) = (Vec::new(), Waits::default(), Vec::new());
        let leaving = waited.leaving.iter().filter_map(|member| match member {
            Member::Group(name) => Some(name.clone()),
            Member::User(_) => None,
        });
        let (used_by, let_go) = (BTreeMap::new(), leaving.collect());
        Self { approved, waited, held, waits, used, used_by, let_go, none: false }
    }

    /// Whether it is held.
    fn hold(&mut self, objection: Objection) -> bool {
        if self.approved.iter().any(|one| one.digest == objection.digest) {
            self.used.push(objection.digest);
            return false;
        }
        if self.none {
            return false;
        }
        self.held.push(objection);
        true
    }

    /// Whether nothing at all is done, because nobody knows any more what Glean was told.
    pub(super) fn hold_lost(&mut self, lost: Option<&str>, read: &Read) -> bool {
        let Some(why) = lost else { return false };
        let mut text = format!(
            "it is not known what Glean was told, so a list that was cut off would not be noticed: {why}; the \
             source delivers {} and {}, and they would take the place of all that Glean has",
            count(read.users.len() as u64, "user"),
            count(read.groups.len() as u64, "group")
        );
        if read.partial.is_some() || !read.unreadable.is_empty() {
            text.push_str("; and not all was read, so that who is missing would be deleted");
        }
        // All that would be told: another list is looked at again.
        let users = read.users.keys().cloned();
        let groups = read.groups.iter().map(|(name, members)| format!("{name}\n{members:?}"));
        let all: Vec<_> = users.chain(groups).collect();
        let kind = if read.partial.is_some() { "lost, and partial" } else { "lost" };
        let objection = Objection::new(text, kind, all.iter().map(String::as_str));
        self.hold(Objection { count: 0, names: Vec::new(), ..objection })
    }

    /// Whether nothing at all is done, because nobody was delivered.
    pub(super) fn hold_nobody(&mut self, known: &Roster, read: &Read) -> bool {
        let is_whole = read.partial.is_none() && read.unreadable.is_empty();
        let is_empty = read.users.is_empty() && read.groups.is_empty() && is_whole;
        let had_any = !known.users.is_empty() || !known.groups.is_empty();
        if !(is_empty && had_any) {
            return false;
        }
        let text = format!(
            "the source delivered neither users nor groups: {} and {} would be deleted",
            count(known.users.len() as u64, "user"),
            count(known.groups.len() as u64, "group")
        );
        let all = known.users.keys().chain(known.groups.keys()).map(String::as_str);
        let objection = Objection::new(text, "nobody", all);
        let holds = self.hold(Objection { count: 0, names: Vec::new(), ..objection });
        self.none = !holds;
        holds
    }

    /// Which of the users that are gone may not go, and which of those that are inactive now may not be.
    pub(super) fn hold_gone_users(
        &mut self,
        gone: &[&String],
        inactive: &[&String],
        of: usize,
    ) -> BTreeSet<String> {
        let waited = self.waited;
        let may_go = |name: &String| waited.leaving.contains(&Member::User(name.clone()));
        let gone = gone.iter().copied().filter(|name| !may_go(name));
        let all: Vec<_> = gone.chain(inactive.iter().copied()).collect();
        let inactive = inactive.iter().map(|name| name.as_str()).collect();
        let what = Going { name: "user", inactive };
        let held = match self.hold_gone(&all, of, &what, |name| waited.users.contains(name)) {
            Some((held, true)) => held,
            _ => BTreeSet::new(),
        };
        self.waits.users.extend(held.iter().cloned());
        held
    }

    /// Which of the groups that are gone may not go.
    pub(super) fn hold_gone_groups(
        &mut self,
        gone: &[&String],
        known: &Roster,
    ) -> BTreeSet<String> {
        let waited = &self.waited.groups;
        let of = known.groups.len();
        let gone: Vec<_> =
            gone.iter().copied().filter(|name| !self.let_go.contains(*name)).collect();
        let what = Going { name: "group", inactive: BTreeSet::new() };
        let held = match self.hold_gone(&gone, of, &what, |name| waited.contains_key(name)) {
            Some((held, true)) => held,
            Some((approved, false)) => {
                self.let_go.extend(approved);
                BTreeSet::new()
            }
            None => BTreeSet::new(),
        };
        for name in &held {
            let had = known.groups.get(name).cloned().unwrap_or_default();
            self.waits.groups.insert(name.clone(), had);
        }
        held
    }

    /// Those that are too many to go without approval, if so, and whether they are held.
    fn hold_gone(
        &mut self,
        gone: &[&String],
        of: usize,
        what: &Going<'_>,
        waited: impl Fn(&str) -> bool,
    ) -> Option<(BTreeSet<String>, bool)> {
        let is_much = gone.len() * SHARE > of;
        let held: Vec<&str> =
            gone.iter().map(|name| name.as_str()).filter(|name| is_much || waited(name)).collect();
        if held.is_empty() {
            return None;
        }
        // Who may be inactive may not be deleted.
        let inactive = held.iter().filter(|name| what.inactive.contains(*name)).copied();
        let inactive: Vec<&str> = inactive.collect();
        let would = match inactive.len() {
            0 => format!("would be deleted, and one in {SHARE} may be without approval"),
            _ => format!("would go or be inactive, and one in {SHARE} may without approval"),
        };
        let text =
            format!("{} of {} {would}", grouped(held.len() as u64), count(of as u64, what.name));
        let kind = what.kind(&inactive);
        let is_held = self.hold(Objection::new(text, &kind, held.iter().copied()));
        Some((held.into_iter().map(str::to_owned).collect(), is_held))
    }

    /// Groups that would lose too many of their members keep them. One that goes loses all. People are called as in these
    /// users, before and now.
    pub(super) fn hold_shrunk(
        &mut self,
        known: &Roster,
        (before, users): (&BTreeMap<String, Account>, &BTreeMap<String, Account>),
        resolved: &BTreeMap<String, Members>,
        kept: &mut BTreeSet<String>,
    ) {
        let (before, now) = (Names::new(before), Names::new(users));
        let none = Members::new();
        let (mut large, mut smaller) = (Vec::new(), Vec::new());
        let is_looked_at = |name: &String| !kept.contains(name) && !self.let_go.contains(name);
        for (name, had) in known.groups.iter().filter(|(name, _)| is_looked_at(name)) {
            let has = resolved.get(name).unwrap_or(&none);
            if had.difference(has).next().is_none() {
                continue;
            }
            let turnover = Turnover::new((&before, had), (&now, has));
            let lost: Members = turnover.goes.iter().copied().cloned().collect();
            let (of, shift) = (had.len(), turnover.of_group(name));
            if of >= LARGE && lost.len() * 2 > of {
                large.push(Shrunk { name, lost, of, shift });
            } else if !lost.is_empty() {
                smaller.push(Shrunk { name, lost, of, shift });
            }
        }
        let more = large.split_off(large.len().min(MAX_NAMES));
        for one in large {
            let text = format!(
                "the group `{}` would lose {} of {}",
                short_line(one.name, MAX_NAME),
                grouped(one.lost.len() as u64),
                count(one.of as u64, "member")
            );
            let members = one.lost.iter().map(name_of);
            let objection = Objection::new(text, &format!("members of {}", one.name), members);
            self.keep(objection, vec![one], kept);
        }
        if !more.is_empty() {
            let groups = count(more.len() as u64, "more group");
            let text = format!("{groups} would lose more than half of their members");
            self.keep(of_several(text, "more groups", &more), more, kept);
        }
        let all = known.memberships();
        let lost: u64 = smaller.iter().map(|one| one.lost.len() as u64).sum();
        if !(all >= MANY as u64 && lost * 2 > all) {
            smaller.retain(|one| {
                let waited = self.waited.groups.get(one.name);
                waited.is_some_and(|waited| !waited.is_disjoint(&one.lost))
            });
        }
        if !smaller.is_empty() {
            let lost: usize = smaller.iter().map(|one| one.lost.len()).sum();
            let text = format!(
                "{} together would lose {} of {}",
                count(smaller.len() as u64, "group"),
                grouped(lost as u64),
                count(all, "membership")
            );
            self.keep(of_several(text, "groups", &smaller), smaller, kept);
        }
    }

    fn keep(&mut self, why: Objection, shrunk: Vec<Shrunk<'_>>, kept: &mut BTreeSet<String>) {
        let groups = shrunk.iter().take(MAX_NAMES).map(|one| one.shift.clone()).collect();
        let (digest, why) = (why.digest.clone(), Objection { groups, ..why });
        let is_held = self.hold(why);
        for Shrunk { name, lost, .. } in shrunk {
            if is_held {
                kept.insert(name.to_owned());
                self.waits.groups.insert(name.to_owned(), lost);
            } else {
                self.used_by.insert(name.to_owned(), digest.clone());
            }
        }
    }

    /// What was not read says nothing of what waits.
    pub(super) fn carry_over(&mut self, kept: &BTreeSet<String>, is_whole: bool) {
        for (name, lost) in self.waited.groups.iter().filter(|(name, _)| kept.contains(*name)) {
            self.waits.groups.entry(name.clone()).or_insert_with(|| lost.clone());
        }
        if !is_whole {
            self.waits.users.extend(self.waited.users.iter().cloned());
            self.waits.leaving.extend(self.waited.leaving.iter().cloned());
        }
    }

    /// Glean deletes memberships with their user or group: who is in a group that waits stays for as long as it does,
    /// and so does each group in it.
    pub(super) fn keep_members(
        &mut self,
        known: &Roster,
        users: &mut BTreeMap<String, Account>,
        groups: &BTreeMap<String, Members>,
        kept: &mut BTreeSet<String>,
    ) {
        let mut left: Vec<&str> = self.waits.groups.keys().map(String::as_str).collect();
        let mut names = BTreeSet::new();
        let mut stay = Vec::new();
        while let Some(group) = left.pop() {
            for member in known.groups.get(group).into_iter().flatten() {
                match member {
                    Member::User(name) => drop(names.insert(name.as_str())),
                    Member::Group(name) if groups.contains_key(name) || kept.contains(name) => {}
                    Member::Group(name) => {
                        if known.groups.contains_key(name) && kept.insert(name.clone()) {
                            stay.push(member.clone());
                            left.push(name);
                        }
                    }
                }
            }
        }
        let is_in = |user: &Account| {
            let id = user.id.as_deref();
            names.contains(user.email.as_str()) || id.is_some_and(|id| names.contains(id))
        };
        for (key, user) in &known.users {
            if !users.contains_key(key) && is_in(user) {
                stay.push(Member::User(key.clone()));
                users.insert(key.clone(), user.clone());
            }
        }
        self.waits.leaving.extend(stay);
    }
}

/// Who goes.
struct Going<'a> {
    /// What one is called.
    name: &'a str,
    /// Of users, those that stay and are inactive.
    inactive: BTreeSet<&'a str>,
}

impl Going<'_> {
    /// What an approval is of.
    fn kind(&self, inactive: &[&str]) -> String {
        if inactive.is_empty() {
            return self.name.to_owned();
        }
        format!("{}, and inactive {}", self.name, inactive.join("\0"))
    }
}

/// A group that would lose members.
struct Shrunk<'a> {
    name: &'a str,
    lost: Members,
    of: usize,
    shift: GroupShift,
}

/// The groups are named, and their members are meant.
fn of_several(why: String, kind: &str, shrunk: &[Shrunk<'_>]) -> Objection {
    let each = |one: &Shrunk<'_>| {
        let members: Vec<_> = one.lost.iter().map(name_of).collect();
        format!("{}\n{}", one.name, members.join("\n"))
    };
    let all: Vec<_> = shrunk.iter().map(each).collect();
    let digest = Objection::new(String::new(), kind, all.iter().map(String::as_str)).digest;
    let named = Objection::new(why, kind, shrunk.iter().map(|one| one.name));
    Objection { digest, ..named }
}

fn name_of(member: &Member) -> &str {
    let (Member::User(name) | Member::Group(name)) = member;
    name
}
