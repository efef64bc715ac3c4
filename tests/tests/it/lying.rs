//! Connectors that lie: none of them makes Glean lose a document, and each ends with a clear outcome.

use std::collections::BTreeSet;

use serde_json::Value;
use sheaf_tests::temporal::QUICK;
use sheaf_tests::{Ended, Site, odd};

/// What a second crawl does, after a first one that was well.
struct Lie {
    settings: &'static str,
    limits: &'static str,
    code: i32,
    /// In the reason of a crawl that ended, or the words of its failure.
    says: &'static str,
}

const WELL: &str = "pages = 20, scopes = 2";

const LIES: &[Lie] = &[
    lie("pages = 20, scopes = 2, misdeed = \"end-early\", after = 3", 5, "would be deleted"),
    lie("pages = 20, scopes = 2, misdeed = \"empty\"", 5, "the source delivered no documents"),
    lie("pages = 20, scopes = 2, misdeed = \"same-page\", after = 2", 2, "the connector loops"),
    lie(
        "pages = 20, scopes = 2, misdeed = \"same-checkpoint\", after = 2",
        2,
        "the connector loops",
    ),
    lie("pages = 20, scopes = 2, misdeed = \"repeat-ids\", after = 1", 1, "cannot be indexed"),
    lie("pages = 20, scopes = 2, misdeed = \"lost-scope\"", 5, "`Scope 1` was crawled last time"),
    lie("pages = 20, scopes = 2, misdeed = \"forbidden-scope\"", 5, "may not be read any more"),
    lie("pages = 20, scopes = 2, misdeed = \"panic\", after = 7", 1, "no page 7 today"),
    lie("pages = 20, scopes = 2, misdeed = \"partial\", after = 7", 5, "stopped answering"),
    lie("pages = 20, scopes = 2, misdeed = \"large-checkpoint\", after = 1", 4, "70000 bytes"),
    lie("pages = 20, scopes = 2, misdeed = \"give-up\", after = 1", 4, "the source is gone"),
    lie(
        "pages = 20, scopes = 2, misdeed = \"unreadable\", after = 19",
        5,
        "could not be uploaded today",
    ),
    lie("pages = 20, scopes = 2, without = 2", 5, "200 of 400 documents (50.0 %) would be deleted"),
    Lie {
        limits: "wall_per_call = \"300ms\"",
        ..lie("pages = 20, scopes = 2, misdeed = \"hang\", after = 5", 1, "300ms")
    },
    Lie {
        limits: "cpu_per_call = \"200ms\"",
        ..lie("pages = 20, scopes = 2, misdeed = \"loop\", after = 5", 1, "200ms of computing")
    },
];

const fn lie(settings: &'static str, code: i32, says: &'static str) -> Lie {
    Lie { settings, limits: "", code, says }
}

fn connection(settings: &str, limits: &str) -> String {
    format!("{QUICK}{}\n[connections.odd.limits]\n{limits}\n", odd(settings))
}

/// The ids of all documents of the first crawl.
async fn ids(site: &Site) -> BTreeSet<String> {
    site.ids("odd").await.into_iter().map(|id| id.to_lowercase()).collect()
}

fn words(ended: &Ended) -> String {
    let json = ended.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (reason, what) = (text(&json["result"]["reason"]), text(&json["error"]["what"]));
    if reason == what { reason } else { format!("{reason} {what}") }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lie_deletes_a_document_and_each_is_told() {
    let mut told = String::new();
    for lie in LIES {
        let site = Site::new(&odd(WELL)).await.connector("guest_odd");
        assert_eq!(site.sync("odd", 0).await["documents"], 400);
        let before = ids(&site).await;
        site.configure(&connection(lie.settings, lie.limits));
        let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
        assert_eq!(ended.code, lie.code, "{}: {ended:?}", lie.settings);
        assert!(words(&ended).contains(lie.says), "{}: {ended:?}", lie.settings);
        told.push_str(&format!("{}\n  {}\n", lie.settings, words(&ended).trim()));
        assert!(ids(&site).await.is_superset(&before), "{}: a document is gone", lie.settings);
        // And it was no end: a connector that is well again completes.
        site.configure(&odd(WELL));
        assert_eq!(site.sync("odd", 0).await["outcome"], "complete", "{}", lie.settings);
        assert_eq!(ids(&site).await.len(), 400, "{}", lie.settings);
    }
    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_come_twice_or_differ_in_case_only_are_set_aside() {
    for (misdeed, after, scopes) in [("repeat-id", 18, 1), ("fold-id", 18, 1), ("fold-id", 19, 2)] {
        let settings =
            format!("pages = 20, scopes = {scopes}, misdeed = \"{misdeed}\", after = {after}");
        let site = Site::new(&odd(&settings)).await.connector("guest_odd");
        let result = site.sync("odd", 0).await;
        assert_eq!(result["outcome"], "complete", "{misdeed}: {result}");
        assert_eq!(result["quarantined"], 2, "{misdeed}: {result}");
        assert_eq!(result["documents"], 200 * scopes, "{misdeed}: {result}");
        assert_eq!(ids(&site).await.len() as u64, 200 * scopes);
        let list = site.sheaf(&["quarantine", "list", "odd"]).await;
        assert!(list.stdout.contains("equal without case"), "{list:?}");
        let explained = site.sheaf(&["explain", "odd", "ODD-0"]).await;
        assert!(explained.stdout.contains("yes, but"), "{explained:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_runs_backwards_changes_nothing() {
    let site = Site::new(&odd(WELL)).await.connector("guest_odd");
    site.sync("odd", 0).await;
    site.configure(&odd("pages = 20, scopes = 2, misdeed = \"backwards\""));
    for _ in 0..2 {
        assert_eq!(site.sync("odd", 0).await["outcome"], "complete");
        assert_eq!(ids(&site).await.len(), 400);
    }
}
