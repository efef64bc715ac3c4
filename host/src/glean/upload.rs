//! The rules of an upload session.
//!
//! One session at a time per datasource: the first page goes alone, then any number in flight, then
//! the last page alone, which makes Glean delete what the session did not contain. Glean: "Bulk
//! upload model".
//!
//! **A request that timed out may still be executed**, minutes later. So each page has to be harmless as
//! a late copy of itself:
//!
//! - A page in the middle is taken by its own session only, and says the same again. After the session
//!   it is refused.
//! - A first page is refused while any session is unfinished, and the last page when its own has ended.
//! - A first page with `forceRestartUpload` is the one that can do harm: it discards whatever session is
//!   in progress, with all that was uploaded to it. Sent twice under one id, the late copy would discard
//!   the pages after the first one, the session's pages would go on under the same id, and its end would
//!   delete what the discarded ones held. So [`Upload::restart`] makes an id for each try and sends it
//!   once; what came of a try is asked of Glean, and where that stays unknown the next try has another
//!   id. A late copy then opens a session under an id that nobody uses: every further page of ours is
//!   refused, because another session is in progress, and so is our last page. That is
//!   [`Error::SessionLost`], never an end; the crawl begins again under yet another id. The page is empty,
//!   so that a copy that comes after the end of our session brings no old documents back either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::client::Client;
use super::error::{Error, Lost, RequestFault, Result};
use super::status::UploadEvent;
use crate::name::UploadId;
use crate::wire::batch::{Address, Batch, PageFlags};

const BULK: &str = "/bulkindexdocuments";
const INDEX: &str = "/indexdocuments";

/// When each of so many documents is refused, the request itself is at fault.
const ALL_REFUSED: usize = 10;

/// One upload id's work on one datasource.
#[derive(Clone, Debug)]
pub struct Upload {
    pub client: Client,
    pub datasource: String,
    pub upload_id: UploadId,
    /// The session of a full crawl that waits for approval: what changes meanwhile goes there too, so
    /// that ending it deletes nothing of it.
    pub beside: Option<UploadId>,
    /// Whether Glean has taken a document yet.
    pub accepted: Arc<AtomicBool>,
}

/// A document that Glean would not take.
#[derive(Clone, Debug)]
pub struct Refused {
    pub id: String,
    pub reason: String,
}

/// What stands in the way of a first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opening {
    /// Nothing is unfinished.
    Fresh,
    /// Our own session is open: an earlier attempt opened it.
    Ours,
    /// Another session was left unfinished and must make way: its upload id.
    Foreign(UploadId),
}

/// Which sessions Glean knows of this upload id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    Unknown,
    Active,
    Finished,
}

/// What follows the end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processing {
    UnderWay,
    /// Glean waits for a person before it deletes what the session did not contain.
    Paused,
    Done,
}

impl Upload {
    /// Asks Glean how the session stands, instead of guessing.
    pub async fn opening(&self) -> Result<Opening> {
        Ok(match self.active().await? {
            None => Opening::Fresh,
            Some(upload) if upload.upload_id == self.upload_id => Opening::Ours,
            Some(upload) => Opening::Foreign(upload.upload_id),
        })
    }

    pub async fn session_state(&self) -> Result<SessionState> {
        Ok(match self.ours().await? {
            Some(upload) if upload.is_active() => SessionState::Active,
            Some(upload) if upload.is_finished() => SessionState::Finished,
            _ => SessionState::Unknown,
        })
    }

    /// Takes the place of a session that was left unfinished. The new session has an upload id that was
    /// made for it: that id.
    pub async fn restart(&self) -> Result<UploadId> {
        let flags = PageFlags { first: true, restart: true, ..PageFlags::default() };
        let mut tries = self.client.tries(BULK);
        let mut tried: Vec<UploadId> = Vec::new();
        let mut refused = false;
        loop {
            let id = format!("{}-r{:08x}", made_for(&self.upload_id), rand::random::<u32>());
            let id = UploadId::from(id);
            tried.push(id.clone());
            let to = Address { datasource: &self.datasource, upload_id: &id };
            let page = Batch::default().request(to, flags);
            match self.client.post_once(BULK, &page).await {
                Ok(()) => return Ok(tries.done(id)),
                // There is nothing in it to be at fault; what was in the way may just have ended.
                Err(error) if error.is_refusal() && !refused => refused = true,
                Err(error) => tries.again(error).await?,
            }
            // What became of it may be known by now.
            if let Some(active) = self.active().await?
                && tried.contains(&active.upload_id)
            {
                return Ok(tries.done(active.upload_id));
            }
        }
    }

    /// Opens the session with `batch`, or with an empty page when there is none yet.
    pub async fn open(&self, batch: Option<&Batch>) -> Result<Vec<Refused>> {
        let flags = match self.opening().await? {
            Opening::Ours => PageFlags::default(),
            Opening::Fresh => PageFlags { first: true, ..PageFlags::default() },
            Opening::Foreign(by) => {
                let said = format!("the upload {by} was left unfinished meanwhile");
                return Err(self.lost(Some(by), said));
            }
        };
        let sent = match batch {
            Some(batch) => self.send(BULK, batch, flags).await,
            None if flags.first => self.marker(flags).await.map(|()| Vec::new()),
            None => return Ok(Vec::new()),
        };
        match sent {
            // An answer was lost, and the same page again is a second opening: the first one stands,
            // and the documents go again as a middle page.
            Err(error)
                if error.is_refusal()
                    && flags.first
                    && self.session_state().await? == SessionState::Active =>
            {
                match batch {
                    Some(batch) => self.bulk(batch).await,
                    None => Ok(Vec::new()),
                }
            }
            sent => sent,
        }
    }

    /// Uploads a page between the first and the last.
    pub async fn bulk(&self, batch: &Batch) -> Result<Vec<Refused>> {
        match self.send(BULK, batch, PageFlags::default()).await {
            Err(error) if error.is_refusal() => Err(self.unless_lost(error).await?),
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
            Err(error) if error.is_refusal() => match self.session_state().await? {
                // An answer was lost: what is asked for again is done already.
                SessionState::Finished => Ok(()),
                _ => Err(self.unless_lost(error).await?),
            },
            closed => closed,
        }
    }

    /// How far Glean is with what follows the session's end. One that it does not list any more is done.
    pub async fn processing(&self) -> Result<Processing> {
        let ours = self.ours().await?;
        Ok(match ours.as_ref().map(|upload| upload.processing_state.as_str()) {
            None | Some("INDEXING COMPLETED") => Processing::Done,
            Some("DELETION PAUSED") => Processing::Paused,
            Some(_) => Processing::UnderWay,
        })
    }

    fn address(&self) -> Address<'_> {
        Address { datasource: &self.datasource, upload_id: &self.upload_id }
    }

    /// What Glean knows of this upload id.
    async fn ours(&self) -> Result<Option<UploadEvent>> {
        let mut history = self.history().await?.into_iter();
        Ok(history.find(|upload| upload.upload_id == self.upload_id))
    }

    /// The session in progress, whosever it is.
    async fn active(&self) -> Result<Option<UploadEvent>> {
        Ok(self.history().await?.into_iter().find(UploadEvent::is_active))
    }

    async fn history(&self) -> Result<Vec<UploadEvent>> {
        let status = self.client.datasource_status(&self.datasource).await?;
        Ok(status.documents.bulk_upload_history)
    }

    /// Not the documents are at fault when the session is gone.
    async fn unless_lost(&self, error: Error) -> Result<Error> {
        Ok(match self.opening().await? {
            Opening::Ours => error,
            Opening::Fresh => self.lost(None, error.to_string()),
            Opening::Foreign(by) => self.lost(Some(by), error.to_string()),
        })
    }

    fn lost(&self, by: Option<UploadId>, said: String) -> Error {
        let late_copy =
            by.is_some_and(|by| by != self.upload_id && made_for(&by) == made_for(&self.upload_id));
        Error::SessionLost(Lost {
            datasource: self.datasource.clone(),
            upload_id: self.upload_id.to_string(),
            late_copy,
            said,
        })
    }

    async fn marker(&self, flags: PageFlags) -> Result<()> {
        self.client.post(BULK, Batch::default().request(self.address(), flags)).await
    }

    /// Adds or changes documents outside a session, at the pace that Glean allows there.
    pub async fn index(&self, batch: &Batch) -> Result<Vec<Refused>> {
        if let Some(waiting) = &self.beside {
            let waiting = Self { upload_id: waiting.clone(), beside: None, ..self.clone() };
            match waiting.bulk(batch).await {
                // It was ended, or replaced: it deletes nothing any more.
                Ok(_) | Err(Error::SessionLost(_)) => {}
                Err(error) => return Err(error),
            }
        }
        self.send(INDEX, batch, PageFlags::default()).await
    }

    /// Sends a batch; one that is refused is halved until the documents at fault stand alone.
    async fn send(&self, path: &str, batch: &Batch, flags: PageFlags) -> Result<Vec<Refused>> {
        let mut refused: Vec<(String, Error)> = Vec::new();
        let mut flags = flags;
        let mut waiting = vec![batch.clone()];
        while let Some(part) = waiting.pop() {
            if path == INDEX {
                // A part that is sent again counts again: Glean has read it each time.
                self.client.pace_documents(part.documents()).await;
            }
            let error = match self.client.post(path, part.request(self.address(), flags)).await {
                Ok(()) => {
                    // The session is open: what follows are middle pages.
                    flags = PageFlags::default();
                    self.accepted.store(true, Ordering::Relaxed);
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
            if let Some((first, second)) = part.split() {
                waiting.push(second);
                waiting.push(first);
            } else {
                let id = part.ids().pop().unwrap_or_else(|| "?".to_owned());
                refused.push((id, error));
            }
        }
        if refused.len() == batch.documents() {
            self.judge(path, flags, &refused).await?;
        }
        let refused = refused.into_iter();
        Ok(refused.map(|(id, error)| Refused { id, reason: error.to_string() }).collect())
    }

    /// Not one document of a batch passed. Succeeds when the documents are at fault, and fails when the
    /// request is: a token without the scope, a datasource that was switched off, a field that Glean has
    /// come to refuse. Setting documents aside for that would empty an index step by step.
    ///
    /// - Words that are the same for each of several documents name none of them: they are about what the
    ///   documents share, which is the request. The size of a request (413) is the exception: several
    ///   documents may each be too large.
    /// - Ten that are refused are too many to be a coincidence, whatever is said of each.
    /// - Of one document alone the words cannot tell. So the same request is sent once more without it. Is
    ///   that refused in the same words, they are not about the document. If it passes, they are. And if
    ///   Glean says something else, such as that there must be a document, it depends on whether any
    ///   document was taken before: if so, this one is at fault. If none was, nobody knows, and the crawl
    ///   fails: it is tried again, and the next full crawl sends the document beside others.
    async fn judge(&self, path: &str, flags: PageFlags, refused: &[(String, Error)]) -> Result<()> {
        let Some(((id, first), others)) = refused.split_first() else { return Ok(()) };
        let fault = || {
            Err(Error::RequestAtFault(RequestFault {
                datasource: self.datasource.clone(),
                id: id.clone(),
                said: first.to_string(),
            }))
        };
        let words = first.said();
        let of_size = refused.iter().any(|(_, error)| matches!(error, Error::TooLarge(_)));
        let same = !others.is_empty() && others.iter().all(|(_, error)| error.said() == words);
        if refused.len() >= ALL_REFUSED || (same && !of_size) {
            return fault();
        }
        // A first page has to go in any case: nothing has opened the session yet.
        let in_doubt = others.is_empty() && !of_size;
        if !in_doubt && !flags.first {
            return Ok(());
        }
        let empty = Batch::default().request(self.address(), flags);
        match self.client.post(path, empty).await {
            Ok(()) => Ok(()),
            Err(Error::BadRequest(answer)) if in_doubt && answer.said == words => fault(),
            Err(error) if flags.first => Err(error),
            Err(Error::BadRequest(_)) if self.accepted.load(Ordering::Relaxed) => Ok(()),
            Err(Error::BadRequest(_)) => fault(),
            Err(error) => Err(error),
        }
    }
}

/// The upload id that a restart's id was made for.
fn made_for(upload_id: &str) -> &str {
    match upload_id.rsplit_once("-r") {
        Some((before, made))
            if made.len() == 8 && made.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            before
        }
        _ => upload_id,
    }
}
