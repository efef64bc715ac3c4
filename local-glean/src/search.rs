//! What the search page asks for.

use rusqlite::{Transaction, params};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Refusal};
use crate::visibility::may_see;

const PAGE: usize = 20;
/// Invisible documents are looked past up to here.
const LOOKED_AT: i64 = 2_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Query {
    pub q: String,
    pub datasource: String,
    /// An e-mail; empty for someone who sees everything.
    pub user: String,
    pub offset: usize,
}

/// Marks around what was found: characters that no text has.
const OPEN: &str = "\u{2}";
const CLOSE: &str = "\u{3}";

pub(crate) fn search(database: &Transaction<'_>, query: &Query) -> Answer<Value> {
    let terms = terms(&query.q);
    let sql = if terms.is_empty() {
        "SELECT d.datasource, d.id, d.object_type, d.title, d.url, d.permissions, d.title,
                substr(t.body, 1, 300), d.uploaded_at
         FROM documents d JOIN texts t ON t.rowid = d.row
         WHERE (?1 = '' OR d.datasource = ?1) AND ?2 = ?2 AND ?3 = ?3 AND ?4 = ?4
         ORDER BY d.row LIMIT ?5"
    } else {
        "SELECT d.datasource, d.id, d.object_type, d.title, d.url, d.permissions,
                highlight(texts, 0, ?3, ?4), snippet(texts, 1, ?3, ?4, ' … ', 40), d.uploaded_at
         FROM texts JOIN documents d ON d.row = texts.rowid
         WHERE texts MATCH ?2 AND (?1 = '' OR d.datasource = ?1)
         ORDER BY bm25(texts, 8.0, 1.0) LIMIT ?5"
    };
    let mut statement = database.prepare_cached(sql)?;
    let mut rows = statement
        .query(params![query.datasource, terms, OPEN, CLOSE, LOOKED_AT])
        .map_err(unread)?;
    let mut results = Vec::new();
    let mut seen = 0;
    let mut more = false;
    while let Some(row) = rows.next().map_err(unread)? {
        let datasource: String = row.get(0)?;
        let permissions: String = row.get(5)?;
        let visible = query.user.is_empty()
            || may_see(database, &datasource, &permissions, &query.user)?.allowed;
        if !visible {
            continue;
        }
        seen += 1;
        if seen <= query.offset {
            continue;
        }
        if results.len() == PAGE {
            more = true;
            break;
        }
        results.push(json!({
            "datasource": datasource,
            "id": row.get::<_, String>(1)?,
            "objectType": row.get::<_, String>(2)?,
            "title": row.get::<_, String>(6)?,
            "url": row.get::<_, String>(4)?,
            "snippet": row.get::<_, String>(7)?,
            "access": summary(&permissions),
        }));
    }
    drop(rows);
    let total: i64 = if query.user.is_empty() {
        count(database, &query.datasource, &terms)?
    } else {
        i64::try_from(seen).unwrap_or(i64::MAX)
    };
    Ok(json!({ "results": results, "more": more, "total": total }))
}

fn count(database: &Transaction<'_>, datasource: &str, terms: &str) -> Answer<i64> {
    let count = if terms.is_empty() {
        database.query_row(
            "SELECT count(*) FROM documents WHERE ?1 = '' OR datasource = ?1",
            [datasource],
            |row| row.get(0),
        )
    } else {
        database.query_row(
            "SELECT count(*) FROM texts JOIN documents d ON d.row = texts.rowid
             WHERE texts MATCH ?2 AND (?1 = '' OR d.datasource = ?1)",
            params![datasource, terms],
            |row| row.get(0),
        )
    };
    count.map_err(unread)
}

#[allow(clippy::needless_pass_by_value)]
fn unread(error: rusqlite::Error) -> Refusal {
    Refusal::bad(format!("the search cannot be understood: {error}"))
}

/// Every word as the beginning of a word; what stands in quotation marks as it is.
fn terms(text: &str) -> String {
    let mut terms = Vec::new();
    for (number, part) in text.split('"').enumerate() {
        if number % 2 == 1 {
            if !part.trim().is_empty() {
                terms.push(format!("\"{part}\""));
            }
            continue;
        }
        let words = part.split_whitespace().map(|word| format!("\"{word}\"*"));
        terms.extend(words);
    }
    terms.join(" ")
}

/// Who may find a document, in a few words.
pub(crate) fn summary(permissions: &str) -> String {
    let permissions: crate::wire::Permissions =
        serde_json::from_str(permissions).unwrap_or_default();
    if permissions.allow_anonymous_access {
        return "everyone".into();
    }
    let mut parts = Vec::new();
    if permissions.allow_all_datasource_users_access {
        parts.push("all users of the datasource".to_owned());
    }
    let users = permissions.allowed_users.iter();
    parts.extend(users.filter_map(|user| user.email.clone().or(user.datasource_user_id.clone())));
    parts.extend(permissions.allowed_groups.iter().map(|group| format!("group {group}")));
    parts.extend(
        permissions
            .allowed_group_intersections
            .iter()
            .map(|all| format!("groups {}", all.required_groups.join(" and "))),
    );
    if parts.is_empty() { "nobody".into() } else { parts.join(", ") }
}

/// Datasources, sessions and users.
pub(crate) fn overview(database: &Transaction<'_>) -> Answer<Value> {
    let mut statement = database.prepare_cached(
        "SELECT s.name, s.config, count(d.row) FROM datasources s
         LEFT JOIN documents d ON d.datasource = s.name GROUP BY s.name ORDER BY s.name",
    )?;
    let datasources = statement
        .query_map([], |row| {
            let config: String = row.get(1)?;
            let config: Value = serde_json::from_str(&config).unwrap_or_default();
            Ok(json!({
                "name": row.get::<_, String>(0)?,
                "displayName": config["displayName"],
                "documents": row.get::<_, i64>(2)?,
            }))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut statement = database.prepare_cached(
        "SELECT kind, datasource, upload_id, started_at, ended_at, pages, documents, deleted, state
         FROM uploads ORDER BY number DESC LIMIT 50",
    )?;
    let sessions = statement
        .query_map([], |row| {
            Ok(json!({
                "kind": row.get::<_, String>(0)?,
                "datasource": row.get::<_, String>(1)?,
                "uploadId": row.get::<_, String>(2)?,
                "startedAt": row.get::<_, String>(3)?,
                "endedAt": row.get::<_, Option<String>>(4)?,
                "pages": row.get::<_, i64>(5)?,
                "documents": row.get::<_, i64>(6)?,
                "deleted": row.get::<_, i64>(7)?,
                "state": row.get::<_, String>(8)?,
            }))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut statement = database.prepare_cached(
        "SELECT DISTINCT email FROM users UNION
         SELECT DISTINCT json_extract(u.value, '$.email') FROM
            (SELECT DISTINCT permissions FROM documents) d, json_each(d.permissions, '$.allowedUsers') u
         WHERE json_extract(u.value, '$.email') IS NOT NULL ORDER BY 1 LIMIT 200",
    )?;
    let users = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(json!({ "datasources": datasources, "sessions": sessions, "users": users }))
}

/// One document with everything that was uploaded, its body cut.
pub(crate) fn document(database: &Transaction<'_>, datasource: &str, id: &str) -> Answer<Value> {
    let (json, permissions, uploaded_at): (String, String, String) = database
        .query_row(
            "SELECT json, permissions, uploaded_at FROM documents
             WHERE datasource = ?1 AND folded = ?2",
            params![datasource, id.to_lowercase()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .map_err(|_| Refusal::bad("there is no such document"))?;
    let mut document: Value = serde_json::from_str(&json).unwrap_or_default();
    let bytes = json.len();
    let body = document["body"].take();
    let text = body["textContent"].as_str().unwrap_or_default();
    let shown: String = text.chars().take(20_000).collect();
    if let Some(fields) = document.as_object_mut() {
        fields.remove("body");
        fields.remove("permissions");
    }
    Ok(json!({
        "fields": document,
        "mimeType": body["mimeType"],
        "text": shown,
        "cut": shown.len() < text.len(),
        "binary": body["binaryContent"].is_string(),
        "bytes": bytes,
        "access": summary(&permissions),
        "permissions": serde_json::from_str::<Value>(&permissions).unwrap_or_default(),
        "uploadedAt": uploaded_at,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_match_by_their_beginning_and_phrases_as_they_are() {
        assert_eq!(terms("mem alloc"), "\"mem\"* \"alloc\"*");
        assert_eq!(terms("a \"b c\" d:e"), "\"a\"* \"b c\" \"d:e\"*");
        assert_eq!(terms("  "), "");
    }
}
