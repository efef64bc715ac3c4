//! What is known of one document: where it is, or why it is not there.

use serde_json::json;
use sheaf_tests::{Site, odd};

use crate::ledger::{docs, remove};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_today_is_kept_and_what_never_could_is_no_obstacle() {
    let unreadable = "pages = 20, misdeed = \"unreadable\", after = 19";
    let site = Site::new(&odd(unreadable)).await.connector("guest_odd");
    // Never seen before: quarantined, and the crawl is complete.
    let first = site.sync("odd", 0).await;
    assert_eq!((&first["outcome"], &first["quarantined"]), (&json!("complete"), &json!(1)));
    assert_eq!(site.ids("odd").await.len(), 199);
    let list = site.sheaf(&["quarantine", "list", "odd"]).await;
    assert!(list.stdout.contains("odd-199: it is locked"), "{list:?}");
    let shown = site.sheaf(&["quarantine", "show", "odd", "odd-199"]).await;
    assert!(shown.stdout.contains("quarantined: it is locked"), "{shown:?}");
    site.configure(&odd("pages = 20"));
    let retried = site.sheaf(&["quarantine", "retry", "odd", "--local", "--json"]).await;
    assert_eq!(retried.json()["result"]["outcome"], "complete", "{retried:?}");
    let list = site.sheaf(&["quarantine", "list", "odd"]).await;
    assert!(list.stdout.contains("no document is quarantined"), "{list:?}");
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
    assert!(listed.stdout.contains("6 documents quarantined"), "{listed:?}");
    // By its address, or its title.
    for listed_as in ["https://odd.example.com/23", "https://odd.example.com/locked", "Page 25"] {
        assert!(listed.stdout.contains(&format!("  {listed_as}: ")), "{listed_as}: {listed:?}");
    }
    let known = site.sheaf(&["explain", "odd", "https://odd.example.com/23"]).await;
    assert!(known.stdout.contains("quarantined: it has no id"), "{known:?}");
    let known = site.sheaf(&["explain", "odd", "https://odd.example.com/locked"]).await;
    assert!(known.stdout.contains("quarantined: it is locked"), "{known:?}");
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
