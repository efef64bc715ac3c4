//! Why Glean may say something else of somebody's access than what is known here. Pure: it weighs what Glean says of the
//! document and of the user against what it was told.

use std::collections::BTreeSet;

use serde::Serialize;

use super::known::Known;
use super::path::{Person, Verdict, groups_in};
use super::roster::{Doubt, Member, Roster};
use crate::glean::access::{DocumentInGlean, UserInGlean};
use crate::text::one_line;
use crate::wire::identities::group_name;
use crate::wire::permissions::Allowed;

/// What is probable, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    pub what: String,
    pub next: String,
}

/// What is known where the two differ.
pub struct Facts<'a> {
    /// The connection's name.
    pub connection: &'a str,
    pub person: &'a Person,
    pub here: &'a Verdict,
    /// Who may find the document, as `here` has it; nothing where nobody says it.
    pub allowed: Option<&'a Allowed>,
    /// What became of the document here, where Glean should not have it: `deleted` or `quarantined`.
    pub gone: Option<&'static str>,
    /// As Glean was told.
    pub known: Option<&'a Known>,
    pub document: &'a DocumentInGlean,
    pub user: Option<&'a UserInGlean>,
}

/// The most certain first; at least one.
pub fn reasons(facts: &Facts<'_>) -> Vec<Reason> {
    if let Some(gone) = facts.gone {
        // No user and no group makes a difference to it.
        let what = format!("Glean has the document all the same: here it was {gone}");
        let next = "ask again later: Glean takes its time; if it stays, sheaf sync";
        return vec![Reason { what, next: format!("{next} {}", facts.connection) }];
    }
    let of_document = [is_missing(facts), has_changed(facts), is_not_indexed(facts)];
    let of_people =
        [is_inactive(facts), is_unknown(facts), is_in_doubt(facts), is_not_processed(facts)];
    let found = of_document.into_iter().chain(of_people).flatten();
    let found: Vec<_> = found.map(|(what, next)| Reason { what, next }).collect();
    if found.is_empty() { vec![unexplained(facts)] } else { found }
}

type Found = Option<(String, String)>;

fn is_missing(facts: &Facts<'_>) -> Found {
    let is_missing = facts.here.allowed == Some(true) && facts.document.is_missing();
    is_missing.then(|| {
        ("Glean does not have the document".into(), format!("sheaf sync {}", facts.connection))
    })
}

fn has_changed(facts: &Facts<'_>) -> Found {
    let Reason { what, next } = changed(facts.connection, facts.document, facts.allowed?)?;
    Some((what, next))
}

/// Whether who may find the document is another than when it was uploaded.
pub fn changed(connection: &str, document: &DocumentInGlean, now: &Allowed) -> Option<Reason> {
    let uploaded = document.permissions.clone()?.normal();
    (uploaded != now.clone().normal()).then(|| Reason {
        what: "the source has changed who may read it since it was uploaded".into(),
        next: format!("sheaf sync {connection}"),
    })
}

fn is_not_indexed(facts: &Facts<'_>) -> Found {
    facts.document.is_not_indexed().then(|| {
        let what = "Glean has the document, and has not indexed it yet";
        (what.into(), "ask again later: Glean indexes by its own schedule".into())
    })
}

/// Inactive by what it was told, and let in.
fn is_inactive(facts: &Facts<'_>) -> Found {
    let is_inactive = facts.here.allowed == Some(false) && facts.person.active == Some(false);
    let name = is_inactive.then(|| facts.person.name())?;
    Some(match facts.user.and_then(|user| user.active) {
        Some(false) => (
            format!("Glean was told that {name} is inactive, and lets them in all the same"),
            "take them out of the groups in the source, or ask Glean".into(),
        ),
        _ => (format!("to Glean {name} is not inactive"), tell(facts, true)),
    })
}

fn is_unknown(facts: &Facts<'_>) -> Found {
    let expected = facts.here.allowed == Some(true) && !facts.allowed?.allow_anonymous_access;
    let user = facts.user.filter(|_| expected)?;
    let name = facts.person.name();
    if user.is_missing() {
        return Some((
            format!("Glean knows no user {name} of this datasource"),
            tell(facts, facts.person.active.is_some()),
        ));
    }
    if user.active == Some(false) {
        let next = match facts.person.active {
            Some(false) => "nothing, if that is so: inactive users may find nothing".into(),
            _ => tell(facts, facts.person.active.is_some()),
        };
        return Some((format!("to Glean {name} is inactive"), next));
    }
    facts.document.names_unknown().then(|| {
        let what = "Glean was not told of every user and group that the document names";
        (what.into(), tell(facts, facts.known.is_some()))
    })
}

/// Tells Glean of users and groups; everything again, where it was told before.
fn tell(facts: &Facts<'_>, again: bool) -> String {
    let restart = if again { " --restart" } else { "" };
    format!("sheaf sync {} --identities{restart}", facts.connection)
}

fn is_in_doubt(facts: &Facts<'_>) -> Found {
    let (Known { doubt, roster, .. }, allowed) = (facts.known?, facts.allowed?);
    let Doubt { users, groups, members } = doubt;
    let on_the_way = match facts.here.allowed {
        Some(true) => facts.here.groups(),
        _ => leading(allowed, roster),
    };
    let by_user = !allowed.allow_anonymous_access;
    let (users, groups) = (users.filter(|_| by_user), groups.filter(|_| !on_the_way.is_empty()));
    let group = members.keys().find(|group| on_the_way.contains(group.as_str()));
    let what = match (group, users.or(groups)) {
        (Some(group), _) => format!("the members of {}", one_line(group)),
        (None, Some(_)) => "users and groups".into(),
        (None, None) => return None,
    };
    let what = format!("it is not certain that Glean has heard the last change of {what}");
    Some((what, tell(facts, false)))
}

/// The groups that are named, and those that are in them, by their names in the source.
pub fn leading<'a>(allowed: &Allowed, roster: &'a Roster) -> BTreeSet<&'a str> {
    let named: BTreeSet<&String> = groups_in(allowed).collect();
    let is_named = |group: &&String| named.contains(&group_name(group).into_owned());
    let mut waiting: Vec<&String> = roster.groups.keys().filter(is_named).collect();
    let mut found = BTreeSet::new();
    while let Some(group) = waiting.pop() {
        // Each is found once: circles end.
        if found.insert(group.as_str()) {
            let inner = roster.groups.get(group).into_iter().flatten();
            waiting.extend(inner.filter_map(|member| match member {
                Member::Group(inner) => Some(inner),
                Member::User(_) => None,
            }));
        }
    }
    found
}

fn is_not_processed(facts: &Facts<'_>) -> Found {
    let user = facts.user?;
    let has = |group: &str| user.groups.iter().any(|had| *had == *group_name(group));
    let name = facts.person.name();
    if facts.here.allowed == Some(true) {
        // Glean may name only the groups that they are in themselves.
        let first = facts.here.paths.iter().filter_map(|path| path.get(1));
        let missing = first.map(String::as_str).find(|group| !has(group));
        let (what, next) = match missing {
            Some(group) => {
                (format!("Glean does not say that {name} is in {}", one_line(group)), "if it stays")
            }
            None if facts.here.groups().is_empty() => return None,
            None => ("Glean has the groups, and does not go by them yet".into(), "if it stays"),
        };
        let next = format!("ask again later: Glean takes its time; {next}, {}", tell(facts, true));
        return Some((what, next));
    }
    // What they are in here too is no difference.
    let is_other = |wire: &&String| !facts.here.inside.contains(*wire);
    let group =
        groups_in(facts.allowed?).filter(is_other).find(|wire| user.groups.contains(wire))?;
    Some((
        format!("Glean still has {name} in {}", one_line(group)),
        format!("ask again later: Glean takes its time; if it stays, {}", tell(facts, true)),
    ))
}

fn unexplained(facts: &Facts<'_>) -> Reason {
    let (what, next) = match (facts.known, facts.here.allowed) {
        (None, _) => (
            "this connection has not told Glean of users and groups; others may have",
            format!("sheaf sync {} --identities, if the connector has them", facts.connection),
        ),
        (Some(_), Some(true)) => (
            "Glean has not processed what it was told yet",
            "ask again later: Glean takes its time".into(),
        ),
        (Some(_), _) => (
            "Glean has not processed what it was told yet, or others have told it more",
            "ask again later; then look at the datasource's users and groups in Glean".into(),
        ),
    };
    Reason { what: what.into(), next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::crawl::identities::verdict;
    use crate::wire::permissions::AllOf;

    fn known(groups: &[(&str, &str)]) -> Known {
        let group = |(name, user): &(&str, &str)| {
            ((*name).to_owned(), [Member::User((*user).to_owned())].into())
        };
        let groups = groups.iter().map(group).collect();
        Known { roster: Roster { groups, ..Roster::default() }, ..Known::default() }
    }

    fn uploaded(group: &str) -> DocumentInGlean {
        let allowed = Allowed { allowed_groups: vec![group.to_owned()], ..Allowed::default() };
        DocumentInGlean { permissions: Some(allowed), ..DocumentInGlean::default() }
    }

    /// What is said first of ann@x.com and a document for `hr`.
    fn first(known: Option<&Known>, document: &DocumentInGlean, user: &UserInGlean) -> Reason {
        let allowed = Allowed { allowed_groups: vec!["hr".to_owned()], ..Allowed::default() };
        first_of(&allowed, known, document, user)
    }

    fn first_of(
        allowed: &Allowed,
        known: Option<&Known>,
        document: &DocumentInGlean,
        user: &UserInGlean,
    ) -> Reason {
        let roster = known.map(|known| &known.roster);
        let person = Person::find("ann@x.com", roster).expect("Ann");
        let here = verdict(allowed, &person, roster, Some(true));
        let (connection, person, here, gone) = ("docs", &person, &here, None);
        let (allowed, user) = (Some(allowed), Some(user));
        let facts = Facts { connection, person, here, allowed, gone, known, document, user };
        reasons(&facts).remove(0)
    }

    #[test]
    fn what_is_certain_is_said_before_what_is_guessed() {
        let there = UserInGlean { groups: vec!["hr".into()], ..UserInGlean::default() };
        let (hr, inside) = (uploaded("hr"), known(&[("hr", "ann@x.com")]));
        let status = |text: &str| Some(text.to_owned());
        let missing =
            DocumentInGlean { upload_status: status("NOT_UPLOADED"), ..DocumentInGlean::default() };
        let waits = DocumentInGlean { indexing_status: status("NOT_INDEXED"), ..hr.clone() };
        let nobody = UserInGlean { upload_status: status("NOT_UPLOADED"), ..there.clone() };
        let inactive = UserInGlean { active: Some(false), ..there.clone() };
        let mut doubtful = inside.clone();
        doubtful.doubt.members.insert("hr".into(), Timestamp::default());
        let outside = known(&[("hr", "bob@x.com")]);
        for (known, document, user, what, next) in [
            (Some(&inside), &missing, &there, "does not have the document", "sheaf sync docs"),
            (Some(&inside), &uploaded("it"), &there, "changed who may read", "sheaf sync docs"),
            (Some(&inside), &waits, &there, "not indexed it yet", "later"),
            (Some(&inside), &hr, &nobody, "knows no user ann@x.com", "--identities"),
            (Some(&inside), &hr, &inactive, "is inactive", "--identities"),
            (Some(&doubtful), &hr, &there, "change of the members of hr", "--identities"),
            (Some(&inside), &hr, &UserInGlean::default(), "that ann@x.com is in hr", "later"),
            (Some(&inside), &hr, &there, "does not go by them yet", "later"),
            (Some(&outside), &hr, &there, "still has ann@x.com in hr", "--restart"),
            (Some(&outside), &hr, &UserInGlean::default(), "others have told it", "later"),
            (None, &hr, &UserInGlean::default(), "others may have", "--identities"),
        ] {
            let reason = first(known, document, user);
            assert!(reason.what.contains(what), "{what}: {reason:?}");
            assert!(reason.next.contains(next), "{next}: {reason:?}");
        }
    }

    #[test]
    fn groups_that_make_no_difference_are_no_reason() {
        let both = Allowed {
            allowed_group_intersections: vec![AllOf {
                required_groups: vec!["a".into(), "b".into()],
            }],
            ..Allowed::default()
        };
        let document =
            DocumentInGlean { permissions: Some(both.clone()), ..DocumentInGlean::default() };
        let mut known = known(&[("a", "ann@x.com"), ("b", "bob@x.com"), ("other", "ann@x.com")]);
        let inner = Member::Group("c".into());
        known.roster.groups.entry("b".into()).or_default().insert(inner);
        known.roster.groups.insert("c".into(), [Member::Group("b".into())].into());
        let in_glean = |groups: &[&str]| UserInGlean {
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..UserInGlean::default()
        };
        let first = |known: &Known, user: &[&str]| {
            first_of(&both, Some(known), &document, &in_glean(user)).what
        };
        // She is rightly in a.
        assert_eq!(first(&known, &["a", "b"]), "Glean still has ann@x.com in b");
        let said = first(&known, &["a"]);
        assert!(said.contains("or others have told it more"), "{said}");
        known.doubt.members.insert("other".into(), Timestamp::default());
        known.doubt.members.insert("a-third".into(), Timestamp::default());
        assert_eq!(first(&known, &["a", "b"]), "Glean still has ann@x.com in b");
        // What leads to one of them may be why.
        known.doubt.members.insert("c".into(), Timestamp::default());
        let said = first(&known, &["a", "b"]);
        assert!(said.contains("the last change of the members of c"), "{said}");
    }

    #[test]
    fn what_is_gone_here_and_still_in_glean_has_a_reason_of_its_own() {
        let mut known = known(&[("hr", "ann@x.com")]);
        known.doubt.users = Some(Timestamp::default());
        let person = Person::find("ann@x.com", Some(&known.roster)).expect("Ann");
        let here = Verdict::plain(Some(false), "nobody finds it: it was deleted in Glean");
        let facts = Facts {
            connection: "docs",
            person: &person,
            here: &here,
            allowed: None,
            gone: Some("deleted"),
            known: Some(&known),
            document: &uploaded("hr"),
            user: None,
        };
        let [Reason { what, next }] = &reasons(&facts)[..] else { panic!("one reason") };
        assert_eq!(what, "Glean has the document all the same: here it was deleted");
        assert!(next.ends_with("if it stays, sheaf sync docs"), "{next}");
    }
}
