//! Two rules about when: versions ("optimistic concurrency control"), and endpoints that may be called
//! only so often.

use axum::http::StatusCode;
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::answer::{Answer, Refusal};
use crate::store::seconds;

/// What a version belongs to. It is remembered when the thing itself is deleted: a late change with an
/// older version does not bring it back.
pub(crate) struct Versioned<'a> {
    pub kind: &'static str,
    pub datasource: &'a str,
    pub key: &'a str,
}

impl Versioned<'_> {
    /// Glean: "if absent or 0 then no version checks are done". An equal version passes: it is the
    /// same change once more.
    pub(crate) fn check(&self, database: &Transaction<'_>, version: Option<i64>) -> Answer {
        let Some(version) = version.filter(|version| *version != 0) else {
            return Ok(());
        };
        let known: Option<i64> = database
            .prepare_cached(
                "SELECT version FROM versions WHERE kind = ?1 AND datasource = ?2 AND key = ?3",
            )?
            .query_row(params![self.kind, self.datasource, self.key], |row| row.get(0))
            .optional()?;
        if let Some(known) = known.filter(|known| version < *known) {
            return Err(Refusal::conflict(format!(
                "{} {:?}: version {version} is older than {known}, which was there before",
                self.kind, self.key
            )));
        }
        database
            .prepare_cached("INSERT OR REPLACE INTO versions VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.kind, self.datasource, self.key, version])?;
        Ok(())
    }
}

/// An endpoint that may be called once in so many seconds.
pub(crate) fn once_in(database: &Transaction<'_>, what: &str, every: i64) -> Answer {
    let wait = remaining(database, what, every)?;
    if wait > 0 {
        return Err(Refusal(
            StatusCode::TOO_MANY_REQUESTS,
            format!("{what} may be called once in {every} seconds: {wait} are left"),
        ));
    }
    database.execute("INSERT OR REPLACE INTO calls VALUES (?1, ?2)", params![what, seconds()])?;
    Ok(())
}

fn remaining(database: &Transaction<'_>, what: &str, every: i64) -> Answer<i64> {
    let last: Option<i64> = database
        .query_row("SELECT at FROM calls WHERE what = ?1", [what], |row| row.get(0))
        .optional()?;
    Ok(last.map_or(0, |last| last + every - seconds()))
}

const PROCESS_ALL_SECONDS: i64 = 3 * 60 * 60;

/// `/processalldocuments`: once in three hours for a datasource. A call for all of them holds up each;
/// a call for one does not hold up a call for all.
pub(crate) fn may_process(database: &Transaction<'_>, datasource: Option<&str>) -> Answer {
    const ALL: &str = "/processalldocuments";
    match datasource {
        None => once_in(database, ALL, PROCESS_ALL_SECONDS),
        Some(datasource) => {
            let wait = remaining(database, ALL, PROCESS_ALL_SECONDS)?;
            if wait > 0 {
                return Err(Refusal(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("{ALL} was called for every datasource: {wait} seconds are left"),
                ));
            }
            once_in(database, &format!("{ALL} for {datasource:?}"), PROCESS_ALL_SECONDS)
        }
    }
}
