//! `sheaf preview NAME`: the first documents, as they would be uploaded.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::output::Report;
use crate::crawl::preview::{People, Preview};
use crate::document::Unreadable;
use crate::failure::Result;
use crate::intake::judge::Judged;
use crate::text::{count, short_line};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// How many documents to show.
    #[arg(short, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// Only this scope, by its id.
    #[arg(long)]
    scope: Option<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let connection = config.connection(&args.name)?;
    let crawler = config.offline_crawler()?;
    let mut read = crawler.preview(&connection, args.scope, args.number as usize).await?;
    let quarantined = read.quarantined();
    let mut summary =
        format!("{} from {}", count(read.documents.len() as u64, "document"), read.connector);
    if quarantined > 0 {
        summary.push_str(&format!(", {quarantined} would be quarantined"));
    }
    summary.push_str("; nothing was uploaded");
    let text = format!("{}{}{summary}", text(&read), people(&read));
    let failure = read.failure.take();
    let report = Report::new(summary, result(&read)).text(text);
    // What was read before a failure is shown all the same.
    Ok(match failure {
        Some(failure) => report.failure(failure),
        None => report,
    })
}

/// So much of an id, a title or an address is shown.
const LONGEST: usize = 1_000;
/// Unreadable documents that are named.
const UNREADABLE: usize = 5;

fn text(read: &Preview) -> String {
    let mut text: String = read.documents.iter().map(describe).collect();
    for found in read.unreadable.iter().take(UNREADABLE) {
        let id = found.id.as_deref().or(found.view_url.as_deref()).unwrap_or("?");
        let (id, reason) = (short_line(id, LONGEST), short_line(&found.reason, LONGEST));
        text.push_str(&format!("✗ {id}\n    would be quarantined: {reason}\n"));
    }
    let more = read.unreadable.len().saturating_sub(UNREADABLE);
    if more > 0 {
        text.push_str(&format!("✗ … and {more} more that cannot be read\n"));
    }
    if let Some(stopped) = &read.too_many {
        text.push_str(&format!("`sync` would stop there: {}\n", stopped.what));
    }
    text
}

/// One line of whom Glean would be told of, where the connector tells who is who.
fn people(read: &Preview) -> String {
    match &read.identities {
        Ok(None) => String::new(),
        Ok(Some(People { users: 0, groups: 0, more: true })) => {
            "Glean would be told of users and groups\n".to_owned()
        }
        Ok(Some(People { users, groups, more })) => {
            let most = if *more { ", and more" } else { "" };
            let (users, groups) = (count(*users, "user"), count(*groups, "group"));
            format!("Glean would be told of {users} and {groups}{most}\n")
        }
        Err(failure) => {
            format!("users and groups cannot be read: {}\n", short_line(&failure.what, LONGEST))
        }
    }
}

fn result(read: &Preview) -> Value {
    let document = |judged: &Judged| {
        let Judged { json, problem, note, .. } = judged;
        let document: Value = serde_json::from_str(json).unwrap_or_default();
        json!({ "document": document, "problem": problem, "note": note })
    };
    let unreadable = |found: &Unreadable| json!({ "id": found.id, "url": found.view_url, "reason": found.reason });
    json!({
        "documents": read.documents.iter().map(document).collect::<Vec<_>>(),
        "unreadable": read.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
        "identities": match &read.identities {
            Ok(Some(People { users, groups, more })) => {
                json!({ "users": users, "groups": groups, "more": more, "error": null })
            }
            Ok(None) => Value::Null,
            Err(failure) => {
                json!({ "users": null, "groups": null, "more": null, "error": failure.to_string() })
            }
        },
    })
}

fn describe(judged: &Judged) -> String {
    let Judged { id, title, url, object_type, seen_by, body, .. } = judged;
    let mark = if judged.problem.is_some() { '✗' } else { '•' };
    let mut text = format!("{mark} {id}\n    {title}\n    {url}\n");
    text.push_str(&format!("    {object_type} · {body} · seen by {seen_by}\n"));
    if let Some(excerpt) = &judged.excerpt {
        text.push_str(&format!("    “{excerpt}”\n"));
    }
    match (&judged.problem, &judged.note) {
        (Some(problem), _) => {
            text.push_str(&format!("    would be quarantined: {problem}\n"));
        }
        (None, Some(note)) => {
            text.push_str(&format!("    would be uploaded, but {note}\n"));
        }
        (None, None) => {}
    }
    text
}
