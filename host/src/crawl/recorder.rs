//! The ledger's records of pages on their way: written while a page is read, corrected by what Glean
//! refuses, and handed on with the page's checkpoint.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::progress::ScopeProgress;
use crate::clock::Timestamp;
use crate::document::Document;
use crate::glean::upload::Refused;
use crate::ledger::{self, Entry, Record, State};
use crate::redact::redact;

/// Records of one or more pages.
#[derive(Debug, Default)]
pub struct Records(Vec<u8>);

impl Records {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn append(&mut self, mut later: Self) {
        if self.0.is_empty() {
            self.0 = later.0;
        } else {
            self.0.append(&mut later.0);
        }
    }
}

pub struct Recorder {
    /// Whether anybody keeps the records.
    on: bool,
    scope: String,
    generation: u8,
    page: u32,
    at: u32,
    records: Vec<u8>,
    /// Documents that Glean refused in acknowledged batches, whose pages are not settled yet.
    waiting: BTreeMap<String, String>,
    /// Those of settled pages.
    settled: Vec<Refused>,
}

impl Recorder {
    pub fn new(start: &ScopeProgress, on: bool) -> Self {
        Self {
            on,
            scope: start.scope.clone(),
            generation: u8::try_from(start.restarts).unwrap_or(u8::MAX),
            page: 0,
            at: 0,
            records: Vec::new(),
            waiting: BTreeMap::new(),
            settled: Vec::new(),
        }
    }

    /// A page begins.
    pub fn page(&mut self, number: u64) {
        self.page = u32::try_from(number).unwrap_or(u32::MAX);
        self.at = Timestamp::now().seconds_32();
    }

    /// The records of the page that ends.
    pub fn take(&mut self) -> Records {
        let expected = self.records.len();
        Records(std::mem::replace(&mut self.records, Vec::with_capacity(expected)))
    }

    pub fn uploaded(&mut self, document: &Document, key: u128, encoded: &[u8]) {
        if self.on {
            let content = ledger::record::content(encoded);
            self.write(document, key, content, State::Uploaded, "");
        }
    }

    pub fn set_aside(&mut self, document: &Document, key: u128, reason: &str) {
        self.write(document, key, 0, State::Quarantined, reason);
    }

    /// What is known of a document by its id alone, or by what it is listed as.
    pub fn mark(&mut self, key: u128, id: &str, object_type: &str, state: State, reason: &str) {
        self.entry(Entry { key, state, id, object_type, reason, ..EMPTY });
    }

    fn write(&mut self, document: &Document, key: u128, content: u128, state: State, reason: &str) {
        // The state holds no credential, even if a host sent it back.
        let title = redact(document.title.as_deref().unwrap_or_default());
        self.entry(Entry {
            key,
            content,
            state,
            reason,
            // Without an id it is at least found by its address, or its title.
            id: super::pipeline::shown_id(&document.id, &document.view_url, Some(&title)),
            object_type: &document.object_type,
            title: &title,
            url: ledger::record::url(&document.view_url),
            ..EMPTY
        });
    }

    fn entry(&mut self, entry: Entry<'_>) {
        if !self.on {
            return;
        }
        let (at, page, generation) = (self.at, self.page, self.generation);
        Entry { at, page, generation, scope: &self.scope, ..entry }.write(&mut self.records);
    }

    /// Glean took a batch but for this document.
    pub fn refused(&mut self, document: Refused) {
        self.waiting.insert(document.id, document.reason);
    }

    /// The progress with what is known to be refused by now.
    pub fn with_refused(&self, read: &ScopeProgress) -> ScopeProgress {
        let mut progress = ScopeProgress {
            documents: read.documents,
            quarantined: read.quarantined,
            samples: read.samples.first().cloned().into_iter().collect(),
            ..ScopeProgress::default()
        };
        let waiting = self.waiting.iter().map(|(id, reason)| (id.as_str(), reason.as_str()));
        let settled = self.settled.iter().map(|refused| (&*refused.id, &*refused.reason));
        for (id, reason) in settled.chain(waiting) {
            progress.documents = progress.documents.saturating_sub(1);
            progress.quarantine(id, reason);
        }
        progress
    }

    /// Every document of these records is acknowledged: those that were refused are set aside.
    pub fn settle(&mut self, records: &mut Records, progress: &mut ScopeProgress) {
        if !self.waiting.is_empty() {
            self.correct(records);
        }
        for refused in &self.settled {
            progress.documents = progress.documents.saturating_sub(1);
            progress.quarantine(&refused.id, &refused.reason);
        }
    }

    fn correct(&mut self, records: &mut Records) {
        let mut bytes = Bytes::from(std::mem::take(&mut records.0));
        let mut corrected = Vec::with_capacity(bytes.len());
        while let Ok(record) = Record::take(&mut bytes) {
            let entry = record.entry();
            let refused = match entry.state {
                State::Uploaded => self.waiting.remove_entry(entry.id),
                _ => None,
            };
            match refused {
                Some((id, reason)) => {
                    Entry { state: State::Quarantined, reason: &reason, ..entry }
                        .write(&mut corrected);
                    self.settled.push(Refused { id, reason });
                }
                None => corrected.extend_from_slice(record.bytes()),
            }
        }
        records.0 = corrected;
    }
}

pub(super) const EMPTY: Entry<'static> = Entry {
    key: 0,
    content: 0,
    at: 0,
    page: 0,
    state: State::Uploaded,
    generation: 0,
    scope: "",
    id: "",
    object_type: "",
    title: "",
    reason: "",
    url: 0,
};
