//! Datasources and documents.

use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::App;
use crate::answer::{Answer, Refusal, read, read_or_default};
use crate::concurrency::{Versioned, may_process};
use crate::lag;
use crate::rules::{self, Datasource};
use crate::sessions::{Page, Session, is_suspicious, seen_alone};
use crate::store::{advance, timestamp};
use crate::text;
use crate::visibility::{Verdict, may_see};
use crate::wire::{
    BulkIndexDocuments, CheckAccess, DeleteDocument, Document, ForAll, ForDatasource,
    IndexDocument, IndexDocuments, UpdatePermissions,
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/adddatasource", post(add_datasource))
        .route("/getdatasourceconfig", post(datasource_config))
        .route("/bulkindexdocuments", post(bulk_index))
        .route("/indexdocuments", post(index_many))
        .route("/indexdocument", post(index_one))
        .route("/deletedocument", post(delete))
        .route("/updatepermissions", post(update_permissions))
        .route("/processalldocuments", post(process_all))
        .route("/checkdocumentaccess", post(check_access))
}

async fn add_datasource(State(app): State<App>, body: Bytes) -> Answer {
    let config: Value = read(&body)?;
    let name = rules::check_config(&config)?;
    app.store
        .with(move |database| {
            database.execute(
                "INSERT INTO datasources VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET config = excluded.config",
                params![name, config.to_string()],
            )?;
            Ok(())
        })
        .await
}

async fn datasource_config(State(app): State<App>, body: Bytes) -> Answer<Json<Value>> {
    let asked: ForDatasource = read(&body)?;
    app.store
        .with(move |database| {
            let config: Option<String> = database
                .query_row(
                    "SELECT config FROM datasources WHERE name = ?1",
                    [&asked.datasource],
                    |row| row.get(0),
                )
                .optional()?;
            config.and_then(|config| serde_json::from_str(&config).ok()).map(Json).ok_or_else(
                || Refusal::bad(format!("the datasource {:?} does not exist", asked.datasource)),
            )
        })
        .await
}

async fn bulk_index(State(app): State<App>, body: Bytes) -> Answer {
    let request: BulkIndexDocuments = read(&body)?;
    let reads = app.drill.stale_check_after_reads();
    app.store.with(move |database| bulk(database, &request, reads)).await
}

fn bulk(database: &Transaction<'_>, request: &BulkIndexDocuments, reads: u32) -> Answer {
    let datasource = Datasource::find(database, &request.datasource)?;
    let now = advance(database)?;
    let page = Page {
        kind: "documents",
        datasource: &request.datasource,
        upload_id: &request.upload_id,
        is_first: request.is_first_page,
        is_last: request.is_last_page,
        force_restart: request.force_restart_upload,
        skip_deletion_check: request.disable_stale_document_deletion_check,
    };
    let session = page.session(database, now)?;
    for document in &request.documents {
        upsert(database, &datasource, document, now)?;
    }
    session.count(database, request.documents.len())?;
    if !request.is_last_page {
        return Ok(());
    }
    if reads > 0 {
        return lag::put_off(database, &session, reads, page.skip_deletion_check);
    }
    delete_stale(database, &request.datasource, &session, page.skip_deletion_check)
}

/// Deletes what a session did not bring, or pauses where that would be too much.
pub(crate) fn delete_stale(
    database: &Transaction<'_>,
    datasource: &str,
    session: &Session,
    unchecked: bool,
) -> Answer {
    let which = "datasource = ?1 AND seen < ?2";
    let parameters = params![datasource, session.since];
    let stale: i64 = database.query_row(
        &format!("SELECT count(*) FROM documents WHERE {which}"),
        parameters,
        |row| row.get(0),
    )?;
    if is_suspicious(stale, count_documents(database, datasource)?) && !unchecked {
        return session.close(database, 0, true);
    }
    let deleted = remove(database, which, parameters)?;
    session.close(database, deleted, false)
}

fn remove(
    database: &Transaction<'_>,
    which: &str,
    parameters: impl rusqlite::Params + Copy,
) -> Answer<usize> {
    happened(database, "DELETED", which, parameters)?;
    database.execute(
        &format!("DELETE FROM texts WHERE rowid IN (SELECT row FROM documents WHERE {which})"),
        parameters,
    )?;
    Ok(database.execute(&format!("DELETE FROM documents WHERE {which}"), parameters)?)
}

fn upsert(
    database: &Transaction<'_>,
    datasource: &Datasource,
    json: &RawValue,
    seen: i64,
) -> Answer {
    let document: Document = serde_json::from_str(json.get())
        .map_err(|error| Refusal::bad(format!("a document cannot be read: {error}")))?;
    datasource.check(&document)?;
    let id = document.id.as_deref().unwrap_or_default();
    let permissions = document.permissions.clone().unwrap_or_default();
    let row: i64 = database
        .prepare_cached(
            "INSERT INTO documents (datasource, id, folded, object_type, title, url, json,
                                    permissions, seen, uploaded_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (datasource, folded) DO UPDATE SET
                id = excluded.id, object_type = excluded.object_type, title = excluded.title,
                url = excluded.url, json = excluded.json, permissions = excluded.permissions,
                seen = max(seen, excluded.seen), uploaded_at = excluded.uploaded_at
             RETURNING row",
        )?
        .query_row(
            params![
                datasource.name,
                id,
                id.to_lowercase(),
                document.object_type.as_deref().unwrap_or_default(),
                document.title.as_deref().unwrap_or(id),
                document.view_url.as_deref().unwrap_or_default(),
                json.get(),
                json!(permissions).to_string(),
                seen,
                timestamp(),
            ],
            |row| row.get(0),
        )?;
    database.prepare_cached("DELETE FROM texts WHERE rowid = ?1")?.execute([row])?;
    database
        .prepare_cached("INSERT INTO texts (rowid, title, body) VALUES (?1, ?2, ?3)")?
        .execute(params![row, document.title.as_deref().unwrap_or(id), text::of(&document)])?;
    happened(database, "UPLOADED", "row = ?1", params![row])
}

/// Remembers what happened to documents.
fn happened(
    database: &Transaction<'_>,
    event: &str,
    which: &str,
    parameters: impl rusqlite::Params,
) -> Answer {
    database
        .prepare_cached(&format!(
            "INSERT INTO events SELECT datasource, folded, object_type, '{event}',
             strftime('%Y-%m-%dT%H:%M:%fZ', 'now') FROM documents WHERE {which}"
        ))?
        .execute(parameters)?;
    Ok(())
}

async fn index_many(State(app): State<App>, body: Bytes) -> Answer {
    let request: IndexDocuments = read(&body)?;
    app.store
        .with(move |database| {
            let datasource = Datasource::find(database, &request.datasource)?;
            let now = advance(database)?;
            let seen = seen_alone(database, "documents", &datasource.name, now)?;
            request.documents.iter().try_for_each(|json| upsert(database, &datasource, json, seen))
        })
        .await
}

async fn index_one(State(app): State<App>, body: Bytes) -> Answer {
    let request: IndexDocument = read(&body)?;
    let named: Named = serde_json::from_str(request.document.get())
        .map_err(|error| Refusal::bad(format!("the document cannot be read: {error}")))?;
    app.store
        .with(move |database| {
            let datasource = Datasource::find(database, &named.datasource)?;
            let now = advance(database)?;
            versioned(&named.datasource, &named.id.to_lowercase())
                .check(database, request.version)?;
            let seen = seen_alone(database, "documents", &datasource.name, now)?;
            upsert(database, &datasource, &request.document, seen)
        })
        .await
}

#[derive(serde::Deserialize)]
struct Named {
    datasource: String,
    #[serde(default)]
    id: String,
}

fn versioned<'a>(datasource: &'a str, folded: &'a str) -> Versioned<'a> {
    Versioned { kind: "document", datasource, key: folded }
}

async fn delete(State(app): State<App>, body: Bytes) -> Answer {
    let request: DeleteDocument = read(&body)?;
    app.store
        .with(move |database| {
            Datasource::find(database, &request.datasource)?;
            let folded = request.id.to_lowercase();
            versioned(&request.datasource, &folded).check(database, request.version)?;
            remove(
                database,
                "datasource = ?1 AND folded = ?2 AND object_type = ?3",
                params![request.datasource, folded, request.object_type],
            )?;
            Ok(())
        })
        .await
}

async fn update_permissions(State(app): State<App>, body: Bytes) -> Answer {
    let request: UpdatePermissions = read(&body)?;
    if request.id.is_none() && request.view_url.is_none() {
        return Err(Refusal::bad("viewURL is required if id is not set"));
    }
    app.store
        .with(move |database| {
            Datasource::find(database, &request.datasource)?;
            let changed = database.execute(
                "UPDATE documents SET permissions = ?4 WHERE datasource = ?1
                 AND (folded = ?2 OR (?2 IS NULL AND url = ?3))
                 AND (?5 IS NULL OR object_type = ?5)",
                params![
                    request.datasource,
                    request.id.as_deref().map(str::to_lowercase),
                    request.view_url,
                    json!(request.permissions).to_string(),
                    request.object_type,
                ],
            )?;
            match changed {
                0 => Err(Refusal::bad("there is no such document")),
                _ => Ok(()),
            }
        })
        .await
}

async fn process_all(State(app): State<App>, body: Bytes) -> Answer {
    let request: ForAll = read_or_default(&body)?;
    app.store
        .with(move |database| {
            if let Some(datasource) = &request.datasource {
                Datasource::find(database, datasource)?;
            }
            may_process(database, request.datasource.as_deref())
        })
        .await
}

fn count_documents(database: &Transaction<'_>, datasource: &str) -> Answer<i64> {
    Ok(database.query_row(
        "SELECT count(*) FROM documents WHERE datasource = ?1",
        [datasource],
        |row| row.get(0),
    )?)
}

async fn check_access(State(app): State<App>, body: Bytes) -> Answer<Json<Value>> {
    let verdict = verdict(&app, &body).await?;
    Ok(Json(json!({ "hasAccess": verdict.allowed })))
}

/// The same for people, with the reason.
pub(crate) async fn explain_access(State(app): State<App>, body: Bytes) -> Answer<Json<Value>> {
    let verdict = verdict(&app, &body).await?;
    Ok(Json(json!({ "hasAccess": verdict.allowed, "why": verdict.why })))
}

async fn verdict(app: &App, body: &Bytes) -> Answer<Verdict> {
    let request: CheckAccess = read(body)?;
    app.store
        .with(move |database| {
            let CheckAccess { datasource, object_type, doc_id, user_email } = &request;
            Datasource::find(database, datasource)?;
            let permissions: Option<String> = database
                .query_row(
                    "SELECT permissions FROM documents
                     WHERE datasource = ?1 AND folded = ?2 AND object_type = ?3",
                    params![datasource, doc_id.to_lowercase(), object_type],
                    |row| row.get(0),
                )
                .optional()?;
            let permissions =
                permissions.ok_or_else(|| Refusal::bad("there is no such document"))?;
            may_see(database, datasource, &permissions, user_email)
        })
        .await
}
