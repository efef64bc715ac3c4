//! Employees, teams and shortcuts: kept, and nothing is done with them. What belongs to Glean alone is
//! refused in a sentence.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use rusqlite::{Transaction, params};
use serde_json::Value;

use crate::App;
use crate::answer::{Answer, Refusal, read};
use crate::concurrency::Versioned;
use crate::sessions::{Page, is_suspicious, seen_alone};
use crate::store::advance;

/// What is uploaded: its name, the field that identifies it, the fields it must have, and all others.
struct Kind {
    name: &'static str,
    key: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const EMPLOYEE: Kind = Kind {
    name: "employee",
    key: "email",
    required: &["department", "email"],
    // Not `location`, which was removed on 2026-10-15.
    optional: &[
        "firstName",
        "lastName",
        "preferredName",
        "id",
        "phoneNumber",
        "structuredLocation",
        "title",
        "photoUrl",
        "businessUnit",
        "datasourceProfiles",
        "teams",
        "startDate",
        "endDate",
        "bio",
        "pronoun",
        "alsoKnownAs",
        "profileUrl",
        "socialNetworks",
        "managerEmail",
        "managerId",
        "type",
        "relationships",
        "status",
        "additionalFields",
    ],
};

const TEAM: Kind = Kind {
    name: "team",
    key: "id",
    required: &["id", "members", "name"],
    optional: &[
        "description",
        "businessUnit",
        "department",
        "photoUrl",
        "externalLink",
        "emails",
        "datasourceProfiles",
        "additionalFields",
    ],
};

/// A shortcut that Glean does not host.
const EXTERNAL_SHORTCUT: Kind = Kind {
    name: "external shortcut",
    key: "inputAlias",
    required: &["destinationUrl", "intermediateUrl", "createdBy", "inputAlias"],
    optional: &[
        "description",
        "createTime",
        "updatedBy",
        "updateTime",
        "title",
        "decayedVisitScore",
        "editUrl",
    ],
};

const SHORTCUT: Kind = Kind {
    name: "shortcut",
    key: "inputAlias",
    required: &["destinationUrl", "createdBy", "inputAlias"],
    optional: &["description", "createTime", "updatedBy", "updateTime", "unlisted", "urlTemplate"],
};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/indexemployee", post(index_employee))
        .route("/indexemployeelist", post(index_employees))
        .route("/deleteemployee", post(delete_employee))
        .route("/indexteam", post(index_team))
        .route("/bulkindexteams", post(bulk_teams))
        .route("/deleteteam", post(delete_team))
        .route("/processallemployeesandteams", post(async || ()))
        .route("/bulkindexshortcuts", post(bulk_external_shortcuts))
        .route("/uploadshortcuts", post(bulk_shortcuts))
        .route("/rotatetoken", post(rotate_token))
}

impl Kind {
    /// The id of what was sent, which must be whole.
    fn check<'a>(&self, sent: &'a Value) -> Answer<&'a str> {
        fields(self.name, sent, self.required, self.optional)?;
        match sent[self.key].as_str() {
            Some(key) if !key.is_empty() => Ok(key),
            _ => Err(Refusal::bad(format!("the {} of a {} is empty", self.key, self.name))),
        }
    }

    fn upsert(&self, database: &Transaction<'_>, sent: &Value, seen: i64) -> Answer {
        let key = self.check(sent)?;
        database
            .prepare_cached(
                "INSERT INTO entries VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
                 json = excluded.json, seen = max(seen, excluded.seen)",
            )?
            .execute(params![self.name, key, sent.to_string(), seen])?;
        Ok(())
    }

    /// `{"employee": {…}, "version": 3}`
    fn index(&self, database: &Transaction<'_>, request: &Value) -> Answer {
        fields("the request", request, &[self.name], &["version"])?;
        let sent = &request[self.name];
        self.versioned(database, self.check(sent)?, request)?;
        let now = advance(database)?;
        self.upsert(database, sent, seen_alone(database, self.name, "", now)?)
    }

    /// `{"employeeEmail": "…", "version": 3}`
    fn delete(&self, database: &Transaction<'_>, request: &Value, key: &str) -> Answer {
        fields("the request", request, &[key], &["version"])?;
        let id = request[key].as_str().unwrap_or_default();
        self.versioned(database, id, request)?;
        database
            .execute("DELETE FROM entries WHERE kind = ?1 AND key = ?2", params![self.name, id])?;
        Ok(())
    }

    fn versioned(&self, database: &Transaction<'_>, key: &str, request: &Value) -> Answer {
        let versioned = Versioned { kind: self.name, datasource: "", key };
        versioned.check(database, request["version"].as_i64())
    }

    /// A page of an upload that replaces all there are.
    fn bulk(&self, database: &Transaction<'_>, request: &Value, many: &str) -> Answer {
        let flags = ["isFirstPage", "isLastPage", "forceRestartUpload"];
        fields("the request", request, &["uploadId", many], &flags)?;
        let is = |flag: &str| request[flag].as_bool().unwrap_or(false);
        let now = advance(database)?;
        let page = Page {
            kind: self.name,
            datasource: "",
            upload_id: request["uploadId"].as_str().unwrap_or_default(),
            is_first: is("isFirstPage"),
            is_last: is("isLastPage"),
            force_restart: is("forceRestartUpload"),
            skip_deletion_check: false,
        };
        let session = page.session(database, now)?;
        let sent = list(request, many)?;
        sent.iter().try_for_each(|sent| self.upsert(database, sent, now))?;
        session.count(database, sent.len())?;
        if !page.is_last {
            return Ok(());
        }
        let (stale, total): (i64, i64) = database.query_row(
            "SELECT count(*) FILTER (WHERE seen < ?2), count(*) FROM entries WHERE kind = ?1",
            params![self.name, session.since],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        if is_suspicious(stale, total) {
            return session.close(database, 0, true);
        }
        let deleted = self.delete_before(database, session.since)?;
        session.close(database, deleted, false)
    }

    fn delete_before(&self, database: &Transaction<'_>, since: i64) -> Answer<usize> {
        Ok(database.execute(
            "DELETE FROM entries WHERE kind = ?1 AND seen < ?2",
            params![self.name, since],
        )?)
    }
}

/// Refuses fields that are missing, and fields that the API does not have.
pub(crate) fn fields(what: &str, sent: &Value, required: &[&str], optional: &[&str]) -> Answer {
    let object =
        sent.as_object().ok_or_else(|| Refusal::bad(format!("{what} is not an object")))?;
    if let Some(field) = required.iter().find(|field| sent[**field].is_null()) {
        return Err(Refusal::bad(format!("{what}: {field} is required")));
    }
    let known = |field: &&String| {
        !required.contains(&field.as_str()) && !optional.contains(&field.as_str())
    };
    match object.keys().find(known) {
        Some(field) => Err(Refusal::bad(format!("{what}: there is no field {field:?}"))),
        None => Ok(()),
    }
}

pub(crate) fn list<'a>(sent: &'a Value, field: &str) -> Answer<&'a Vec<Value>> {
    sent[field].as_array().ok_or_else(|| Refusal::bad(format!("{field} is not a list")))
}

/// Does something with a request.
async fn with(
    app: App,
    body: Bytes,
    work: impl FnOnce(&Transaction<'_>, &Value) -> Answer + Send + 'static,
) -> Answer {
    let request: Value = read(&body)?;
    app.store.with(move |database| work(database, &request)).await
}

async fn index_employee(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| EMPLOYEE.index(database, request)).await
}

/// Everyone at once. Glean: "this deletes all employees uploaded in the prior batch".
async fn index_employees(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| {
        fields("the request", request, &["employees"], &[])?;
        let since = advance(database)?;
        for sent in list(request, "employees")? {
            EMPLOYEE.index(database, sent)?;
        }
        EMPLOYEE.delete_before(database, since).map(drop)
    })
    .await
}

async fn delete_employee(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| EMPLOYEE.delete(database, request, "employeeEmail")).await
}

async fn index_team(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| TEAM.index(database, request)).await
}

async fn bulk_teams(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| TEAM.bulk(database, request, "teams")).await
}

async fn delete_team(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| TEAM.delete(database, request, "id")).await
}

async fn bulk_external_shortcuts(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| EXTERNAL_SHORTCUT.bulk(database, request, "shortcuts"))
        .await
}

async fn bulk_shortcuts(State(app): State<App>, body: Bytes) -> Answer {
    with(app, body, |database, request| SHORTCUT.bulk(database, request, "shortcuts")).await
}

async fn rotate_token() -> Refusal {
    Refusal::bad("only Glean rotates tokens: the local Glean keeps the one it was started with")
}
