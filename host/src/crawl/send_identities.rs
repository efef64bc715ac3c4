//! Tells Glean who is who, in its order, and writes down what it was told.
//!
//! It may end at any request. What is about to be asked for is written down as in doubt before it is, and as told
//! afterwards: whatever happens between the two, the next crawl tells it again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::identities::{
    Account, Changes, Counts, Doubt, GroupShifts, Known, Member, Members, Names, Refusal, Refused,
    Roster, Whole,
};
use super::identity_progress::{IdentityCounts, IdentityPhase, IdentityProgress, Say};
use super::kept_identities::KeptIdentities;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean;
use crate::glean::identities::{Identities, Leeway, Told};
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
    /// Groups that Glean refused, as they are or whoever is in them: nothing of them was done.
    pub(super) undone: BTreeSet<String>,
    pub(super) counts: Counts,
    pub(super) shifts: GroupShifts,
}

impl Sending<'_> {
    /// What Glean refuses is left out, row by row. A group that it refuses as a whole keeps the members that it had, and is
    /// told again by another crawl.
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
            self.tell_nobody(&mut known, &before, name).await?;
        }
        if changes.users {
            self.tell_users(&mut known, before.users, (&had, changes)).await?;
        }
        let mut shaky = Shaky::default();
        if known.doubt.users.is_some() {
            shaky.names.extend(changes.again.iter().cloned());
        }
        if changes.groups {
            self.tell_groups(&mut known, before.groups, (&had, changes)).await?;
        }
        let names = also(&changes.memberships, &changes.target, &had, &refused_before, &known);
        // The others differ from what is known: whoever ends before they are told finds them again.
        let is_more = |name: &&String| changes.memberships.binary_search(*name).is_err();
        for name in names.iter().filter(is_more) {
            known.doubt.of_members([name]);
            known.refused.wholes.remove(name);
        }
        self.empty_refused(&mut known, &before, &had).await?;
        // One that deletes a group may come when the group is back.
        shaky.new = before.groups.filter(|at| Doubt::may_come_late(*at));
        shaky.known = had.groups.keys().cloned().collect();
        let is_refused = |name: &&String| refused_before.wholes.contains_key(*name);
        shaky.others = before.members.keys().filter(|name| !is_refused(name)).cloned().collect();
        let mut undone = self.tell_members(&mut known, &before, &shaky, (&names, changes)).await?;
        self.keep(&known).await?;
        undone.extend(known.refused.groups.keys().cloned());
        let counts = changes.counts_without(&undone, &had);
        let named = |users| known.refused.and_users(changes.refused.and_users(users));
        let (was, is) = (named(had.users.clone()), named(known.roster.users.clone()));
        let shifts =
            GroupShifts::between((&Names::new(&was), &had), (&Names::new(&is), &known.roster));
        Ok(Said { known, undone, counts, shifts })
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
        (had, changes): (&Roster, &Changes),
    ) -> Result<()> {
        let users = &changes.target.users;
        let leeway = leeway(users.keys(), |key| had.users.contains_key(key));
        let told =
            self.upload.replace(Replaced::Users, || users.values().map(user), leeway).await?;
        let many = users.len() - told.refused.len();
        self.says(|told| told.users = many as u64);
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
        (had, changes): (&Roster, &Changes),
    ) -> Result<()> {
        let groups = &changes.target.groups;
        let rows = || groups.keys().map(String::as_str).map(group);
        let leeway = leeway(groups.keys(), |name| had.groups.contains_key(name));
        let told = self.upload.replace(Replaced::Groups, rows, leeway).await?;
        let refused = numbered(groups.keys(), told.refused);
        known.refused.groups = refused.map(|(name, why)| (name.clone(), why)).collect();
        let is_known =
            |name: &String| groups.contains_key(name) && !known.refused.groups.contains_key(name);
        known.roster.groups.retain(|name, _| is_known(name));
        known.doubt.groups = left(told.told, before);
        Ok(())
    }

    /// Glean may take its time to delete a group that it refused, or hold that back: nobody is in it meanwhile.
    async fn empty_refused(&self, known: &mut Known, before: &Doubt, had: &Roster) -> Result<()> {
        let may_be_there =
            |name: &String| had.groups.contains_key(name) || known.doubt.members.contains_key(name);
        let names = known.refused.groups.keys().filter(|name| may_be_there(name));
        let names: Vec<String> = names.cloned().collect();
        if names.is_empty() {
            return Ok(());
        }
        known.doubt.of_members(&names);
        self.keep(known).await?;
        for name in &names {
            self.tell_nobody(known, before, name).await?;
        }
        self.keep(known).await
    }

    /// Nobody is in it any more. One that Glean does not know has nobody.
    async fn tell_nobody(&self, known: &mut Known, before: &Doubt, name: &str) -> Result<()> {
        let nobody = std::iter::empty;
        let told =
            match self.upload.replace(Replaced::MembersOf(name), nobody, Leeway::default()).await {
                Err(error) if error.is_refusal() => Told::Certain,
                told => told?.told,
            };
        match left(told, before.members.get(name).copied()) {
            Some(at) => drop(known.doubt.members.insert(name.to_owned(), at)),
            None => drop(known.doubt.members.remove(name)),
        }
        Ok(())
    }

    /// Which groups Glean refused as wholes.
    async fn tell_members(
        &self,
        known: &mut Known,
        before: &Doubt,
        shaky: &Shaky,
        (names, changes): (&[String], &Changes),
    ) -> Result<BTreeSet<String>> {
        let (mut refused, mut in_a_row) = (BTreeSet::new(), 0);
        for names in names.chunks(AT_ONCE) {
            known.doubt.of_members(names);
            self.keep(known).await?;
            for name in names {
                let Some(members) = changes.target.groups.get(name) else { continue };
                let may_have = may_have_others(known, shaky, name, members);
                match self.tell_group(known, name, members, may_have).await {
                    Ok(told) => {
                        in_a_row = 0;
                        let there = known.roster.groups.get(name).map_or(0, Members::len);
                        self.says(|told| {
                            told.groups += 1;
                            told.members += there as u64;
                        });
                        let left = left(told, before.members.get(name).copied());
                        match left.or_else(|| shaky.since(name)) {
                            Some(at) => drop(known.doubt.members.insert(name.clone(), at)),
                            None => drop(known.doubt.members.remove(name)),
                        }
                    }
                    Err(error) if error.is_refusal() && in_a_row < MAX_REFUSED => {
                        in_a_row += 1;
                        let whole = Whole::new(members, may_have, &error.to_string());
                        known.refused.wholes.insert(name.clone(), whole);
                        refused.insert(name.clone());
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

    /// All who are in a group, but for those whom Glean does not take. Where it takes none of it, those who have left leave
    /// it all the same: it is told again who of those that it had is in it still.
    async fn tell_group(
        &self,
        known: &mut Known,
        name: &str,
        members: &Members,
        may_have_others: bool,
    ) -> Result<Told, glean::Error> {
        // Glean knows no group that it refused, nor who is in one.
        let is_told = |member: &Member| !matches!(member, Member::Group(name) if known.refused.groups.contains_key(name));
        let (said, unsaid): (Members, Members) = members.iter().cloned().partition(is_told);
        let had = known.roster.groups.get(name).cloned().unwrap_or_default();
        let (told, mut refused) = match self.members(name, &said, &had, false).await {
            Err(error) if error.is_refusal() && may_have_others => {
                let stay = said.intersection(&had).cloned().collect();
                let (told, mut refused) = self.members(name, &stay, &had, true).await?;
                let why = Refusal::new(&error.to_string());
                refused.extend(said.difference(&had).map(|new| (new.clone(), why.clone())));
                (told, refused)
            }
            told => told?,
        };
        let why = || Refusal::new("Glean refused that group");
        refused.extend(unsaid.into_iter().map(|group| (group, why())));
        let is_refused: BTreeSet<&Member> = refused.iter().map(|(member, _)| member).collect();
        let there = members.iter().filter(|member| !is_refused.contains(member)).cloned().collect();
        known.roster.groups.insert(name.to_owned(), there);
        known.refused.wholes.remove(name);
        if refused.is_empty() {
            known.refused.members.remove(name);
        } else {
            known.refused.members.insert(name.to_owned(), refused);
        }
        Ok(told)
    }

    /// `all`: also where Glean takes none of them.
    async fn members(
        &self,
        name: &str,
        said: &Members,
        had: &Members,
        all: bool,
    ) -> Result<(Told, Vec<(Member, Refusal)>), glean::Error> {
        let leeway = Leeway { all, ..leeway(said.iter(), |member| had.contains(member)) };
        let rows = || said.iter().map(member);
        let told = self.upload.replace(Replaced::MembersOf(name), rows, leeway).await?;
        let refused = numbered(said.iter(), told.refused);
        Ok((told.told, refused.map(|(member, why)| (member.clone(), why)).collect()))
    }
}

/// Whether somebody may be in a group in Glean who is not to be: who has left it, or was asked for by a crawl that nobody
/// knows the end of.
fn may_have_others(known: &Known, shaky: &Shaky, group: &str, members: &Members) -> bool {
    let had = known.roster.groups.get(group);
    shaky.others.contains(group) || had.is_some_and(|had| !had.is_subset(members))
}

/// Which of the rows Glean has.
fn leeway<T>(rows: impl Iterator<Item = T>, is_there: impl Fn(T) -> bool) -> Leeway {
    let had =
        rows.enumerate().filter_map(|(number, row)| is_there(row).then_some(number)).collect();
    Leeway { had, all: false }
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
    /// Groups of which it is not known who was in them before.
    others: BTreeSet<String>,
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
