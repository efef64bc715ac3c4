//! What Glean has is known, and what is not known is not deleted.

use serde_json::json;
use sheaf_local_glean::{Counts, Fault};
use sheaf_tests::temporal::ONCE;
use sheaf_tests::{Site, copy, files, odd};

/// A hundred documents.
pub(crate) async fn docs() -> Site {
    let site = Site::new(&files("")).await.connector("sheaf_files");
    for number in 0..100 {
        site.write(&format!("docs/{number}.md"), &format!("# Page {number}"));
    }
    assert_eq!(site.sync("docs", 0).await["documents"], 100);
    site
}

pub(crate) fn remove(site: &Site, numbers: std::ops::Range<u32>) {
    for number in numbers {
        std::fs::remove_file(site.path(&format!("docs/{number}.md"))).expect("removed");
    }
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
async fn a_deletion_that_glean_pauses_after_the_crawl_has_ended_is_told_and_still_in_the_ledger() {
    let limit = "[connections.docs.deletions]\nmax_percent = 100.0\n";
    let site = docs().await;
    site.configure(&format!("{}\n{limit}", files("")));
    remove(&site, 0..50);
    site.glean.drill().check_stale_after_reads(1);
    assert_eq!(site.sync("docs", 0).await["deleted"], 50);
    let shown = site.sheaf(&["status"]).await;
    assert!(shown.stdout.contains("Glean holds the deletion"), "{shown:?}");
    let paused = site.status().await;
    assert_eq!(paused["deletion_paused"], true, "{paused}");
    for last in [&paused["last"], &paused["full"]["last"]] {
        assert_eq!((&last["outcome"], &last["deleted"]), (&json!("held"), &json!(0)));
    }
    assert_eq!(site.ids("docs").await.len(), 100);
    site.configure(&files(""));
    let held = &site.sync("docs", 5).await["held"];
    assert_eq!((&held["would_go"], &held["of"]), (&json!(50), &json!(100)));
    assert_eq!(site.approve("docs").await.code, 0);
    assert_eq!(site.status().await["deletion_paused"], false);
    assert_eq!(site.ids("docs").await.len(), 50);
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

/// Full crawls of it stop once after two batches of four.
pub(crate) async fn stopped() -> (Site, String) {
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
