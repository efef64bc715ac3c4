//! What becomes of the sample, without a host: `cargo test`.

use sheaf_sdk::{Mode, Progress};

use super::*;

/// The ids that a crawl delivers and deletes, and how it ends.
fn crawl(mode: Mode, resume: Option<String>) -> (Vec<String>, Vec<String>, Progress) {
    let crawl = Crawl {
        mode,
        scope: "all".into(),
        resume,
    };
    let mut reading = Reading::open(Source::Folder("sample".into()), &crawl).unwrap();
    let (mut ids, mut deleted) = (Vec::new(), Vec::new());
    loop {
        let limits = Limits {
            documents: 100,
            bytes: 1 << 20,
        };
        let page = reading.next(limits).unwrap();
        ids.extend(page.documents.into_iter().map(|document| document.id));
        deleted.extend(page.deleted.into_iter().map(|document| document.id));
        if !matches!(page.progress, Progress::More(_)) {
            return (ids, deleted, page.progress);
        }
    }
}

#[test]
fn a_full_crawl_reads_every_page() {
    let (ids, deleted, end) = crawl(Mode::Full, None);
    assert_eq!(ids.len(), 7);
    assert!(deleted.is_empty());
    assert_eq!(end, Progress::Complete(Some("1767830400".into())));
}

#[test]
fn a_crawl_resumes_at_its_checkpoint() {
    let place = Place {
        page: "notes-3.json".into(),
        newest: 0,
    };
    let (ids, ..) = crawl(Mode::Full, Some(serde_json::to_string(&place).unwrap()));
    assert_eq!(ids, ["keys"]);
}

#[test]
fn an_incremental_crawl_reads_what_changed_and_says_what_is_gone() {
    let (ids, deleted, _) = crawl(Mode::Incremental("1767744000".into()), None);
    assert_eq!(ids, ["keys"]);
    assert_eq!(deleted, ["fax"]);
}

#[test]
fn a_strange_checkpoint_starts_over() {
    let crawl = Crawl {
        mode: Mode::Full,
        scope: "all".into(),
        resume: Some("?".into()),
    };
    assert!(Reading::open(Source::new(None), &crawl).is_err());
}
