//! What would be deleted is told, and waits for a person's word.

use std::time::{Duration, SystemTime};

use serde_json::json;
use sheaf_tests::{Site, files, http, odd};

use crate::ledger::{docs, remove};

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
    assert!(late.stderr.contains("does not wait for approval; sheaf-"), "{late:?}");
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
    let shown = site.sheaf(&["approve", "docs", "--dry-run", "--json"]).await.json();
    let until = shown["result"]["until"].as_u64().expect("a time");
    // Not a moment to be met, but one to be over.
    let over = SystemTime::UNIX_EPOCH + Duration::from_secs(until + 1);
    tokio::time::sleep(over.duration_since(SystemTime::now()).unwrap_or_default()).await;
    let late = site.approve("docs").await;
    assert_eq!(late.code, 5, "{late:?}");
    assert!(late.stdout.contains("nobody approved it in time"), "{late:?}");
    assert_eq!(site.ids("docs").await.len(), 86);
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
    let post = http().post(url).header("content-type", "application/json");
    let sent = post.body(body).send().await.expect("an answer");
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
