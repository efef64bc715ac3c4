//! `debug/{datasource}/…`: what Glean knows of uploads, documents and users.

use std::time::{Duration, SystemTime};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::answer::{Answer, Refusal, read};
use crate::concurrency::once_in;
use crate::lag;
use crate::rules::Datasource;
use crate::visibility::groups_of;
use crate::wire::Permissions;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/debug/{datasource}/status", post(status))
        .route("/debug/{datasource}/document", post(document))
        .route("/debug/{datasource}/documents", post(documents))
        .route("/debug/{datasource}/document/events", post(events))
        .route("/debug/{datasource}/user", post(user))
}

async fn status(State(app): State<App>, Path(datasource): Path<String>) -> Answer<Json<Value>> {
    app.store
        .with(move |database| {
            Datasource::find(database, &datasource)?;
            let counts: Vec<Value> = lag::counts(database, &datasource)?
                .into_iter()
                .map(|(object_type, count)| json!({ "objectType": object_type, "count": count }))
                .collect();
            let of = |table: &str| -> Answer<i64> {
                let sql = format!("SELECT count(*) FROM {table} WHERE datasource = ?1");
                Ok(database.query_row(&sql, [&datasource], |row| row.get(0))?)
            };
            let identity = |kind: &str, count: i64| -> Answer<Value> {
                Ok(json!({
                    "bulkUploadHistory": history(database, &datasource, kind)?,
                    "counts": { "uploaded": count },
                }))
            };
            let status = json!({
                "documents": {
                    "bulkUploadHistory": history(database, &datasource, "documents")?,
                    "counts": { "uploaded": counts, "indexed": counts },
                    "processingHistory": [],
                },
                "identity": {
                    "processingHistory": [],
                    "users": identity("users", of("users")?)?,
                    "groups": identity("groups", of("groups")?)?,
                    "memberships": identity("memberships:%", of("memberships")?)?,
                },
                "datasourceVisibility": "ENABLED_FOR_ALL",
            });
            lag::status_was_read(database, &datasource)?;
            Ok(Json(status))
        })
        .await
}

/// Active and successful uploads, the newest first.
fn history(database: &Transaction<'_>, datasource: &str, kind: &str) -> Answer<Vec<Value>> {
    let mut statement = database.prepare_cached(
        "SELECT upload_id, started_at, coalesce(ended_at, 'NA'), state, pages FROM uploads
         WHERE datasource = ?1 AND kind LIKE ?2 AND state != 'DISCARDED'
         ORDER BY number DESC LIMIT 20",
    )?;
    let rows = statement.query_map(params![datasource, kind], |row| {
        let state: String = row.get(3)?;
        let pages: i64 = row.get(4)?;
        let (status, processing) = match state.as_str() {
            "ACTIVE" if pages <= 1 => ("ACTIVE", "UPLOAD STARTED"),
            "ACTIVE" => ("ACTIVE", "UPLOAD IN PROGRESS"),
            "COMPLETED" => ("SUCCESSFUL", "UPLOAD COMPLETED"),
            "DELETION PAUSED" => ("SUCCESSFUL", "DELETION PAUSED"),
            _ => ("SUCCESSFUL", "INDEXING COMPLETED"),
        };
        Ok(json!({
            "uploadId": row.get::<_, String>(0)?,
            "startTime": row.get::<_, String>(1)?,
            "endTime": row.get::<_, String>(2)?,
            "status": status,
            "processingState": processing,
        }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DebugDocument {
    object_type: String,
    doc_id: String,
}

async fn document(
    State(app): State<App>,
    Path(datasource): Path<String>,
    body: Bytes,
) -> Answer<Json<Value>> {
    let asked: DebugDocument = read(&body)?;
    app.store
        .with(move |database| {
            let datasource = Datasource::find(database, &datasource)?;
            Ok(Json(state_of(database, &datasource, &asked)?))
        })
        .await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DebugDocuments {
    debug_documents: Vec<DebugDocument>,
}

async fn documents(
    State(app): State<App>,
    Path(datasource): Path<String>,
    body: Bytes,
) -> Answer<Json<Value>> {
    let asked: DebugDocuments = read(&body)?;
    app.store
        .with(move |database| {
            let datasource = Datasource::find(database, &datasource)?;
            let statuses = asked.debug_documents.iter().map(|asked| {
                Ok(json!({
                    "docId": asked.doc_id,
                    "objectType": asked.object_type,
                    "debugInfo": state_of(database, &datasource, asked)?,
                }))
            });
            let statuses: Vec<Value> = statuses.collect::<Answer<_>>()?;
            Ok(Json(json!({ "documentStatuses": statuses })))
        })
        .await
}

fn state_of(
    database: &Transaction<'_>,
    datasource: &Datasource,
    asked: &DebugDocument,
) -> Answer<Value> {
    let found: Option<(String, String)> = database
        .prepare_cached(
            "SELECT uploaded_at, permissions FROM documents
             WHERE datasource = ?1 AND folded = ?2 AND object_type = ?3",
        )?
        .query_row(
            params![datasource.name, asked.doc_id.to_lowercase(), asked.object_type],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((at, permissions)) = found else {
        return Ok(json!({ "status": {
            "uploadStatus": "NOT_UPLOADED", "indexingStatus": "NOT_INDEXED",
            "permissionIdentityStatus": "STATUS_UNKNOWN",
        }}));
    };
    Ok(json!({
        "status": {
            "uploadStatus": "UPLOADED", "lastUploadedAt": at,
            "indexingStatus": "INDEXED", "lastIndexedAt": at,
            "permissionIdentityStatus": identities_of(database, datasource, &permissions)?,
        },
        "uploadedPermissions": serde_json::from_str::<Value>(&permissions).unwrap_or_default(),
    }))
}

/// Whether every user and group that may see a document was uploaded.
fn identities_of(
    database: &Transaction<'_>,
    datasource: &Datasource,
    permissions: &str,
) -> Answer<&'static str> {
    if datasource.has_other_identities {
        return Ok("STATUS_UNKNOWN");
    }
    let permissions: Permissions = serde_json::from_str(permissions).unwrap_or_default();
    let mut user = database.prepare_cached(
        "SELECT 1 FROM users WHERE datasource = ?1 AND (email = ?2 OR user_id = ?3)",
    )?;
    let mut group =
        database.prepare_cached("SELECT 1 FROM groups WHERE datasource = ?1 AND name = ?2")?;
    for allowed in &permissions.allowed_users {
        if !user.exists(params![datasource.name, allowed.email, allowed.datasource_user_id])? {
            return Ok("NOT_UPLOADED");
        }
    }
    let both = permissions.allowed_group_intersections.iter().flat_map(|all| &all.required_groups);
    for name in permissions.allowed_groups.iter().chain(both) {
        if !group.exists(params![datasource.name, name])? {
            return Ok("NOT_UPLOADED");
        }
    }
    Ok("UPLOADED")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DebugEvents {
    object_type: String,
    doc_id: String,
    start_date: Option<String>,
    max_events: Option<i64>,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What happened to a document, the newest first. Glean leaves the order open.
async fn events(
    State(app): State<App>,
    Path(datasource): Path<String>,
    body: Bytes,
) -> Answer<Json<Value>> {
    let asked: DebugEvents = read(&body)?;
    let now = SystemTime::now();
    let since = match &asked.start_date {
        None => now - 7 * DAY,
        Some(date) => {
            let midnight = format!("{date}T00:00:00Z");
            let whole = if date.contains('T') { date } else { &midnight };
            humantime::parse_rfc3339(whole)
                .map_err(|error| Refusal::bad(format!("startDate {date:?}: {error}")))?
        }
    };
    // A date is a whole day: the thirtieth day ago may still be named.
    if since < now - 31 * DAY {
        return Err(Refusal::bad("startDate is more than 30 days in the past"));
    }
    let most = asked.max_events.unwrap_or(20);
    if !(1..=100).contains(&most) {
        return Err(Refusal::bad("maxEvents is not between 1 and 100"));
    }
    let since = humantime::format_rfc3339_millis(since).to_string();
    app.store
        .with(move |database| {
            Datasource::find(database, &datasource)?;
            once_in(database, &format!("/debug/{datasource}/document/events"), 60)?;
            let mut statement = database.prepare_cached(
                "SELECT event, at FROM events
                 WHERE datasource = ?1 AND folded = ?2 AND object_type = ?3 AND at >= ?4
                 ORDER BY rowid DESC LIMIT ?5",
            )?;
            let folded = asked.doc_id.to_lowercase();
            let rows = statement
                .query_map(params![datasource, folded, asked.object_type, since, most], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
                })?
                .collect::<Result<Vec<_>, _>>()?;
            let mut events: Vec<Value> = rows
                .into_iter()
                .flat_map(|(event, at)| {
                    let both = match event.as_str() {
                        "DELETED" => ["DELETED", "DELETION_REQUESTED"],
                        _ => ["INDEXED", "UPLOADED"],
                    };
                    both.map(|event| json!({ "event": event, "timestamp": at }))
                })
                .collect();
            events.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            Ok(Json(json!({ "lifeCycleEvents": events })))
        })
        .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DebugUser {
    email: String,
}

async fn user(
    State(app): State<App>,
    Path(datasource): Path<String>,
    body: Bytes,
) -> Answer<Json<Value>> {
    let asked: DebugUser = read(&body)?;
    if !asked.email.contains('@') {
        return Err(Refusal::bad(format!("{:?} is not an e-mail address", asked.email)));
    }
    app.store
        .with(move |database| {
            Datasource::find(database, &datasource)?;
            let found: Option<(Option<String>, bool)> = database
                .query_row(
                    "SELECT user_id, active FROM users WHERE datasource = ?1 AND email = ?2",
                    params![datasource, asked.email],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((user_id, active)) = found else {
                return Ok(Json(json!({ "status": {
                    "isActiveUser": false, "uploadStatus": "NOT_UPLOADED",
                }})));
            };
            let groups = groups_of(database, &datasource, &asked.email, user_id.as_deref())?;
            let groups: Vec<_> = groups.into_keys().map(|name| json!({ "name": name })).collect();
            Ok(Json(json!({
                "status": { "isActiveUser": active, "uploadStatus": "UPLOADED" },
                "uploadedGroups": groups,
            })))
        })
        .await
}
