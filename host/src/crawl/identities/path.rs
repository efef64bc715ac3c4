//! Whether somebody may find a document, and by which path: named, as one of everybody, or through groups. Pure.
//!
//! The rule is Glean's, as far as it describes one; local Glean's `visibility` has the same from its own tables.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::reading::key;
use super::roster::{Account, Member, Roster};
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
    /// By e-mail, in whatever case, or by id. Nothing where it is no e-mail, and nobody's id among those that Glean was
    /// told of.
    pub fn find(asked: &str, roster: Option<&Roster>) -> Option<Self> {
        let of = |account: &Account| Self {
            email: Some(account.email.clone()),
            id: account.id.clone(),
            active: Some(account.active),
        };
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
    fn is(&self, named: &str) -> bool {
        self.is_email(named) || self.id.as_deref() == Some(named)
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
}

impl Verdict {
    /// Without any path.
    pub fn plain(allowed: Option<bool>, why: &str) -> Self {
        Self { allowed, why: why.to_owned(), paths: Vec::new(), undefined: Vec::new() }
    }

    fn yes(why: String, paths: Vec<Vec<String>>) -> Self {
        Self { allowed: Some(true), why, paths, undefined: Vec::new() }
    }

    /// The groups that it depends on, by their names in the source.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.paths.iter().flat_map(|path| path.iter().skip(1)).map(String::as_str).collect()
    }
}

/// Whether a person may find what is allowed to these; `roster` is nothing where it is not known what Glean was told.
pub fn verdict(allowed: &Allowed, person: &Person, roster: Option<&Roster>) -> Verdict {
    let name = person.name();
    if allowed.allow_anonymous_access {
        return Verdict::yes("everyone may read it".into(), Vec::new());
    }
    if allowed.allow_all_datasource_users_access && person.active == Some(true) {
        let why = format!("every user of the datasource may read it, and {name} is one");
        return Verdict::yes(why, Vec::new());
    }
    let is_named = allowed.allowed_users.iter().any(|user| {
        user.email.as_deref().is_some_and(|email| person.is_email(email))
            || user.datasource_user_id.is_some() && user.datasource_user_id == person.id
    });
    if is_named {
        return Verdict::yes(format!("the document names {name}"), vec![vec![name]]);
    }
    let names = Names::new(roster);
    let inside = roster.map(|roster| groups_of(roster, person)).unwrap_or_default();
    let is_in = |wire: &String| inside.contains_key(names.source(wire));
    let path = |wire: &String| way(&person.name(), names.source(wire), &inside);
    if let Some(group) = allowed.allowed_groups.iter().find(|wire| is_in(wire)) {
        let path = path(group);
        let why = format!("{}, and {} may read it", steps(&path), shown(names.source(group)));
        return Verdict::yes(why, vec![path]);
    }
    let all = allowed.allowed_group_intersections.iter();
    let mut all = all.filter(|all| !all.required_groups.is_empty());
    if let Some(all) = all.find(|all| all.required_groups.iter().all(is_in)) {
        let paths: Vec<_> = all.required_groups.iter().map(path).collect();
        let ways: Vec<_> = paths.iter().map(|path| steps(path)).collect();
        let why = format!(
            "whoever is in all of {} may read it: {}",
            listed(all.required_groups.iter().map(|wire| shown(names.source(wire)))),
            ways.join("; ")
        );
        return Verdict::yes(why, paths);
    }
    refused(allowed, person, roster, &names, &inside)
}

/// Why not, or why that is not known.
fn refused(
    allowed: &Allowed,
    person: &Person,
    roster: Option<&Roster>,
    names: &Names<'_>,
    inside: &Inside<'_>,
) -> Verdict {
    let who = who_may(allowed, names);
    if who.is_empty() {
        let why = "nobody may read it: it names nobody, or its connector does not know who may";
        return Verdict::plain(Some(false), why);
    }
    let only = format!("only {} may read it", listed(who.into_iter()));
    let groups: BTreeSet<&String> = groups_in(allowed).collect();
    let names_any = |by: fn(&AllowedUser) -> bool| allowed.allowed_users.iter().any(by);
    let depends = !groups.is_empty()
        || allowed.allow_all_datasource_users_access
        || (person.id.is_none() && names_any(|user| user.datasource_user_id.is_some()))
        || (person.email.is_none() && names_any(|user| user.email.is_some()));
    let Some(roster) = roster else {
        let allowed = if depends { None } else { Some(false) };
        let unknown = "; who is who, and in what, is not known here";
        let why = format!("{only}{}", if depends { unknown } else { "" });
        return Verdict::plain(allowed, &why);
    };
    let name = person.name();
    let mut why = vec![only];
    match person.active {
        Some(false) if allowed.allow_all_datasource_users_access => {
            why.push(format!("{name} is inactive"));
        }
        None => why.push(format!("Glean was told of no user {name}")),
        _ => {}
    }
    if !groups.is_empty() {
        why.push(match inside.len() {
            0 => format!("{name} is in no group"),
            _ => format!("{name} is in {}", listed(inside.keys().map(|group| shown(group)))),
        });
    }
    let undefined: Vec<_> = groups
        .into_iter()
        .filter(|wire| !roster.groups.contains_key(names.source(wire)))
        .map(|wire| shown(wire))
        .collect();
    if !undefined.is_empty() {
        let all = listed(undefined.iter().cloned());
        why.push(format!("Glean was told of no group {all}, so nobody is in it"));
    }
    Verdict { undefined, ..Verdict::plain(Some(false), &why.join("; ")) }
}

/// Who may at all.
fn who_may(allowed: &Allowed, names: &Names<'_>) -> Vec<String> {
    let everyone = allowed.allow_all_datasource_users_access;
    let everyone = everyone.then(|| "active users of the datasource".to_owned());
    let named = allowed.allowed_users.iter();
    let named = named.filter_map(|user| user.email.as_ref().or(user.datasource_user_id.as_ref()));
    let named = named.map(|name| shown(name));
    let group = |wire: &String| format!("group {}", shown(names.source(wire)));
    let all = allowed.allowed_group_intersections.iter().map(|all| {
        let all = all.required_groups.iter().map(|wire| shown(names.source(wire)));
        format!("whoever is in all of {}", listed(all))
    });
    let groups = allowed.allowed_groups.iter().map(group);
    everyone.into_iter().chain(named).chain(groups).chain(all).collect()
}

/// All groups that it names.
fn groups_in(allowed: &Allowed) -> impl Iterator<Item = &String> {
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

    fn source<'b>(&self, wire: &'b str) -> &'b str
    where
        'a: 'b,
    {
        self.0.get(wire).copied().unwrap_or(wire)
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
mod tests {
    use super::*;

    /// Users are `email`, `email=id`, or with a `-` in front inactive; members of groups as in `people.toml`.
    fn roster(users: &[&str], groups: &[(&str, &[&str])]) -> Roster {
        let user = |text: &&str| {
            let active = !text.starts_with('-');
            let text = text.trim_start_matches('-');
            let (email, id) =
                text.split_once('=').map_or((text, None), |(email, id)| (email, Some(id)));
            let (email, id) = (email.to_owned(), id.map(str::to_owned));
            (key(&email), Account { email, id, name: None, active })
        };
        let member = |text: &&str| match text.strip_prefix("group:") {
            Some(group) => Member::Group(group.to_owned()),
            None => Member::User((*text).to_owned()),
        };
        let group = |(name, members): &(&str, &[&str])| {
            ((*name).to_owned(), members.iter().map(member).collect())
        };
        Roster {
            users: users.iter().map(user).collect(),
            groups: groups.iter().map(group).collect(),
        }
    }

    fn allowed(json: serde_json::Value) -> Allowed {
        serde_json::from_value(json).expect("permissions")
    }

    fn asked(allowed: &Allowed, who: &str, roster: Option<&Roster>) -> (Option<bool>, String) {
        let person = Person::find(who, roster).expect("somebody");
        let Verdict { allowed, why, .. } = verdict(allowed, &person, roster);
        (allowed, why)
    }

    fn groups(names: &[&str]) -> Allowed {
        allowed(serde_json::json!({ "allowedGroups": names }))
    }

    #[test]
    fn the_path_through_groups_is_told_and_a_circle_ends() {
        let roster = roster(
            &["Ann@x.com=ann", "bob@x.com"],
            &[
                ("staff", &["ann@x.com", "group:ring"]),
                ("Site Owners", &["group:staff"]),
                ("ring", &["group:Site Owners"]),
                ("other", &["bob@x.com"]),
            ],
        );
        let owners = groups(&["Site%20Owners"]);
        let way = "Ann@x.com is in staff, staff is in Site Owners, and Site Owners may read it";
        for who in ["ANN@x.com", "ann", "Ann@x.com"] {
            assert_eq!(asked(&owners, who, Some(&roster)), (Some(true), way.into()), "{who}");
        }
        let person = Person::find("ann", Some(&roster)).expect("Ann");
        let found = verdict(&owners, &person, Some(&roster));
        assert_eq!(found.paths, [["Ann@x.com", "staff", "Site Owners"]]);
        assert_eq!(found.groups().into_iter().collect::<Vec<_>>(), ["Site Owners", "staff"]);
        let (may, why) = asked(&owners, "bob@x.com", Some(&roster));
        assert_eq!(may, Some(false));
        assert_eq!(why, "only group Site Owners may read it; bob@x.com is in other");
    }

    #[test]
    fn all_groups_of_an_intersection_are_required_and_none_is_no_intersection() {
        let roster = roster(
            &["ann@x.com", "bob@x.com"],
            &[("a", &["ann@x.com", "bob@x.com"]), ("b", &["group:c"]), ("c", &["ann@x.com"])],
        );
        let both = allowed(serde_json::json!({
            "allowedGroupIntersections": [{ "requiredGroups": [] }, { "requiredGroups": ["a", "b"] }],
        }));
        let (may, why) = asked(&both, "ann@x.com", Some(&roster));
        assert_eq!(may, Some(true));
        assert!(why.ends_with("ann@x.com is in a; ann@x.com is in c, c is in b"), "{why}");
        let (may, why) = asked(&both, "bob@x.com", Some(&roster));
        assert_eq!(may, Some(false));
        assert!(
            why.contains("whoever is in all of a, b") && why.contains("bob@x.com is in a"),
            "{why}"
        );
    }

    #[test]
    fn everyone_everyone_of_the_source_and_those_that_are_named() {
        let roster = roster(&["ann@x.com=7", "-bob@x.com=8"], &[]);
        let everyone = allowed(serde_json::json!({ "allowAnonymousAccess": true }));
        let source = allowed(serde_json::json!({ "allowAllDatasourceUsersAccess": true }));
        let named = allowed(serde_json::json!({
            "allowedUsers": [{ "datasourceUserId": "7" }, { "email": "CID@x.com" }],
        }));
        for (rule, who, may) in [
            (&everyone, "nobody@x.com", true),
            (&source, "ann@x.com", true),
            (&source, "bob@x.com", false),
            (&source, "nobody@x.com", false),
            (&named, "ann@x.com", true),
            (&named, "cid@x.com", true),
            (&named, "8", false),
            (&Allowed::default(), "ann@x.com", false),
        ] {
            assert_eq!(asked(rule, who, Some(&roster)).0, Some(may), "{rule:?} {who}");
        }
        assert!(asked(&source, "bob@x.com", Some(&roster)).1.contains("bob@x.com is inactive"));
        let (_, why) = asked(&source, "nobody@x.com", Some(&roster));
        assert!(why.contains("Glean was told of no user nobody@x.com"), "{why}");
        assert!(asked(&Allowed::default(), "7", Some(&roster)).1.contains("nobody may"));
        assert_eq!(Person::find("9", Some(&roster)), None, "nobody's id");
    }

    #[test]
    fn what_is_not_known_is_not_denied_and_a_group_that_nobody_defined_is_named() {
        let hr = groups(&["hr"]);
        let (may, why) = asked(&hr, "ann@x.com", None);
        assert_eq!(may, None);
        assert!(why.contains("only group hr may read it") && why.contains("not known"), "{why}");
        let named = allowed(serde_json::json!({ "allowedUsers": [{ "email": "ann@x.com" }] }));
        assert_eq!(asked(&named, "ann@x.com", None).0, Some(true));
        assert_eq!(asked(&named, "bob@x.com", None).0, Some(false));
        let (may, why) = asked(&named, "7", None);
        assert_eq!(may, None, "whose e-mail that is: {why}");
        assert!(why.contains("only ann@x.com may read it; who is"), "{why}");
        let source = allowed(serde_json::json!({ "allowAllDatasourceUsersAccess": true }));
        assert_eq!(asked(&source, "ann@x.com", None).0, None);
        let by_id = allowed(serde_json::json!({ "allowedUsers": [{ "datasourceUserId": "7" }] }));
        assert_eq!(asked(&by_id, "7", None).0, Some(true));
        assert_eq!(asked(&by_id, "8", None).0, Some(false));
        assert_eq!(asked(&by_id, "ann@x.com", None).0, None, "her id is not known");
        let (may, why) = asked(&hr, "ann@x.com", Some(&Roster::default()));
        assert_eq!(may, Some(false));
        assert!(why.contains("told of no group hr"), "{why}");
    }

    #[test]
    fn what_is_long_is_cut_and_what_is_unseen_is_shown() {
        let odd = "a\nb\u{202e}".repeat(200);
        let many: Vec<String> = (0..50).map(|number| format!("g{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).chain([odd.as_str()]).collect();
        let (_, why) = asked(&groups(&many), "ann@x.com", Some(&Roster::default()));
        assert!(why.contains("41 more") && why.len() < 2_000 && !why.contains('\n'), "{why}");
    }
}
