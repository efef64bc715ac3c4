//! `debug/{datasource}/…`: what Glean knows of uploads, documents and users.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::App;
use crate::answer::{Answer, Refusal, read};
use crate::lag;
use crate::rules::Datasource;
use crate::visibility::groups_of;

pub fn routes() -> Router<App> {
    Router::new()
        .route("/debug/{datasource}/status", post(status))
        .route("/debug/{datasource}/document", post(document))
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
            Datasource::find(database, &datasource)?;
            let found: Option<(String, String)> = database
                .query_row(
                    "SELECT uploaded_at, permissions FROM documents
                     WHERE datasource = ?1 AND folded = ?2 AND object_type = ?3",
                    params![datasource, asked.doc_id.to_lowercase(), asked.object_type],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            Ok(Json(match found {
                None => json!({ "status": {
                    "uploadStatus": "NOT_UPLOADED", "indexingStatus": "NOT_INDEXED",
                }}),
                Some((at, permissions)) => json!({
                    "status": {
                        "uploadStatus": "UPLOADED", "lastUploadedAt": at,
                        "indexingStatus": "INDEXED", "lastIndexedAt": at,
                    },
                    "uploadedPermissions":
                        serde_json::from_str::<Value>(&permissions).unwrap_or_default(),
                }),
            }))
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
            let groups: Vec<_> = groups.into_iter().map(|name| json!({ "name": name })).collect();
            Ok(Json(json!({
                "status": { "isActiveUser": active, "uploadStatus": "UPLOADED" },
                "uploadedGroups": groups,
            })))
        })
        .await
}
