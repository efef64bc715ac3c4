//! Users who are inactive, and what Glean refuses as a whole.

use super::super::super::refused::{Refusal, Whole};
use super::*;

/// The same with these users inactive.
fn inactive(mut read: Read, emails: &[&str]) -> Read {
    for email in emails {
        read.users.get_mut(*email).expect("a user").active = false;
    }
    read
}

#[test]
fn many_users_who_are_inactive_at_once_wait_for_a_person_together_with_those_who_go() {
    let many = many(40);
    let many = texts(&many);
    let groups = [("hr", &many[..3]), ("it", &many[..30])];
    let known = told_of(read(&many, &groups));
    let few = changes(&known, inactive(read(&many, &groups), &many[..4]), &BY_EMAIL);
    assert_eq!((few.held.len(), members(&few, "hr").len(), members(&few, "it").len()), (0, 0, 26));
    // Two of the five are gone.
    let cut = || inactive(read(&many[2..], &groups), &many[2..5]);
    let held = changes(&known, cut(), &BY_EMAIL);
    assert_eq!((held.held.len(), &held.target), (1, &known.roster), "{:?}", held.held);
    let why = "5 of 40 users would go or be inactive, and one in 10 may without approval";
    assert_eq!(held.held[0].why, why);
    // Who may be inactive may not be deleted for it.
    let gone = changes(&known, read(&many[5..], &groups), &BY_EMAIL).held;
    assert_ne!(gone[0].digest, held.held[0].digest);
    let terms = Terms { approved: &held.held, ..BY_EMAIL };
    let approved = changes(&known, cut(), &terms);
    assert_eq!((approved.held.len(), approved.counts.gone_users), (0, 2), "{:?}", approved.held);
    assert_eq!(members(&approved, "it").len(), 27, "two are told by their e-mails");
    // It waits also where much else comes.
    let waits = Known { waits: held.waits, ..known };
    let more = self::many(99);
    let more = inactive(read(&texts(&more)[2..], &groups), &many[2..5]);
    assert_eq!(changes(&waits, more, &BY_EMAIL).held.len(), 1);
}

#[test]
fn who_is_inactive_is_in_no_group_that_was_not_read_either_unless_it_waits_for_a_person() {
    let many = many(40);
    let many = texts(&many);
    let known = told_of(read(&many, &[("hr", &many[..3]), ("large", &many[..20])]));
    let mut now = inactive(read(&many, &[("large", &many[..2])]), &many[..1]);
    now.unreadable.insert("hr".into(), "no right".into());
    let found = changes(&known, now, &BY_EMAIL);
    assert_eq!((found.held.len(), members(&found, "hr").len()), (1, 2), "{:?}", found.held);
    assert_eq!(members(&found, "large").len(), 20);
}

#[test]
fn a_group_of_which_glean_took_nobody_is_told_again_when_its_members_change_or_a_day_later() {
    let clock = crate::clock::stopped::Clock::stop();
    let mut known = told_of(read(&["a@x", "b@x"], &[("g", &["a@x"]), ("h", &[])]));
    let now = || read(&["a@x", "b@x"], &[("g", &["a@x", "b@x"]), ("h", &[])]);
    let found = changes(&known, now(), &BY_EMAIL);
    let whole = |others| Whole::new(&found.target.groups["g"], others, "no");
    known.doubt.of_members(&found.memberships);
    known.refused.wholes.insert("g".into(), whole(false));
    let same = changes(&known, now(), &BY_EMAIL);
    assert!(!same.has_any() && same.counts == Counts::default(), "{same:?}");
    assert_eq!(same.refused.left_out().count, 1);
    let back = changes(&known, read(&["a@x", "b@x"], &[("g", &["a@x"]), ("h", &[])]), &BY_EMAIL);
    assert_eq!(back.memberships, ["g"], "what was asked for is in doubt");
    // Where somebody may be in it who has left it is told by each crawl.
    let others = Whole::new(&found.target.groups["g"], true, "no");
    assert!(others.why.reason.contains("who has left it may still be in it: no"));
    let refused = Refused { wholes: [("g".to_owned(), others)].into(), ..Refused::default() };
    let unsure = Known { refused, ..known.clone() };
    assert_eq!(changes(&unsure, now(), &BY_EMAIL).memberships, ["g"]);
    clock.advance(std::time::Duration::from_secs(24 * 3600));
    assert_eq!(changes(&known, now(), &BY_EMAIL).memberships, ["g"]);
}

#[test]
fn a_user_whom_glean_refused_is_nobody_else_when_they_are_called_by_their_id() {
    let many: Vec<_> = (0..20).map(|number| format!("u{number:02}@x=i{number:02}")).collect();
    let many = texts(&many);
    let ids: Vec<_> = (0..20).map(|number| format!("i{number:02}")).collect();
    let groups = [("large", &texts(&ids)[..])];
    let roster = changes(&Known::default(), read(&many, &groups), &BY_ID).target;
    let mut known = Known { roster, ..Known::default() };
    // Glean took them as members, and not as users.
    for key in self::many(15) {
        let account = known.roster.users.remove(&key).expect("a user");
        known.refused.users.insert(key, (account, Refusal::new("no")));
    }
    // The datasource knows users by their e-mails from now on.
    let found = changes(&known, read(&many, &groups), &BY_EMAIL);
    assert!(found.held.is_empty(), "they are who they were: {:?}", found.held);
}
