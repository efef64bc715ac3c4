//! Custom metadata of documents, and its schemas: kept, and not searched. This part of the API has an
//! address of its own, and declares what its errors look like.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde_json::{Value, json};

use crate::App;
use crate::answer::{Answer, Refusal, read};
use crate::people::{fields, list};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(
            "/custom-metadata/schema/{group}",
            put(put_schema).get(get_schema).delete(delete_schema),
        )
        .route("/document/{id}/custom-metadata/{group}", put(put_values).delete(delete_values))
        .route("/submissions/{datasource}/{kind}", post(submit))
}

/// A refusal in the shape that is declared here.
struct Declared(Refusal);

impl From<Refusal> for Declared {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Declared {
    fn into_response(self) -> Response {
        let Refusal(status, what) = self.0;
        let error = status.canonical_reason().unwrap_or_default();
        (status, Json(json!({ "error": error, "message": what }))).into_response()
    }
}

type Answered = Result<Json<Value>, Declared>;

fn success() -> Json<Value> {
    Json(json!({ "success": true }))
}

fn find(database: &Transaction<'_>, kind: &str, key: &str) -> Answer<Option<Value>> {
    let json: Option<String> = database
        .query_row(
            "SELECT json FROM entries WHERE kind = ?1 AND key = ?2",
            params![kind, key],
            |row| row.get(0),
        )
        .optional()?;
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
}

fn keep(database: &Transaction<'_>, kind: &str, key: &str, value: &Value) -> Answer {
    database.execute(
        "INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, 0)",
        params![kind, key, value.to_string()],
    )?;
    Ok(())
}

async fn forget(app: App, kind: &'static str, key: String, what: String) -> Answered {
    let deleted = app.store.with(move |database| {
        let sql = "DELETE FROM entries WHERE kind = ?1 AND key = ?2";
        Ok(database.execute(sql, params![kind, key])?)
    });
    match deleted.await? {
        0 => Err(missing(&what).into()),
        _ => Ok(success()),
    }
}

fn missing(what: &str) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("there is no {what}"))
}

const TYPES: &[&str] = &["TEXT", "DATE", "INT", "USERID", "PICKLIST", "TEXTLIST", "MULTIPICKLIST"];

async fn put_schema(State(app): State<App>, Path(group): Path<String>, body: Bytes) -> Answered {
    let schema: Value = read(&body)?;
    fields("the schema", &schema, &["metadataKeys"], &[])?;
    for key in list(&schema, "metadataKeys")? {
        let more = [
            "displayLabel",
            "displayLabelPlural",
            "propertyType",
            "uiOptions",
            "hideUiFacet",
            "uiFacetOrder",
            "skipIndexing",
            "group",
        ];
        fields("a metadata key", key, &["name"], &more)?;
        let kind = &key["propertyType"];
        if !kind.is_null() && !kind.as_str().is_some_and(|name| TYPES.contains(&name)) {
            return Err(Refusal::bad(format!("there is no propertyType {kind}")).into());
        }
    }
    app.store.with(move |database| keep(database, "schema", &group, &schema)).await?;
    Ok(success())
}

async fn get_schema(State(app): State<App>, Path(group): Path<String>) -> Answered {
    let found = app.store.with(move |database| {
        find(database, "schema", &group)?.ok_or_else(|| missing(&format!("schema {group:?}")))
    });
    Ok(Json(found.await?))
}

/// Glean: this "does not delete existing metadata values on documents".
async fn delete_schema(State(app): State<App>, Path(group): Path<String>) -> Answered {
    let what = format!("schema {group:?}");
    forget(app, "schema", group, what).await
}

fn key_of(id: &str, group: &str) -> String {
    format!("{group}/{id}")
}

async fn put_values(
    State(app): State<App>,
    Path((id, group)): Path<(String, String)>,
    body: Bytes,
) -> Answered {
    let sent: Value = read(&body)?;
    fields("the request", &sent, &["customMetadata"], &[])?;
    app.store
        .with(move |database| {
            let schema = find(database, "schema", &group)?.ok_or_else(|| {
                Refusal::bad(format!("the group {group:?} has no schema: put it first"))
            })?;
            let known: Vec<_> =
                list(&schema, "metadataKeys")?.iter().map(|key| &key["name"]).collect();
            for value in list(&sent, "customMetadata")? {
                fields("a value", value, &["name", "value"], &[])?;
                if !known.contains(&&value["name"]) {
                    let name = &value["name"];
                    return Err(Refusal::bad(format!("the schema of {group:?} has no {name}")));
                }
            }
            keep(database, "metadata", &key_of(&id, &group), &sent)
        })
        .await?;
    Ok(success())
}

async fn delete_values(
    State(app): State<App>,
    Path((id, group)): Path<(String, String)>,
) -> Answered {
    let what = format!("custom metadata {group:?} of the document {id:?}");
    forget(app, "metadata", key_of(&id, &group), what).await
}

async fn submit() -> Declared {
    Refusal::bad("only Glean processes submissions: the local Glean does not know their types")
        .into()
}
