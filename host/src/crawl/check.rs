//! Which documents Glean would refuse: they are set aside with a reason, and the crawl goes on.
//! Glean: "Index documents", field rules.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use regex::Regex;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::progress::ScopeProgress;
use crate::document::{Document, Progress};
use crate::failure::{Failure, Kind, Result};

/// Glean: ids "should not be more than 200 characters".
const MAX_ID_CHARS: usize = 200;

/// What a datasource asks of its documents.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    url: Option<Regex>,
    /// The object types that the datasource declares.
    objects: Vec<String>,
}

impl Rules {
    /// From the datasource's registration.
    pub fn of(datasource: &Value) -> Self {
        let url = datasource["urlRegex"].as_str().and_then(|pattern| {
            // Glean's dialect knows more than ours: what we cannot read is left to Glean.
            Regex::new(&format!("^(?:{pattern})"))
                .inspect_err(
                    |error| tracing::debug!(pattern, %error, "urlRegex is not checked here"),
                )
                .ok()
        });
        let objects = datasource["objectDefinitions"].as_array().into_iter().flatten();
        let objects = objects.filter_map(|object| object["name"].as_str());
        Self { url, objects: objects.map(str::to_owned).collect() }
    }

    /// What is odd about a document that is uploaded all the same: Glean documents no rule for it.
    pub fn odd(&self, document: &Document) -> Option<String> {
        let kind = &document.object_type;
        (!self.objects.contains(kind)).then(|| match self.objects.join(", ") {
            none if none.is_empty() => "the datasource declares no object types".to_owned(),
            known => format!("its object type {kind} is not declared; the datasource has {known}"),
        })
    }

    /// Why a document cannot be indexed, if it cannot.
    pub fn broken(&self, document: &Document) -> Option<String> {
        if document.id.is_empty() {
            return Some("it has no id".into());
        }
        let characters = document.id.chars().count();
        if characters > MAX_ID_CHARS {
            return Some(format!("its id has {characters} characters, and 200 is the most"));
        }
        let kind = &document.object_type;
        if kind.is_empty() || kind.contains([' ', '_']) {
            return Some(format!("its object type {kind:?} is empty or has a space or underscore"));
        }
        let url = &document.view_url;
        if url.is_empty() {
            return Some("it has no view URL".into());
        }
        match &self.url {
            Some(regex) if !regex.is_match(url) => {
                Some(format!("its view URL {url} does not match the datasource's urlRegex"))
            }
            _ => None,
        }
    }
}

/// How much may be set aside before the crawl is stopped: then the connector is wrong, not the
/// documents. `[connections.X.quarantine]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Quarantined documents stop a crawl when they are more than this share ...
    pub max_percent: f64,
    /// ... of at least so many.
    pub min_documents: u64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { max_percent: 10.0, min_documents: 100 }
    }
}

impl Tolerance {
    pub fn check(&self, read: &ScopeProgress) -> Result<()> {
        let quarantined = read.quarantined;
        let of = read.documents + quarantined;
        if of < self.min_documents || percent(quarantined, of) <= self.max_percent {
            return Ok(());
        }
        let sample = read.samples.first();
        let sample =
            sample.map_or_else(String::new, |first| format!("{}: {}", first.id, first.reason));
        Err(Failure::new(
            Kind::Quarantine,
            format!("{quarantined} of {of} documents cannot be indexed; for example {sample}"),
        )
        .next(
            "mend the connector or its settings, or raise `max_percent` in the connection's \
             [quarantine]; nothing was deleted",
        ))
    }
}

#[allow(clippy::cast_precision_loss)]
pub fn percent(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 * 100.0 / of as f64 }
}

/// The same page so many times is a loop.
const MAX_REPEATS: u8 = 3;
/// A source may have nothing to say for a while, but not for ever.
const MAX_EMPTY_PAGES: u32 = 10_000;
/// Keys that are remembered to find doubles before they are uploaded. Those further apart are found
/// when the journal is sorted.
const RECENT: usize = 32 << 10;
/// Why a second document with one id is set aside, whatever its object type.
pub const DOUBLE: &str =
    "a document with its id, or one equal without case, came before it in this crawl";
/// Pages that are remembered to find loops.
const PAGES: usize = 1 << 20;

/// What a connector cannot honestly mean: the same page again and again, two documents with one id.
/// Memory is bounded, whatever the number of documents.
#[derive(Debug)]
pub struct Suspicion {
    full: bool,
    recent: HashSet<u64, Plain>,
    before: HashSet<u64, Plain>,
    page: u64,
    pages: HashMap<u64, u8, Plain>,
    empty: u32,
}

/// Keys are hashes already.
#[derive(Clone, Debug, Default)]
pub struct PlainHasher(u64);

type Plain = BuildHasherDefault<PlainHasher>;

impl Hasher for PlainHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl Suspicion {
    /// Only a full crawl delivers each document once.
    pub fn new(full: bool) -> Self {
        Self {
            full,
            recent: HashSet::default(),
            before: HashSet::default(),
            page: 0,
            pages: HashMap::default(),
            empty: 0,
        }
    }

    /// A page has a document with this key. Why it is set aside, if its id came before.
    pub fn document(&mut self, key: u128) -> Option<String> {
        #[allow(clippy::cast_possible_truncation)]
        let key = key as u64;
        self.page = self.page.rotate_left(5) ^ key;
        if !self.full {
            return None;
        }
        if self.before.contains(&key) || !self.recent.insert(key) {
            return Some(DOUBLE.to_owned());
        }
        if self.recent.len() >= RECENT {
            self.before = std::mem::take(&mut self.recent);
        }
        None
    }

    /// A page ends. `changes` are what it holds besides documents.
    pub fn page(
        &mut self,
        documents: &[Document],
        changes: usize,
        progress: &Progress,
    ) -> Result<()> {
        let mut page = std::mem::take(&mut self.page);
        let Progress::More(checkpoint) = progress else { return Ok(()) };
        if !documents.is_empty() || changes > 0 {
            self.empty = 0;
        } else {
            self.empty += 1;
        }
        let loops = |what: String| {
            Failure::new(Kind::Contract, what).next(
                "mend the connector: its checkpoints must lead to an end. Nothing was deleted",
            )
        };
        // Only a full crawl delivers a document once; elsewhere it is the checkpoint that must move.
        if !self.full || changes > 0 || documents.is_empty() {
            page ^= xxh3_64(checkpoint.as_bytes());
        }
        if self.empty > MAX_EMPTY_PAGES {
            return Err(loops(format!(
                "the connector delivered {MAX_EMPTY_PAGES} empty pages in a row"
            )));
        }
        if self.pages.len() >= PAGES {
            self.pages.clear();
        }
        let times = self.pages.entry(page).or_default();
        *times += 1;
        if *times >= MAX_REPEATS {
            let what = documents.first().map_or_else(
                || format!("an empty page with the checkpoint `{checkpoint}`"),
                |first| format!("the page that begins with `{}`", first.id),
            );
            return Err(loops(format!("the connector loops: it delivered {what} {times} times")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Access;
    use serde_json::json;

    fn document(id: &str, kind: &str, url: &str) -> Document {
        Document::new(id, kind, url, Access::Everyone)
    }

    #[test]
    fn documents_that_glean_would_refuse_are_named_with_the_rule() {
        let rules = Rules::of(&json!({ "urlRegex": "https://wiki\\.example\\.com/.*" }));
        let url = "https://wiki.example.com/a";
        assert_eq!(rules.broken(&document("a", "Page", url)), None);
        for (found, part) in [
            (document("", "Page", url), "no id"),
            (document(&"ü".repeat(201), "Page", url), "201 characters"),
            (document("a", "Wiki_Page", url), "object type"),
            (document("a", "Page", ""), "no view URL"),
            (document("a", "Page", "https://evil.example.com/a"), "urlRegex"),
        ] {
            let reason = rules.broken(&found).expect(part);
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(rules.broken(&document(&"ü".repeat(200), "Page", url)), None);
    }

    #[test]
    fn a_tenth_of_a_hundred_may_be_set_aside() {
        let of = |quarantined, documents| {
            Tolerance::default().check(&ScopeProgress {
                documents,
                quarantined,
                ..ScopeProgress::default()
            })
        };
        assert!(of(99, 0).is_ok());
        assert!(of(10, 90).is_ok());
        assert!(of(11, 89).is_err());
    }

    #[test]
    fn an_id_that_came_before_is_a_double_in_a_full_crawl_only() {
        let mut full = Suspicion::new(true);
        assert_eq!(full.document(crate::ledger::key("a")), None);
        for number in 0..RECENT {
            assert_eq!(full.document(crate::ledger::key(&number.to_string())), None);
        }
        assert!(
            full.document(crate::ledger::key("A")).is_some(),
            "the generation before counts too"
        );
        let mut incremental = Suspicion::new(false);
        assert_eq!(incremental.document(1), None);
        assert_eq!(incremental.document(1), None);
    }

    #[test]
    fn the_same_page_for_the_third_time_is_a_loop() {
        let page = [document("a", "Page", "https://wiki.example.com/a")];
        let more = |checkpoint: &str| Progress::More(checkpoint.to_owned());
        let mut seen = Suspicion::new(true);
        for (number, ok) in [(1, true), (2, true), (3, false)] {
            let _ = seen.document(7);
            let ended = seen.page(&page, 0, &more(&number.to_string()));
            assert_eq!(ended.is_ok(), ok, "{number}");
        }
        // A change may come again and again in an incremental crawl that moves.
        let mut seen = Suspicion::new(false);
        for number in 0..10 {
            let _ = seen.document(7);
            seen.page(&page, 0, &more(&number.to_string())).expect("fine");
        }
        // Empty pages may follow each other as long as their checkpoints move.
        let mut seen = Suspicion::new(false);
        for number in 0..10 {
            seen.page(&[], 0, &more(&number.to_string())).expect("fine");
        }
        seen.page(&[], 0, &more("x")).expect("fine");
        seen.page(&[], 0, &more("x")).expect("fine");
        assert!(seen.page(&[], 0, &more("x")).is_err());
    }
}
