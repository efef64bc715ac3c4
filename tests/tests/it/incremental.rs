//! Incremental crawls: beside a full one, and what Glean refuses of them.

use serde_json::{Value, json};
use sheaf_local_glean::Fault;
use sheaf_tests::wait::says;
use sheaf_tests::{Site, http, odd};

use crate::ledger::stopped;

#[tokio::test(flavor = "multi_thread")]
async fn incremental_crawls_go_on_beside_a_full_one_that_waits() {
    let site = Site::new(&odd("pages = 20")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 10, misdeed = \"changes\""));
    assert_eq!(site.sync("odd", 5).await["held"]["would_go"], 100);
    let incremental = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
    assert_eq!(incremental.code, 0, "{incremental:?}");
    let result = &incremental.json()["result"];
    assert_eq!((&result["documents"], &result["deleted"]), (&json!(2), &json!(1)));
    // What came meanwhile stays, what went meanwhile stays away, and exactly the hundred go.
    let approved = site.approve("odd").await;
    assert_eq!(approved.json()["result"]["deleted"], 100, "{approved:?}");
    let ids = site.ids("odd").await;
    assert_eq!(ids.len(), 100);
    assert!(ids.contains(&"odd-999999".to_owned()) && !ids.contains(&"odd-2".to_owned()));
    let status = site.sheaf(&["status", "--json"]).await;
    assert!(status.json()["result"]["connections"][0]["waiting"].is_null(), "{status:?}");
}

/// An incremental crawl of `odd`, which must end with this code; its result.
async fn incremental(site: &Site, code: i32) -> Value {
    let ended = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
    assert_eq!(ended.code, code, "{ended:?}");
    ended.json()["result"].clone()
}

/// So many requests to this path are refused, after so many that are not.
fn refuse(site: &Site, path: &str, skip: u32, times: u32) {
    let path = path.to_owned();
    let fault = Fault { path, skip, times, status: Some(400), ..Fault::default() };
    site.glean.drill().add(fault);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_glean_refuses_is_kept_by_name_and_tried_again_until_it_passes() {
    let site = Site::new(&odd("pages = 20")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 20, misdeed = \"changes\""));
    refuse(&site, "/deletedocument", 0, 2);
    let first = incremental(&site, 5).await;
    assert_eq!((&first["outcome"], &first["deleted"]), (&json!("partial"), &json!(0)));
    assert!(
        first["reason"].as_str().unwrap_or_default().contains("deletion of `odd-2`"),
        "{first}"
    );
    let shown = site.sheaf(&["status"]).await;
    assert!(shown.stdout.contains("Glean refuses 1 change"), "{shown:?}");
    let list = site.sheaf(&["quarantine", "list", "odd"]).await;
    assert!(list.stdout.contains("odd-2: deletion, since "), "{list:?}");
    // The source does not say it again: its bookmark has moved on.
    site.configure(&odd("pages = 20, misdeed = \"empty\""));
    assert_eq!(incremental(&site, 5).await["outcome"], "partial");
    assert_eq!(site.status().await["refused_changes"][0]["attempts"], 2);
    assert_eq!(incremental(&site, 0).await["outcome"], "complete");
    assert_eq!(site.status().await["refused_changes"], json!([]));
    assert!(!site.ids("odd").await.contains(&"odd-2".to_owned()));
    // The ledger knows: it is not counted among what a full crawl would delete.
    site.configure(&odd("pages = 19, without = 2"));
    assert_eq!(site.sync("odd", 5).await["held"]["would_go"], 105);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_of_access_is_tried_again_or_overtaken_by_a_full_crawl() {
    let site = Site::new(&odd("pages = 1")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    let refused = || async {
        site.configure(&odd("pages = 1, misdeed = \"everything\""));
        refuse(&site, "/updatepermissions", 0, 1);
        let partial = incremental(&site, 5).await;
        let reason = partial["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("change of access of `odd-1`"), "{partial}");
        let kept = site.status().await["refused_changes"][0].clone();
        assert_eq!(kept["want"]["access"]["allowAnonymousAccess"], true, "{kept}");
    };
    refused().await;
    site.configure(&odd("pages = 1, misdeed = \"empty\""));
    assert_eq!(incremental(&site, 0).await["outcome"], "complete");
    assert_eq!(site.status().await["refused_changes"], json!([]));
    refused().await;
    // Refused at its beginning, too; then the document comes with its access of today.
    refuse(&site, "/updatepermissions", 0, 1);
    site.configure(&odd("pages = 1"));
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
    assert_eq!(site.status().await["refused_changes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_while_a_session_was_open_is_deleted_once_more_after_its_end() {
    let site = Site::new(&odd("pages = 20")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 10, misdeed = \"changes\""));
    let held = site.sync("odd", 5).await;
    assert_eq!(incremental(&site, 0).await["deleted"], 1);
    // As if the end of the session brought back what it contains.
    again(&site, &held["upload_id"], "odd-2").await;
    assert!(site.ids("odd").await.contains(&"odd-2".to_owned()));
    refuse(&site, "/deletedocument", 0, 1);
    let approved = site.approve("odd").await;
    assert_eq!(approved.code, 5, "{approved:?}");
    assert!(approved.stdout.contains("deletion of `odd-2`"), "{approved:?}");
    assert_eq!(site.ids("odd").await.len(), 101);
    site.configure(&odd("pages = 20, misdeed = \"empty\""));
    assert_eq!(incremental(&site, 0).await["outcome"], "complete");
    let ids = site.ids("odd").await;
    assert!(ids.len() == 100 && !ids.contains(&"odd-2".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_change_of_access_that_passes_after_a_sessions_end_is_known_to_a_plan() {
    let site = Site::new(&odd("pages = 20")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 10"));
    site.sync("odd", 5).await;
    site.configure(&odd("pages = 10, misdeed = \"closed\""));
    refuse(&site, "/updatepermissions", 0, 1);
    assert_eq!(incremental(&site, 5).await["outcome"], "partial");
    let approved = site.approve("odd").await;
    assert_eq!(approved.code, 0, "{approved:?}");
    let plan = site.sheaf(&["plan", "odd", "--json"]).await.json()["result"].clone();
    assert_eq!(plan["access"]["to_everyone"]["count"], 1, "{plan}");
}

/// Puts a document of `odd` into an open session.
async fn again(site: &Site, upload_id: &Value, id: &str) {
    let document = json!({
        "datasource": "odd", "objectType": "Page", "id": id, "title": id,
        "viewURL": "https://odd.example.com/2", "permissions": { "allowAnonymousAccess": true },
    });
    let page = json!({ "uploadId": upload_id, "datasource": "odd", "documents": [document] });
    let url = format!("{}/api/index/v1/bulkindexdocuments", site.glean.url());
    let post = http().post(url).header("content-type", "application/json");
    let sent = post.body(page.to_string()).send().await;
    assert_eq!(sent.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_glean_works_on_the_end_of_a_full_crawl_comes_again() {
    let site = Site::new(&odd("pages = 20, misdeed = \"changes\"")).await.connector("guest_odd");
    site.glean.drill().check_stale_after_reads(2);
    site.sync("odd", 0).await;
    let bookmark = || {
        let place = site.path(".sheaf/connections/odd");
        let glean = std::fs::read_dir(place).expect("a folder").next().expect("a Glean");
        let states = std::fs::read_dir(glean.expect("an entry").path().join("state"));
        let newest = states.expect("a folder").flatten().map(|entry| entry.path()).max();
        let text = std::fs::read(newest.expect("a version")).expect("a state");
        serde_json::from_slice::<Value>(&text).expect("JSON")["bookmarks"]["0"].clone()
    };
    assert_eq!(bookmark(), "since then");
    incremental(&site, 0).await;
    assert_eq!(bookmark(), "since then");
    incremental(&site, 0).await;
    assert_eq!(bookmark(), "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pace_outside_a_session_is_told_while_it_holds() {
    let site = Site::new("").await.connector("guest_odd");
    let glean =
        format!("[glean]\nserver_url = \"{}\"\ndocuments_per_minute = 60.0\n\n", site.glean.url());
    // A scope that is new to an incremental crawl is read in full, outside a session.
    site.write("sheaf.toml", &format!("{glean}{}", odd("pages = 2")));
    site.sync("odd", 0).await;
    site.write("sheaf.toml", &format!("{glean}{}", odd("pages = 20, misdeed = \"old-bookmark\"")));
    let mut crawl = site.command(&["sync", "odd", "--local", "--incremental"]);
    let mut child = crawl.spawn().expect("a crawl");
    says(&mut child, "waits for Glean's limit of 60 documents a minute").await;
    child.kill().await.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_crawl_that_stopped_is_resumed_after_incremental_ones() {
    let (site, upload) = stopped().await;
    for _ in 0..2 {
        let incremental = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
        assert_eq!(incremental.code, 0, "{incremental:?}");
    }
    let resumed = site.sync("odd", 0).await;
    assert_eq!((&resumed["outcome"], &resumed["upload_id"]), (&json!("complete"), &json!(upload)));
    assert_eq!(resumed["deleted"], 0, "{resumed}");
    // What came meanwhile is there, what went meanwhile is not, and the ledger knows it of both.
    let ids = site.ids("odd").await;
    assert!(ids.contains(&"odd-999999".to_owned()) && !ids.contains(&"odd-2".to_owned()));
    assert_eq!(ids.len(), 4000);
    let next = site.sync("odd", 0).await;
    assert_eq!((&next["added"], &next["deleted"]), (&json!(1), &json!(1)), "{next}");
}
