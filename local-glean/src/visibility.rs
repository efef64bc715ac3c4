//! Who may find a document.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::answer::Answer;
use crate::wire::Permissions;

/// Whether the person with this e-mail may find a document with these permissions.
pub(crate) fn may_see(
    database: &Transaction<'_>,
    datasource: &str,
    permissions: &str,
    email: &str,
) -> Answer<bool> {
    let permissions: Permissions = serde_json::from_str(permissions).unwrap_or_default();
    if permissions.allow_anonymous_access {
        return Ok(true);
    }
    let user: Option<(Option<String>, bool)> = database
        .prepare_cached("SELECT user_id, active FROM users WHERE datasource = ?1 AND email = ?2")?
        .query_row(params![datasource, email], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let user_id = user.as_ref().and_then(|(id, _)| id.as_deref());
    if permissions.allow_all_datasource_users_access
        && user.as_ref().is_some_and(|(_, active)| *active)
    {
        return Ok(true);
    }
    let is_named = permissions.allowed_users.iter().any(|allowed| {
        allowed.email.as_deref().is_some_and(|allowed| allowed.eq_ignore_ascii_case(email))
            || (allowed.datasource_user_id.is_some()
                && allowed.datasource_user_id.as_deref() == user_id)
    });
    if is_named {
        return Ok(true);
    }
    if permissions.allowed_groups.is_empty() && permissions.allowed_group_intersections.is_empty() {
        return Ok(false);
    }
    let groups = groups_of(database, datasource, email, user_id)?;
    Ok(permissions.allowed_groups.iter().any(|group| groups.contains(group))
        || permissions.allowed_group_intersections.iter().any(|intersection| {
            !intersection.required_groups.is_empty()
                && intersection.required_groups.iter().all(|group| groups.contains(group))
        }))
}

/// The groups a person is in, directly or through other groups.
pub(crate) fn groups_of(
    database: &Transaction<'_>,
    datasource: &str,
    email: &str,
    user_id: Option<&str>,
) -> Answer<BTreeSet<String>> {
    let mut statement = database.prepare_cached(
        "WITH RECURSIVE mine (name) AS (
            SELECT group_name FROM memberships
            WHERE datasource = ?1 AND member_user != '' AND (member_user = ?2 OR member_user = ?3)
            UNION
            SELECT memberships.group_name FROM memberships JOIN mine
            ON memberships.member_group = mine.name WHERE memberships.datasource = ?1
         ) SELECT name FROM mine",
    )?;
    let names = statement.query_map(params![datasource, email, user_id], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}
