//! The ledger's records of pages on their way: written when a page was read, corrected by what Glean
//! refuses, and handed on with the page's checkpoint.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::delivery::Changed;
use crate::audience::Audience;
use crate::crawl::progress::{Counts, ScopeHead};
use crate::document::{self, DocumentRef};
use crate::glean::upload::Refused;
use crate::intake::{CheckedPage, Row};
use crate::ledger::{Entry, Record, State};

/// About the size of a record, in bytes: what is set apart for each of a page.
const RECORD: usize = 128;

/// Records of one or more pages.
#[derive(Debug, Default)]
pub(super) struct Records(Vec<u8>);

impl Records {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn append(&mut self, mut later: Self) {
        if self.0.is_empty() {
            self.0 = later.0;
        } else {
            self.0.append(&mut later.0);
        }
    }
}

pub(super) struct PageRecords {
    /// Whether anybody keeps the records.
    on: bool,
    scope: String,
    generation: u8,
    /// Documents that Glean refused in acknowledged batches, whose pages have not passed yet.
    waiting: BTreeMap<String, String>,
    /// Those of pages that passed.
    settled: Vec<Refused>,
}

impl PageRecords {
    pub(super) fn new(start: &ScopeHead, on: bool) -> Self {
        Self {
            on,
            scope: start.scope.clone(),
            generation: u8::try_from(start.frontier.restarts).unwrap_or(u8::MAX),
            waiting: BTreeMap::new(),
            settled: Vec::new(),
        }
    }

    /// The records of a page, which changed so much besides its documents.
    pub(super) fn of(&self, page: &CheckedPage, changed: &Changed) -> Records {
        if !self.on {
            return Records::default();
        }
        let entry = Entry {
            at: page.read_at.seconds_32(),
            page: u32::try_from(page.number).unwrap_or(u32::MAX),
            generation: self.generation,
            scope: &self.scope,
            ..Entry::EMPTY
        };
        let mut records = Vec::with_capacity(page.rows.len() * RECORD);
        for row in &page.rows {
            let Row {
                key,
                content,
                id,
                object_type,
                title,
                address,
                quarantined,
                is_nameless: _,
                is_access_unknown: _,
                audience,
                named: _,
            } = row;
            let (state, reason) = match quarantined {
                None => (State::Uploaded, ""),
                Some(reason) => (State::Quarantined, reason.as_str()),
            };
            let (key, content, url) = (*key, *content, *address);
            // Of a version that Glean does not get, nobody finds anything.
            let audience = if quarantined.is_some() { Audience::NONE } else { *audience };
            Entry { key, content, state, id, object_type, title, reason, url, audience, ..entry }
                .write(&mut records);
        }
        let access = changed.access.iter().map(|(of, audience)| (of, State::Access, *audience));
        let deleted = changed.deleted.iter().map(|of| (of, State::Deleted, Audience::NONE));
        for (DocumentRef { id, object_type }, state, audience) in access.chain(deleted) {
            let key = document::key(id);
            Entry { key, state, id, object_type, audience, ..entry }.write(&mut records);
        }
        Records(records)
    }

    /// Glean took a batch but for this document.
    pub(super) fn refused(&mut self, document: Refused) {
        self.waiting.insert(document.id, document.reason);
    }

    /// What was counted, with what is known to be refused by now.
    pub(super) fn with_refused(&self, read: &Counts) -> Counts {
        let mut counts = Counts {
            documents: read.documents,
            quarantined: read.quarantined,
            samples: read.samples.first().cloned().into_iter().collect(),
            ..Counts::default()
        };
        let waiting = self.waiting.iter().map(|(id, reason)| (id.as_str(), reason.as_str()));
        let settled = self.settled.iter().map(|refused| (&*refused.id, &*refused.reason));
        for (id, reason) in settled.chain(waiting) {
            counts.documents = counts.documents.saturating_sub(1);
            counts.quarantine(id, reason);
        }
        counts
    }

    /// A page passes: its documents that were refused are quarantined.
    pub(super) fn settle(&mut self, records: &mut Records, counts: &mut Counts) {
        if !self.waiting.is_empty() {
            self.correct(records);
        }
        for refused in &self.settled {
            counts.documents = counts.documents.saturating_sub(1);
            counts.quarantine(&refused.id, &refused.reason);
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
                    let (state, audience) = (State::Quarantined, Audience::NONE);
                    Entry { state, audience, reason: &reason, ..entry }.write(&mut corrected);
                    self.settled.push(Refused { id, reason });
                }
                None => corrected.extend_from_slice(record.bytes()),
            }
        }
        records.0 = corrected;
    }
}
