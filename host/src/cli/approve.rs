//! `sheaf approve NAME` and `sheaf reject NAME`: a person's word on a crawl that is held.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use temporalio_client::Client;

use super::context::{Context, connect};
use super::identities;
use super::output::Report;
use super::sync;
use crate::config::Config;
use crate::crawl::approval;
use crate::crawl::lease::Coordinator;
use crate::crawl::result::AwaitingApproval;
use crate::crawl::{CrawlResult, Crawler, Decision, Outcome, local};
use crate::failure::{Failure, Result};
use crate::temporal::approvals;
use crate::temporal::workflows::approval::Word;
use crate::text::{count, grouped, lines, short_line};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// What of the users and groups is held, and no documents.
    #[arg(long, conflicts_with = "deletes")]
    identities: bool,
    /// Only show what would be deleted, and the command that approves it.
    #[arg(long)]
    dry_run: bool,
    /// The upload that is meant: nothing happens where another waits. `sheaf status` names it.
    #[arg(long, value_name = "ID")]
    upload: Option<String>,
    /// How many documents it was said that would be deleted: nothing happens where it is another number.
    #[arg(long, value_name = "N", requires = "upload")]
    deletes: Option<u64>,
}

/// Bytes that are shown of an upload's id.
const LONGEST: usize = 200;
/// So long Glean's counts are waited for.
const GLEAN: Duration = Duration::from_secs(10);

/// What waits, and who has to act on the answer.
struct Held {
    waiting: AwaitingApproval,
    /// Whose it is to end: nobody but this machine knows of it, or a workflow does.
    coordinator: Coordinator,
    /// The store has it, and not only its workflow.
    here: bool,
}

pub(super) async fn run(args: Args, decision: Decision, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let name = &args.name;
    config.connection(name)?;
    if args.identities {
        return match decision {
            Decision::Approve => {
                let (upload, verbose) = (args.upload.as_deref(), context.verbose);
                let approve =
                    identities::approve(&config, name, upload, args.dry_run, context.json, verbose);
                Box::pin(approve).await
            }
            _ => identities::reject(&config, name, args.upload.as_deref(), args.dry_run).await,
        };
    }
    let crawler = config.offline_crawler()?;
    let mut client = None;
    if decision == Decision::Approve && !crawler.client.server_url().is_empty() {
        // Where Glean is the workers' alone, they act on what was shown.
        match tokio::time::timeout(GLEAN, crawler.recount(name)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::warn!(connection = name, "not counted again: {failure}"),
            Err(_) => tracing::warn!(connection = name, "not counted again: Glean does not answer"),
        }
    }
    let held = find(&config, &crawler, name, &mut client).await?;
    let waiting = &held.waiting;
    if args.dry_run {
        let summary = summary(name, waiting);
        let text = format!("{summary}\n{}", sync::waiting_text(waiting, name));
        let mut result = json!(waiting);
        result["command"] = json!(waiting.command(name));
        return Ok(Report::new(summary, result).text(text));
    }
    check(&args, waiting)?;
    let ask_first = args.upload.is_none() && decision == Decision::Approve;
    if ask_first && !said_yes(name, waiting, context.json)? {
        let summary = format!("{name}: not approved, nothing deleted; it still waits");
        return Ok(Report::new(summary, json!(waiting)).exit_code(Outcome::Held.exit_code()));
    }
    let decided = Box::pin(decide(&config, &crawler, name, held, decision, client));
    let result = decided.await?;
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

fn summary(name: &str, waiting: &AwaitingApproval) -> String {
    let (would_go, of) = (grouped(waiting.would_go), grouped(waiting.of));
    format!("{name}: {would_go} of {of} documents would be deleted")
}

/// What waits: the store knows it, or, where that is the workers' own, its workflow.
async fn find(
    config: &Config,
    crawler: &Crawler,
    name: &str,
    client: &mut Option<Client>,
) -> Result<Held> {
    let state = crawler.states.of(name).await?;
    if let Some(held) = &state.held {
        let waiting = approval::waiting(held);
        return Ok(Held { waiting, coordinator: held.coordinator, here: true });
    }
    if state.last.is_some() {
        return Err(local::nothing_waits(name));
    }
    let connected = client.insert(connect(config).await?);
    let waiting = approvals::waiting(connected, config.deployment(), name).await?;
    let waiting = waiting.ok_or_else(|| local::nothing_waits(name))?;
    Ok(Held { waiting, coordinator: Coordinator::Temporal, here: false })
}

/// A word on something else than what waits is none.
fn check(args: &Args, waiting: &AwaitingApproval) -> Result<()> {
    let name = &args.name;
    let look = format!("look at what waits now: `sheaf approve {name} --dry-run`");
    if let Some(meant) = args.upload.as_ref().filter(|meant| **meant != waiting.upload_id) {
        return Err(Failure::settings(format!(
            "the upload {} does not wait for approval; {} does. Nothing was deleted",
            short_line(meant, LONGEST),
            waiting.upload_id
        ))
        .at(format!("{name}, upload {}", waiting.upload_id))
        .next(look));
    }
    if let Some(meant) = args.deletes.filter(|meant| *meant != waiting.would_go) {
        return Err(Failure::settings(format!(
            "{} would be deleted, and not {}. Nothing was deleted",
            count(waiting.would_go, "document"),
            grouped(meant)
        ))
        .at(format!("{name}, upload {}", waiting.upload_id))
        .next(look));
    }
    Ok(())
}

/// Shows what would go and asks; where nobody can be asked, the command has to say it.
fn said_yes(name: &str, waiting: &AwaitingApproval, json: bool) -> Result<bool> {
    let mut input = std::io::stdin().lock();
    if json || !input.is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::settings(format!(
            "an approval names what it approves: {} of `{name}` would be deleted",
            count(waiting.would_go, "document")
        ))
        .at(format!("upload {}", waiting.upload_id))
        .next(format!(
            "look at them with `--dry-run`; this approves them: {}",
            waiting.command(name)
        )));
    }
    eprintln!("{}\n{}", summary(name, waiting), lines(&sync::waiting_text(waiting, name)));
    eprint!("Delete {}? Type yes: ", count(waiting.would_go, "document"));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = input.read_line(&mut answer);
    Ok(read.is_ok() && answer.trim().eq_ignore_ascii_case("yes"))
}

/// No worker has acted on the answer yet.
fn late() {
    eprintln!(
        "the answer is recorded; a worker has to act on it: is `sheaf worker` running? Ctrl-C takes \
         nothing back"
    );
}

/// A crawl that nobody but this machine knows of is answered here; what a workflow holds, there.
async fn decide(
    config: &Config,
    crawler: &Crawler,
    name: &str,
    held: Held,
    decision: Decision,
    client: Option<Client>,
) -> Result<CrawlResult> {
    let upload_id = held.waiting.upload_id;
    if held.coordinator == Coordinator::Temporal {
        let client = match client {
            Some(client) => client,
            None => connect(config).await?,
        };
        let word = Word { upload_id: upload_id.clone(), decision };
        let deployment = config.deployment();
        match approvals::decide(&client, deployment, name, word, late).await? {
            Some(result) => return Ok(result),
            None if !held.here => return Err(local::nothing_waits(name)),
            // It waits, and its workflow is gone: cancelled, or failed for good.
            None => {}
        }
    } else if crawler.client.server_url().is_empty() {
        return Err(Failure::settings("there is no Glean to delete from")
            .next("name it as for the crawl: `server_url` in [glean]"));
    }
    Box::pin(local::decide(crawler, name, &upload_id, decision)).await
}
