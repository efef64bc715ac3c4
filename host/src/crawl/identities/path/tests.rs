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
    Roster { users: users.iter().map(user).collect(), groups: groups.iter().map(group).collect() }
}

fn allowed(json: serde_json::Value) -> Allowed {
    serde_json::from_value(json).expect("permissions")
}

/// Of a datasource that knows users by id.
fn asked(allowed: &Allowed, who: &str, roster: Option<&Roster>) -> (Option<bool>, String) {
    asked_of(allowed, who, roster, Some(false))
}

fn asked_of(
    allowed: &Allowed,
    who: &str,
    roster: Option<&Roster>,
    by_email: Option<bool>,
) -> (Option<bool>, String) {
    let person = Person::find(who, roster).expect("somebody");
    let Verdict { allowed, why, .. } = verdict(allowed, &person, roster, by_email);
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
    let found = verdict(&owners, &person, Some(&roster), Some(true));
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
    let roster = roster(&["ann@x.com=7", "-bob@x.com=8"], &[("hr", &["bob@x.com"])]);
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
    // What Glean does where something names them it does not say.
    let by_name = allowed(serde_json::json!({ "allowedUsers": [{ "email": "bob@x.com" }] }));
    for (rule, allowed) in [
        (&source, Some(false)),
        (&groups(&["none"]), Some(false)),
        (&by_name, None),
        (&groups(&["hr"]), None),
    ] {
        let (may, why) = asked(rule, "bob@x.com", Some(&roster));
        assert_eq!(may, allowed, "{rule:?}: {why}");
        assert!(why.contains("bob@x.com is inactive"), "{why}");
    }
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
fn an_id_is_somebodys_only_where_glean_knows_users_by_id() {
    let roster = roster(&["ann@x.com=7", "bob@x.com=8"], &[("hr", &["ann@x.com"])]);
    let by_id = allowed(serde_json::json!({ "allowedUsers": [{ "datasourceUserId": "7" }] }));
    let both = allowed(serde_json::json!({
        "allowedUsers": [{ "email": "ANN@x.com", "datasourceUserId": "7" }],
    }));
    let or_hr = allowed(serde_json::json!({
        "allowedUsers": [{ "datasourceUserId": "7" }], "allowedGroups": ["hr"],
    }));
    for (rule, who, by_email, may) in [
        (&by_id, "7", Some(false), Some(true)),
        (&by_id, "7", Some(true), None),
        (&by_id, "7", None, None),
        (&by_id, "ann@x.com", Some(true), None),
        (&by_id, "8", Some(true), Some(false)),
        (&both, "7", Some(true), Some(true)),
        (&both, "7", Some(false), Some(true)),
        (&or_hr, "7", Some(true), Some(true)),
    ] {
        let (said, why) = asked_of(rule, who, Some(&roster), by_email);
        assert_eq!(said, may, "{rule:?} {who} {by_email:?}: {why}");
    }
    let (_, why) = asked_of(&by_id, "7", Some(&roster), Some(true));
    assert!(why.contains("names ann@x.com by id: Glean knows users by e-mail"), "{why}");
}

#[test]
fn a_group_that_nobody_defined_is_not_another_that_is_called_as_documents_call_it() {
    let roster = roster(&["ann@x.com"], &[("Site%20Owners", &["ann@x.com"])]);
    // Of a group `Site Owners`, which is not there.
    let owners = groups(&["Site%20Owners"]);
    let person = Person::find("ann@x.com", Some(&roster)).expect("Ann");
    let found = verdict(&owners, &person, Some(&roster), Some(true));
    assert_eq!((found.allowed, found.undefined), (Some(false), vec!["Site%20Owners".into()]));
    assert_eq!(found.inside, ["Site%2520Owners".to_owned()].into());
    let itself = groups(&["Site%2520Owners"]);
    assert_eq!(asked(&itself, "ann@x.com", Some(&roster)).0, Some(true));
}

#[test]
fn what_is_long_is_cut_and_what_is_unseen_is_shown() {
    let odd = "a\nb\u{202e}".repeat(200);
    let many: Vec<String> = (0..50).map(|number| format!("g{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).chain([odd.as_str()]).collect();
    let (_, why) = asked(&groups(&many), "ann@x.com", Some(&Roster::default()));
    assert!(why.contains("41 more") && why.len() < 2_000 && !why.contains('\n'), "{why}");
}
