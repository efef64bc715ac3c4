//! Checks a page and cuts it into batches: which documents are quarantined, and whether the connector
//! can be believed. Pure: what it says of a page depends on the pages before it, and on the secrets that
//! are taken out of titles.
//!
//! What leaves here is all that the rest of the pipeline gets of a page: encoded documents, and what must
//! be known of each besides its bytes.

use super::cutter::{Cut, Cutter, PageEnd, Put};
use crate::crawl::blame::Stopped;
use crate::crawl::loop_detector::LoopDetector;
use crate::crawl::progress::{Counts, ScopeHead};
use crate::crawl::rules::Rules;
use crate::document::{
    self, Access, AccessChange, Document, DocumentRef, Page, Progress, Unreadable,
};
use crate::failure::{Failure, Kind, Result};
use crate::redact::redact;

/// A page that was checked.
#[derive(Debug)]
pub(super) struct Checked {
    /// What is to be sent before the page can end.
    pub(super) cuts: Vec<Cut>,
    pub(super) page: CheckedPage,
}

/// A page that cannot be what its connector means, or could not be encoded.
#[derive(Debug)]
pub(super) struct Broken {
    /// What was cut before that was found.
    pub(super) cuts: Vec<Cut>,
    pub(super) stopped: Stopped,
}

#[derive(Debug)]
pub(super) struct CheckedPage {
    /// The first is 1.
    pub(super) number: u64,
    pub(super) rows: Vec<Row>,
    pub(super) deleted: Vec<DocumentRef>,
    pub(super) access_changes: Vec<AccessChange>,
    /// What it adds.
    pub(super) counts: Counts,
    pub(super) progress: Progress,
    pub(super) end: PageEnd,
}

/// A document of a page, as the ledger is to know it.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) key: u128,
    /// The hash of what is sent; 0 where nothing is.
    pub(super) content: u128,
    /// Its id, or what it is listed as.
    pub(super) id: String,
    pub(super) object_type: String,
    pub(super) title: String,
    pub(super) address: u64,
    /// Why it was quarantined; nothing where it is in a batch.
    pub(super) quarantined: Option<String>,
}

pub(super) struct Intake<'a> {
    rules: &'a Rules,
    loops: LoopDetector,
    full: bool,
    document_bytes: usize,
    scope: String,
    pages: u64,
    nameless: u64,
    cutter: Cutter,
}

impl<'a> Intake<'a> {
    /// `full`: whether the crawl delivers each document once, and what is not there is gone.
    pub(super) fn new(
        rules: &'a Rules,
        cutter: Cutter,
        full: bool,
        document_bytes: usize,
        start: &ScopeHead,
    ) -> Self {
        Self {
            rules,
            loops: LoopDetector::new(full),
            full,
            document_bytes,
            scope: start.scope.clone(),
            pages: start.counts.pages,
            nameless: start.counts.nameless,
            cutter,
        }
    }

    /// Checks a page. What was cut before something is found wrong with it is to be sent all the same: it
    /// may hold the end of earlier pages.
    pub(super) fn take(&mut self, page: Page) -> std::result::Result<Checked, Box<Broken>> {
        let Page { documents, deleted, access_changes, unreadable, progress } = page;
        let changes = deleted.len() + access_changes.len();
        if self.full && changes > 0 {
            let failure = Failure::new(
                Kind::Contract,
                "the connector reports deletions or changes of access in a full crawl",
            )
            .next("mend the connector: a full crawl delivers what is there");
            return Err(Box::new(Broken { cuts: Vec::new(), stopped: Stopped::Scope(failure) }));
        }
        self.pages += 1;
        let mut taken = Taken {
            counts: Counts { pages: 1, ..Counts::default() },
            rows: Vec::with_capacity(documents.len() + unreadable.len()),
            cuts: Vec::new(),
        };
        let besides = changes + unreadable.len();
        for found in unreadable {
            self.unreadable(found, &mut taken);
        }
        let first = documents.first().map(|document| document.id.clone());
        for document in documents {
            if let Err(failure) = self.document(document, &mut taken) {
                return Err(Box::new(Broken {
                    cuts: taken.cuts,
                    stopped: Stopped::Crawl(failure),
                }));
            }
        }
        if let Err(failure) = self.loops.page(first.as_deref(), besides, &progress) {
            return Err(Box::new(Broken { cuts: taken.cuts, stopped: Stopped::Scope(failure) }));
        }
        // In order: a document that was added before it was deleted ends deleted.
        if changes > 0 || !matches!(progress, Progress::More(_)) {
            taken.cuts.extend(self.cutter.cut());
        }
        let Taken { counts, rows, cuts } = taken;
        let end = self.cutter.end_page();
        let number = self.pages;
        let page = CheckedPage { number, rows, deleted, access_changes, counts, progress, end };
        Ok(Checked { cuts, page })
    }

    /// What waits for its batch to fill.
    pub(super) fn cut(&mut self) -> Option<Cut> {
        self.cutter.cut()
    }

    fn document(&mut self, document: Document, taken: &mut Taken) -> Result<()> {
        let key = match document.id.as_str() {
            "" => self.nameless(Some(&document.view_url), document.title.as_deref()),
            id => document::key(id),
        };
        // Each is told of: its id came before, even if it is quarantined now.
        let double = self.loops.document(key);
        let why = match self.rules.broken(&document).or(double) {
            Some(reason) => Some(reason),
            None => match self.cutter.push(&document)? {
                Put::In(cut) => {
                    taken.cuts.extend(cut);
                    None
                }
                Put::TooLarge(size) => {
                    let most = self.document_bytes;
                    Some(format!("it has {size} bytes as JSON, and {most} is the most"))
                }
            },
        };
        let is_nameless = document.id.is_empty();
        let mut row = Row { key, ..row(document, &mut taken.counts, why.is_none()) };
        match why {
            None => row.content = document::content(self.cutter.last()),
            Some(reason) => {
                taken.counts.quarantine(&row.id, &reason);
                self.count_nameless(is_nameless, taken);
                row.quarantined = Some(reason);
            }
        }
        taken.rows.push(row);
        Ok(())
    }

    fn unreadable(&mut self, found: Unreadable, taken: &mut Taken) {
        let Unreadable { id, view_url, reason } = found;
        let key = match id.as_deref() {
            None | Some("") => self.nameless(view_url.as_deref(), None),
            Some(id) => document::key(id),
        };
        // Which of Glean's documents it is cannot be known.
        self.count_nameless(id.is_none(), taken);
        let id = shown_id(id.unwrap_or_default(), view_url.unwrap_or_default(), "");
        taken.counts.quarantine(&id, &reason);
        taken.rows.push(Row { key, id, quarantined: Some(reason), ..Row::default() });
    }

    fn count_nameless(&mut self, is_nameless: bool, taken: &mut Taken) {
        self.nameless += u64::from(is_nameless);
        taken.counts.nameless += u64::from(is_nameless);
    }

    /// The key of a document without an id: each has its own, and none has one of an id.
    fn nameless(&self, url: Option<&str>, title: Option<&str>) -> u128 {
        let text = match (url.filter(|url| !url.is_empty()), title) {
            (Some(url), _) => format!("\0{url}"),
            // Nothing tells it from others but where it stood.
            (None, title) => format!(
                "\0{}\0{}\0{}\0{}",
                self.scope,
                self.pages,
                self.nameless,
                title.unwrap_or_default()
            ),
        };
        document::key(&text)
    }
}

/// What a page has come to so far.
struct Taken {
    counts: Counts,
    rows: Vec<Row>,
    cuts: Vec<Cut>,
}

/// What is known of a document once it is encoded, and counts it where it is uploaded.
fn row(document: Document, counts: &mut Counts, uploaded: bool) -> Row {
    if uploaded {
        counts.documents += 1;
        counts.access_unknown += u64::from(matches!(document.access, Access::Unknown));
    }
    let Document { id, object_type, view_url, title, .. } = document;
    // The state holds no credential, even if a host sent it back.
    let title = redact(title.as_deref().unwrap_or_default()).into_owned();
    let address = document::address(&view_url);
    // Without an id it is at least found by its address, or its title.
    let id = shown_id(id, view_url, &title);
    Row { id, object_type, title, address, ..Row::default() }
}

/// What a document is listed as.
fn shown_id(id: String, url: String, title: &str) -> String {
    match (id.is_empty(), url.is_empty(), title) {
        (false, ..) => id,
        (_, false, _) => url,
        (.., "") => "?".to_owned(),
        (.., title) => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glean::batch::Most;

    fn intake(rules: &Rules, full: bool) -> Intake<'_> {
        let most = Most { bytes: 1 << 20, documents: 2, document_bytes: 400 };
        let cutter = Cutter::new("ds", most);
        Intake::new(rules, cutter, full, most.document_bytes, &ScopeHead::new("all"))
    }

    fn document(id: &str) -> Document {
        Document::new(id, "Page", "https://example.com/", Access::Everyone)
    }

    fn page(documents: Vec<Document>, progress: Progress) -> Page {
        let (deleted, access_changes) = (Vec::new(), Vec::new());
        Page { documents, deleted, access_changes, unreadable: Vec::new(), progress }
    }

    #[test]
    fn each_document_of_a_page_is_in_a_batch_or_quarantined_with_its_reason() {
        let rules = Rules::default();
        let large = document("large").titled(&"x".repeat(500));
        let mut unknown = document("b");
        unknown.access = Access::Unknown;
        let documents =
            vec![document("a"), document(""), document("A"), large, unknown, document("c")];
        let mut taken = page(documents, Progress::More("1".into()));
        let (id, view_url) = (None, Some("https://example.com/locked".to_owned()));
        taken.unreadable.push(Unreadable { id, view_url, reason: "it is locked".into() });
        let Checked { cuts, page } = intake(&rules, true).take(taken).expect("a page");
        let told: Vec<_> = page
            .rows
            .iter()
            .map(|row| (row.id.as_str(), row.quarantined.as_deref().unwrap_or_default()))
            .collect();
        let (double, too_large) = (told[3].1, told[4].1);
        assert!(double.contains("came before it"), "{double}");
        assert!(too_large.contains("400 is the most"), "{too_large}");
        assert_eq!(
            told,
            [
                ("https://example.com/locked", "it is locked"),
                ("a", ""),
                ("https://example.com/", "it has no id"),
                ("A", double),
                ("large", too_large),
                ("b", ""),
                ("c", ""),
            ]
        );
        let Counts { documents, quarantined, nameless, access_unknown, .. } = page.counts;
        assert_eq!((documents, quarantined, nameless, access_unknown), (3, 4, 2, 1));
        assert_eq!(cuts.iter().map(|cut| cut.batch.documents()).collect::<Vec<_>>(), [2]);
        assert_eq!(page.end, PageEnd { last: 2, covers: 1 });
    }

    #[test]
    fn what_a_page_changes_comes_after_its_documents() {
        let rules = Rules::default();
        let deletes = || {
            let mut page = page(vec![document("a")], Progress::More("1".into()));
            page.deleted.push(DocumentRef { id: "a".into(), object_type: "Page".into() });
            page
        };
        let Checked { cuts, page } = intake(&rules, false).take(deletes()).expect("a page");
        assert_eq!((cuts.len(), page.end), (1, PageEnd { last: 1, covers: 1 }));
        let refused = intake(&rules, true).take(deletes()).expect_err("in a full crawl");
        assert!(
            matches!(refused.stopped, Stopped::Scope(failure) if failure.kind == Kind::Contract)
        );
    }

    #[test]
    fn the_last_page_leaves_nothing_behind() {
        let rules = Rules::default();
        let mut intake = intake(&rules, true);
        let last = page(vec![document("a")], Progress::Complete(None));
        assert_eq!(intake.take(last).expect("a page").cuts.len(), 1);
        assert!(intake.cut().is_none());
    }

    #[test]
    fn what_was_cut_before_a_page_is_found_to_loop_is_handed_over() {
        let rules = Rules::default();
        let mut intake = intake(&rules, false);
        let same = |count: usize| {
            page((0..count).map(|_| document("a")).collect(), Progress::More("1".into()))
        };
        assert!(intake.take(same(1)).is_ok() && intake.take(same(1)).is_ok());
        // The first two of these fill a batch together with the page before.
        let broken = intake.take(same(1)).expect_err("the third time");
        assert_eq!(broken.cuts.iter().map(|cut| cut.batch.documents()).collect::<Vec<_>>(), [2]);
        assert!(matches!(broken.stopped, Stopped::Scope(_)));
        assert!(intake.cut().is_some(), "and what waits for its batch to fill is still there");
    }
}
