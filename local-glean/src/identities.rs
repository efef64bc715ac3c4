//! Users, groups and memberships, one by one and in bulk. A bulk upload replaces what was there.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::routing::post;
use rusqlite::{Transaction, params};
use serde::Deserialize;
use serde_json::Value;

use crate::App;
use crate::answer::{Answer, Refusal, read, read_or_default};
use crate::concurrency::Versioned;
use crate::rules::Datasource;
use crate::sessions::{Page, is_suspicious, seen_alone};
use crate::store::advance;
use crate::wire::{BulkIdentities, DatasourceUser, ForAll, Group, Membership, OneIdentity};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/bulkindexusers", post(bulk))
        .route("/bulkindexgroups", post(bulk))
        .route("/bulkindexmemberships", post(bulk))
        .route("/indexuser", post(index_one))
        .route("/indexgroup", post(index_one))
        .route("/indexmembership", post(index_one))
        .route("/deleteuser", post(delete_one))
        .route("/deletegroup", post(delete_one))
        .route("/deletemembership", post(delete_one))
        .route("/processallmemberships", post(process_all))
        .route("/betausers", post(beta_users))
}

async fn bulk(State(app): State<App>, uri: Uri, body: Bytes) -> Answer {
    let request: BulkIdentities = read(&body)?;
    let Some(row) = app.drill.refuses(uri.path(), &rows(&body)) else {
        return app.store.with(move |database| replace(database, &request)).await;
    };
    app.store.with(move |database| leave_behind(database, &request)).await?;
    Err(Refusal::bad(format!("this is a drill: no {row}")))
}

/// The rows of a page, for drills.
fn rows(body: &Bytes) -> Vec<String> {
    let page: Value = serde_json::from_slice(body).unwrap_or_default();
    let lists = ["users", "groups", "memberships"].map(|list| page[list].as_array().cloned());
    lists.into_iter().flatten().flatten().map(|row| row.to_string()).collect()
}

/// What a refused page leaves: one that opens a session leaves it open, any other ends it.
fn leave_behind(database: &Transaction<'_>, request: &BulkIdentities) -> Answer {
    Datasource::find(database, &request.datasource)?;
    let now = advance(database)?;
    let session = page(request, &kind(request)?).session(database, now)?;
    if request.is_first_page { Ok(()) } else { session.discard(database) }
}

fn kind(request: &BulkIdentities) -> Answer<String> {
    Ok(match (&request.users, &request.groups, &request.memberships) {
        (Some(_), None, None) => "users".to_owned(),
        (None, Some(_), None) => "groups".to_owned(),
        (None, None, Some(_)) => {
            let group = request.group.as_deref().filter(|group| !group.is_empty());
            format!("memberships:{}", group.ok_or_else(|| Refusal::bad("group is required"))?)
        }
        _ => {
            return Err(Refusal::bad("the request needs users, groups or memberships"));
        }
    })
}

fn page<'a>(request: &'a BulkIdentities, kind: &'a str) -> Page<'a> {
    Page {
        kind,
        datasource: &request.datasource,
        upload_id: &request.upload_id,
        is_first: request.is_first_page,
        is_last: request.is_last_page,
        force_restart: request.force_restart_upload,
        skip_deletion_check: request.disable_stale_data_deletion_check,
    }
}

fn replace(database: &Transaction<'_>, request: &BulkIdentities) -> Answer {
    Datasource::find(database, &request.datasource)?;
    let now = advance(database)?;
    let kind = kind(request)?;
    let page = page(request, &kind);
    let session = page.session(database, now)?;
    let mut added = 0;
    for user in request.users.iter().flatten() {
        add_user(database, &request.datasource, user, now)?;
        added += 1;
    }
    for group in request.groups.iter().flatten() {
        add_group(database, &request.datasource, group, now)?;
        added += 1;
    }
    for membership in request.memberships.iter().flatten() {
        let group = request.group.as_deref();
        add_membership(database, &request.datasource, group, membership, now)?;
        added += 1;
    }
    session.count(database, added)?;
    if !request.is_last_page {
        return Ok(());
    }
    let (table, group) = match kind.split_once(':') {
        Some((_, group)) => ("memberships", Some(group)),
        None => (kind.as_str(), None),
    };
    let of_group = if group.is_some() { "group_name = ?3" } else { "?3 IS NULL" };
    let parameters = params![request.datasource, session.since, group];
    let (stale, total): (i64, i64) = database.query_row(
        &format!(
            "SELECT count(*) FILTER (WHERE seen < ?2), count(*) FROM {table}
             WHERE datasource = ?1 AND {of_group}"
        ),
        parameters,
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if group.is_none() && is_suspicious(stale, total) && !page.skip_deletion_check {
        return session.close(database, 0, true);
    }
    let which = format!("datasource = ?1 AND seen < ?2 AND {of_group}");
    if group.is_none() {
        forget_memberships(database, table, &which, parameters)?;
    }
    let deleted = database.execute(&format!("DELETE FROM {table} WHERE {which}"), parameters)?;
    session.close(database, deleted, false)
}

/// The memberships of users or groups that are about to go.
fn forget_memberships(
    database: &Transaction<'_>,
    table: &str,
    which: &str,
    parameters: impl rusqlite::Params,
) -> Answer {
    let theirs = if table == "users" {
        format!(
            "member_user IN (SELECT email FROM users WHERE {which} UNION ALL
                             SELECT user_id FROM users WHERE {which} AND user_id IS NOT NULL)"
        )
    } else {
        format!(
            "(group_name IN (SELECT name FROM groups WHERE {which})
              OR member_group IN (SELECT name FROM groups WHERE {which}))"
        )
    };
    let sql = format!("DELETE FROM memberships WHERE datasource = ?1 AND {theirs}");
    database.execute(&sql, parameters)?;
    Ok(())
}

fn add_user(
    database: &Transaction<'_>,
    datasource: &str,
    user: &DatasourceUser,
    seen: i64,
) -> Answer {
    if !user.email.contains('@') {
        return Err(Refusal::bad(format!("{:?} is not an e-mail address", user.email)));
    }
    database
        .prepare_cached(
            "INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
             email = excluded.email, user_id = excluded.user_id, active = excluded.active,
             seen = max(seen, excluded.seen)",
        )?
        .execute(params![datasource, user.email, user.user_id, user.is_active, seen])?;
    Ok(())
}

/// Glean: a group's name has no spaces and does not begin with `scio`.
fn add_group(database: &Transaction<'_>, datasource: &str, group: &Group, seen: i64) -> Answer {
    let name = &group.name;
    if name.is_empty() || name.contains(' ') || name.starts_with("scio") {
        return Err(Refusal::bad(format!("{name:?} is not a group's name")));
    }
    database
        .prepare_cached(
            "INSERT INTO groups VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET
             seen = max(seen, excluded.seen)",
        )?
        .execute(params![datasource, name, seen])?;
    Ok(())
}

fn add_membership(
    database: &Transaction<'_>,
    datasource: &str,
    group: Option<&str>,
    membership: &Membership,
    seen: i64,
) -> Answer {
    let (group, user, member) = parts(group, membership)?;
    database
        .prepare_cached(
            "INSERT INTO memberships VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET
             seen = max(seen, excluded.seen)",
        )?
        .execute(params![datasource, group, user, member, seen])?;
    Ok(())
}

fn parts<'a>(
    group: Option<&'a str>,
    membership: &'a Membership,
) -> Answer<(&'a str, &'a str, &'a str)> {
    let group = group
        .or(membership.group_name.as_deref())
        .filter(|group| !group.is_empty())
        .ok_or_else(|| Refusal::bad("groupName is required"))?;
    match (membership.member_user_id.as_deref(), membership.member_group_name.as_deref()) {
        (Some(user), None) if !user.is_empty() => Ok((group, user, "")),
        (None, Some(member)) if !member.is_empty() => Ok((group, "", member)),
        _ => Err(Refusal::bad("a membership needs one of memberUserId and memberGroupName")),
    }
}

async fn index_one(State(app): State<App>, body: Bytes) -> Answer {
    let request: OneIdentity = read(&body)?;
    app.store
        .with(move |database| {
            let datasource = &request.datasource;
            Datasource::find(database, datasource)?;
            let now = advance(database)?;
            let seen = |kind: &str| seen_alone(database, kind, datasource, now);
            let check = |kind, key: &str| {
                Versioned { kind, datasource, key }.check(database, request.version)
            };
            match (&request.user, &request.group, &request.membership) {
                (Some(user), None, None) => {
                    check("user", &user.email.to_lowercase())?;
                    add_user(database, datasource, user, seen("users")?)
                }
                (None, Some(group), None) => {
                    check("group", &group.name)?;
                    add_group(database, datasource, group, seen("groups")?)
                }
                (None, None, Some(membership)) => {
                    let named = parts(None, membership)?;
                    check("membership", &key(named))?;
                    let seen = seen(&format!("memberships:{}", named.0))?;
                    add_membership(database, datasource, None, membership, seen)
                }
                _ => Err(Refusal::bad("the request needs a user, a group or a membership")),
            }
        })
        .await
}

/// A membership's name among the versions.
fn key((group, user, member): (&str, &str, &str)) -> String {
    format!("{group}: {user}{member}")
}

async fn delete_one(State(app): State<App>, body: Bytes) -> Answer {
    let request: OneIdentity = read(&body)?;
    app.store
        .with(move |database| {
            let datasource = &request.datasource;
            Datasource::find(database, datasource)?;
            let check = |kind, key: &str| {
                Versioned { kind, datasource, key }.check(database, request.version)
            };
            if let Some(email) = &request.email {
                check("user", &email.to_lowercase())?;
                // Where users are known by an id of the datasource, that is what names them here.
                let which = "datasource = ?1 AND (email = ?2 OR user_id = ?2)";
                let parameters = params![datasource, email];
                forget_memberships(database, "users", which, parameters)?;
                database.execute(
                    "DELETE FROM memberships WHERE datasource = ?1 AND member_user = ?2",
                    parameters,
                )?;
                database.execute(&format!("DELETE FROM users WHERE {which}"), parameters)?;
            } else if let Some(group) = &request.group_name {
                check("group", group)?;
                let parameters = params![datasource, group];
                database.execute(
                    "DELETE FROM memberships WHERE datasource = ?1
                     AND (group_name = ?2 OR member_group = ?2)",
                    parameters,
                )?;
                database.execute(
                    "DELETE FROM groups WHERE datasource = ?1 AND name = ?2",
                    parameters,
                )?;
            } else if let Some(membership) = &request.membership {
                let (group, user, member) = parts(None, membership)?;
                check("membership", &key((group, user, member)))?;
                database.execute(
                    "DELETE FROM memberships WHERE datasource = ?1 AND group_name = ?2
                     AND member_user = ?3 AND member_group = ?4",
                    params![datasource, group, user, member],
                )?;
            } else {
                return Err(Refusal::bad(
                    "the request needs an email, a groupName or a membership",
                ));
            }
            Ok(())
        })
        .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BetaUsers {
    datasource: String,
    emails: Vec<String>,
}

/// Who may see a datasource before everyone does: accepted, and without effect here.
async fn beta_users(State(app): State<App>, body: Bytes) -> Answer {
    let request: BetaUsers = read(&body)?;
    if let Some(email) = request.emails.iter().find(|email| !email.contains('@')) {
        return Err(Refusal::bad(format!("{email:?} is not an e-mail address")));
    }
    app.store.with(move |database| Datasource::find(database, &request.datasource).map(drop)).await
}

async fn process_all(State(app): State<App>, body: Bytes) -> Answer {
    let request: ForAll = read_or_default(&body)?;
    let Some(datasource) = request.datasource else {
        return Ok(());
    };
    app.store.with(move |database| Datasource::find(database, &datasource).map(drop)).await
}
