//! Why Glean may say something else of somebody's access than what is known here. Pure: it weighs what Glean says of the
//! document and of the user against what it was told.

use serde::Serialize;

use super::path::{Person, Verdict};
use super::roster::{Doubt, Known};
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
    /// As Glean was told.
    pub known: Option<&'a Known>,
    pub document: &'a DocumentInGlean,
    pub user: Option<&'a UserInGlean>,
}

/// The most certain first; at least one.
pub fn reasons(facts: &Facts<'_>) -> Vec<Reason> {
    let of_document = [is_missing(facts), has_changed(facts), is_not_indexed(facts)];
    let of_people = [is_unknown(facts), is_in_doubt(facts), is_not_processed(facts)];
    let found = of_document.into_iter().chain(of_people).flatten();
    let found: Vec<_> = found.map(|(what, next)| Reason { what, next }).collect();
    if found.is_empty() { vec![unexplained(facts)] } else { found }
}

type Found = Option<(String, String)>;

fn is_missing(facts: &Facts<'_>) -> Found {
    facts.document.is_missing().then(|| {
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
    let Doubt { users, groups, members } = &facts.known?.doubt;
    let on_the_way = facts.here.groups();
    let concerns =
        |group: &&String| on_the_way.contains(group.as_str()) || facts.here.allowed == Some(false);
    let what = match (members.keys().find(concerns), users.or(*groups)) {
        (Some(group), _) => format!("the members of {}", one_line(group)),
        (None, Some(_)) => "users and groups".into(),
        (None, None) => return None,
    };
    let what = format!("it is not certain that Glean has heard the last change of {what}");
    Some((what, tell(facts, false)))
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
    let all = facts.allowed?.allowed_group_intersections.iter();
    let all = all.flat_map(|all| &all.required_groups);
    let mut named = facts.allowed?.allowed_groups.iter().chain(all);
    let group = named.find(|wire| user.groups.contains(wire))?;
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
    use crate::crawl::identities::{Member, Roster, verdict};

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
        let roster = known.map(|known| &known.roster);
        let person = Person::find("ann@x.com", roster).expect("Ann");
        let here = verdict(&allowed, &person, roster);
        let (connection, person, here) = ("docs", &person, &here);
        let (allowed, user) = (Some(&allowed), Some(user));
        let facts = Facts { connection, person, here, allowed, known, document, user };
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
}
