//! Users and groups through the connector for any JSON API, out of an API that fails, hides groups and stops early.

use serde_json::{Value, json};
use sheaf_tests::people_api::{Api, GROUPS, USERS, by_id, people, user};
use sheaf_tests::{Ended, Site};

async fn run(site: &Site) -> Ended {
    site.sheaf(&["sync", "people", "--identities", "--local", "--json"]).await
}

async fn told(site: &Site, code: i32) -> Value {
    let ended = run(site).await;
    assert_eq!(ended.code, code, "{ended:?}");
    ended.json()["result"].clone()
}

/// Who of these finds a group's document.
async fn finders(site: &Site, group: &str, users: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for user in users {
        if site.sees(&format!("{user}@x.com"), "people", "Item", group).await {
            found.push((*user).to_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_named_by_mail_by_id_and_by_group_and_whoever_has_no_mail_is_told_of() {
    let (api, url) = Api::start().await;
    api.says("/documents", json!({}));
    let nameless = json!({ "id": 4, "email": null, "name": "Dan" });
    let gone = json!({ "id": 5, "email": "eve@x.com", "gone": true });
    api.lists(
        "users",
        &[vec![user("ann", 1), user("bob", 2)], vec![user("cid", 3), nameless, gone]],
    );
    api.says("/groups", json!({ "items": [{ "slug": "all" }, { "slug": "hr" }, { "id": 7 }] }));
    let inner = json!({ "type": "group", "slug": "hr" });
    api.lists("groups/all/members", &[vec![inner], vec![by_id(3)], vec![by_id(4)]]);
    api.lists("groups/hr/members", &[vec![json!({ "email": "ANN@x.com" })]]);
    let site = Site::new(&people(&url, &["all", "hr"], &format!("{GROUPS}{USERS}")))
        .await
        .connector("sheaf_rest");
    let checked = site.sheaf(&["check", "people"]).await;
    assert!(checked.stdout.contains("groups has 3 items on its first page"), "{checked:?}");
    // What could not be read of them, and the user without an e-mail, are the crawl's too.
    site.sync("people", 5).await;
    let users = ["ann", "bob", "cid", "dan", "eve"];
    assert_eq!(finders(&site, "all", &users).await, ["ann", "cid"]);
    assert_eq!(finders(&site, "hr", &users).await, ["ann"]);
    let result = told(&site, 5).await;
    assert_eq!((&result["users"], &result["groups"]), (&4.into(), &2.into()), "{result}");
    let why = |key: &str| result[key]["samples"].to_string();
    assert_eq!(result["left_out"]["count"], 2, "the user, and the same as a member: {result}");
    assert!(why("left_out").contains("(no e-mail: 4)"), "{result}");
    assert!(why("unreadable").contains("row 3 of `groups` of `identities`"), "{result}");
    // In rows of their own, and in the group's row.
    let row = r#"
[[connections.people.settings.identities]]
name = "groups"
path = "groups"
items = "items"
group = { name = "{slug}", members = { items = "people", user_ids = ["{@}"] } }
"#;
    site.configure(&people(&url, &["all", "hr"], &format!("{USERS}{row}")));
    let listed = json!([{ "slug": "all", "people": [2, 3] }, { "slug": "hr", "people": [] }]);
    api.says("/groups", json!({ "items": listed }));
    told(&site, 0).await;
    assert_eq!(finders(&site, "all", &users).await, ["bob", "cid"]);
    assert!(finders(&site, "hr", &users).await.is_empty());
    // A row that lacks the list is no empty group.
    api.says("/groups", json!({ "items": [{ "slug": "all" }, { "slug": "hr", "people": [1] }] }));
    let result = told(&site, 5).await;
    assert_eq!(result["unreadable"]["count"], 1, "{result}");
    assert_eq!(finders(&site, "all", &users).await, ["bob", "cid"]);
    assert_eq!(finders(&site, "hr", &users).await, ["ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_is_interrupted_at_any_request_comes_to_the_same() {
    let (api, url) = Api::start().await;
    let page = |from: u32, row: fn(u32) -> Value| (from..from + 600).map(row).collect::<Vec<_>>();
    let row = |id: u32| {
        let mut row = user(&format!("u{id}"), id);
        row["teams"] = json!(["everybody", format!("team-{}", id % 2)]);
        row
    };
    api.lists("users", &[page(0, row), page(600, row), page(1200, row)]);
    api.says("/groups", json!({ "items": [{ "slug": "few" }, { "slug": "all" }] }));
    api.lists("groups/few/members", &[vec![by_id(1), by_id(2)]]);
    api.lists("groups/all/members", &[page(0, by_id), page(600, by_id), page(1200, by_id)]);
    let in_rows = USERS.replace("active", "groups = [\"{teams}\"], active");
    for (identities, groups, memberships, requests, resumes_from) in [
        (format!("{USERS}{GROUPS}"), 2, 1802, 8, 2),
        // What rows of users say of groups is gathered in one reading.
        (in_rows, 3, 3600, 3, 3),
    ] {
        let site = Site::new(&people(&url, &[], &identities)).await.connector("sheaf_rest");
        for at in 0..requests {
            api.requests(Some(at));
            let result = told(&site, 0).await;
            assert_eq!(result["users"], 1800, "{at}: {result}");
            assert_eq!(result["groups"], groups, "{at}: {result}");
            assert_eq!(result["memberships"], memberships, "{at}: {result}");
            let asked = api.requests(None);
            assert!(asked.len() > requests, "{at}: {asked:?}");
            let from_the_start = asked.iter().filter(|path| *path == "/users").count();
            assert_eq!(from_the_start, if at < resumes_from { 2 } else { 1 }, "{at}: {asked:?}");
        }
        // The source gives out most of a group's members, and not the last: it keeps all.
        api.answers("/groups/all/members?from=page-2", 403, json!("no"));
        let whole = groups == 3;
        let result = told(&site, if whole { 0 } else { 5 }).await;
        assert_eq!(result["unreadable"]["count"], u64::from(!whole), "{result}");
        assert_eq!(result["memberships"], memberships, "{result}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_cannot_be_read_keeps_its_members_and_the_others_change() {
    let (api, url) = Api::start().await;
    let users = ["ann", "bob", "cid"];
    api.lists("users", &[vec![user("ann", 1), user("bob", 2)], vec![user("cid", 3)]]);
    let names = ["secret", "gone", "open", "middle", "short"];
    let rows: Vec<_> = names.iter().map(|name| json!({ "slug": name })).collect();
    api.says("/groups", json!({ "items": rows }));
    for name in names {
        api.lists(&format!("groups/{name}/members"), &[vec![by_id(1)], vec![by_id(2)]]);
    }
    let site =
        Site::new(&people(&url, &names, &format!("{USERS}{GROUPS}"))).await.connector("sheaf_rest");
    api.says("/documents", json!({}));
    site.sync("people", 0).await;
    for name in names {
        assert_eq!(finders(&site, name, &users).await, ["ann", "bob"], "{name}");
    }
    for name in names {
        api.lists(&format!("groups/{name}/members"), &[vec![by_id(3)], vec![by_id(2)]]);
    }
    api.answers("/groups/secret/members", 403, json!("no"));
    api.answers("/groups/gone/members", 404, json!("no"));
    api.answers("/groups/middle/members?from=page-1", 410, json!("no"));
    let result = told(&site, 5).await;
    assert_eq!(result["outcome"], "partial", "{result}");
    assert_eq!(result["unreadable"]["count"], 3, "{result}");
    let why = result["unreadable"]["samples"].to_string();
    for part in ["secret: the source answers 403", "gone: the source answers 404", "middle: "] {
        assert!(why.contains(part), "{result}");
    }
    for name in ["secret", "gone", "middle"] {
        assert_eq!(finders(&site, name, &users).await, ["ann", "bob"], "{name}");
    }
    for name in ["open", "short"] {
        assert_eq!(finders(&site, name, &users).await, ["bob", "cid"], "{name}");
    }
    // A refusal of one more request is none of the group.
    api.0.lock().expect("answers").limited = Some("/groups/open/members?from=page-1".into());
    let result = told(&site, 5).await;
    assert_eq!(result["unreadable"]["count"], 3, "{result}");
    assert_eq!(api.0.lock().expect("answers").limited, None);
    // A list of members that ends before it should.
    let total = GROUPS.replace("value = \"next\"", "value = \"next\", total = \"total\"");
    site.configure(&people(&url, &names, &format!("{USERS}{total}")));
    for name in names {
        let members = json!({ "items": [by_id(1)], "next": null, "total": 1 });
        api.says(&format!("/groups/{name}/members"), members);
    }
    let cut = json!({ "items": [by_id(1)], "next": null, "total": 2 });
    api.says("/groups/short/members", cut);
    let result = told(&site, 5).await;
    assert_eq!(result["unreadable"]["count"], 1, "{result}");
    assert!(result["unreadable"]["samples"].to_string().contains("`total`"), "{result}");
    assert_eq!(finders(&site, "short", &users).await, ["bob", "cid"]);
    assert_eq!(finders(&site, "open", &users).await, ["ann"]);
    // Two groups of one name are neither.
    api.says(
        "/groups",
        json!({ "items": [{ "slug": "open", "n": 1 }, { "slug": "open", "n": 2 }] }),
    );
    let result = told(&site, 5).await;
    assert!(result["unreadable"]["samples"].to_string().contains("`name`"), "{result}");
    assert_eq!(finders(&site, "open", &users).await, ["ann"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_list_of_members_changes_no_group() {
    let (api, url) = Api::start().await;
    let names = ["bare", "rows", "later"];
    let rows = ["bare", "rows", "later"].map(|name| json!({ "slug": name, "kind": "team" }));
    api.lists("users", &[vec![user("ann", 1), user("bob", 2), user("cid", 3)]]);
    api.says("/groups", json!({ "items": rows }));
    api.says("/documents", json!({}));
    // The answer itself is the list.
    let groups = |page: &str| {
        GROUPS
            .replace("path = \"groups/{slug}/members\"\nitems = \"items\"", page)
            .replace("paging = { kind = \"next-url\", value = \"next\" }\nusers", "users")
    };
    let asks = "path = \"members\"\nquery = { of = \"{slug}\", kind = \"{kind}\" }";
    let toml = people(&url, &names, &format!("{USERS}{}", groups(asks)));
    assert!(!toml.contains("groups/{slug}/members"), "{toml}");
    let site = Site::new(&toml).await.connector("sheaf_rest");
    let of = |name: &str| format!("/members?kind=team&of={name}");
    for name in names {
        api.says(&of(name), json!([by_id(1), by_id(2)]));
    }
    site.sync("people", 0).await;
    let users = ["ann", "bob", "cid"];
    for name in names {
        assert_eq!(finders(&site, name, &users).await, ["ann", "bob"], "{name}");
    }
    api.says(&of("bare"), json!({ "error": "backend timeout" }));
    // A token that may not see who they are.
    api.says(&of("rows"), json!([by_id(1), { "type": "user" }]));
    api.says(&of("later"), json!([by_id(3)]));
    let result = told(&site, 5).await;
    let why = result["unreadable"]["samples"].to_string();
    assert_eq!(result["unreadable"]["count"], 2, "{result}");
    assert!(why.contains("bare: an answer is no list"), "{result}");
    assert!(why.contains("rows: ") && why.contains("member 2"), "{result}");
    for name in ["bare", "rows"] {
        assert_eq!(finders(&site, name, &users).await, ["ann", "bob"], "{name}");
    }
    assert_eq!(finders(&site, "later", &users).await, ["cid"]);
    // Without the parameters the list is everybody.
    api.says("/members", json!([by_id(1), by_id(2), by_id(3)]));
    api.says("/members?of=rows", json!([by_id(1), by_id(2), by_id(3)]));
    api.says(
        "/groups",
        json!({ "items": [{ "slug": "rows", "kind": "" }, { "slug": "later", "kind": "team" }] }),
    );
    let result = told(&site, 5).await;
    let why = result["unreadable"]["samples"].to_string();
    assert!(why.contains("rows: `kind` in the query of `members` finds nothing"), "{result}");
    assert_eq!(finders(&site, "rows", &users).await, ["ann", "bob"]);
    // Nor is an object a list of users: that is tried again.
    let in_answer = USERS.replace("items = \"items\"\n", "");
    site.configure(&people(&url, &names, &in_answer));
    api.says("/users", json!({ "error": "backend timeout" }));
    let ended = run(&site).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stdout.contains("backend timeout"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_left_out_need_no_id_and_rows_without_one_end_no_reading() {
    let (api, url) = Api::start().await;
    api.says("/documents", json!({}));
    let robot = |slug: Value| json!({ "slug": slug, "id": 7, "email": 7, "kind": "robot" });
    let mut users: Vec<_> = (0..1500).map(|id| user(&format!("u{id}"), id)).collect();
    for user in &mut users[200..] {
        user["id"] = Value::Null;
    }
    users.push(robot(json!(null)));
    api.says("/users", json!({ "items": users }));
    api.says("/groups", json!({ "items": [robot(json!(7)), { "slug": "HR" }] }));
    let members = vec![robot(json!(null)), json!({ "type": "user", "email": "U1@x.com" })];
    api.lists("groups/HR/members", &[members]);
    let group = "[connections.people.settings.identities.group]";
    let skip = "skip = \"kind == 'robot'\"";
    let users = USERS
        .replace("user = ", &format!("{skip}\nuser = "))
        .replace("\"{email}\"", "\"{lower(email)}\"")
        .replace("paging = { kind = \"next-url\", value = \"next\" }\n", "");
    let groups = GROUPS
        .replace(group, &format!("{skip}\n{group}"))
        .replace("name = \"{slug}\"", "name = \"{lower(slug)}\"")
        .replace("value = \"next\" }\n", &format!("value = \"next\" }}\n{skip}\n"))
        .replace("\"{email}\"", "\"{lower(email)}\"");
    let toml = people(&url, &["hr"], &format!("{groups}{users}"));
    assert_eq!(toml.matches("robot").count(), 3, "{toml}");
    let site = Site::new(&toml).await.connector("sheaf_rest");
    let result = told(&site, 0).await;
    assert_eq!((&result["users"], &result["groups"]), (&1500.into(), &1.into()), "{result}");
    assert_eq!(result["memberships"], 1, "{result}");
    // A row that is not left out is an error.
    api.says("/groups", json!({ "items": [{ "slug": 7 }] }));
    let ended = run(&site).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stdout.contains("`lower(slug)` cannot be applied"), "{ended:?}");
}

fn team(name: &str, id: u32, team: &str) -> Value {
    let mut row = user(name, id);
    row["teams"] = json!([team]);
    row
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_ends_early_is_partial_and_a_page_that_fails_changes_nothing() {
    let (api, url) = Api::start().await;
    api.says("/documents", json!({}));
    let whole = vec![team("ann", 1, "a"), team("bob", 2, "b"), team("cid", 3, "b")];
    let in_rows = USERS
        .replace("active", "groups = [\"{teams}\"], active")
        .replace("value = \"next\"", "value = \"next\", total = \"total\"");
    let site = Site::new(&people(&url, &["a", "b"], &in_rows)).await.connector("sheaf_rest");
    let says = |rows: &[Value], total| {
        api.says("/users", json!({ "items": rows, "next": null, "total": total }));
    };
    says(&whole, 3);
    site.sync("people", 0).await;
    let users = ["ann", "bob", "cid", "dot"];
    let before = [vec!["ann".to_owned()], vec!["bob".to_owned(), "cid".to_owned()]];
    let now = async || [finders(&site, "a", &users).await, finders(&site, "b", &users).await];
    assert_eq!(now().await, before);
    // One is new, and the source stops before the others.
    says(&[team("ann", 1, "a"), team("dot", 4, "a")], 4);
    let result = told(&site, 5).await;
    assert_eq!((&result["outcome"], &result["users"]), (&"partial".into(), &4.into()), "{result}");
    assert!(result["partial"].as_str().is_some_and(|why| why.contains("`total`")), "{result}");
    assert_eq!(now().await, before, "who is in the groups was not read to the end");
    // A page that fails for good, after one that did not.
    let requests = site.glean.drill().requests();
    let answer = json!({ "items": [team("dot", 4, "b")], "next": "/users?from=b", "total": 2 });
    api.says("/users", answer);
    for status in [401, 500] {
        api.answers("/users?from=b", status, json!("no"));
        let ended = run(&site).await;
        assert_eq!(ended.code, 4, "{ended:?}");
        assert!(ended.stdout.contains(&format!("answered {status}")), "{ended:?}");
    }
    api.says("/users?from=b", json!({ "itemz": [], "next": null, "total": 2 }));
    assert_ne!(run(&site).await.code, 0);
    assert_eq!(site.glean.drill().requests(), requests, "nothing was asked of Glean");
    assert_eq!(now().await, before);
    let requests = site.glean.drill().requests();
    // Paging that finds no next page at all.
    says(&whole, 3);
    site.configure(&people(&url, &["a", "b"], &in_rows.replace("\"next\"", "\"nxt\"")));
    let ended = run(&site).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stdout.contains("the first answer of `users` of `identities`"), "{ended:?}");
    assert!(ended.stdout.contains("`one_page = true`"), "{ended:?}");
    assert_eq!(site.glean.drill().requests(), requests, "nothing was asked of Glean");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_whose_last_answer_is_not_whole_is_not_read_to_its_end() {
    let (api, url) = Api::start().await;
    let paged = USERS.replace("user = ", "whole = \"done\"\nuser = ");
    let one_page = paged.replace("paging = { kind = \"next-url\", value = \"next\" }\n", "");
    assert!(!one_page.contains("paging"), "{one_page}");
    let site = Site::new(&people(&url, &[], &paged)).await.connector("sheaf_rest");
    for identities in [&paged, &one_page] {
        site.configure(&people(&url, &[], identities));
        for (done, code) in [(false, 4), (true, 0)] {
            let answer = json!({ "items": [user("ann", 1)], "next": null, "done": done });
            api.says("/users", answer);
            let ended = run(&site).await;
            assert_eq!(ended.code, code, "{done}: {ended:?}");
            assert_eq!(ended.stdout.contains("`whole` does not hold"), !done, "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whose_details_are_not_given_out_stays_and_so_do_the_groups_it_may_be_in() {
    let (api, url) = Api::start().await;
    api.lists("users", &[vec![user("ann", 1), user("bob", 2)], vec![user("cid", 3)]]);
    let says = |id: u32, team: &str| api.says(&format!("/users/{id}"), json!({ "team": team }));
    says(1, "a");
    says(2, "b");
    says(3, "b");
    let detail = "detail = { path = \"users/{id}\" }\nuser = ";
    let by_detail =
        USERS.replace("user = ", detail).replace("active", "groups = [\"{detail.team}\"], active");
    let site = Site::new(&people(&url, &["a", "b"], &by_detail)).await.connector("sheaf_rest");
    api.says("/documents", json!({}));
    site.sync("people", 0).await;
    let users = ["ann", "bob", "cid"];
    says(2, "a");
    api.answers("/users/3", 403, json!("no"));
    let result = told(&site, 5).await;
    let why = result["partial"].as_str().unwrap_or_default();
    assert!(why.contains("3: its details answer 403"), "{result}");
    assert_eq!((&result["users"], &result["unreadable"]["count"]), (&3.into(), &1.into()));
    assert_eq!(finders(&site, "a", &users).await, ["ann"]);
    assert_eq!(finders(&site, "b", &users).await, ["bob", "cid"]);
    says(3, "b");
    told(&site, 0).await;
    assert_eq!(finders(&site, "a", &users).await, ["ann", "bob"]);
    assert_eq!(finders(&site, "b", &users).await, ["cid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_users_and_groups_that_are_wrong_name_their_key_and_none_are_none() {
    let (_api, url) = Api::start().await;
    let site = Site::new(&people(&url, &[], "")).await.connector("sheaf_rest");
    let none = run(&site).await;
    assert_eq!(none.code, 2, "{none:?}");
    assert!(none.stdout.contains("has no users and groups to tell of"), "{none:?}");
    let list = |rest: &str| {
        format!(
            "\n[[connections.people.settings.identities]]\nname = \"x\"\npath = \"x\"\n{rest}\n"
        )
    };
    let user = "user = { email = \"{email}\" }";
    for (wrong, told) in [
        (list(""), "`x` of `identities` has neither `user` nor `group`"),
        (
            list(&format!(
                "{user}\ngroup = {{ name = \"n\", members = {{ items = \"m\", users = [\"u\"] }} }}"
            )),
            "`x` of `identities` has both `user` and `group`",
        ),
        (format!("{}{}", list(user), list(user)), "two lists of `identities` are named `x`"),
        (list("user = { email = \"{email\" }"), "`{email` is not a template"),
        (list("user = { name = \"{name}\" }"), "email"),
        (
            list("group = { name = \"{n}\", members = { items = \"m\" } }"),
            "say in `users`, `user_ids` or `groups`",
        ),
        (
            list("group = { name = \"{n}\", members = { users = [\"{@}\"] } }"),
            "has neither `items`, where they are in a group's row, nor `path`",
        ),
        (
            list(
                "group = { name = \"{n}\", members = { items = \"m\", error = \"e\", users = [\"{@}\"] } }",
            ),
            "has `error`, for which members in a group's row have no use",
        ),
        (
            list(&format!("{user}\npaging = {{ kind = \"cursor\", value = \"next\" }}")),
            "`paging` of `x` of `identities` lacks `parameter`",
        ),
    ] {
        site.configure(&people(&url, &[], &wrong));
        let ended = run(&site).await;
        assert_eq!(ended.code, 2, "{wrong}: {ended:?}");
        assert!(ended.stdout.contains(told), "{told}: {ended:?}");
    }
}
