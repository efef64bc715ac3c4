//! Checks a page and cuts it into batches: which documents are quarantined, and whether the connector
//! can be believed. What it says of a page depends on the pages before it, and on the secrets that are
//! taken out of titles; only how long documents wait for their batch to fill depends on a clock.
//!
//! What leaves here is all that anybody else gets of a page: encoded documents, and what must be known of
//! each besides its bytes.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::cutter::{Cut, Cutter, PageEnd, Put};
use super::loop_detector::LoopDetector;
use super::rules::Rules;
use crate::audience::{self, Audience, Mention, Named};
use crate::clock::Timestamp;
use crate::document::{
    self, Access, AccessChange, Document, DocumentRef, Page, PageLimits, Progress, Unreadable,
};
use crate::failure::{Failure, Kind, Result};
use crate::redact::redact;
use crate::text::{bounded_str, cut};
use crate::wire::batch::Most;

/// A slow source's documents do not wait longer than this for a batch to fill.
const MAX_BATCH_AGE: Duration = Duration::from_secs(5);
/// So much is kept of an id that is none of Glean's, and of a title.
const MAX_SHOWN_ID: usize = 1_000;
const MAX_TITLE: usize = 200;
/// So much of an object type that is too long for Glean.
const MAX_OBJECT_TYPE: usize = 200;

/// Groups and users that are told apart in one reading.
const MAX_NAMED: usize = 100_000;

/// A page that was checked.
#[derive(Debug)]
pub struct Checked {
    /// What is to be sent before the page can end.
    pub cuts: Vec<Cut>,
    pub page: CheckedPage,
    /// A batch that has waited long enough for more documents, to be sent when the page has ended.
    pub aged: Option<Cut>,
}

/// There is no other page: the source failed, or what it delivered cannot be what its connector means.
#[derive(Debug)]
pub struct Broken {
    /// What was cut before that was found. It may hold the end of earlier pages.
    pub cuts: Vec<Cut>,
    pub failure: Failure,
    pub whose: Whose,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    Source,
    Sheaf,
}

#[derive(Debug)]
pub struct CheckedPage {
    /// The first is 1.
    pub number: u64,
    /// When it was asked for: what changed since may not be in it.
    pub read_at: Timestamp,
    pub rows: Vec<Row>,
    pub deleted: Vec<DocumentRef>,
    pub access_changes: Vec<AccessChange>,
    pub progress: Progress,
    pub end: PageEnd,
}

/// A document of a page: what is counted of it, and what the ledger is to know.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Row {
    pub key: u128,
    /// The hash of what is sent; 0 where nothing is.
    pub content: u128,
    /// Its id, or what it is listed as.
    pub id: String,
    pub object_type: String,
    pub title: String,
    pub address: u64,
    /// Not even its id is known: which of Glean's documents it is cannot be found out.
    pub is_nameless: bool,
    /// The connector does not know who may find it.
    pub is_access_unknown: bool,
    /// Who may find it.
    #[serde(default)]
    pub audience: Audience,
    /// Groups and users that it is the first to name, of those that this reading brought.
    #[serde(default)]
    pub named: Vec<Named>,
    /// Why it was quarantined; nothing where it is in a batch.
    pub quarantined: Option<String>,
}

/// Where in a scope it is, as far as what comes of the next pages depends on it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    pub scope: String,
    /// Pages that were read of it.
    pub pages: u64,
    /// Documents without an id in them.
    pub nameless: u64,
    /// Whether the crawl delivers each document once, and what is not there is gone.
    pub full: bool,
}

/// What of a scope is wanted, and how: large batches of whose documents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reading {
    pub limits: PageLimits,
    pub datasource: String,
    pub most: Most,
    pub at: Position,
}

pub struct Intake {
    rules: Rules,
    loops: LoopDetector,
    document_bytes: usize,
    at: Position,
    cutter: Cutter,
    /// Groups and users that were named.
    named: HashSet<u64>,
    /// When a batch was cut last.
    cut_at: Instant,
}

impl Intake {
    pub fn new(rules: Rules, reading: &Reading) -> Self {
        let Reading { limits: _, datasource, most, at } = reading.clone();
        let cutter = Cutter::new(&datasource, most);
        let loops = LoopDetector::new(at.full);
        let (document_bytes, cut_at) = (most.document_bytes, Instant::now());
        Self { rules, loops, document_bytes, at, cutter, named: HashSet::new(), cut_at }
    }

    /// Checks a page that was asked for at that time.
    pub fn take(
        &mut self,
        page: Page,
        read_at: Timestamp,
    ) -> std::result::Result<Checked, Box<Broken>> {
        let Page { documents, deleted, access_changes, unreadable, progress } = page;
        let changes = deleted.len() + access_changes.len();
        if self.at.full && changes > 0 {
            let failure = Failure::new(
                Kind::Contract,
                "the connector reports deletions or changes of access in a full crawl",
            )
            .next("mend the connector: a full crawl delivers what is there");
            return Err(self.broken(Vec::new(), failure, Whose::Source));
        }
        self.at.pages += 1;
        let mut taken = Taken {
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
                return Err(self.broken(taken.cuts, failure, Whose::Sheaf));
            }
        }
        if let Err(failure) = self.loops.page(first.as_deref(), besides, &progress) {
            return Err(self.broken(taken.cuts, failure, Whose::Source));
        }
        // In order: a document that was added before it was deleted ends deleted.
        if changes > 0 || !matches!(progress, Progress::More(_)) {
            taken.cuts.extend(self.cutter.cut());
        }
        let Taken { rows, cuts } = taken;
        let end = self.cutter.end_page();
        let number = self.at.pages;
        let page = CheckedPage { number, read_at, rows, deleted, access_changes, progress, end };
        let waited = cuts.is_empty() && self.cut_at.elapsed() > MAX_BATCH_AGE;
        let aged = if waited { self.cutter.cut() } else { None };
        if aged.is_some() || !cuts.is_empty() {
            self.cut_at = Instant::now();
        }
        Ok(Checked { cuts, page, aged })
    }

    /// The end, with all that was cut until there and all that waits.
    pub fn broken(&mut self, mut cuts: Vec<Cut>, failure: Failure, whose: Whose) -> Box<Broken> {
        cuts.extend(self.cutter.cut());
        Box::new(Broken { cuts, failure, whose })
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
        let named = if why.is_none() { self.first_named(&document.access) } else { Vec::new() };
        let mut row = Row { key, named, ..row(document) };
        if why.is_none() {
            row.content = document::content(self.cutter.last());
        } else {
            row.is_nameless = is_nameless;
            self.at.nameless += u64::from(is_nameless);
        }
        row.quarantined = why;
        taken.rows.push(row);
        Ok(())
    }

    /// Those that no document before it named, as far as they are remembered.
    fn first_named(&mut self, access: &Access) -> Vec<Named> {
        let is_new = |named: &Mention<'_>| {
            let mut hash = DefaultHasher::new();
            named.hash(&mut hash);
            let hash = hash.finish();
            !self.named.contains(&hash) && self.named.len() < MAX_NAMED && self.named.insert(hash)
        };
        audience::named(access).filter(is_new).map(Named::from).collect()
    }

    fn unreadable(&mut self, found: Unreadable, taken: &mut Taken) {
        let Unreadable { id, view_url, reason } = found;
        let key = match id.as_deref() {
            None | Some("") => self.nameless(view_url.as_deref(), None),
            Some(id) => document::key(id),
        };
        let is_nameless = id.as_deref().is_none_or(str::is_empty);
        self.at.nameless += u64::from(is_nameless);
        let [id, url] = [id, view_url].map(Option::unwrap_or_default);
        let id = shown_id(&id, &url, "");
        let quarantined = Some(reason);
        taken.rows.push(Row { key, id, is_nameless, quarantined, ..Row::default() });
    }

    /// The key of a document without an id: each has its own, and none has one of an id.
    fn nameless(&self, url: Option<&str>, title: Option<&str>) -> u128 {
        let text = match (url.filter(|url| !url.is_empty()), title) {
            (Some(url), _) => format!("\0{url}"),
            // Nothing tells it from others but where it stood.
            (None, title) => format!(
                "\0{}\0{}\0{}\0{}",
                self.at.scope,
                self.at.pages,
                self.at.nameless,
                title.unwrap_or_default()
            ),
        };
        document::key(&text)
    }
}

/// What a page has come to so far.
struct Taken {
    rows: Vec<Row>,
    cuts: Vec<Cut>,
}

/// What is known of a document once it is encoded.
fn row(document: Document) -> Row {
    let Document { id, object_type, view_url, title, access, .. } = document;
    let is_access_unknown = matches!(access, Access::Unknown);
    let audience = Audience::of(&access);
    // The state holds no credential, even if a host sent it back.
    let title = redact(title.as_deref().unwrap_or_default());
    let title = bounded_str(&title, MAX_TITLE).to_owned();
    let object_type = cut(&object_type, MAX_OBJECT_TYPE);
    let address = document::address(&view_url);
    // Without an id it is at least found by its address, or its title.
    let id = shown_id(&id, &view_url, &title);
    Row { id, object_type, title, address, is_access_unknown, audience, ..Row::default() }
}

/// What a document is listed as.
fn shown_id(id: &str, url: &str, title: &str) -> String {
    let shown = match (id.is_empty(), url.is_empty(), title) {
        (false, ..) => id,
        (_, false, _) => url,
        (.., "") => "?",
        (.., title) => title,
    };
    cut(shown, MAX_SHOWN_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(full: bool) -> Intake {
        let most = Most { bytes: 1 << 20, documents: 2, document_bytes: 400 };
        let at = Position { scope: "all".into(), full, ..Position::default() };
        let limits = PageLimits { documents: 10, bytes: 1 << 20 };
        Intake::new(Rules::default(), &Reading { limits, datasource: "ds".into(), most, at })
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
        let large = document("large").titled(&"x".repeat(500));
        let mut unknown = document("b");
        unknown.access = Access::Unknown;
        let documents =
            vec![document("a"), document(""), document("A"), large, unknown, document("c")];
        let mut taken = page(documents, Progress::More("1".into()));
        let (id, view_url) = (None, Some("https://example.com/locked".to_owned()));
        taken.unreadable.push(Unreadable { id, view_url, reason: "it is locked".into() });
        let Checked { cuts, page, .. } =
            intake(true).take(taken, Timestamp::now()).expect("a page");
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
        let count = |is: fn(&Row) -> bool| page.rows.iter().filter(|row| is(row)).count();
        assert_eq!((count(|row| row.is_nameless), count(|row| row.is_access_unknown)), (2, 1));
        assert_eq!(cuts.iter().map(|cut| cut.batch.documents()).collect::<Vec<_>>(), [2]);
        assert_eq!(page.end, PageEnd { last: 2, covers: 1 });
    }

    #[test]
    fn what_a_page_changes_comes_after_its_documents() {
        let deletes = || {
            let mut page = page(vec![document("a")], Progress::More("1".into()));
            page.deleted.push(DocumentRef { id: "a".into(), object_type: "Page".into() });
            page
        };
        let Checked { cuts, page, .. } =
            intake(false).take(deletes(), Timestamp::now()).expect("a page");
        assert_eq!((cuts.len(), page.end), (1, PageEnd { last: 1, covers: 1 }));
        let refused = intake(true).take(deletes(), Timestamp::now()).expect_err("in a full crawl");
        assert_eq!((refused.failure.kind, refused.whose), (Kind::Contract, Whose::Source));
    }

    #[test]
    fn the_last_page_leaves_nothing_behind() {
        let mut intake = intake(true);
        let last = page(vec![document("a")], Progress::Complete(None));
        assert_eq!(intake.take(last, Timestamp::now()).expect("a page").cuts.len(), 1);
        assert!(intake.cutter.cut().is_none());
    }

    #[test]
    fn documents_wait_five_seconds_for_their_batch_to_fill() {
        let mut intake = intake(false);
        let mut aged = |id: &str, is_late: bool| {
            if is_late {
                let long_ago = intake.cut_at.checked_sub(MAX_BATCH_AGE + Duration::from_secs(1));
                intake.cut_at = long_ago.expect("this machine has run for seconds");
            }
            let page = page(vec![document(id)], Progress::More(id.into()));
            let checked = intake.take(page, Timestamp::now()).expect("a page");
            checked.aged.map(|cut| (cut.batch.documents(), cut.ends_page))
        };
        assert_eq!(aged("a", false), None);
        assert_eq!(aged("b", true), Some((2, true)));
        assert_eq!(aged("c", false), None);
    }

    #[test]
    fn what_was_cut_before_a_page_is_found_to_loop_is_handed_over() {
        let mut intake = intake(false);
        let same = |count: usize| {
            page((0..count).map(|_| document("a")).collect(), Progress::More("1".into()))
        };
        assert!(
            intake.take(same(1), Timestamp::now()).is_ok()
                && intake.take(same(1), Timestamp::now()).is_ok()
        );
        // The first two of these fill a batch together with the page before.
        let broken = intake.take(same(1), Timestamp::now()).expect_err("the third time");
        // And so is what waits for its batch to fill.
        assert_eq!(broken.cuts.iter().map(|cut| cut.batch.documents()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(broken.whose, Whose::Source);
    }
}
