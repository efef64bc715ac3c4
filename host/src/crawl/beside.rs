//! What waits, fails or is not known, and may be why somebody does, or does not, find a document.

use std::collections::BTreeSet;

use super::connection_state::ConnectionState;
use super::explain::{Fate, KnownDocument};
use super::identities::{
    HeldIdentities, Known, Member, Person, Reason, Standing, Verdict, leading,
};
use super::result::Outcome;
use crate::document::key;
use crate::identities;
use crate::text::{count, one_line, short_line};
use crate::wire::permissions::Allowed;

/// Bytes that are told of a reason.
pub(super) const LONGEST: usize = 400;

/// Groups that are named.
const SHOWN: usize = 3;

pub(super) struct Besides<'a> {
    /// The connection's.
    pub(super) name: &'a str,
    pub(super) document: &'a KnownDocument,
    pub(super) state: &'a ConnectionState,
    pub(super) person: &'a Person,
    /// Whether they may find it, and who may.
    pub(super) verdict: &'a Verdict,
    pub(super) allowed: Option<&'a Allowed>,
}

/// `known`: what Glean was told, or why that is lost.
pub(super) fn beside(
    besides: &Besides<'_>,
    known: Option<&Known>,
    lost: Option<String>,
) -> Vec<Reason> {
    let Besides { name, document, state, verdict, .. } = *besides;
    let mut all = Vec::new();
    let mut add = |what: String, next: String| all.push(Reason { what, next });
    let Standing { last, failing, held, .. } = &state.identities;
    if let Some(why) = lost {
        let what =
            format!("it is not known any more which users and groups Glean was told of: {why}");
        add(what, format!("sheaf sync {name} --identities"));
    } else if known.is_none() && verdict.allowed.is_none() {
        let what = "this connection has told Glean of no users and groups; others may have";
        add(what.into(), format!("sheaf sync {name} --identities, if the connector has them"));
    }
    if let Some(held) = held {
        let what = format!(
            "a change of users and groups waits for approval since {}: {}",
            held.since,
            short_line(&that_waits(besides, held, known), LONGEST)
        );
        add(what, format!("sheaf approve {name} --identities --dry-run"));
    }
    if let Some(failing) = failing {
        let what = short_line(&failing.failure.what, LONGEST);
        let what = format!(
            "users and groups may be as they were: reading or telling them fails since {}: {what}",
            failing.since
        );
        add(what, failing.failure.next.clone().unwrap_or_else(|| "sheaf status".into()));
    } else if last.as_ref().is_some_and(|last| last.outcome == Outcome::Partial) {
        let what = "some users and groups are as they were: they were not all read, or told";
        add(what.into(), "sheaf status".into());
    }
    let wanted = key(&document.id);
    if let Some(change) = state.changes.iter().find(|change| change.key() == wanted) {
        let what = format!("its {} is not done yet, since {}", change.wanted(), change.since);
        add(what, format!("sheaf sync {name} --incremental"));
    }
    if document.in_glean && document.state == Fate::Quarantined {
        let why = short_line(&document.reason, LONGEST);
        let what = format!("Glean has an older version: the last was quarantined: {why}");
        add(what, format!("sheaf quarantine show {name} {}", one_line(&document.id)));
    }
    all
}

/// What of it is of this person, or of a group by which they might find the document.
fn that_waits(besides: &Besides<'_>, held: &HeldIdentities, known: Option<&Known>) -> String {
    let Besides { person, verdict, allowed, .. } = *besides;
    // What names nobody is of everybody.
    if let Some(of_all) = held.reasons.iter().find(|reason| reason.count == 0) {
        return of_all.to_string();
    }
    let Some(Known { waits, roster, .. }) = known else {
        return held.reasons.first().map(ToString::to_string).unwrap_or_default();
    };
    let who = person.name();
    let mut concern = Vec::new();
    let is_user = |email: &String| waits.users.contains(&identities::key(email));
    if person.email.as_ref().is_some_and(is_user) {
        concern.push(format!("{who} would go or be inactive"));
    }
    let mut on_the_way: BTreeSet<&str> = verdict.groups();
    on_the_way.extend(allowed.iter().flat_map(|allowed| leading(allowed, roster)));
    let mut others = Vec::new();
    for (group, lost) in
        waits.groups.iter().filter(|(group, _)| on_the_way.contains(group.as_str()))
    {
        let name = short_line(group, LONGEST / 4);
        let is_them = |member: &Member| matches!(member, Member::User(user) if person.is(user));
        let inner = lost.iter().find_map(|member| match member {
            Member::Group(inner) if on_the_way.contains(inner.as_str()) => Some(inner),
            _ => None,
        });
        if lost.iter().any(is_them) {
            concern.push(format!("{who} would leave {name}"));
        } else if let Some(inner) = inner {
            concern.push(format!("{} would leave {name}", short_line(inner, LONGEST / 4)));
        } else {
            others.push(format!("{name} would lose {}", count(lost.len() as u64, "member")));
        }
    }
    concern.extend(others.into_iter().map(|other| format!("{other}, and not {who}")));
    if concern.is_empty() {
        let of = "neither of them nor of a group that may read it";
        return format!(
            "{of}: {}",
            held.reasons.first().map(ToString::to_string).unwrap_or_default()
        );
    }
    concern.truncate(SHOWN);
    concern.join("; ")
}
