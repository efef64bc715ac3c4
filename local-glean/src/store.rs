//! The database: one connection, used by one request at a time, off the async threads.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, Transaction};

use crate::answer::{Answer, Refusal};

const SCHEMA: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS datasources (name TEXT PRIMARY KEY, config TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
    row INTEGER PRIMARY KEY,
    datasource TEXT NOT NULL,
    id TEXT NOT NULL,
    folded TEXT NOT NULL,
    object_type TEXT NOT NULL,
    title TEXT NOT NULL,
    url TEXT NOT NULL,
    json TEXT NOT NULL,
    permissions TEXT NOT NULL,
    seen INTEGER NOT NULL,
    uploaded_at TEXT NOT NULL,
    UNIQUE (datasource, folded)
);
CREATE VIRTUAL TABLE IF NOT EXISTS texts USING fts5 (title, body, tokenize = 'unicode61 remove_diacritics 2');
CREATE TABLE IF NOT EXISTS uploads (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    datasource TEXT NOT NULL,
    upload_id TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    since INTEGER NOT NULL,
    pages INTEGER NOT NULL DEFAULT 0,
    documents INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS clock (only INTEGER PRIMARY KEY CHECK (only = 0), now INTEGER NOT NULL);
INSERT OR IGNORE INTO clock VALUES (0, 1);
CREATE TABLE IF NOT EXISTS count_lag (
    only INTEGER PRIMARY KEY CHECK (only = 0), every INTEGER NOT NULL, reads INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS shown_counts (
    datasource TEXT NOT NULL, object_type TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (datasource, object_type)
);
CREATE TABLE IF NOT EXISTS stale_checks (
    upload INTEGER PRIMARY KEY, reads_left INTEGER NOT NULL, unchecked INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS versions (
    kind TEXT NOT NULL, datasource TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    PRIMARY KEY (kind, datasource, key)
);
CREATE TABLE IF NOT EXISTS calls (what TEXT PRIMARY KEY, at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    datasource TEXT NOT NULL, folded TEXT NOT NULL, object_type TEXT NOT NULL, event TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_of_documents ON events (datasource, folded);
CREATE TABLE IF NOT EXISTS entries (
    kind TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE TABLE IF NOT EXISTS users (
    datasource TEXT NOT NULL, email TEXT NOT NULL COLLATE NOCASE, user_id TEXT, active INTEGER NOT NULL,
    seen INTEGER NOT NULL, PRIMARY KEY (datasource, email)
);
CREATE TABLE IF NOT EXISTS groups (
    datasource TEXT NOT NULL, name TEXT NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (datasource, name)
);
CREATE TABLE IF NOT EXISTS memberships (
    datasource TEXT NOT NULL, group_name TEXT NOT NULL, member_user TEXT NOT NULL COLLATE NOCASE,
    member_group TEXT NOT NULL, seen INTEGER NOT NULL,
    PRIMARY KEY (datasource, group_name, member_user, member_group)
);
";

#[derive(Clone)]
pub(crate) struct Store(Arc<Mutex<Connection>>);

impl Store {
    pub(crate) fn open(file: Option<&Path>) -> Result<Self, rusqlite::Error> {
        let connection = match file {
            Some(file) => Connection::open(file)?,
            None => Connection::open_in_memory()?,
        };
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Does `work` as a whole or not at all.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let connection = self.0.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction()?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        });
        done.await.unwrap_or_else(|error| {
            let status = axum::http::StatusCode::INTERNAL_SERVER_ERROR;
            Err(Refusal(status, format!("local Glean failed: {error}")))
        })
    }
}

/// The time as a number that grows with each request: what is older than a session is stale.
pub(crate) fn advance(database: &Transaction<'_>) -> Answer<i64> {
    Ok(database
        .prepare_cached("UPDATE clock SET now = now + 1 RETURNING now")?
        .query_row([], |row| row.get(0))?)
}

/// The time as people read it.
pub(crate) fn timestamp() -> String {
    humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string()
}

/// The time in seconds.
pub(crate) fn seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
