//! Upload sessions: one at a time for each kind of data and datasource. Glean: "Bulk upload model".

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::answer::{Answer, Refusal};
use crate::store::timestamp;

/// Where a page stands, from its request.
pub(crate) struct Page<'a> {
    /// What is uploaded: `documents`, `users`, `groups`, or `memberships:GROUP`.
    pub kind: &'a str,
    pub datasource: &'a str,
    pub upload_id: &'a str,
    pub is_first: bool,
    pub is_last: bool,
    pub force_restart: bool,
    pub skip_deletion_check: bool,
}

/// An open session.
pub(crate) struct Session {
    pub number: i64,
    /// What was last seen before this is not part of the session.
    pub since: i64,
}

impl Page<'_> {
    /// Finds or opens the page's session, by the rules.
    pub(crate) fn session(&self, database: &Transaction<'_>, now: i64) -> Answer<Session> {
        if self.upload_id.is_empty() {
            return Err(Refusal::bad("uploadId is required"));
        }
        if self.force_restart && !self.is_first {
            return Err(Refusal::bad("forceRestartUpload is only allowed with isFirstPage"));
        }
        if self.skip_deletion_check && !self.is_last {
            return Err(Refusal::bad(
                "the stale deletion check can only be disabled on the last page",
            ));
        }
        let active = self.active(database)?;
        if !self.is_first {
            return match active {
                Some((session, id)) if id == self.upload_id => Ok(session),
                Some((_, id)) => Err(Refusal::conflict(format!(
                    "another upload, {id:?}, is in progress: concurrent uploads are not allowed"
                ))),
                None => Err(Refusal::bad(format!(
                    "there is no upload {:?} in progress: its first page must have isFirstPage",
                    self.upload_id
                ))),
            };
        }
        if let Some((session, id)) = active {
            if !self.force_restart {
                return Err(Refusal::conflict(format!(
                    "the upload {id:?} has not finished: set forceRestartUpload to discard it"
                )));
            }
            session.discard(database)?;
        }
        self.open(database, now)
    }

    fn active(&self, database: &Transaction<'_>) -> Answer<Option<(Session, String)>> {
        Ok(database
            .prepare_cached(
                "SELECT number, since, upload_id FROM uploads
                 WHERE kind = ?1 AND datasource = ?2 AND state = 'ACTIVE'",
            )?
            .query_row(params![self.kind, self.datasource], |row| {
                Ok((Session { number: row.get(0)?, since: row.get(1)? }, row.get(2)?))
            })
            .optional()?)
    }

    fn open(&self, database: &Transaction<'_>, now: i64) -> Answer<Session> {
        let used: bool = database.query_row(
            "SELECT EXISTS (SELECT 1 FROM uploads WHERE kind = ?1 AND datasource = ?2
             AND upload_id = ?3 AND state != 'DISCARDED')",
            params![self.kind, self.datasource, self.upload_id],
            |row| row.get(0),
        )?;
        if used {
            return Err(Refusal::bad(format!(
                "the uploadId {:?} was used by an earlier upload: it must be unique",
                self.upload_id
            )));
        }
        database.execute(
            "INSERT INTO uploads (kind, datasource, upload_id, started_at, since, state)
             VALUES (?1, ?2, ?3, ?4, ?5, 'ACTIVE')",
            params![self.kind, self.datasource, self.upload_id, timestamp(), now],
        )?;
        Ok(Session { number: database.last_insert_rowid(), since: now })
    }
}

impl Session {
    pub(crate) fn discard(&self, database: &Transaction<'_>) -> Answer {
        database.execute(
            "UPDATE uploads SET state = 'DISCARDED', ended_at = ?2 WHERE number = ?1",
            params![self.number, timestamp()],
        )?;
        Ok(())
    }

    pub(crate) fn count(&self, database: &Transaction<'_>, documents: usize) -> Answer {
        database.execute(
            "UPDATE uploads SET pages = pages + 1, documents = documents + ?2 WHERE number = ?1",
            params![self.number, i64::try_from(documents).unwrap_or(i64::MAX)],
        )?;
        Ok(())
    }

    /// The last page was there; what is stale is looked at later.
    pub(crate) fn complete(&self, database: &Transaction<'_>) -> Answer {
        database.execute(
            "UPDATE uploads SET state = 'COMPLETED', ended_at = ?2 WHERE number = ?1",
            params![self.number, timestamp()],
        )?;
        Ok(())
    }

    /// What was stale is gone, `deleted` in number, or deletion waits for a person.
    pub(crate) fn close(&self, database: &Transaction<'_>, deleted: usize, paused: bool) -> Answer {
        database.execute(
            "UPDATE uploads SET state = ?2, ended_at = coalesce(ended_at, ?3), deleted = ?4
             WHERE number = ?1",
            params![
                self.number,
                if paused { "DELETION PAUSED" } else { "SUCCESSFUL" },
                timestamp(),
                i64::try_from(deleted).unwrap_or(i64::MAX)
            ],
        )?;
        Ok(())
    }
}

/// When something that came alone counts as seen. While a session is open it is no part of it: Glean
/// deletes "everything not in the upload", and does not promise to spare what came beside it.
pub(crate) fn seen_alone(
    database: &Transaction<'_>,
    kind: &str,
    datasource: &str,
    now: i64,
) -> Answer<i64> {
    let is_open = database
        .prepare_cached(
            "SELECT 1 FROM uploads WHERE kind = ?1 AND datasource = ?2 AND state = 'ACTIVE'",
        )?
        .exists(params![kind, datasource])?;
    Ok(if is_open { 0 } else { now })
}

/// Glean pauses a deletion of more than a fifth of what is there.
pub(crate) fn is_suspicious(stale: i64, total: i64) -> bool {
    stale * 5 > total
}
