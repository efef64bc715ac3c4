//! `sheaf preview NAME`: the first documents, as they would be uploaded.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::output::Report;
use crate::crawl::preview::{Judged, Preview};
use crate::document::{Access, Body, Unreadable};
use crate::failure::Result;
use crate::text::{bounded, bytes, count, short_line};
use crate::wire::document::DocumentDefinition;

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
    let text = format!("{}{summary}", text(&read));
    let failure = read.failure.take();
    let report = Report::new(summary, result(&read, &connection.datasource)).text(text);
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

fn result(read: &Preview, datasource: &str) -> Value {
    let document = |judged: &Judged| {
        let Judged { document, problem, note } = judged;
        let wire = DocumentDefinition::new(datasource, document);
        json!({ "document": wire, "problem": problem, "note": note })
    };
    let unreadable = |found: &Unreadable| json!({ "id": found.id, "url": found.view_url, "reason": found.reason });
    json!({
        "documents": read.documents.iter().map(document).collect::<Vec<_>>(),
        "unreadable": read.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
    })
}

fn describe(judged: &Judged) -> String {
    let Judged { document, problem, note } = judged;
    let mark = if problem.is_some() { '✗' } else { '•' };
    let title = document.title.as_deref().unwrap_or("(no title)");
    let [id, title, url] =
        [document.id.as_str(), title, &document.view_url].map(|text| short_line(text, LONGEST));
    let mut text = format!("{mark} {id}\n    {title}\n    {url}\n");
    let access = match &document.access {
        Access::Everyone => "everyone".to_owned(),
        Access::SourceUsers => "all users of the datasource".to_owned(),
        Access::Unknown => "nobody: the connector does not know".to_owned(),
        Access::Restricted(to) => format!(
            "{}, {}",
            count(to.users.len() as u64, "user"),
            count((to.groups.len() + to.group_intersections.len()) as u64, "group")
        ),
    };
    let body = match document.body.as_ref() {
        None => "no body".to_owned(),
        Some(content) => {
            let size = match &content.body {
                Body::Text(text) => text.len(),
                Body::Binary(bytes) => bytes.len(),
            };
            format!("{}, {}", short_line(&content.mime_type, LONGEST), bytes(size as u64))
        }
    };
    let kind = short_line(&document.object_type, LONGEST);
    text.push_str(&format!("    {kind} · {body} · seen by {access}\n"));
    if let Some(Body::Text(body)) = document.body.as_ref().map(|content| &content.body) {
        let start: String = body.split_whitespace().take(25).collect::<Vec<_>>().join(" ");
        text.push_str(&format!("    “{}”\n", bounded(start, 160)));
    }
    match (problem, note) {
        (Some(problem), _) => {
            text.push_str(&format!("    would be quarantined: {}\n", short_line(problem, LONGEST)));
        }
        (None, Some(note)) => {
            text.push_str(&format!("    would be uploaded, but {}\n", short_line(note, LONGEST)));
        }
        (None, None) => {}
    }
    text
}
