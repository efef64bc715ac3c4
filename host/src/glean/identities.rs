//! Users, groups and who is in them: each replaced as a whole, in a session of its own. Glean: "Bulk upload model".
//!
//! **A request that timed out may still be executed**, minutes later (see [`super::upload`]). So a first page is sent
//! once under an upload id, and the next try has another id and takes the place of whatever the one before may have
//! opened. Where there are several pages the first one is empty: a late copy of it brings nobody back, and if it
//! discards our session, the next page is refused and the session begins again. A session of one page says all of it
//! at once, and so may bring back what was when it is executed late: [`Told::InDoubt`], and it is told once more later.

use bytes::Bytes;

use super::client::Client;
use super::error::{Error, Result};
use super::status::UploadEvent;
use crate::wire::identities::{PageOf, Replaced, Row};

/// Rows of one page, and about so many bytes of them.
const PAGE_ROWS: usize = 1_000;
const PAGE_BYTES: usize = 1 << 20;
/// So often a session is begun again that another took the place of.
const MAX_LOST: u32 = 3;

/// What one crawl tells Glean of a datasource's users and groups. Nobody else of ours does meanwhile.
pub struct Identities {
    pub client: Client,
    pub datasource: String,
    /// The ids of this crawl's sessions begin so.
    pub upload_id: String,
    /// A person has looked at what is deleted.
    pub approved: bool,
}

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Certain,
    /// A request before the one that was answered may be executed later.
    InDoubt,
}

/// Why a try of a session ended.
enum Ended {
    /// Its first page was refused, or what became of it is not known.
    First(Error),
    /// A page after that was refused: the session is not in progress any more.
    Lost(Error),
    Failed(Error),
}

impl Identities {
    /// Replaces all that Glean has of it by these rows.
    pub async fn replace<'r, R>(&self, what: Replaced<'_>, rows: impl Fn() -> R) -> Result<Told>
    where
        R: Iterator<Item = Row<'r>>,
    {
        let mut tries = self.client.tries(what.path());
        let (mut restart, mut lost, mut told) = (false, 0, Told::Certain);
        loop {
            let error = match self.session(what, restart, rows()).await {
                Ok(()) => return Ok(tries.done(told)),
                // Either the rows are at fault, or a session that was left unfinished, by whomever: documents'
                // sessions make way as well.
                Err(Ended::First(error)) if error.is_refusal() => {
                    if restart {
                        return Err(error);
                    }
                    tracing::debug!("{error}; trying whether another session is in the way");
                    restart = true;
                    continue;
                }
                Err(Ended::Lost(error)) => {
                    lost += 1;
                    if lost > MAX_LOST {
                        return Err(error);
                    }
                    restart = true;
                    continue;
                }
                Err(Ended::Failed(error)) => return Err(error),
                Err(Ended::First(error)) => error,
            };
            tries.again(error).await?;
            (restart, told) = (true, Told::InDoubt);
        }
    }

    /// One try, under an id of its own.
    async fn session<'r>(
        &self,
        what: Replaced<'_>,
        restart: bool,
        rows: impl Iterator<Item = Row<'r>>,
    ) -> Result<(), Ended> {
        let id = format!("{}-{:08x}", self.upload_id, rand::random::<u32>());
        let mut rows = rows.peekable();
        let mut encoded = page(&mut rows).map_err(Ended::Failed)?;
        let of = |first: bool, last: bool| PageOf {
            what,
            datasource: &self.datasource,
            upload_id: &id,
            first,
            last,
            restart,
            approved: self.approved,
        };
        let is_one = rows.peek().is_none();
        let rows_of_first = if is_one { encoded.as_slice() } else { &[] };
        let first = [Bytes::from(of(true, is_one).request(rows_of_first))];
        self.client.post_once(what.path(), &first).await.map_err(Ended::First)?;
        if is_one {
            return Ok(());
        }
        loop {
            let last = rows.peek().is_none();
            let request = vec![Bytes::from(of(false, last).request(&encoded))];
            match self.client.post(what.path(), request).await {
                Ok(()) => {}
                // An answer may have been lost, and the session have ended by it.
                Err(error) if error.is_refusal() => {
                    let all = self.history(what).await.map_err(Ended::Failed)?;
                    let ended = |upload: &UploadEvent| {
                        upload.upload_id.as_str() == id && upload.is_finished()
                    };
                    if !(last && all.iter().any(ended)) {
                        return Err(Ended::Lost(error));
                    }
                }
                Err(error) => return Err(Ended::Failed(error)),
            }
            if last {
                return Ok(());
            }
            encoded = page(&mut rows).map_err(Ended::Failed)?;
        }
    }

    /// Glean works on memberships now, instead of some time later.
    pub async fn process_memberships(&self) -> Result<()> {
        let body = serde_json::json!({ "datasource": self.datasource }).to_string();
        self.client.post("/processallmemberships", vec![body.into()]).await
    }

    async fn history(&self, what: Replaced<'_>) -> Result<Vec<UploadEvent>> {
        let status = self.client.datasource_status(&self.datasource).await?;
        Ok(status.identity_uploads(what.list()))
    }
}

/// As many rows as a page has, encoded.
fn page<'r>(rows: &mut impl Iterator<Item = Row<'r>>) -> Result<Vec<u8>> {
    let (mut encoded, mut count) = (Vec::new(), 0);
    while count < PAGE_ROWS && encoded.len() < PAGE_BYTES {
        let Some(row) = rows.next() else { break };
        if count > 0 {
            encoded.push(b',');
        }
        serde_json::to_writer(&mut encoded, &row).map_err(|error| {
            let what = format!("a row cannot be written as JSON: {error}");
            crate::failure::Failure::internal(what)
        })?;
        count += 1;
    }
    Ok(encoded)
}
