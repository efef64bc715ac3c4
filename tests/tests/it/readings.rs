//! Readings of users and groups that are interrupted: what is said of them, and where the next one goes on.

use serde_json::{Value, json};
use sheaf_local_glean::Fault;
use sheaf_tests::people_api::{Api, GROUPS, USERS, by_id, people, user};
use sheaf_tests::temporal::{server, worker};
use sheaf_tests::wait::says;
use sheaf_tests::{Ended, Site};

const LAST: &str = "/groups/all/members?from=page-1";

/// A company of 1,200 in two groups, read in six requests.
async fn company() -> (Api, Site) {
    let (api, url) = Api::start().await;
    let page = |from: u32, row: fn(u32) -> Value| (from..from + 600).map(row).collect::<Vec<_>>();
    let row = |id: u32| user(&format!("u{id}"), id);
    api.says("/documents", json!({}));
    api.lists("users", &[page(0, row), page(600, row)]);
    api.says("/groups", json!({ "items": [{ "slug": "few" }, { "slug": "all" }] }));
    api.lists("groups/few/members", &[vec![by_id(1), by_id(2)]]);
    api.lists("groups/all/members", &[page(0, by_id), page(600, by_id)]);
    let site = Site::new(&people(&url, &["all"], &format!("{USERS}{GROUPS}"))).await;
    (api, site.connector("sheaf_rest"))
}

/// Requests for the first page of users since this was asked last. One of the next fails.
fn beginnings(api: &Api, fails: Option<usize>) -> usize {
    api.requests(fails).iter().filter(|path| *path == "/users").count()
}

async fn run(site: &Site, more: &[&str]) -> Ended {
    let arguments = [&["sync", "people", "--identities", "--local", "--json"], more].concat();
    site.sheaf(&arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_try_goes_on_where_its_crawl_was_interrupted_and_a_crawl_that_begins_anew_does_not() {
    let (api, site) = company().await;
    for restart in [&[][..], &["--restart"]] {
        beginnings(&api, Some(5));
        let ended = run(&site, restart).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(beginnings(&api, None), 1, "{restart:?}");
    }
    let whole = json!({ "items": (600..1200).map(by_id).collect::<Vec<_>>(), "next": null });
    for (restart, again) in [(&[][..], 0), (&["--restart"], 1)] {
        api.answers(LAST, 500, json!("not now"));
        let failed = run(&site, &["--restart"]).await;
        assert_ne!(failed.code, 0, "{failed:?}");
        let status = site.sheaf(&["status"]).await.stdout;
        let trace = "users and groups: a reading was interrupted just now after 1,000 users, ";
        assert!(status.contains(trace), "{status}");
        assert!(status.contains("; the next crawl goes on there"), "{status}");
        let status = site.sheaf(&["status", "--json"]).await.json();
        let reading = &status["result"]["connections"][0]["reading"];
        assert_eq!((&reading["users"], &reading["by"]), (&json!(1_000), &Value::Null), "{status}");
        assert_eq!(beginnings(&api, None), 1, "three tries are one reading");
        api.says(LAST, whole.clone());
        let ended = run(&site, restart).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(beginnings(&api, None), again, "{restart:?}");
        assert_eq!(ended.json()["result"]["memberships"], 1_202, "{ended:?}");
        let status = site.sheaf(&["status"]).await;
        assert!(status.code == 0 && !status.stdout.contains("interrupted"), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_tries_users_and_groups_again_and_goes_on_where_it_was_interrupted() {
    let (api, site) = company().await;
    beginnings(&api, Some(5));
    let plan = site.sheaf(&["plan", "people", "--json"]).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert_eq!(plan.json()["result"]["identities"]["new_users"], 1_200, "{plan:?}");
    assert_eq!(beginnings(&api, None), 1, "{plan:?}");
    // What it has read is its own: it leaves nothing behind, and a crawl reads for itself.
    let status = site.sheaf(&["status"]).await.stdout;
    assert!(!status.contains("interrupted"), "{status}");
    site.sync("people", 0).await;
    assert_eq!(beginnings(&api, None), 1);
    // Where the source stays away, the plan says so, and what of documents it can.
    api.answers(LAST, 500, json!("not now"));
    let plan = site.sheaf(&["plan", "people"]).await;
    assert!(plan.stdout.contains("users and groups cannot be read"), "{plan:?}");
    assert!(plan.stdout.contains("1 unchanged"), "{plan:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_it_is_with_users_and_groups_is_said_here_and_on_temporal() {
    let (_api, mut site) = company().await;
    let server = server(&mut site).await;
    let _worker = worker(&site).await;
    for more in [&["--local"][..], &["--restart"]] {
        let path = "/bulkindexmemberships".to_owned();
        site.glean.drill().add(Fault {
            path,
            skip: 3,
            times: 1,
            hold: Some(0),
            ..Fault::default()
        });
        let arguments = [&["sync", "people", "--identities"], more].concat();
        let mut crawl = site.command(&arguments).spawn().expect("a crawl");
        let said = "users and groups of people · read 1,200 users, 2 groups and 1,202 members; \
                    telling: 1,200 users, 1 group and 1,200 members so far";
        says(&mut crawl, said).await;
        site.glean.drill().release().await;
        assert!(crawl.wait().await.expect("ended").success());
    }
    server.stop().await;
}
