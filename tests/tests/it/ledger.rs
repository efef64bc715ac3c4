//! What would be deleted is known, told, and waits for a person.

use serde_json::{Value, json};
use sheaf_local_glean::{Counts, Fault};
use sheaf_tests::temporal::ONCE;
use sheaf_tests::{Site, files, odd};

/// A hundred documents.
async fn docs() -> Site {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    for number in 0..100 {
        site.write(&format!("docs/{number}.md"), &format!("# Page {number}"));
    }
    assert_eq!(site.sync("docs", 0).await["documents"], 100);
    site
}

fn remove(site: &Site, numbers: std::ops::Range<u32>) {
    for number in numbers {
        std::fs::remove_file(site.path(&format!("docs/{number}.md"))).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shrinking_by_more_than_a_tenth_is_held_until_it_is_approved() {
    let site = docs().await;
    remove(&site, 0..11);
    site.write("docs/new.md", "# New");
    site.write("docs/50.md", "# Changed");
    let held = site.sync("docs", 5).await;
    assert_eq!(held["outcome"], "held");
    assert_eq!((&held["held"]["would_go"], &held["held"]["of"]), (&json!(11), &json!(100)));
    assert_eq!((&held["added"], &held["changed"]), (&json!(1), &json!(1)));
    assert_eq!(site.ids("docs").await.len(), 101, "nothing went, and what is new came");
    let status = site.sheaf(&["status"]).await;
    for part in ["11 of 100", "would go: ", "Page ", "sheaf approve docs", "sheaf reject docs"] {
        assert!(status.stdout.contains(part), "{part}: {status:?}");
    }
    let dry = site.sheaf(&["approve", "docs", "--dry-run", "--json"]).await;
    assert_eq!(dry.json()["result"]["would_go"], 11);
    let command = dry.json()["result"]["command"].as_str().unwrap_or_default().to_owned();
    assert!(status.stdout.contains(&command), "{command}: {status:?}");
    let approved = site.approve("docs").await;
    assert_eq!(approved.code, 0, "{approved:?}");
    assert_eq!(approved.json()["result"]["deleted"], 11);
    assert_eq!(site.ids("docs").await.len(), 90);
    // Once is enough, and the next crawl has nothing to ask.
    let again = site.sheaf(&["approve", "docs"]).await;
    assert!(again.stderr.contains("no crawl of `docs` waits"), "{again:?}");
    let next = site.sync("docs", 0).await;
    assert_eq!((&next["unchanged"], &next["deleted"]), (&json!(90), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_of_what_was_shown_deletes_nothing_that_is_held_since() {
    let site = docs().await;
    remove(&site, 0..11);
    let shown = site.sync("docs", 5).await["upload_id"].as_str().unwrap_or_default().to_owned();
    // Nobody is there to be asked: the command has to say what it means.
    let bare = site.sheaf(&["approve", "docs"]).await;
    assert_eq!(bare.code, 2, "{bare:?}");
    let command = format!("sheaf approve docs --upload {shown} --deletes 11");
    assert!(bare.stderr.contains(&command), "{bare:?}");
    let other = site.sheaf(&["approve", "docs", "--upload", &shown, "--deletes", "10"]).await;
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("11 documents would be deleted, and not 10"), "{other:?}");
    // A newer crawl is held for another reason.
    remove(&site, 11..100);
    site.sync("docs", 5).await;
    let late = site.sheaf(&["approve", "docs", "--upload", &shown]).await;
    assert_eq!(late.code, 2, "{late:?}");
    assert!(late.stderr.contains("a newer one does"), "{late:?}");
    assert_eq!(site.ids("docs").await.len(), 100);
    let status = site.sheaf(&["status"]).await;
    assert!(status.stdout.contains("--deletes 100"), "{status:?}");
    // On a terminal it shows what would go, and asks.
    for (answer, code, left) in [("no", 5, 100), ("yes", 0, 0)] {
        let shown = on_a_terminal(&site, &["approve", "docs"], answer).await;
        assert_eq!(shown.status.code(), Some(code), "{shown:?}");
        let said = String::from_utf8_lossy(&shown.stdout);
        assert!(said.contains("Delete 100 documents? Type yes: "), "{said}");
        assert_eq!(site.ids("docs").await.len(), left);
    }
}

/// Runs a command on a terminal, and types a line.
async fn on_a_terminal(site: &Site, arguments: &[&str], line: &str) -> std::process::Output {
    use tokio::io::AsyncWriteExt as _;
    let code = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let mut child = tokio::process::Command::new("python3")
        .args(["-c", code])
        .arg(sheaf_tests::binary())
        .args(arguments)
        .current_dir(site.folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(format!("{line}\n").as_bytes()).await.expect("typed");
    drop(input);
    child.wait_with_output().await.expect("an end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_deletion_deletes_nothing() {
    let site = docs().await;
    remove(&site, 0..11);
    // What is new makes what is gone no smaller a part of what was there.
    for number in 200..230 {
        site.write(&format!("docs/{number}.md"), "# New");
    }
    site.sync("docs", 5).await;
    let rejected = site.sheaf(&["reject", "docs"]).await;
    assert_eq!(rejected.code, 0, "{rejected:?}");
    assert_eq!(site.ids("docs").await.len(), 130);
    // It is asked again as long as it is so.
    for _ in 0..2 {
        let held = &site.sync("docs", 5).await["held"];
        assert_eq!((&held["would_go"], &held["of"]), (&json!(11), &json!(100)));
        assert_eq!(site.ids("docs").await.len(), 130);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_really_empty_is_emptied_after_an_approval_only() {
    let site = docs().await;
    remove(&site, 0..100);
    let held = site.sync("docs", 5).await;
    assert!(held["reason"].as_str().unwrap_or_default().contains("no documents"), "{held}");
    assert_eq!(site.ids("docs").await.len(), 100);
    let approved = site.approve("docs").await;
    assert_eq!(approved.json()["result"]["deleted"], 100, "{approved:?}");
    assert_eq!(site.ids("docs").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_deletion_are_the_connection_s_own() {
    let limits = |text: &str| format!("{}\n[connections.docs.deletions]\n{text}\n", files(""));
    let site = docs().await;
    site.configure(&limits("max_count = 2"));
    remove(&site, 0..3);
    assert_eq!(site.sync("docs", 5).await["held"]["would_go"], 3);
    site.configure(&limits("max_percent = 15.0"));
    remove(&site, 3..14);
    assert_eq!(site.sync("docs", 0).await["deleted"], 14);
    site.configure(&limits("max_percent = 15.0\nwait = \"1s\""));
    remove(&site, 14..40);
    site.sync("docs", 5).await;
    while site.sheaf(&["approve", "docs", "--dry-run", "--json"]).await.json()["result"]["until"]
        .as_u64()
        .is_some_and(|until| until >= sheaf::crawl::memory::now())
    {}
    let late = site.approve("docs").await;
    assert_eq!(late.code, 5, "{late:?}");
    assert!(late.stdout.contains("nobody approved it in time"), "{late:?}");
    assert_eq!(site.ids("docs").await.len(), 86);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_others_put_into_the_datasource_are_not_deleted_unasked() {
    let site = docs().await;
    // Another host, another folder of state: it knows nothing of the documents that are there.
    std::fs::remove_dir_all(site.path(".sheaf")).expect("removed");
    std::fs::remove_dir_all(site.path("docs")).expect("removed");
    site.write("docs/only.md", "# Only");
    let held = site.sync("docs", 5).await;
    assert_eq!(held["held"]["would_go"], 100, "{held}");
    assert_eq!(site.ids("docs").await.len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_does_not_cover_what_others_put_there_since_it_was_shown() {
    let site = docs().await;
    remove(&site, 0..20);
    let held = site.sync("docs", 5).await;
    let upload = held["upload_id"].as_str().expect("an id");
    let approve = ["approve", "docs", "--upload", upload, "--deletes"];
    let others: Vec<_> = (0..3)
        .map(|number| {
            json!({
                "id": format!("theirs-{number}"), "datasource": "docs", "objectType": "Document",
                "viewURL": format!("https://docs.example.com/theirs/{number}"),
                "permissions": { "allowAnonymousAccess": true },
            })
        })
        .collect();
    let url = format!("{}/api/index/v1/indexdocuments", site.glean.url());
    let body = json!({ "datasource": "docs", "documents": others }).to_string();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sent = reqwest::Client::new().post(url).body(body).send().await.expect("an answer");
    assert!(sent.status().is_success(), "{}", sent.text().await.unwrap_or_default());
    let refused = site.sheaf(&[&approve[..], &["20"]].concat()).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("23 documents would be deleted, and not 20"), "{refused:?}");
    let shown = site.sheaf(&["approve", "docs", "--dry-run"]).await;
    assert!(shown.stdout.contains("others put 3 documents there since"), "{shown:?}");
    assert_eq!(site.ids("docs").await.len(), 103);
    let approved = site.sheaf(&[&approve[..], &["23", "--json"]].concat()).await;
    assert_eq!(approved.json()["result"]["deleted"], 23, "{approved:?}");
    assert_eq!(site.ids("docs").await.len(), 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_stand_still_neither_hold_a_crawl_nor_hide_documents_of_others() {
    let site = docs().await;
    site.glean.set_counts(Counts::Frozen).await.expect("set");
    // Glean goes on counting a hundred, whatever is deleted and added.
    remove(&site, 0..20);
    assert_eq!(site.sync("docs", 5).await["held"]["would_go"], 20);
    let approved = site.approve("docs").await;
    assert_eq!(approved.json()["result"]["deleted"], 20, "{approved:?}");
    let next = site.sync("docs", 0).await;
    assert_eq!((&next["unchanged"], &next["deleted"]), (&json!(80), &json!(0)));
    for number in 200..300 {
        site.write(&format!("docs/{number}.md"), "# New");
    }
    assert_eq!(site.sync("docs", 0).await["added"], 100);
    assert_eq!(site.ids("docs").await.len(), 180);
    // The state is lost, and what the crawl brings is more than what Glean still counts.
    std::fs::remove_dir_all(site.path(".sheaf")).expect("removed");
    std::fs::remove_dir_all(site.path("docs")).expect("removed");
    for number in 1000..1200 {
        site.write(&format!("docs/{number}.md"), "# Another");
    }
    for _ in 0..2 {
        let held = site.sync("docs", 5).await;
        assert_eq!(held["held"]["would_go"], 100, "{held}");
        assert!(held["reason"].as_str().unwrap_or_default().contains("no ledger"), "{held}");
    }
    assert_eq!(site.ids("docs").await.len(), 380);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_emptying_the_share_is_of_what_has_come_since() {
    let site = Site::new(&odd("pages = 20")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 20, misdeed = \"empty\""));
    site.sync("odd", 5).await;
    site.approve("odd").await;
    // A hundred come by an incremental crawl, and fifteen of them are gone in the next full one.
    site.configure(&odd("pages = 10, misdeed = \"old-bookmark\""));
    let incremental = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
    assert_eq!(incremental.json()["result"]["documents"], 100, "{incremental:?}");
    site.configure(&odd("pages = 10, without = 7"));
    let held = &site.sync("odd", 5).await["held"];
    assert_eq!((&held["would_go"], &held["of"]), (&json!(15), &json!(100)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_today_is_kept_and_what_never_could_is_no_obstacle() {
    let unreadable = "pages = 20, misdeed = \"unreadable\", after = 19";
    let site = Site::new(&odd(unreadable)).await.connector("guest_odd");
    // Never seen before: set aside, and the crawl is complete.
    let first = site.sync("odd", 0).await;
    assert_eq!((&first["outcome"], &first["quarantined"]), (&json!("complete"), &json!(1)));
    assert_eq!(site.ids("odd").await.len(), 199);
    let list = site.sheaf(&["quarantine", "list", "odd"]).await;
    assert!(list.stdout.contains("odd-199: it is locked"), "{list:?}");
    let shown = site.sheaf(&["quarantine", "show", "odd", "odd-199"]).await;
    assert!(shown.stdout.contains("set aside: it is locked"), "{shown:?}");
    site.configure(&odd("pages = 20"));
    let retried = site.sheaf(&["quarantine", "retry", "odd", "--local", "--json"]).await;
    assert_eq!(retried.json()["result"]["outcome"], "complete", "{retried:?}");
    let list = site.sheaf(&["quarantine", "list", "odd"]).await;
    assert!(list.stdout.contains("no document is set aside"), "{list:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_explained_with_what_glean_says() {
    let site = docs().await;
    let known = site.sheaf(&["explain", "docs", "7.md"]).await;
    for part in ["Page 7", "page 1 of scope", "upload sheaf-docs-", "uploaded   yes", "UPLOADED"] {
        assert!(known.stdout.contains(part), "{part}: {known:?}");
    }
    let unknown = site.sheaf(&["explain", "docs", "none.md"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stdout.contains("no crawl has seen"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_found_by_its_address_and_after_an_approval_deleted_it() {
    let site = docs().await;
    let known = site.sheaf(&["explain", "docs", "https://docs.example.com/7.md"]).await;
    assert!(known.stdout.contains("7.md (File)") || known.stdout.contains("7.md ("), "{known:?}");
    remove(&site, 0..20);
    site.sync("docs", 5).await;
    let approved = site.approve("docs").await;
    assert_eq!(approved.json()["result"]["deleted"], 20, "{approved:?}");
    for asked in ["7.md", "https://docs.example.com/7.md"] {
        let gone = site.sheaf(&["explain", "docs", asked]).await;
        let said = "deleted at the end of the full crawl sheaf-docs-";
        assert!(gone.stdout.contains(said), "{gone:?}");
        assert!(gone.stdout.contains("Page 7"), "{gone:?}");
    }
    // The next crawls do not forget it.
    remove(&site, 20..21);
    site.sync("docs", 0).await;
    let gone = site.sheaf(&["explain", "docs", "7.md"]).await;
    assert!(gone.stdout.contains("deleted at the end of"), "{gone:?}");
    let gone = site.sheaf(&["explain", "docs", "20.md"]).await;
    assert!(gone.stdout.contains("deleted at the end of"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_without_an_id_are_each_listed() {
    let settings = odd("pages = 3, misdeed = \"nameless\", after = 2");
    let site = Site::new(&settings).await.connector("guest_odd");
    let crawled = site.sync("odd", 5).await;
    assert_eq!(crawled["quarantined"], 6, "{crawled}");
    let listed = site.sheaf(&["quarantine", "list", "odd"]).await;
    assert!(listed.stdout.contains("6 documents set aside"), "{listed:?}");
    // By its address, or its title.
    for listed_as in ["https://odd.example.com/23", "https://odd.example.com/locked", "Page 25"] {
        assert!(listed.stdout.contains(&format!("  {listed_as}: ")), "{listed_as}: {listed:?}");
    }
    let known = site.sheaf(&["explain", "odd", "https://odd.example.com/23"]).await;
    assert!(known.stdout.contains("set aside: it has no id"), "{known:?}");
    let known = site.sheaf(&["explain", "odd", "https://odd.example.com/locked"]).await;
    assert!(known.stdout.contains("set aside: it is locked"), "{known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_one_document_whatever_its_object_type() {
    let settings = odd("pages = 2, misdeed = \"two-types\", after = 1");
    let site = Site::new(&settings).await.connector("guest_odd");
    let crawled = site.sync("odd", 0).await;
    assert_eq!((&crawled["documents"], &crawled["quarantined"]), (&json!(20), &json!(1)));
    let known = site.sheaf(&["explain", "odd", "odd-0"]).await;
    assert!(known.stdout.contains("came before it in this crawl"), "{known:?}");
    let documents = site.glean.documents("odd").await.expect("documents");
    let first = documents.iter().find(|(id, _)| id == "odd-0").expect("it is there");
    assert!(first.1.contains("\"objectType\":\"Page\""), "{first:?}");
}

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

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_an_emptied_source_waits_is_not_deleted_with_the_rest() {
    let site = Site::new(&odd("pages = 20")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 20, misdeed = \"empty\""));
    assert_eq!(site.sync("odd", 5).await["held"]["would_go"], 200);
    site.configure(&odd("pages = 20, misdeed = \"changes\""));
    let incremental = site.sheaf(&["sync", "odd", "--local", "--incremental", "--json"]).await;
    assert_eq!(incremental.code, 0, "{incremental:?}");
    let approved = site.approve("odd").await;
    assert_eq!(approved.json()["result"]["deleted"], 198, "{approved:?}");
    assert_eq!(site.ids("odd").await, ["odd-1", "odd-999999"]);
    // An emptied source that stays empty is nothing to be asked about each night.
    site.configure(&odd("pages = 20, misdeed = \"empty\""));
    site.sync("odd", 5).await;
    site.approve("odd").await;
    assert!(site.ids("odd").await.is_empty());
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
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

async fn status(site: &Site) -> Value {
    site.sheaf(&["status", "--json"]).await.json()["result"]["connections"][0].clone()
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
    assert_eq!(status(&site).await["refused_changes"][0]["attempts"], 2);
    assert_eq!(incremental(&site, 0).await["outcome"], "complete");
    assert_eq!(status(&site).await["refused_changes"], json!([]));
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
        let kept = status(&site).await["refused_changes"][0].clone();
        assert_eq!(kept["want"]["access"]["allowAnonymousAccess"], true, "{kept}");
    };
    refused().await;
    site.configure(&odd("pages = 1, misdeed = \"empty\""));
    assert_eq!(incremental(&site, 0).await["outcome"], "complete");
    assert_eq!(status(&site).await["refused_changes"], json!([]));
    refused().await;
    // Refused at its beginning, too; then the document comes with its access of today.
    refuse(&site, "/updatepermissions", 0, 1);
    site.configure(&odd("pages = 1"));
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
    assert_eq!(status(&site).await["refused_changes"], json!([]));
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

/// Puts a document of `odd` into an open session.
async fn again(site: &Site, upload_id: &Value, id: &str) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let document = json!({
        "datasource": "odd", "objectType": "Page", "id": id, "title": id,
        "viewURL": "https://odd.example.com/2", "permissions": { "allowAnonymousAccess": true },
    });
    let page = json!({ "uploadId": upload_id, "datasource": "odd", "documents": [document] });
    let url = format!("{}/api/index/v1/bulkindexdocuments", site.glean.url());
    let sent = reqwest::Client::new().post(url).body(page.to_string()).send().await;
    assert_eq!(sent.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_glean_pauses_after_the_crawl_has_ended_is_told_and_still_in_the_ledger() {
    let limit = "[connections.docs.deletions]\nmax_percent = 100.0\n";
    let site = docs().await;
    site.configure(&format!("{}\n{limit}", files("")));
    remove(&site, 0..50);
    site.glean.drill().check_stale_after_reads(1);
    assert_eq!(site.sync("docs", 0).await["deleted"], 50);
    let shown = site.sheaf(&["status"]).await;
    assert!(shown.stdout.contains("Glean holds the deletion"), "{shown:?}");
    let paused = status(&site).await;
    assert_eq!(paused["deletion_paused"], true, "{paused}");
    for last in [&paused["last"], &paused["full"]["last"]] {
        assert_eq!((&last["outcome"], &last["deleted"]), (&json!("held"), &json!(0)));
    }
    assert_eq!(site.ids("docs").await.len(), 100);
    site.configure(&files(""));
    let held = &site.sync("docs", 5).await["held"];
    assert_eq!((&held["would_go"], &held["of"]), (&json!(50), &json!(100)));
    assert_eq!(site.approve("docs").await.code, 0);
    assert_eq!(status(&site).await["deletion_paused"], false);
    assert_eq!(site.ids("docs").await.len(), 50);
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
async fn a_journal_that_outlived_its_crawl_is_not_taken_for_one_under_way() {
    let failing = "pages = 20, misdeed = \"retry-once\", after = 5";
    let site = Site::new(&format!("{ONCE}{}", odd(failing))).await.connector("guest_odd");
    site.sync("odd", 4).await;
    let connections = site.path(".sheaf/connections/odd");
    let place = std::fs::read_dir(&connections).expect("a folder").next().expect("a Glean");
    let crawls = place.expect("an entry").path().join("crawls");
    let kept = site.path("kept");
    copy(&crawls, &kept);
    let first = site.sync("odd", 0).await;
    // As if it had been killed between its last two steps.
    copy(&kept, &crawls);
    let second = site.sync("odd", 4).await;
    assert_ne!(second["upload_id"], first["upload_id"], "it crawled anew, and met the fault");
    assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
    assert_eq!(site.ids("odd").await.len(), 200);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-rT").args([from, to]).status();
    assert!(copied.expect("cp runs").success());
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
    let stderr = child.stderr.take().expect("its lines");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(stderr));
    let told = async {
        while let Some(line) = lines.next_line().await.expect("a line") {
            if line.contains("waits for Glean's limit of 60 documents a minute") {
                return;
            }
        }
        panic!("it was not told");
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), told).await.expect("in time");
    child.kill().await.expect("ended");
}

/// Full crawls of it stop once after two batches of four.
async fn stopped() -> (Site, String) {
    let site = Site::new(&odd("pages = 400, misdeed = \"changes\"")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    let path = "/bulkindexdocuments".to_owned();
    let refused = Fault { path, skip: 2, status: Some(403), times: 1, ..Fault::default() };
    site.glean.drill().add(refused);
    site.sync("odd", 4).await;
    let journals = std::fs::read_dir(place(&site).join("crawls")).expect("journals");
    let names: Vec<_> = journals.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let upload = names[0].to_string_lossy().into_owned();
    (site, upload)
}

/// The folder of what is kept of the only connection.
fn place(site: &Site) -> std::path::PathBuf {
    let connections = site.path(".sheaf/connections/odd");
    let place = std::fs::read_dir(&connections).expect("a folder").next().expect("a Glean");
    place.expect("an entry").path()
}

/// All files below a folder.
fn below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .flat_map(
            |entry| if entry.path().is_dir() { below(&entry.path()) } else { vec![entry.path()] },
        )
        .collect()
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_of_the_state_is_moved_aside_and_a_person_is_asked() {
    let (site, upload) = stopped().await;
    let damage = |folder: &str| {
        for file in below(&place(&site).join(folder)) {
            let mut bytes = std::fs::read(&file).expect("read");
            let middle = bytes.len() / 2;
            let end = bytes.len().min(middle + 64);
            bytes[middle..end].fill(0xff);
            std::fs::write(&file, bytes).expect("written");
        }
    };
    let damages = [format!("crawls/{upload}/scopes"), "ledger".into(), "state".into()];
    for folder in &damages {
        damage(folder);
        let held = site.sync("odd", 5).await;
        let reason = held["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("what Glean has is not fully known"), "{folder}: {held}");
        assert_eq!(site.ids("odd").await.len(), 4000, "{folder}");
        let approved = site.approve("odd").await;
        assert_eq!(approved.code, 0, "{folder}: {approved:?}");
        let next = site.sync("odd", 0).await;
        assert_eq!((&next["outcome"], &next["unchanged"]), (&json!("complete"), &json!(4000)));
    }
    assert!(place(&site).join("damaged").is_dir());
}
