//! Whether somebody may find a document, and by which path: named, as one of everybody, or through groups. Pure.
//!
//! The rule is Glean's, as far as it describes one; local Glean's `visibility` has the same from its own tables.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::roster::{Account, Member, Roster};
use crate::identities::key;
use crate::text::{cut, grouped, one_line};
use crate::wire::identities::group_name;
use crate::wire::permissions::{Allowed, AllowedUser};

/// Users, groups and paths that are named, each.
const SHOWN: usize = 10;
/// Bytes that are shown of a name.
const LONGEST: usize = 200;

/// Who is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// As Glean was told of it, or as it was asked.
    pub email: Option<String>,
    pub id: Option<String>,
    /// Nothing where Glean was not told of them.
    pub active: Option<bool>,
}

impl Person {
    /// By e-mail, in whatever case, or by id, of which each letter counts. Nothing where it is no e-mail, and nobody's id among those that Glean was
    /// told of.
    pub fn find(asked: &str, roster: Option<&Roster>) -> Option<Self> {
        let of = |account: &Account| Self {
            email: Some(account.email.clone()),
            id: account.id.clone(),
            active: Some(account.active),
        };
        let asked = asked.trim();
        let users = roster.map(|roster| &roster.users);
        let by_id = || {
            let mut accounts = users?.values();
            accounts.find(|account| account.id.as_deref() == Some(asked))
        };
        let account = users.and_then(|users| users.get(&key(asked))).or_else(by_id);
        let unknown = |email, id| Some(Self { email, id, active: None });
        match (account, asked.contains('@'), users) {
            (Some(account), ..) => Some(of(account)),
            (None, true, _) => unknown(Some(asked.to_owned()), None),
            (None, false, None) => unknown(None, Some(asked.to_owned())),
            (None, false, Some(_)) => None,
        }
    }

    /// What people call them.
    pub fn name(&self) -> String {
        shown(self.email.as_deref().or(self.id.as_deref()).unwrap_or_default())
    }

    /// Whether a member, or a user whom a document names, is them.
    pub fn is(&self, named: &str) -> bool {
        self.is_email(named) || self.id.as_deref() == Some(named)
    }

    fn is_id(&self, user: &AllowedUser) -> bool {
        user.datasource_user_id.is_some() && user.datasource_user_id == self.id
    }

    fn is_email(&self, named: &str) -> bool {
        self.email.as_deref().is_some_and(|email| email.eq_ignore_ascii_case(named))
    }
}

/// Whether they may, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Nothing where that depends on what is not known here.
    pub allowed: Option<bool>,
    pub why: String,
    /// By which groups: each path begins with the person, and ends with a group that may. Several where all of them are
    /// required.
    pub paths: Vec<Vec<String>>,
    /// Groups that the document names and nobody has told of.
    pub undefined: Vec<String>,
    /// Where they may not: the groups that they are in all the same, as documents name them.
    pub inside: BTreeSet<String>,
}

impl Verdict {
    /// Without any path.
    pub fn plain(allowed: Option<bool>, why: &str) -> Self {
        Self { allowed, ..Self::yes(why.to_owned(), Vec::new()) }
    }

    fn yes(why: String, paths: Vec<Vec<String>>) -> Self {
        let (undefined, inside) = Default::default();
        Self { allowed: Some(true), why, paths, undefined, inside }
    }

    /// The groups that a yes depends on, by their names in the source.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.paths.iter().flat_map(|path| path.iter().skip(1)).map(String::as_str).collect()
    }
}

/// Whether a person may find what is allowed to these; `roster` is nothing where it is not known what Glean was told.
///
/// `by_email`: whether the datasource knows users by their e-mails, if that is known. Glean: "whether email is used to
/// reference users in document ACLs and in group memberships". So somebody's id is theirs only where it is not.
pub fn verdict(
    allowed: &Allowed,
    person: &Person,
    roster: Option<&Roster>,
    by_email: Option<bool>,
) -> Verdict {
    let name = person.name();
    if allowed.allow_anonymous_access {
        return Verdict::yes("everyone may read it".into(), Vec::new());
    }
    if allowed.allow_all_datasource_users_access && person.active == Some(true) {
        let why = format!("every user of the datasource may read it, and {name} is one");
        return Verdict::yes(why, Vec::new());
    }
    let names = Names::new(roster);
    let inside = roster.map(|roster| groups_of(roster, person)).unwrap_or_default();
    let named = named(allowed, person, by_email, (&names, &inside));
    if person.active == Some(false) {
        return inactive(allowed, person, &names, named);
    }
    named.unwrap_or_else(|| refused(allowed, person, (roster, by_email), &names, &inside))
}

/// Where the document names them, or groups that they are in.
fn named(
    allowed: &Allowed,
    person: &Person,
    by_email: Option<bool>,
    (names, inside): (&Names<'_>, &Inside<'_>),
) -> Option<Verdict> {
    let name = person.name();
    let is_named = allowed.allowed_users.iter().any(|user| {
        user.email.as_deref().is_some_and(|email| person.is_email(email))
            || by_email == Some(false) && person.is_id(user)
    });
    if is_named {
        return Some(Verdict::yes(format!("the document names {name}"), vec![vec![name]]));
    }
    let is_in = |wire: &String| names.source(wire).is_some_and(|name| inside.contains_key(name));
    let path = |wire: &String| way(&name, names.source(wire).unwrap_or(wire), inside);
    if let Some(group) = allowed.allowed_groups.iter().find(|wire| is_in(wire)) {
        let path = path(group);
        let why = format!("{}, and {} may read it", steps(&path), names.shown(group));
        return Some(Verdict::yes(why, vec![path]));
    }
    let all = allowed.allowed_group_intersections.iter();
    let mut all = all.filter(|all| !all.required_groups.is_empty());
    let all = all.find(|all| all.required_groups.iter().all(is_in))?;
    let paths: Vec<_> = all.required_groups.iter().map(path).collect();
    let ways: Vec<_> = paths.iter().map(|path| steps(path)).collect();
    let why = format!(
        "whoever is in all of {} may read it: {}",
        listed(all.required_groups.iter().map(|wire| names.shown(wire))),
        ways.join("; ")
    );
    Some(Verdict::yes(why, paths))
}

/// A former employee, or a robot. Where nothing names them they may not.
fn inactive(
    allowed: &Allowed,
    person: &Person,
    names: &Names<'_>,
    named: Option<Verdict>,
) -> Verdict {
    let name = person.name();
    let by_id = allowed.allowed_users.iter().any(|user| person.is_id(user));
    let by_id = || by_id.then(|| format!("the document names {name} by id"));
    if let Some(why) = named.map(|named| named.why).or_else(by_id) {
        let unknown = "Glean does not say what that counts for";
        return Verdict::plain(None, &format!("{why}; but {name} is inactive: {unknown}"));
    }
    let who = who_may(allowed, names);
    let only = if who.is_empty() {
        "nobody may read it".to_owned()
    } else {
        format!("only {} may read it", listed(who.into_iter()))
    };
    Verdict::plain(Some(false), &format!("{only}; {name} is inactive"))
}

/// Why not, or why that is not known.
fn refused(
    allowed: &Allowed,
    person: &Person,
    (roster, by_email): (Option<&Roster>, Option<bool>),
    names: &Names<'_>,
    inside: &Inside<'_>,
) -> Verdict {
    let who = who_may(allowed, names);
    if who.is_empty() {
        let why = "nobody may read it: it names nobody, or its connector does not know who may";
        return Verdict::plain(Some(false), why);
    }
    let only = format!("only {} may read it", listed(who.into_iter()));
    let name = person.name();
    if allowed.allowed_users.iter().any(|user| person.is_id(user)) {
        let unknown = match by_email {
            Some(_) => "Glean knows users by e-mail, and does not say what an id counts for",
            None => "whether Glean knows users by e-mail or by id is not known here",
        };
        return Verdict::plain(None, &format!("{only}; that names {name} by id: {unknown}"));
    }
    let groups: BTreeSet<&String> = groups_in(allowed).collect();
    let names_any = |by: fn(&AllowedUser) -> bool| allowed.allowed_users.iter().any(by);
    let depends = !groups.is_empty()
        || allowed.allow_all_datasource_users_access
        || (person.id.is_none() && names_any(|user| user.datasource_user_id.is_some()))
        || (person.email.is_none() && names_any(|user| user.email.is_some()));
    if roster.is_none() {
        let allowed = if depends { None } else { Some(false) };
        let unknown = "; who is who, and in what, is not known here";
        let why = format!("{only}{}", if depends { unknown } else { "" });
        return Verdict::plain(allowed, &why);
    }
    let mut why = vec![only];
    if person.active.is_none() {
        why.push(format!("Glean was told of no user {name}"));
    }
    if !groups.is_empty() {
        why.push(match inside.len() {
            0 => format!("{name} is in no group"),
            _ => format!("{name} is in {}", listed(inside.keys().map(|group| shown(group)))),
        });
    }
    let undefined: Vec<_> = groups
        .into_iter()
        .filter(|wire| names.source(wire).is_none())
        .map(|wire| shown(wire))
        .collect();
    if !undefined.is_empty() {
        let all = listed(undefined.iter().cloned());
        why.push(format!("Glean was told of no group {all}, so nobody is in it"));
    }
    let inside = inside.keys().map(|group| group_name(group).into_owned()).collect();
    Verdict { undefined, inside, ..Verdict::plain(Some(false), &why.join("; ")) }
}

/// Who may at all.
fn who_may(allowed: &Allowed, names: &Names<'_>) -> Vec<String> {
    let everyone = allowed.allow_all_datasource_users_access;
    let everyone = everyone.then(|| "active users of the datasource".to_owned());
    let named = allowed.allowed_users.iter();
    let named = named.filter_map(|user| user.email.as_ref().or(user.datasource_user_id.as_ref()));
    let named = named.map(|name| shown(name));
    let group = |wire: &String| format!("group {}", names.shown(wire));
    let all = allowed.allowed_group_intersections.iter().map(|all| {
        let all = all.required_groups.iter().map(|wire| names.shown(wire));
        format!("whoever is in all of {}", listed(all))
    });
    let groups = allowed.allowed_groups.iter().map(group);
    everyone.into_iter().chain(named).chain(groups).chain(all).collect()
}

/// All groups that it names.
pub(super) fn groups_in(allowed: &Allowed) -> impl Iterator<Item = &String> {
    let all = allowed.allowed_group_intersections.iter().flat_map(|all| &all.required_groups);
    allowed.allowed_groups.iter().chain(all)
}

/// The groups' names in the source, by those that documents have for them.
struct Names<'a>(BTreeMap<String, &'a str>);

impl<'a> Names<'a> {
    fn new(roster: Option<&'a Roster>) -> Self {
        let groups = roster.into_iter().flat_map(|roster| roster.groups.keys());
        Self(groups.map(|name| (group_name(name).into_owned(), name.as_str())).collect())
    }

    /// Nothing for a group that nobody has told of: another may have what documents name as its name in the source.
    fn source(&self, wire: &str) -> Option<&'a str> {
        self.0.get(wire).copied()
    }

    /// For people.
    fn shown(&self, wire: &str) -> String {
        shown(self.source(wire).unwrap_or(wire))
    }
}

/// The groups that somebody is in, each with the group through which, if so.
type Inside<'a> = BTreeMap<&'a str, Option<&'a str>>;

/// By the shortest path to each. Each group is found once: circles end.
fn groups_of<'a>(roster: &'a Roster, person: &Person) -> Inside<'a> {
    let mut outer: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let (mut inside, mut waiting) = (Inside::new(), VecDeque::new());
    for (group, members) in &roster.groups {
        for member in members {
            match member {
                Member::Group(inner) => outer.entry(inner).or_default().push(group),
                Member::User(named) if person.is(named) => {
                    if inside.insert(group, None).is_none() {
                        waiting.push_back(group.as_str());
                    }
                }
                Member::User(_) => {}
            }
        }
    }
    while let Some(inner) = waiting.pop_front() {
        for group in outer.get(inner).into_iter().flatten() {
            if !inside.contains_key(group) {
                inside.insert(group, Some(inner));
                waiting.push_back(group);
            }
        }
    }
    inside
}

/// From the person to the group.
fn way(person: &str, group: &str, inside: &Inside<'_>) -> Vec<String> {
    let mut names = vec![group.to_owned()];
    let mut at = group;
    // Each group was found from one that was found before: this ends.
    while let Some(Some(inner)) = inside.get(at) {
        names.push((*inner).to_owned());
        at = inner;
    }
    names.push(person.to_owned());
    names.reverse();
    names
}

/// `ann@example.com is in staff, staff is in hr`.
fn steps(path: &[String]) -> String {
    let step = |pair: &[String]| format!("{} is in {}", shown(&pair[0]), shown(&pair[1]));
    path.windows(2).map(step).collect::<Vec<_>>().join(", ")
}

fn shown(name: &str) -> String {
    one_line(&cut(name, LONGEST)).into_owned()
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let mut named: Vec<_> = names.take(SHOWN).collect();
    if more > 0 {
        named.push(format!("{} more", grouped(more as u64)));
    }
    named.join(", ")
}

#[cfg(test)]
mod tests;
