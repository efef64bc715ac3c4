//! `sheaf approve NAME` and `sheaf reject NAME`: a person's word on a crawl that is held.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Context, Report, sync};
use crate::crawl::{Crawler, Decision, local};
use crate::failure::{Failure, Kind, Result};
use crate::observe::numbers::grouped;
use crate::temporal::approvals;
use crate::temporal::connect::connect;

#[derive(ClapArgs)]
pub struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// Only show what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(args: Args, decision: Decision, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let name = &args.name;
    config.connection(name)?;
    let crawler = Crawler::offline(config)?;
    let memory = crawler.memories.of(name).await?;
    let held = memory.held;
    if args.dry_run {
        let held = held.ok_or_else(|| local::nothing_waits(name))?;
        let waiting = crate::crawl::finish::waiting(&held);
        let summary = format!(
            "{name}: {} of {} documents would be deleted",
            grouped(waiting.would_go),
            grouped(waiting.of)
        );
        let text = format!("{summary}\n{}", sync::waiting_text(&waiting, name));
        return Ok(Report::new(summary, json!(waiting)).text(text));
    }
    // A crawl that nobody but this machine knows of is answered here. What a workflow holds, or what
    // only its workers' store knows, is answered there.
    let result = match held {
        Some(held) if !held.temporal => {
            if crawler.client.server_url().is_empty() {
                return Err(Failure::settings("there is no Glean to delete from")
                    .next("name it as for the crawl: `server_url` in [glean]"));
            }
            local::decide(&crawler, name, decision).await?
        }
        // The store is the workers' own: what it does not know of is not there.
        None if memory.last.is_some() => return Err(local::nothing_waits(name)),
        held => {
            let client = connect(&crawler.config).await?;
            match approvals::decide(&client, name, decision).await {
                // It waits, and its workflow is gone: cancelled, or failed for good.
                Err(failure) if failure.kind == Kind::Settings && held.is_some() => {
                    Box::pin(local::decide(&crawler, name, decision)).await?
                }
                decided => decided?,
            }
        }
    };
    let said = match decision {
        Decision::Approve => "approved",
        _ => "rejected",
    };
    let summary = format!("{name}: {said}, {} deleted", grouped(result.deleted));
    let code = if decision == Decision::Approve { result.outcome.exit_code() } else { 0 };
    let text = match &result.reason {
        Some(reason) => format!("{summary}; {reason}"),
        None => summary.clone(),
    };
    Ok(Report::new(summary, json!(result)).text(text).exit_code(code))
}
