//! How Glean lags behind what it was told. Its counts "may be cached and could be up to 3 hours stale",
//! and what an upload did not bring is deleted, or kept for a person to look at, some time after the
//! last page.

use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;

use crate::answer::Answer;
use crate::documents;
use crate::sessions::Session;

/// How the counts in `/debug/{datasource}/status` follow what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Counts {
    Live,
    /// They stay what they are now.
    Frozen,
    /// Every so many reads they are counted again, beginning with the first after that many.
    Lagging(u32),
}

pub(crate) fn set_counts(database: &Transaction<'_>, counts: Counts) -> Answer {
    database.execute("DELETE FROM count_lag", [])?;
    let every = match counts {
        Counts::Live => return Ok(()),
        Counts::Frozen => 0,
        Counts::Lagging(every) => every,
    };
    database.execute("INSERT INTO count_lag VALUES (0, ?1, 0)", [every])?;
    count(database)
}

fn count(database: &Transaction<'_>) -> Answer {
    database.execute("DELETE FROM shown_counts", [])?;
    database.execute(
        "INSERT INTO shown_counts
         SELECT datasource, object_type, count(*) FROM documents GROUP BY 1, 2",
        [],
    )?;
    Ok(())
}

/// The documents of each object type that a reader of the status is told of.
pub(crate) fn counts(database: &Transaction<'_>, datasource: &str) -> Answer<Vec<(String, i64)>> {
    let lag: Option<(i64, i64)> = database
        .query_row("UPDATE count_lag SET reads = reads + 1 RETURNING every, reads", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let sql = match lag {
        None => {
            "SELECT object_type, count(*) FROM documents WHERE datasource = ?1 GROUP BY object_type"
        }
        Some((every, reads)) => {
            if every > 0 && reads % every == 0 {
                count(database)?;
            }
            "SELECT object_type, count FROM shown_counts WHERE datasource = ?1"
        }
    };
    let mut statement = database.prepare_cached(sql)?;
    let rows = statement.query_map([datasource], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last page was there, and what is stale waits until the status was read so often.
pub(crate) fn put_off(
    database: &Transaction<'_>,
    session: &Session,
    reads: u32,
    unchecked: bool,
) -> Answer {
    session.complete(database)?;
    database.execute(
        "INSERT INTO stale_checks VALUES (?1, ?2, ?3)",
        params![session.number, reads, unchecked],
    )?;
    Ok(())
}

/// A datasource's status was read: does the checks whose time has come.
pub(crate) fn status_was_read(database: &Transaction<'_>, datasource: &str) -> Answer {
    database.execute(
        "UPDATE stale_checks SET reads_left = reads_left - 1
         WHERE upload IN (SELECT number FROM uploads WHERE datasource = ?1)",
        [datasource],
    )?;
    let mut statement = database.prepare_cached(
        "DELETE FROM stale_checks WHERE reads_left <= 0
         AND upload IN (SELECT number FROM uploads WHERE datasource = ?1)
         RETURNING upload, (SELECT since FROM uploads WHERE number = upload), unchecked",
    )?;
    let due = statement.query_map([datasource], |row| {
        Ok((Session { number: row.get(0)?, since: row.get(1)? }, row.get(2)?))
    })?;
    let due: Vec<(Session, bool)> = due.collect::<Result<_, _>>()?;
    due.iter().try_for_each(|(session, unchecked)| {
        documents::delete_stale(database, datasource, session, *unchecked)
    })
}
