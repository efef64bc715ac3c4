//! `sheaf quarantine`: the quarantined documents.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;

use super::context::Context;
use super::output::Report;
use super::sync;
use crate::crawl::change::Want;
use crate::crawl::explain::Fate;
use crate::crawl::kept_changes::refused;
use crate::crawl::{Crawler, ModeName};
use crate::failure::{Failure, Result};
use crate::text::{count, grouped, one_line, short_line};

#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The documents of a connection that are quarantined, with the reasons.
    List {
        /// The connection in sheaf.toml.
        name: String,
        /// How many are shown.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// One of them.
    Show { name: String, id: String },
    /// Crawl the connection in full again, and say which of them are well now.
    Retry {
        name: String,
        /// Crawl in this process, without Temporal.
        #[arg(long)]
        local: bool,
    },
}

/// So much of an id or a reason is listed.
const LONGEST: usize = 1_000;
/// More than this are not followed one by one.
const MANY: usize = 10_000;

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let (What::List { name, .. } | What::Show { name, .. } | What::Retry { name, .. }) = &args.what;
    config.connection(name)?;
    let crawler = config.offline_crawler()?;
    match args.what {
        What::List { name, limit } => list(&crawler, &name, limit).await,
        What::Show { name, id } => show(&crawler, &name, &id).await,
        What::Retry { name, local } => Box::pin(retry(&crawler, &name, local, context)).await,
    }
}

async fn list(crawler: &Crawler, name: &str, limit: usize) -> Result<Report> {
    let (documents, all) = crawler.quarantined(name, limit).await?;
    let summary = match all {
        0 => format!("{name}: no document is quarantined"),
        _ => format!("{name}: {} quarantined", count(all, "document")),
    };
    let mut text = summary.clone();
    for document in &documents {
        let old = if document.in_glean { " (Glean has an older version)" } else { "" };
        let (id, reason) =
            (short_line(&document.id, LONGEST), short_line(&document.reason, LONGEST));
        text.push_str(&format!("\n  {id}: {reason}{old}"));
    }
    let more = all - documents.len() as u64;
    if more > 0 {
        text.push_str(&format!("\n  … and {} more: --limit", grouped(more)));
    }
    let state = crawler.states.of(name).await?;
    let changes: Vec<_> = refused(&state).collect();
    if !changes.is_empty() {
        let number = count(changes.len() as u64, "change");
        text.push_str(&format!("\n{number} that Glean refuses, tried again by each crawl:"));
    }
    for change in changes.iter().take(limit) {
        let access = match &change.want {
            Want::Access(access) => format!(" to {access}"),
            Want::Delete => String::new(),
        };
        let change = format!(
            "{}: {}{access}, since {}, {}: {}",
            short_line(&change.id, LONGEST),
            change.wanted(),
            change.since,
            count(u64::from(change.attempts), "attempt"),
            change.refused.as_deref().unwrap_or_default()
        );
        text.push_str(&format!("\n  {}", one_line(&change)));
    }
    let result = json!({ "count": all, "documents": documents, "refused_changes": changes });
    Ok(Report::new(summary, result).text(text))
}

async fn show(crawler: &Crawler, name: &str, id: &str) -> Result<Report> {
    let document = crawler
        .find(name, id)
        .await?
        .filter(|found| !found.reason.is_empty() && found.state != Fate::Deleted);
    let document = document.ok_or_else(|| {
        Failure::settings(format!("`{id}` is not quarantined"))
            .at(name)
            .next(format!("see `sheaf quarantine list {name}`, or `sheaf explain {name} {id}`"))
    })?;
    let summary = format!("{id}: {}", document.reason);
    let text = super::explain::text(&document);
    Ok(Report::new(summary, json!(document)).text(text))
}

async fn retry(crawler: &Crawler, name: &str, local: bool, context: &Context) -> Result<Report> {
    let (before, _) = crawler.quarantined(name, MANY).await?;
    let args = sync::Args { local, ..sync::Args::one(name, ModeName::Full) };
    let mut report = Box::pin(sync::run(args, context)).await?;
    let (after, all) = crawler.quarantined(name, MANY).await?;
    let well: Vec<_> = before
        .iter()
        .filter(|document| after.iter().all(|still| still.id != document.id))
        .map(|document| document.id.clone())
        .collect();
    let said =
        format!("{} well now, {} quarantined", count(well.len() as u64, "document"), grouped(all));
    report.summary = format!("{}; {said}", report.summary);
    report.text = Some(format!("{}\n{said}", report.text.unwrap_or_default()));
    if let Some(result) = report.result.as_object_mut() {
        result.insert("well".into(), json!(well));
        result.insert("still".into(), json!(after));
    }
    Ok(report)
}
