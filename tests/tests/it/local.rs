//! Crawls in one process, without Temporal.

use futures::future::join_all;
use serde_json::json;
use sheaf_local_glean::{Dropped, Fault};
use sheaf_tests::temporal::{ONCE, QUICK};
use sheaf_tests::{Site, files, odd};

async fn docs(settings: &str) -> Site {
    let site = Site::new(&files(settings)).await.connector("sheaf_files");
    site.write("docs/index.md", "# The handbook\n\nWelcome.");
    site.write("docs/people/reviews.html", "<title>Reviews &amp; pay</title><p>Twice a year.");
    site.write("docs/people/photo.jpg", "not a document");
    site.write("docs/tools/report.pdf", "%PDF-1.4");
    site.write("docs/tools/notes.txt", "Notes\n=====\n\nsome");
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_s_documents_are_in_glean_with_titles_types_and_access() {
    let site = docs(
        "access_rules = [{ glob = \"people/**\", access = { users = [\"ann@example.com\"], groups = [\"hr\"] } }]",
    )
    .await;
    let result = site.sync("docs", 0).await;
    assert_eq!(result["outcome"], "complete");
    assert_eq!(result["documents"], 4);
    assert_eq!((&result["quarantined"], &result["batches"]), (&json!(0), &json!(1)));
    assert!(result["bytes"].as_u64().is_some_and(|bytes| bytes > 500), "{result}");
    let documents = site.glean.documents("docs").await.expect("documents");
    let ids: Vec<_> = documents.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["index.md", "people/reviews.html", "tools/notes.txt", "tools/report.pdf"]);
    let document =
        |at: usize| -> serde_json::Value { serde_json::from_str(&documents[at].1).expect("JSON") };
    assert_eq!(document(0)["title"], "The handbook");
    assert_eq!(document(0)["viewURL"], "https://docs.example.com/index.md");
    assert_eq!(document(0)["permissions"], json!({ "allowAnonymousAccess": true }));
    assert_eq!(document(1)["title"], "Reviews & pay");
    assert_eq!(document(1)["container"], "people");
    assert_eq!(document(1)["permissions"]["allowedGroups"], json!(["hr"]));
    assert_eq!(document(1)["permissions"]["allowedUsers"][0]["email"], "ann@example.com");
    assert_eq!(document(2)["title"], "Notes");
    assert_eq!(document(3)["body"]["mimeType"], "application/pdf");
    assert_eq!(document(3)["body"]["binaryContent"], "JVBERi0xLjQ=");
    assert!(document(3)["updatedAt"].as_i64().is_some_and(|time| time > 1_600_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_folder_leaves_glean_with_the_next_full_crawl() {
    let site = docs("").await;
    for number in 0..10 {
        site.write(&format!("docs/more/{number}.md"), "more");
    }
    assert_eq!(site.sync("docs", 0).await["documents"], 14);
    std::fs::remove_file(site.path("docs/index.md")).expect("removed");
    let result = site.sync("docs", 0).await;
    assert_eq!((&result["documents"], &result["deleted"]), (&json!(13), &json!(1)));
    assert!(!site.ids("docs").await.contains(&"index.md".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_share_one_session_that_is_closed_once() {
    let site = docs("scope_per_folder = true").await;
    assert_eq!(site.sync("docs", 0).await["documents"], 4);
    assert_eq!(site.ids("docs").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incremental_crawl_delivers_what_changed_and_deletes_nothing() {
    let site = docs("").await;
    // Without a bookmark it is a full one.
    let first = site.sheaf(&["sync", "docs", "--local", "--incremental", "--json"]).await.json();
    assert_eq!(first["result"]["mode"], "full");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for path in ["index.md", "people/reviews.html", "tools/report.pdf", "tools/notes.txt"] {
        let path = site.path(&format!("docs/{path}"));
        let file = std::fs::File::options().append(true).open(path).expect("opened");
        file.set_modified(old).expect("a time");
    }
    std::fs::remove_file(site.path("docs/index.md")).expect("removed");
    site.write("docs/new.md", "# New");
    let second = site.sheaf(&["sync", "docs", "--local", "--incremental", "--json"]).await.json();
    assert_eq!(second["result"]["mode"], "incremental", "{second}");
    assert_eq!(second["result"]["documents"], 1);
    assert_eq!(site.ids("docs").await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_source_deletes_nothing() {
    let site = Site::new(&odd("pages = 3")).await.connector("guest_odd");
    assert_eq!(site.sync("odd", 0).await["documents"], 30);
    site.configure(&odd("pages = 3, misdeed = \"empty\""));
    let result = site.sync("odd", 5).await;
    assert_eq!(result["outcome"], "held");
    assert_eq!(site.ids("odd").await.len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_crawl_keeps_its_uploads_and_deletes_nothing() {
    let site = Site::new(&odd("pages = 5")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 5, misdeed = \"partial\", after = 2"));
    let result = site.sync("odd", 5).await;
    assert_eq!(result["outcome"], "partial");
    assert_eq!(result["documents"], 30);
    assert!(result["reason"].as_str().is_some_and(|reason| reason.contains("stopped answering")));
    assert_eq!(site.ids("odd").await.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_break_a_rule_are_set_aside_and_the_crawl_goes_on() {
    for (misdeed, reason) in [("long-id", "201 characters"), ("foreign-url", "urlRegex")] {
        let settings = format!("pages = 4, misdeed = \"{misdeed}\", after = 3");
        let site = Site::new(&odd(&settings)).await.connector("guest_odd");
        let result = site.sync("odd", 0).await;
        assert_eq!((&result["documents"], &result["quarantined"]), (&json!(39), &json!(1)));
        let said = result["quarantine"][0]["reason"].as_str().unwrap_or_default();
        assert!(said.contains(reason), "{misdeed}: {said}");
        assert_eq!(site.ids("odd").await.len(), 39);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_read_today_is_not_deleted() {
    let site = Site::new(&odd("pages = 4")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 4, misdeed = \"unreadable\", after = 3"));
    let result = site.sync("odd", 5).await;
    assert_eq!(result["outcome"], "held");
    assert_eq!(result["quarantine"][0]["reason"], "it is locked");
    assert_eq!(site.ids("odd").await.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_glean_holds_back_is_reported_as_held() {
    let site = docs("").await;
    let all = "\n[connections.docs.deletions]\nmax_percent = 100.0\n";
    site.configure(&format!("{}{all}", files("")));
    for number in 0..10 {
        site.write(&format!("docs/more/{number}.md"), "more");
    }
    site.sync("docs", 0).await;
    std::fs::remove_dir_all(site.path("docs/more")).expect("removed");
    let result = site.sync("docs", 5).await;
    assert_eq!(result["outcome"], "held");
    assert_eq!(site.ids("docs").await.len(), 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_that_failed_goes_on_in_the_same_session_and_uploads_nothing_twice() {
    let batches = "batch_documents = 10\nbatches_in_flight = 1\n";
    let site = Site::new("").await.connector("guest_odd");
    let glean = format!(
        "[glean]\nserver_url = \"{}\"\nrequests_per_second = 1000.0\n{batches}\n",
        site.glean.url()
    );
    let settings = odd("pages = 8, misdeed = \"retry-once\", after = 5");
    site.write("sheaf.toml", &format!("{glean}{ONCE}{settings}"));
    let first = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!(first.code, 4, "{first:?}");
    let first = first.json();
    assert_eq!(first["result"]["outcome"], "failed");
    assert_eq!(first["error"]["kind"], "Source");
    assert_eq!(site.ids("odd").await.len(), 50);
    let second = site.sync("odd", 0).await;
    assert_eq!(second["upload_id"], first["result"]["upload_id"]);
    assert_eq!((&second["documents"], &second["batches"]), (&json!(80), &json!(8)));
    let overview = site.glean.overview().await.expect("an overview");
    assert_eq!(overview["sessions"].as_array().map(Vec::len), Some(1));
    assert_eq!(overview["sessions"][0]["documents"], 80, "nothing was uploaded twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_away_is_tried_again_by_the_policy() {
    let settings = odd("pages = 8, misdeed = \"retry-once\", after = 5");
    let site = Site::new(&format!("{QUICK}{settings}")).await.connector("guest_odd");
    let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["result"]["documents"]), (0, &json!(80)), "{ended:?}");
    let told = "tries again: the connector reports: the source is asleep";
    assert_eq!(ended.stderr.matches(told).count(), 1, "{ended:?}");
    // What wants to be left alone for longer than the policy waits is left alone.
    let patient = "[temporal.policy]\nmax_interval = \"500ms\"\n\n";
    site.configure(&format!("{patient}{}", odd("pages = 8, misdeed = \"retry\", after = 5")));
    let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!((ended.code, ended.stderr.matches("tries again").count()), (4, 0), "{ended:?}");
    // Also before anything is crawled; after as many attempts as the policy has, it has failed.
    site.configure(&format!("{QUICK}{}", odd("pages = 8, misdeed = \"no-scopes\"")));
    let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!((ended.code, &ended.json()["error"]["kind"]), (4, &json!("Source")), "{ended:?}");
    assert_eq!(ended.stderr.matches(told).count(), 2, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_with_other_settings_begins_anew_and_replaces_the_unfinished_session() {
    let failing = "misdeed = \"retry\", after = 5";
    let failing = odd(&format!("pages = 8, {failing}"));
    let site = Site::new(&format!("{ONCE}{failing}")).await.connector("guest_odd");
    let first = site.sync("odd", 4).await;
    site.configure(&odd("pages = 8"));
    let second = site.sync("odd", 0).await;
    assert_ne!(second["upload_id"], first["upload_id"]);
    assert_eq!(site.ids("odd").await.len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bookmark_that_is_no_longer_valid_begins_the_scope_anew() {
    let site =
        Site::new(&odd("pages = 3, misdeed = \"old-bookmark\"")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    let ended = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let result = ended.json()["result"].clone();
    assert_eq!((&result["mode"], &result["documents"]), (&json!("incremental"), &json!(30)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_starts_over_for_ever_is_given_up() {
    let settings = odd("pages = 8, misdeed = \"start-over\", after = 2");
    let site = Site::new(&settings).await.connector("guest_odd");
    for _ in 0..4 {
        let ended = site.sheaf(&["sync", "odd", "--local"]).await;
        assert_eq!(ended.code, 4, "{ended:?}");
    }
    let ended = site.sheaf(&["sync", "odd", "--local"]).await;
    assert!(ended.stderr.contains("wants to start over for the"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_that_is_refused_or_whose_answer_is_lost_opens_the_session_all_the_same() {
    let path = || "/bulkindexdocuments".to_owned();
    // The first batch is split, and the answer to its first half is lost.
    let site = Site::new(&odd("pages = 40")).await.connector("guest_odd");
    site.glean.drill().add(Fault { path: path(), status: Some(400), times: 1, ..Fault::default() });
    let lost = Fault { path: path(), drop: Some(Dropped::After), times: 1, ..Fault::default() };
    site.glean.drill().add(lost);
    assert_eq!(site.sync("odd", 0).await["documents"], 400);
    assert_eq!(site.ids("odd").await.len(), 400);
    // The first batch is one document, and it is refused.
    let site = Site::new("").await.connector("guest_odd");
    let glean = format!("[glean]\nserver_url = \"{}\"\nbatch_documents = 1\n\n", site.glean.url());
    site.write("sheaf.toml", &format!("{glean}{}", odd("pages = 2")));
    site.glean.drill().add(Fault { path: path(), status: Some(413), times: 1, ..Fault::default() });
    let result = site.sync("odd", 0).await;
    assert_eq!((&result["documents"], &result["quarantined"]), (&json!(19), &json!(1)));
    assert_eq!(site.ids("odd").await.len(), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_faults_of_glean_are_retried_under_the_same_upload_id() {
    let faults = [
        Fault { status: Some(503), times: 2, ..Fault::default() },
        Fault { status: Some(429), retry_after: Some("0".into()), times: 1, ..Fault::default() },
        Fault { drop: Some(Dropped::Before), times: 1, ..Fault::default() },
        Fault { drop: Some(Dropped::After), times: 1, ..Fault::default() },
        Fault { status: Some(500), times: 1, ..Fault::default() },
    ];
    for fault in faults {
        // The first page, one in the middle, the last.
        join_all([0, 2, 4].map(|skip| passes(&fault, skip))).await;
    }
}

async fn passes(fault: &Fault, skip: u32) {
    let site = Site::new(&odd("pages = 400")).await.connector("guest_odd");
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, skip, ..fault.clone() });
    let result = site.sync("odd", 0).await;
    assert_eq!(result["outcome"], "complete", "{fault:?} after {skip}");
    assert_eq!(site.ids("odd").await.len(), 4000, "{fault:?} after {skip}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_is_split() {
    let site = Site::new(&odd("pages = 40")).await.connector("guest_odd");
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, status: Some(413), times: 3, ..Fault::default() });
    assert_eq!(site.sync("odd", 0).await["documents"], 400);
    assert_eq!(site.ids("odd").await.len(), 400);
}
