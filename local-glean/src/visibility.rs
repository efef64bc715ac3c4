//! Who may find a document, and why.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::answer::Answer;
use crate::wire::Permissions;

/// Whether somebody may find a document, and why, for people.
pub(crate) struct Verdict {
    pub allowed: bool,
    pub why: String,
}

impl Verdict {
    fn yes(why: impl Into<String>) -> Self {
        Self { allowed: true, why: why.into() }
    }
}

/// Whether the person with this e-mail may find a document with these permissions.
pub(crate) fn may_see(
    database: &Transaction<'_>,
    datasource: &str,
    permissions: &str,
    email: &str,
) -> Answer<Verdict> {
    let permissions: Permissions = serde_json::from_str(permissions).unwrap_or_default();
    if permissions.allow_anonymous_access {
        return Ok(Verdict::yes("everyone may"));
    }
    let user: Option<(Option<String>, bool)> = database
        .prepare_cached("SELECT user_id, active FROM users WHERE datasource = ?1 AND email = ?2")?
        .query_row(params![datasource, email], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // What else Glean does with an inactive user it does not say: the worst is that groups let them in.
    let is_active = user.as_ref().is_some_and(|(_, active)| *active);
    let user_id = user.as_ref().and_then(|(id, _)| id.as_deref());
    if permissions.allow_all_datasource_users_access && is_active {
        return Ok(Verdict::yes(format!("every user of {datasource} may, and {email} is one")));
    }
    let is_named = permissions.allowed_users.iter().any(|allowed| {
        allowed.email.as_deref().is_some_and(|allowed| allowed.eq_ignore_ascii_case(email))
            || (allowed.datasource_user_id.is_some()
                && allowed.datasource_user_id.as_deref() == user_id)
    });
    if is_named {
        return Ok(Verdict::yes(format!("{email} is named")));
    }
    if permissions.allowed_groups.is_empty() && permissions.allowed_group_intersections.is_empty() {
        return Ok(Verdict { allowed: false, why: why_not(&permissions, None) });
    }
    let groups = groups_of(database, datasource, email, user_id)?;
    if let Some(group) = permissions.allowed_groups.iter().find(|&group| groups.contains_key(group))
    {
        return Ok(Verdict::yes(way(email, group, &groups)));
    }
    let all = permissions.allowed_group_intersections.iter().find(|all| {
        let mut required = all.required_groups.iter();
        !all.required_groups.is_empty() && required.all(|group| groups.contains_key(group))
    });
    if let Some(all) = all {
        let ways: Vec<_> =
            all.required_groups.iter().map(|group| way(email, group, &groups)).collect();
        return Ok(Verdict::yes(ways.join("; and ")));
    }
    let names: Vec<_> = groups.keys().map(String::as_str).collect();
    let names = if names.is_empty() { "no group".into() } else { names.join(", ") };
    let is_in = format!("{email} is in {names}");
    Ok(Verdict { allowed: false, why: why_not(&permissions, Some(is_in)) })
}

/// `ann@example.com is in staff, staff is in hr`.
fn way(email: &str, group: &str, groups: &BTreeMap<String, Option<String>>) -> String {
    let mut names = vec![group];
    // Each group was found from one that was found before: this ends.
    while let Some(Some(inner)) = groups.get(names[names.len() - 1]) {
        names.push(inner);
    }
    names.push(email);
    names.reverse();
    let steps: Vec<_> =
        names.windows(2).map(|pair| format!("{} is in {}", pair[0], pair[1])).collect();
    steps.join(", ")
}

fn why_not(permissions: &Permissions, is_in: Option<String>) -> String {
    let named = permissions.allowed_users.iter();
    let named = named.filter_map(|user| user.email.clone().or(user.datasource_user_id.clone()));
    let whole = permissions.allowed_groups.iter().map(|group| format!("group {group}"));
    let all = permissions.allowed_group_intersections.iter().map(|all| {
        let names = all.required_groups.join(", ");
        format!("whoever is in all of {names}")
    });
    let mut may: Vec<_> = named.chain(whole).chain(all).collect();
    if permissions.allow_all_datasource_users_access {
        may.insert(0, "active users of the datasource".into());
    }
    if may.is_empty() {
        return "nobody may".into();
    }
    let is_in = is_in.map_or_else(String::new, |is_in| format!("; {is_in}"));
    format!("only {} may{is_in}", may.join(", "))
}

/// The groups a person is in, directly or through another group, which is named then.
pub(crate) fn groups_of(
    database: &Transaction<'_>,
    datasource: &str,
    email: &str,
    user_id: Option<&str>,
) -> Answer<BTreeMap<String, Option<String>>> {
    let mut direct = database.prepare_cached(
        "SELECT group_name FROM memberships
         WHERE datasource = ?1 AND member_user != '' AND (member_user = ?2 OR member_user = ?3)",
    )?;
    let mut outer = database.prepare_cached(
        "SELECT group_name FROM memberships WHERE datasource = ?1 AND member_group = ?2",
    )?;
    let names = direct.query_map(params![datasource, email, user_id], |row| row.get(0))?;
    let mut waiting: Vec<String> = names.collect::<Result<_, _>>()?;
    let mut found: BTreeMap<_, _> = waiting.iter().map(|name| (name.clone(), None)).collect();
    while let Some(name) = waiting.pop() {
        let within = outer.query_map(params![datasource, name], |row| row.get(0))?;
        for group in within.collect::<Result<Vec<String>, _>>()? {
            if !found.contains_key(&group) {
                found.insert(group.clone(), Some(name.clone()));
                waiting.push(group);
            }
        }
    }
    Ok(found)
}
