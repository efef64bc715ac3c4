//! The rules of an upload session.
//!
//! One session at a time per datasource: the first page goes alone, then any number in flight, then
//! the last page alone, which makes Glean delete what the session did not contain. Glean: "Bulk
//! upload model".

use super::batch::{Batch, PageFlags};
use super::client::Client;
use super::error::{Error, Fault, Lost, Result};
use super::wire::UploadEvent;

const BULK: &str = "/bulkindexdocuments";

/// When each of so many documents is refused, the request itself is at fault.
const ALL_REFUSED: usize = 10;

/// One upload id's work on one datasource.
#[derive(Clone, Debug)]
pub struct Upload {
    pub client: Client,
    pub datasource: String,
    pub upload_id: String,
    /// The session of a full crawl that waits for approval: what changes meanwhile goes there too, so
    /// that ending it deletes nothing of it.
    pub beside: Option<String>,
}

/// A document that Glean would not take.
#[derive(Clone, Debug)]
pub struct Refused {
    pub id: String,
    pub reason: String,
}

/// How the first page must be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing is unfinished.
    Fresh,
    /// Our own session is open: an earlier attempt opened it.
    Ours,
    /// Another session was left unfinished and must make way.
    Foreign,
}

/// Which sessions Glean knows of this upload id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    Unknown,
    Active,
    Finished,
}

impl Upload {
    /// Asks Glean how the session stands, instead of guessing.
    pub async fn opening(&self) -> Result<Opening> {
        let status = self.client.datasource_status(&self.datasource).await?;
        let active = status.documents.bulk_upload_history.iter().find(|upload| upload.is_active());
        Ok(match active {
            None => Opening::Fresh,
            Some(upload) if upload.upload_id == self.upload_id => Opening::Ours,
            Some(upload) => {
                tracing::warn!(
                    datasource = self.datasource,
                    unfinished = upload.upload_id,
                    "an upload session was left unfinished; it is replaced by this one"
                );
                Opening::Foreign
            }
        })
    }

    pub async fn session_state(&self) -> Result<SessionState> {
        Ok(match self.ours().await? {
            Some(upload) if upload.is_active() => SessionState::Active,
            Some(upload) if upload.is_finished() => SessionState::Finished,
            _ => SessionState::Unknown,
        })
    }

    /// Opens the session with `batch`, or with an empty page when there is none yet.
    pub async fn open(&self, batch: Option<&Batch>) -> Result<Vec<Refused>> {
        let opening = self.opening().await?;
        let flags = match opening {
            Opening::Ours => PageFlags::default(),
            Opening::Fresh => PageFlags { first: true, ..PageFlags::default() },
            Opening::Foreign => PageFlags { first: true, restart: true, ..PageFlags::default() },
        };
        let sent = match batch {
            Some(batch) => self.send(BULK, batch, flags).await,
            None if opening == Opening::Ours => return Ok(Vec::new()),
            None => self.marker(flags).await.map(|()| Vec::new()),
        };
        match sent {
            // An answer was lost, and the same page again is a second opening: the first one stands,
            // and the documents go again as a middle page.
            Err(error)
                if error.is_refusal()
                    && opening == Opening::Fresh
                    && self.session_state().await? == SessionState::Active =>
            {
                match batch {
                    Some(batch) => self.bulk(batch).await,
                    None => Ok(Vec::new()),
                }
            }
            // Not one document passed, so nothing opened the session.
            Ok(refused) if batch.is_some_and(|batch| batch.documents() == refused.len()) => {
                if opening != Opening::Ours {
                    self.marker(flags).await?;
                }
                Ok(refused)
            }
            sent => sent,
        }
    }

    /// Uploads a page between the first and the last.
    pub async fn bulk(&self, batch: &Batch) -> Result<Vec<Refused>> {
        match self.send(BULK, batch, PageFlags::default()).await {
            // Not the documents are at fault when the session is gone.
            Err(error)
                if error.is_refusal() && self.session_state().await? != SessionState::Active =>
            {
                Err(Error::SessionLost(Lost {
                    datasource: self.datasource.clone(),
                    upload_id: self.upload_id.clone(),
                    said: error.to_string(),
                }))
            }
            sent => sent,
        }
    }

    /// Closes the session: Glean deletes whatever it did not contain. Doing it twice is doing it once.
    /// `approved`: a person has looked at what goes.
    pub async fn close(&self, approved: bool) -> Result<()> {
        if self.session_state().await? == SessionState::Finished {
            return Ok(());
        }
        match self.marker(PageFlags { last: true, approved, ..PageFlags::default() }).await {
            // An answer was lost: what is asked for again is done already.
            Err(error)
                if error.is_refusal() && self.session_state().await? == SessionState::Finished =>
            {
                Ok(())
            }
            closed => closed,
        }
    }

    /// Whether Glean waits for a person before it deletes what the session did not contain.
    pub async fn deletion_paused(&self) -> Result<bool> {
        let ours = self.ours().await?;
        Ok(ours.is_some_and(|upload| upload.processing_state == "DELETION PAUSED"))
    }

    /// What Glean knows of this upload id.
    async fn ours(&self) -> Result<Option<UploadEvent>> {
        let status = self.client.datasource_status(&self.datasource).await?;
        let mut history = status.documents.bulk_upload_history.into_iter();
        Ok(history.find(|upload| upload.upload_id == self.upload_id))
    }

    async fn marker(&self, flags: PageFlags) -> Result<()> {
        let mut batcher = super::Batcher::new(&self.datasource, &self.upload_id, 0, 0, 0);
        let request = batcher.empty().request(flags);
        self.client.post(BULK, request).await
    }

    /// Adds or changes documents outside a session, at the pace that Glean allows there.
    pub async fn index(&self, batch: &Batch) -> Result<Vec<Refused>> {
        self.client.pace_documents(batch.documents()).await;
        if let Some(waiting) = &self.beside {
            let waiting = Self { upload_id: waiting.clone(), beside: None, ..self.clone() };
            let again = batch.readdressed(&self.datasource, &waiting.upload_id);
            match waiting.bulk(&again).await {
                Ok(_) => {}
                // It was ended, or replaced: it deletes nothing any more.
                Err(Error::SessionLost(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.send("/indexdocuments", batch, PageFlags::default()).await
    }

    /// Sends a batch; one that is refused is halved until the documents at fault stand alone.
    async fn send(&self, path: &str, batch: &Batch, flags: PageFlags) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        let mut flags = flags;
        let mut waiting = vec![batch.clone()];
        while let Some(batch) = waiting.pop() {
            let error = match self.client.post(path, batch.request(flags)).await {
                Ok(()) => {
                    // The session is open: what follows are middle pages.
                    flags = PageFlags::default();
                    continue;
                }
                Err(error @ (Error::TooLarge(_) | Error::BadRequest(_))) => error,
                Err(error) => return Err(error),
            };
            if refused.is_empty()
                && path == BULK
                && !flags.first
                && self.session_state().await? != SessionState::Active
            {
                return Err(error);
            }
            if let Some((first, second)) = batch.split() {
                waiting.push(second);
                waiting.push(first);
            } else {
                let id = batch.ids().pop().unwrap_or_else(|| "?".to_owned());
                refused.push(Refused { id, reason: error.to_string() });
            }
        }
        if refused.len() == batch.documents() && batch.documents() >= ALL_REFUSED {
            // Not one document is at fault: the request itself is.
            let first = refused.swap_remove(0);
            return Err(Error::RequestAtFault(Fault {
                datasource: self.datasource.clone(),
                id: first.id,
                said: first.reason,
            }));
        }
        Ok(refused)
    }
}
