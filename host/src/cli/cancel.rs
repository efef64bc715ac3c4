//! `sheaf cancel NAME`: ends a crawl that is under way; what it has done is kept.

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{Context, with_crawl_of};
use super::output::Report;
use super::{signals, sync};
use crate::failure::Result;
use crate::temporal::cancel::{Cancelled, cancel};
use crate::text::count;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let name = &args.name;
    let (config, client) = with_crawl_of(name, context).await?;
    match Box::pin(cancel(&client, config.deployment(), name, &signals::token())).await? {
        Cancelled::Yes(view) => {
            let total = &view.total.counts;
            let summary = format!("{name}: cancelled after {}", count(total.documents, "document"));
            let text = format!(
                "{summary}\n  what it uploaded stays in Glean, and nothing was deleted; the next \
                 {} crawl within a day resumes it, `--restart` starts from the beginning",
                view.mode
            );
            let result = json!({
                "connection": name,
                "cancelled": true,
                "mode": view.mode,
                "upload_id": view.upload_id,
                "documents": total.documents,
            });
            Ok(Report::new(summary, result).text(text))
        }
        Cancelled::Asked => {
            let summary =
                format!("{name}: asked to end; no worker answers, and it ends as soon as one does");
            let result = json!({ "connection": name, "cancelled": false, "asked": true });
            Ok(Report::new(summary, result).exit_code(5))
        }
        Cancelled::Ended(ended) => {
            let result = (*ended)?;
            let summary = format!("it had come to its end: {}", sync::summary(&result));
            let result = json!({ "connection": name, "cancelled": false, "ended": result });
            Ok(Report::new(summary, result))
        }
    }
}
