use super::super::refused::Refusal;
use super::*;
use crate::identities;

mod inactive;

/// Users as `email` or `email=id`; members as an e-mail, `group:NAME` or an id.
fn read(users: &[&str], groups: &[(&str, &[&str])]) -> Read {
    let mut read = Read::default();
    for user in users {
        let (email, id) =
            user.split_once('=').map_or((*user, None), |(email, id)| (email, Some(id)));
        let id = id.map(str::to_owned);
        read.ids.extend(id.clone().map(|id| (id, Some(email.to_owned()))));
        let account = Account { email: email.into(), id, name: None, active: true };
        read.users.insert(email.into(), account);
    }
    let member = |text: &&str| match text.strip_prefix("group:") {
        Some(group) => identities::Member::Group(group.into()),
        None if text.contains('@') => identities::Member::Email((*text).into()),
        None => identities::Member::Id((*text).into()),
    };
    for (name, members) in groups {
        read.groups.insert((*name).into(), members.iter().map(member).collect());
    }
    read
}

/// What is known once that was told.
fn told_of(read: Read) -> Known {
    let changes = changes(&Known::default(), read, &BY_EMAIL);
    Known { roster: changes.target, ..Known::default() }
}

const BY_EMAIL: Terms<'_> = Terms { by_email: true, approved: &[], lost: None };
const BY_ID: Terms<'_> = Terms { by_email: false, approved: &[], lost: None };

fn members(changes: &Changes, group: &str) -> Vec<String> {
    let name = |member: &Member| match member {
        Member::User(user) => user.clone(),
        Member::Group(group) => format!("group:{group}"),
    };
    changes.target.groups[group].iter().map(name).collect()
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("u{number:02}@x")).collect()
}

fn texts(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[test]
fn what_has_not_changed_is_not_sent_and_what_is_in_doubt_is() {
    let source = || read(&["a@x", "b@x"], &[("g", &["a@x"]), ("h", &["group:g"]), ("e", &[])]);
    let first = changes(&Known::default(), source(), &BY_EMAIL);
    assert_eq!(first.memberships, ["e", "g", "h"], "also that nobody is in it");
    let mut known = told_of(source());
    assert!(!changes(&known, source(), &BY_EMAIL).has_any());
    let more = read(&["a@x", "b@x"], &[("g", &["a@x", "b@x"]), ("h", &["group:g"]), ("e", &[])]);
    let more = changes(&known, more, &BY_EMAIL);
    assert_eq!(
        (more.users, more.groups, &more.memberships[..]),
        (false, false, &["g".to_owned()][..])
    );
    // Until it was answered, nobody knows whether that came to pass: the source may go back meanwhile.
    known = more.while_told(&known);
    assert!(!changes(&known, source(), &BY_EMAIL).has_any(), "nothing was asked for yet");
    known.doubt.of_members(&more.memberships);
    let back = changes(&known, source(), &BY_EMAIL);
    assert_eq!((&back.memberships[..], back.counts.changed_groups), (&["g".to_owned()][..], 0));
    known.doubt.users = Some(Timestamp::now());
    assert!(changes(&known, source(), &BY_EMAIL).users);
}

#[test]
fn members_are_called_as_the_datasource_knows_users() {
    let source = || {
        let members = &["ANN@x", "7", "bob@x", "eve@y", "8", "group:hr", "group:none"];
        read(&["ann@x=7", "bob@x"], &[("staff", members), ("hr", &[])])
    };
    let by_email = changes(&Known::default(), source(), &BY_EMAIL);
    assert_eq!(members(&by_email, "staff"), ["ann@x", "bob@x", "eve@y", "group:hr"]);
    assert_eq!(by_email.left_out.count, 2, "{by_email:?}");
    let by_id = changes(&Known::default(), source(), &BY_ID);
    assert_eq!(members(&by_id, "staff"), ["7", "bob@x", "group:hr"]);
    assert_eq!(by_id.left_out.count, 3, "{by_id:?}");
}

#[test]
fn a_partial_reading_and_a_group_that_cannot_be_read_change_only_what_was_read() {
    let known = told_of(read(&["a@x=1", "b@x=2"], &[("g", &["1"]), ("h", &["2"])]));
    let mut partial = read(&["c@x=3"], &[("g", &["3"])]);
    partial.partial = Some("asleep".into());
    let done = changes(&known, partial, &BY_EMAIL);
    assert_eq!(
        (members(&done, "g"), members(&done, "h")),
        (vec!["c@x".into()], vec!["b@x".into()])
    );
    assert_eq!((done.target.users.len(), done.held.len()), (3, 0));
    // Members whose users were not read are known from before, or the group stays as it was.
    let mut partial = read(&[], &[("g", &["2"]), ("h", &["9"])]);
    partial.partial = Some("asleep".into());
    let done = changes(&known, partial, &BY_EMAIL);
    assert_eq!(
        (members(&done, "g"), members(&done, "h")),
        (vec!["b@x".into()], vec!["b@x".into()])
    );
    assert_eq!(done.unreadable.count, 1, "{done:?}");
    let mut unreadable = read(&["a@x=1", "b@x=2"], &[("g", &["1"])]);
    unreadable.unreadable.insert("h".into(), "no right".into());
    let done = changes(&known, unreadable, &BY_EMAIL);
    assert_eq!(done.target, known.roster);
    // Nothing that was read is no reason to hold: nothing is lost by it.
    let nothing = Read { partial: Some("asleep".into()), ..Read::default() };
    let done = changes(&known, nothing, &BY_EMAIL);
    assert_eq!((&done.target, done.held.len()), (&known.roster, 0));
}

#[test]
fn what_looks_like_a_list_that_was_cut_off_waits_for_a_person_and_nothing_else_does() {
    let many = many(20);
    let many = texts(&many);
    let known = told_of(read(&many, &[("large", &many[..10]), ("small", &many[..9])]));
    let cases: [(&str, Read, usize); 6] = [
        ("half may go", read(&many, &[("large", &many[..5]), ("small", &many[..1])]), 0),
        ("more may not", read(&many, &[("large", &many[..4]), ("small", &many[..1])]), 1),
        ("nor all that are others", read(&many, &[("large", &many[10..20]), ("small", &[])]), 1),
        (
            "a tenth of the users may go",
            read(&many[2..], &[("large", &many[2..10]), ("small", &many[2..9])]),
            0,
        ),
        (
            "more may not go",
            read(&many[3..], &[("large", &many[3..10]), ("small", &many[3..9])]),
            1,
        ),
        ("nothing at all", Read::default(), 1),
    ];
    for (case, now, held) in cases {
        let found = changes(&known, now.clone(), &BY_EMAIL);
        assert_eq!(found.held.len(), held, "{case}: {:?}", found.held);
        let terms = Terms { approved: &found.held, ..BY_EMAIL };
        let approved = changes(&known, now.clone(), &terms);
        assert_eq!((&approved.target, approved.held.len()), (&told_of(now).roster, 0), "{case}");
    }
    let mixed = || read(&many, &[("large", &many[..2]), ("small", &many[..1])]);
    let found = changes(&known, mixed(), &BY_EMAIL);
    assert_eq!(found.memberships, ["small"], "what is not held is done");
    assert_eq!(found.target.groups["large"], known.roster.groups["large"]);
    // A word about one thing is none about another.
    let others = read(&many, &[("large", &many[8..10]), ("small", &many[..1])]);
    let others = changes(&known, others, &BY_EMAIL).held;
    assert_eq!(found.held[0].why, "the group `large` would lose 8 of 10 members");
    assert_eq!(found.held[0].why, others[0].why, "as many, and others");
    assert_eq!(changes(&known, mixed(), &Terms { approved: &others, ..BY_EMAIL }).held.len(), 1);
    assert!(found.held[0].to_string().ends_with(
        "8 of 10 members: `u02@x`, `u03@x`, `u04@x`, `u05@x`, `u06@x`, `u07@x`, `u08@x`, `u09@x`"
    ));
}

#[test]
fn many_small_groups_that_are_emptied_at_once_are_held() {
    let many = many(9);
    let many = texts(&many);
    let names: Vec<_> = (0..20).map(|number| format!("g{number}")).collect();
    let with = |members: &'static [&'static str]| -> Vec<(&str, &[&str])> {
        names.iter().map(|name| (name.as_str(), members)).collect()
    };
    let full: Vec<_> = names.iter().map(|name| (name.as_str(), &many[..])).collect();
    let known = told_of(read(&many, &full));
    let emptied = changes(&known, read(&many, &with(&[])), &BY_EMAIL);
    assert_eq!((emptied.held.len(), &emptied.target), (1, &known.roster), "{:?}", emptied.held);
}

#[test]
fn what_depends_on_what_is_held_stays_with_it() {
    let many: Vec<_> =
        many(30).iter().enumerate().map(|(id, email)| format!("{email}={id}")).collect();
    let many = texts(&many);
    let known = told_of(read(&many, &[("small", &["1", "2", "3", "4", "5"])]));
    // The list of users was cut off, and the group names five who are not there.
    let cut = read(&many[6..], &[("small", &["1", "2", "3", "4", "5"])]);
    let found = changes(&known, cut, &BY_EMAIL);
    assert_eq!((found.held.len(), &found.target), (1, &known.roster), "{found:?}");
    // So was the list of groups.
    let mut groups: Vec<(&str, &[&str])> = vec![("all", &["group:hr", "group:it"]), ("hr", &["1"])];
    let others: Vec<_> = (0..18).map(|number| format!("g{number}")).collect();
    groups.extend(others.iter().map(|name| (name.as_str(), &["2"][..])));
    groups.push(("it", &["3"]));
    let known = told_of(read(&many, &groups));
    let cut: Vec<_> =
        groups.iter().filter(|(name, _)| !["hr", "it", "g1"].contains(name)).copied().collect();
    let found = changes(&known, read(&many, &cut), &BY_EMAIL);
    assert_eq!((found.held.len(), &found.target), (1, &known.roster), "{found:?}");
}

#[test]
fn who_is_deleted_is_in_no_group_any_more_and_is_again_when_they_come_back() {
    let many = many(30);
    let many = texts(&many);
    let known = told_of(read(&many, &[("large", &many[..20]), ("h", &many[..2])]));
    // One is gone, and of an unreadable group nobody knows it.
    let mut now = read(&many[1..], &[("large", &many[1..20])]);
    now.unreadable.insert("h".into(), "no right".into());
    let gone = changes(&known, now, &BY_EMAIL);
    assert_eq!((gone.held.len(), gone.counts.gone_users), (0, 1), "{gone:?}");
    assert_eq!((members(&gone, "large").len(), members(&gone, "h").len()), (19, 1));
    assert_eq!(gone.memberships, ["h", "large"], "whether Glean has done it or not");
    let known = Known { roster: gone.target, ..Known::default() };
    let back =
        changes(&known, read(&many, &[("large", &many[..20]), ("h", &many[..2])]), &BY_EMAIL);
    assert_eq!(back.memberships, ["h", "large"]);
}

#[test]
fn a_group_that_is_gone_is_nobody_s_member() {
    let names: Vec<String> = (0..20).map(|number| format!("g{number:02}")).collect();
    let all: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &["group:g00"][..])).collect();
    let known = told_of(read(&[], &all));
    let now = changes(&known, read(&[], &all[1..]), &BY_EMAIL);
    assert_eq!((now.counts.gone_groups, now.memberships.len(), now.held.len()), (1, 19, 0));
    assert!(now.target.groups.values().all(BTreeSet::is_empty), "{:?}", now.target);
}

#[test]
fn where_it_is_not_known_what_glean_was_told_a_person_looks_first() {
    let terms = Terms { lost: Some("it is damaged"), ..BY_EMAIL };
    let found = changes(&Known::default(), read(&["a@x"], &[("g", &["a@x"])]), &terms);
    assert!(found.held.len() == 1 && !found.has_any(), "{found:?}");
    let approved = Terms { approved: &found.held, ..terms };
    let found = changes(&Known::default(), read(&["a@x"], &[("g", &["a@x"])]), &approved);
    assert!(found.held.is_empty() && found.has_any(), "{found:?}");
}

#[test]
fn a_large_group_that_goes_loses_all_and_people_are_counted_whatever_they_are_called() {
    let many = many(20);
    let with_ids: Vec<_> = many.iter().map(|email| format!("{email}={email}-id")).collect();
    let (many, with_ids) = (texts(&many), texts(&with_ids));
    let others: Vec<_> = (0..20).map(|number| format!("g{number}")).collect();
    let mut groups: Vec<(&str, &[&str])> =
        others.iter().map(|name| (name.as_str(), &[][..])).collect();
    groups.push(("large", &many));
    let known = told_of(read(&many, &groups));
    let without = changes(&known, read(&many, &groups[..20]), &BY_EMAIL);
    assert_eq!((without.held.len(), &without.target), (1, &known.roster), "{:?}", without.held);
    // The datasource knows users by their ids from now on.
    let by_id = changes(&known, read(&with_ids, &groups), &BY_ID);
    assert!(by_id.held.is_empty() && members(&by_id, "large")[0] == "u00@x-id", "{:?}", by_id.held);
}

#[test]
fn what_is_held_stays_held_whatever_comes_besides() {
    let many = many(400);
    let many = texts(&many);
    let small: Vec<_> = (0..60).map(|number| format!("s{number:02}")).collect();
    let of = |members: &'static [&'static str]| -> Vec<(&str, &[&str])> {
        small.iter().map(|name| (name.as_str(), members)).collect()
    };
    let pair: Vec<_> = small.iter().map(|name| (name.as_str(), &many[..3])).collect();
    let stays: Vec<_> = many[..1].iter().chain(&many[300..]).copied().collect();
    // Everybody of five, a group of a dozen, and all groups together; and then ten times as many come.
    let cases: [(&str, Read, Read, Read); 4] = [
        ("users", read(&many[..5], &[]), read(&many[5..10], &[]), read(&many[5..], &[])),
        ("groups", read(&many, &[("a", &many[..1])]), read(&many, &[("b", &[])]), {
            let mut more = of(&[]);
            more.push(("b", &[]));
            read(&many, &more)
        }),
        (
            "a group",
            read(&many, &[("g", &many[..12])]),
            read(&many, &[("g", &many[..1])]),
            read(&many, &[("g", &stays)]),
        ),
        ("all groups", read(&many, &pair), read(&many, &of(&[])), {
            let mut more = of(&[]);
            more.push(("everybody", &many));
            read(&many, &more)
        }),
    ];
    for (case, before, cut, more) in cases {
        let known = told_of(before);
        let held = changes(&known, cut.clone(), &BY_EMAIL);
        assert_eq!(held.held.len(), 1, "{case}: {:?}", held.held);
        let waits = held.waits.clone();
        let known = Known { roster: held.target, waits, ..Known::default() };
        let grown = changes(&known, more.clone(), &BY_EMAIL);
        let waits = grown.waits.clone();
        let known = Known { roster: grown.target, waits, ..Known::default() };
        let still = changes(&known, more.clone(), &BY_EMAIL);
        assert_eq!((grown.held.len(), still.held.len()), (1, 1), "{case}: {:?}", still.held);
        assert_eq!(held.held[0].digest, still.held[0].digest, "{case}: one word is enough");
        let approved = changes(&known, more.clone(), &Terms { approved: &held.held, ..BY_EMAIL });
        assert_eq!((approved.held.len(), approved.waits), (0, Waits::default()), "{case}");
        assert_eq!(approved.target, told_of(more).roster, "{case}");
    }
}

#[test]
fn a_group_that_is_held_is_not_emptied_by_deleting_its_members() {
    let many = many(200);
    let many = texts(&many);
    let known = told_of(read(&many, &[("hr", &many[..15]), ("it", &many[..15])]));
    let cut = || read(&many[15..], &[("hr", &[]), ("it", &many[..1])]);
    let held = changes(&known, cut(), &BY_EMAIL);
    assert_eq!((held.held.len(), &held.target), (2, &known.roster), "{:?}", held.held);
    let approved = changes(&known, cut(), &Terms { approved: &held.held, ..BY_EMAIL });
    assert_eq!((approved.counts.gone_users, members(&approved, "hr").len()), (15, 0));
}

#[test]
fn who_is_no_user_any_more_and_still_in_a_group_is_told_again() {
    let known = told_of(read(&texts(&many(20)), &[("g", &["u00@x", "u01@x"])]));
    let without = || read(&texts(&many(20))[1..], &[("g", &["u00@x", "u01@x"])]);
    let found = changes(&known, without(), &BY_EMAIL);
    assert_eq!((found.counts.gone_users, &found.memberships[..]), (1, &["g".to_owned()][..]));
    // Whoever ends between the two tells it again.
    let interrupted = changes(&found.while_told(&known), without(), &BY_EMAIL);
    assert_eq!(interrupted.memberships, ["g"]);
    let known = Known { roster: found.target, ..Known::default() };
    assert!(!changes(&known, without(), &BY_EMAIL).has_any());
}

#[test]
fn a_group_that_goes_is_emptied_and_known_until_glean_was_told() {
    let all = read(&["a@x"], &[("g", &["a@x"]), ("h", &[])]);
    let known = told_of(all);
    let found = changes(&known, read(&["a@x"], &[("h", &[])]), &BY_EMAIL);
    let approved = Terms { approved: &found.held, ..BY_EMAIL };
    let found = changes(&known, read(&["a@x"], &[("h", &[])]), &approved);
    assert_eq!(found.emptied, ["g"]);
    let interrupted = found.while_told(&known);
    assert_eq!(changes(&interrupted, read(&["a@x"], &[("h", &[])]), &approved).emptied, ["g"]);
    // It was emptied, and nothing else yet, when the source has it again.
    let back = changes(&interrupted, read(&["a@x"], &[("g", &["a@x"]), ("h", &[])]), &BY_EMAIL);
    assert_eq!(back.memberships, ["g"]);
}

#[test]
fn groups_in_a_group_that_is_held_stay_with_it() {
    let names: Vec<_> = (0..100).map(|number| format!("g{number:02}")).collect();
    let inside: Vec<_> = names[..12].iter().map(|name| format!("group:{name}")).collect();
    let inside = texts(&inside);
    let mut groups: Vec<(&str, &[&str])> =
        names.iter().map(|name| (name.as_str(), &["a@x", "b@x"][..])).collect();
    groups.push(("staff", &inside));
    let known = told_of(read(&["a@x", "b@x"], &groups));
    // Seven of a hundred are not too many to go; and seven of twelve are, in one group.
    let mut cut = groups.clone();
    cut.drain(..7);
    cut.pop();
    cut.push(("staff", &inside[7..]));
    let found = changes(&known, read(&["a@x", "b@x"], &cut), &BY_EMAIL);
    assert_eq!((found.held.len(), &found.target), (1, &known.roster), "{:?}", found.held);
    let approved =
        changes(&known, read(&["a@x", "b@x"], &cut), &Terms { approved: &found.held, ..BY_EMAIL });
    assert_eq!((approved.held.len(), approved.counts.gone_groups), (0, 7), "{:?}", approved.held);
    // One word is enough, also for the crawl after.
    let known = Known { roster: found.target, waits: found.waits, ..Known::default() };
    let next =
        changes(&known, read(&["a@x", "b@x"], &cut), &Terms { approved: &found.held, ..BY_EMAIL });
    assert_eq!((next.held.len(), next.counts.gone_groups), (0, 7), "{:?}", next.held);
}

#[test]
fn what_follows_from_what_was_approved_is_asked_once_and_then_done() {
    let many: Vec<_> = (0..100).map(|number| format!("u{number:02}@x=i{number:02}")).collect();
    let many = texts(&many);
    let ids: Vec<_> = (0..24).map(|number| format!("i{number:02}")).collect();
    let ids = texts(&ids);
    // Twenty users are gone, and a group still names sixteen of them by their ids.
    let now = || read(&many[20..], &[("hr", &ids[..16])]);
    let mut known = told_of(read(&many, &[("hr", &ids)]));
    let mut words = 0;
    let mut approved = Vec::new();
    while words < 5 {
        let found = changes(&known, now(), &Terms { approved: &approved, ..BY_ID });
        let (held, used) = (found.held, found.used);
        known = Known { roster: found.target, waits: found.waits, ..Known::default() };
        approved.retain(|one: &Objection| !used.contains(&one.digest));
        if held.is_empty() {
            break;
        }
        approved.extend(held);
        words += 1;
    }
    assert_eq!((known.roster.users.len(), words), (80, 2));
}

#[test]
fn a_member_who_is_no_user_of_the_source_is_told_by_e_mail_and_named() {
    let many = many(20);
    let many = texts(&many);
    let group = [("g", &["u00@x", "u01@x"][..])];
    let known = told_of(read(&many, &group));
    let left = changes(&known, read(&many[1..], &group), &BY_EMAIL).strangers;
    assert_eq!((left.count, &left.samples[..]), (1, &["u00@x of group g".to_owned()][..]));
    // A source that tells of no users says nothing of who is one.
    let none = changes(&Known::default(), read(&[], &[("g", &["a@x"])]), &BY_EMAIL);
    assert_eq!(none.strangers.count, 0);
}

#[test]
fn what_glean_refused_is_told_again_once_a_day_or_when_it_or_its_list_changes() {
    let clock = crate::clock::stopped::Clock::stop();
    let source = || read(&["a@x", "b@x"], &[("g", &["a@x", "b@x"]), ("h", &["a@x", "group:g"])]);
    let mut known = told_of(source());
    // Glean took neither a user, nor a group, nor them in another.
    let why = || Refusal::new("no");
    let account = known.roster.users.remove("b@x").expect("a user");
    known.refused.users.insert("b@x".into(), (account, why()));
    known.roster.groups.remove("g");
    known.refused.groups.insert("g".into(), why());
    let of_h = known.roster.groups.get_mut("h").expect("a group");
    of_h.remove(&Member::Group("g".into()));
    known.refused.members.insert("h".into(), vec![(Member::Group("g".into()), why())]);
    let same = changes(&known, source(), &BY_EMAIL);
    assert!(!same.has_any() && same.counts == Counts::default(), "{same:?}");
    assert_eq!(same.refused.left_out().count, 3);
    // The list is told for another reason, and the row with it.
    let more = read(&["a@x", "b@x", "c@x"], &[("g", &["b@x"]), ("h", &["a@x", "group:g", "c@x"])]);
    let more = changes(&known, more, &BY_EMAIL);
    assert!(more.users && !more.groups, "{more:?}");
    assert_eq!((more.counts.new_users, &more.memberships[..]), (1, &["h".to_owned()][..]));
    let told = more.while_told(&known);
    assert!(!told.roster.groups.contains_key("g") && !told.roster.users.contains_key("b@x"));
    // The row is another, or is not there any more.
    let other = changes(&known, read(&["a@x", "b@x=7"], &[("g", &[]), ("h", &["a@x"])]), &BY_EMAIL);
    assert!(other.users && other.memberships.is_empty(), "{other:?}");
    assert_eq!(other.refused.left_out().count, 1, "the group is there");
    clock.advance(std::time::Duration::from_secs(24 * 3600));
    let late = changes(&known, source(), &BY_EMAIL);
    assert!(late.users && late.groups && late.refused.is_empty(), "{late:?}");
    assert_eq!(late.memberships, ["g", "h"]);
}

#[test]
fn who_comes_into_a_group_and_who_goes_is_named_whatever_they_are_called() {
    let groups: &[(&str, &[&str])] =
        &[("hr", &["a@x"]), ("it", &["a@x", "b@x"]), ("all", &["a@x"]), ("same", &["b@x"])];
    let known = told_of(read(&["a@x=1", "b@x=2"], groups));
    let now: &[(&str, &[&str])] =
        &[("hr", &["a@x", "b@x", "group:it"]), ("it", &["a@x"]), ("all", &["2"]), ("same", &["2"])];
    // The datasource knows users by their ids from now on: those who stay are nobody new.
    let GroupShifts { wider, both, narrower } =
        changes(&known, read(&["a@x=1", "b@x=2"], now), &BY_ID).shifts;
    let one = |shifted: &super::super::shifts::GroupsShifted| {
        assert_eq!(shifted.count, 1, "{shifted:?}");
        let shift = shifted.samples[0].clone();
        (shift.group, shift.comes_in.names, shift.goes.names)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(one(&wider), ("hr".into(), names(&["2", "the group it"]), vec![]));
    assert_eq!(one(&both), ("all".into(), names(&["2"]), names(&["a@x"])));
    assert_eq!(one(&narrower), ("it".into(), vec![], names(&["b@x"])));
}

#[test]
fn what_is_held_names_who_comes_in_with_it_and_an_approval_is_of_who_goes() {
    let many = many(30);
    let many = texts(&many);
    let known = told_of(read(&many, &[("large", &many[..20])]));
    let now: Vec<_> = many[..5].iter().chain(&many[25..27]).copied().collect();
    let found = changes(&known, read(&many, &[("large", &now)]), &BY_EMAIL);
    let groups = &found.held[0].groups;
    assert_eq!((groups[0].comes_in.count, groups[0].goes.count), (2, 15), "{groups:?}");
    assert_eq!(groups[0].comes_in.names, ["u25@x", "u26@x"]);
    assert!(found.shifts.is_empty(), "it is not done: {:?}", found.shifts);
    let fewer = changes(&known, read(&many, &[("large", &many[..5])]), &BY_EMAIL);
    assert_eq!(fewer.held[0].digest, found.held[0].digest);
}
