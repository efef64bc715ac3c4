//! What a guest is asked, and what is answered.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::document::{AccessChange, Crawl, DocumentRef, PageLimits, Progress};
use crate::failure::{Failure, Kind};
use crate::intake::{Reading, Row, Whose};
use crate::sandbox::Limits;
use crate::sandbox::egress::Requested;

/// What a page has besides its documents' texts.
const ROWS_BYTES: u32 = 8 << 20;

/// The largest frame of a guest's socket: what a call may hand over, and rows.
pub fn most_of_a_guest(limits: &Limits) -> u32 {
    let page = u32::try_from(limits.page_bytes_at_most()).unwrap_or(u32::MAX);
    page.saturating_add(ROWS_BYTES)
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    Datasource,
    Check,
    Scopes,
    /// Open a crawl. `datasource`: what the connector registers, which has rules for its documents.
    Open {
        crawl: Crawl,
        datasource: String,
    },
    /// Deliver checked pages from now on. Beside it lies the file for their batches.
    Read(Box<Reading>),
    /// The next page. What is in the file was read.
    Next,
    /// A page as it is judged, for people.
    Look {
        limits: PageLimits,
        datasource: String,
        document_bytes: usize,
    },
    /// Begin to read users and groups.
    OpenIdentities {
        resume: Option<String>,
    },
    /// The next of them, about so many.
    Identities {
        limit: u32,
    },
}

/// What came of it, what the guest has used by then, and what became of its requests since the answer before.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer<T, E = Told> {
    pub used: Used,
    #[serde(deserialize_with = "crate::lists::counted")]
    pub requests: Vec<Requested>,
    pub said: Result<T, E>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Used {
    /// Bytes, at most.
    pub memory: u64,
    /// Nanoseconds.
    pub cpu: u64,
    /// The same of all guests of its crawl in this cell, and before.
    pub crawl: u64,
}

/// A page that was checked, or what has broken the source, with the batches that were cut.
#[derive(Debug, Serialize, Deserialize)]
pub enum Handed {
    Page {
        read_at: Timestamp,
        #[serde(deserialize_with = "crate::lists::counted")]
        rows: Vec<Row>,
        #[serde(deserialize_with = "crate::lists::counted")]
        deleted: Vec<DocumentRef>,
        #[serde(deserialize_with = "crate::lists::counted")]
        access_changes: Vec<AccessChange>,
        progress: Progress,
        /// To be sent before the page can end, and after it.
        #[serde(deserialize_with = "crate::lists::counted")]
        cuts: Vec<CutWords>,
        aged: Option<CutWords>,
    },
    /// With the ids of all documents in the batches: of the last of them no page tells.
    Broken {
        #[serde(deserialize_with = "crate::lists::counted")]
        ids: Vec<String>,
        #[serde(deserialize_with = "crate::lists::counted")]
        cuts: Vec<CutWords>,
        failure: Told,
        whose: Whose,
    },
}

/// A batch whose bytes are in the file, behind those before it: where each document ends.
#[derive(Debug, Serialize, Deserialize)]
pub struct CutWords {
    #[serde(deserialize_with = "crate::lists::counted")]
    pub ends: Vec<u32>,
}

/// A failure, all of it: [`Failure`] leaves out what it has not, which these frames cannot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    kind: Kind,
    what: String,
    at: Option<String>,
    next: Option<String>,
    detail: Option<String>,
    retry_after: Option<Duration>,
}

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        let Failure { kind, what, at, next, detail, retry_after } = failure;
        Self { kind, what, at, next, detail, retry_after }
    }
}

impl Told {
    /// The failure, as far as a guest's can be one: a cell decides about nothing else.
    pub fn of_a_guest(self) -> Failure {
        let Self { kind, what, at, next, detail, retry_after } = self;
        let kind = match kind {
            Kind::Settings
            | Kind::Contract
            | Kind::Source
            | Kind::SourceGaveUp
            | Kind::SourceUnauthorized
            | Kind::StartOver
            | Kind::Trap
            | Kind::Limit
            | Kind::Denied
            | Kind::Secret
            | Kind::TimedOut => kind,
            _ => Kind::Internal,
        };
        Failure { kind, what, at, next, detail, retry_after }.bounded()
    }

    /// The failure that the program itself has told a cell.
    pub fn of_the_program(self) -> Failure {
        let Self { kind, what, at, next, detail, retry_after } = self;
        Failure { kind, what, at, next, detail, retry_after }
    }
}
