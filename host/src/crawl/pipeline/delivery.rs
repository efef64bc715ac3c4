//! How a scope's documents get into Glean: in an upload session, or as changes of single documents.
//! Only here is it asked which.

use std::collections::HashSet;

use super::window::UploadLimits;
use crate::audience::Audience;
use crate::crawl::blame::Result;
use crate::crawl::change::{Change, Want, wanted_access};
use crate::crawl::kept_changes::KeptChanges;
use crate::crawl::progress::{Counts, ScopeHead};
use crate::document::{AccessChange, DocumentRef, PageLimits};
use crate::glean::upload::{Refused, Upload};
use crate::glean::{self, Client};
use crate::intake::{CheckedPage, Position, Reading, Row};
use crate::text::bounded;
use crate::wire::Batch;
use crate::wire::batch::Most;

/// Outside a session Glean takes 600 documents a minute: smaller batches keep that even.
const CHANGED_AT_ONCE: usize = 100;

pub struct Delivery {
    upload: Upload,
    /// Whether the session was opened.
    opened: bool,
    /// Nothing where a session is filled.
    changes: Option<Changes>,
    /// Whether anything is sent.
    sends: bool,
}

/// Changes of single documents.
struct Changes {
    kept: KeptChanges,
    /// Documents whose changes are kept; nothing until that matters.
    known: Option<HashSet<u128>>,
    /// Documents whose changes this crawl has kept.
    ours: HashSet<u128>,
}

/// What became of a page's changes.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) deleted: Vec<DocumentRef>,
    pub(super) access: Vec<(DocumentRef, Audience)>,
    pub(super) counts: Counts,
    /// Those that Glean refuses: what they are listed as, and why.
    pub(super) refused: Vec<(String, String)>,
}

impl Delivery {
    /// A full crawl's pages.
    pub fn session(upload: Upload) -> Self {
        Self { upload, opened: false, changes: None, sends: true }
    }

    /// A full crawl's pages, of which Glean gets nothing.
    pub fn nowhere(upload: Upload) -> Self {
        Self { sends: false, ..Self::session(upload) }
    }

    /// An incremental crawl's pages.
    pub fn changes(upload: Upload, kept: KeptChanges) -> Self {
        let changes = Changes { kept, known: None, ours: HashSet::new() };
        Self { upload, opened: false, changes: Some(changes), sends: true }
    }

    /// A session that an earlier step or attempt opened is open; so many pages were read before.
    pub(super) async fn begin_at(&mut self, opened: bool, pages: u64) -> Result<()> {
        self.opened = opened;
        match &mut self.changes {
            Some(changes) if pages > 0 => changes.learn().await,
            _ => Ok(()),
        }
    }

    /// Whether each document comes once, and what does not come is gone.
    fn is_full(&self) -> bool {
        self.changes.is_none()
    }

    pub(super) fn limits(&self, limits: &UploadLimits) -> UploadLimits {
        match self.changes {
            None => *limits,
            // Changes of one document must arrive in order.
            Some(_) => UploadLimits {
                batch_documents: limits.batch_documents.min(CHANGED_AT_ONCE),
                in_flight: 1,
                ..*limits
            },
        }
    }

    /// How a scope is to be read, so that it can be delivered so: with the limits and the start that the
    /// pipeline gets, too.
    pub fn reading(&self, page: PageLimits, uploads: &UploadLimits, start: &ScopeHead) -> Reading {
        let uploads = self.limits(uploads);
        let most = Most {
            bytes: uploads.batch_bytes,
            documents: uploads.batch_documents,
            document_bytes: uploads.document_bytes,
        };
        let at = Position {
            scope: start.scope.clone(),
            pages: start.counts.pages,
            nameless: start.counts.nameless,
            full: self.is_full(),
        };
        Reading { limits: page, datasource: self.upload.datasource.clone(), most, at }
    }

    pub(super) fn is_opened(&self) -> bool {
        self.opened
    }

    /// The first page of a session goes alone. What was refused in it; nothing where it is open already.
    pub(super) async fn open(&mut self, batch: &Batch) -> Result<Option<Vec<Refused>>> {
        if self.changes.is_some() || self.opened || !self.sends {
            return Ok(None);
        }
        let refused = self.upload.open(Some(batch)).await?;
        self.opened = true;
        Ok(Some(refused))
    }

    pub(super) fn send(
        &self,
        batch: Batch,
    ) -> impl Future<Output = std::result::Result<Vec<Refused>, glean::Error>> + Send + 'static
    {
        let (upload, session) = (self.upload.clone(), self.changes.is_none());
        let sends = self.sends;
        async move {
            match (sends, session) {
                (false, _) => Ok(Vec::new()),
                (true, true) => upload.bulk(&batch).await,
                (true, false) => upload.index(&batch).await,
            }
        }
    }

    pub(super) fn client(&self) -> Client {
        self.upload.client.clone()
    }

    /// Does what a page changes besides its documents, and keeps what is not done before the page's
    /// checkpoint moves on.
    pub(super) async fn change(&mut self, page: &CheckedPage) -> Result<Changed> {
        match &mut self.changes {
            None => Ok(Changed::default()),
            Some(changes) => changes.apply(&self.upload, page).await,
        }
    }
}

impl Changes {
    async fn apply(&mut self, upload: &Upload, page: &CheckedPage) -> Result<Changed> {
        let mut changed = Changed::default();
        let mut kept = Vec::new();
        // What was kept of documents that were brought again has no object any more.
        let brought = page.rows.iter().filter(|row| row.quarantined.is_none());
        let mut overtaken: HashSet<u128> =
            brought.map(|Row { key, .. }| *key).filter(|key| self.ours.contains(key)).collect();
        if !page.deleted.is_empty() || !page.access_changes.is_empty() {
            self.learn_once().await?;
        }
        for AccessChange { document: DocumentRef { id, object_type }, access } in
            &page.access_changes
        {
            let audience = Audience::of(access);
            let change = self.kept.change(id, object_type, wanted_access(access)?);
            let change = Change { audience, ..change };
            if self.send(upload, change, &mut kept, &mut overtaken, &mut changed).await? {
                changed.counts.access_changes += 1;
                let document = DocumentRef { id: id.clone(), object_type: object_type.clone() };
                changed.access.push((document, audience));
            }
        }
        for document in &page.deleted {
            let change = self.kept.change(&document.id, &document.object_type, Want::Delete);
            if self.send(upload, change, &mut kept, &mut overtaken, &mut changed).await? {
                changed.counts.deleted += 1;
                changed.deleted.push(document.clone());
            }
        }
        if kept.is_empty() && overtaken.is_empty() {
            return Ok(changed);
        }
        self.kept.keep(&kept, &overtaken).await?;
        self.ours.extend(kept.iter().map(Change::key));
        self.known.get_or_insert_default().extend(kept.iter().map(Change::key));
        Ok(changed)
    }

    /// Whether a change passes. One that Glean refuses is kept, so that it neither holds up the others
    /// for ever nor is lost; and so is one that the end of an open session may undo.
    async fn send(
        &self,
        upload: &Upload,
        change: Change,
        kept: &mut Vec<Change>,
        overtaken: &mut HashSet<u128>,
        changed: &mut Changed,
    ) -> Result<bool> {
        let refused = match change.send(&upload.client, &upload.datasource).await {
            Ok(()) => None,
            Err(error) if error.is_refusal() => Some(bounded(error.to_string(), 300)),
            Err(error) => return Err(error.into()),
        };
        if let Some(reason) = &refused {
            let what = format!("its {}: {reason}", change.wanted());
            changed.counts.quarantine(&change.id, &what);
            changed.refused.push((change.id.clone(), what));
        }
        let passed = refused.is_none();
        if !passed || change.beside.is_some() {
            kept.push(Change { refused, ..change });
        } else if self.known.as_ref().is_some_and(|known| known.contains(&change.key())) {
            overtaken.insert(change.key());
        }
        Ok(passed)
    }

    async fn learn_once(&mut self) -> Result<()> {
        if self.known.is_none() { self.learn().await } else { Ok(()) }
    }

    async fn learn(&mut self) -> Result<()> {
        let (known, ours) = self.kept.known().await?;
        self.ours.extend(ours);
        self.known = Some(known);
        Ok(())
    }
}
