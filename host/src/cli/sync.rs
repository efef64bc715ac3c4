//! `sheaf sync NAME`: one crawl, followed live; or, with `--all`, every connection's.

use std::collections::BTreeSet;
use std::time::Instant;

use clap::Args as ClapArgs;
use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::{Context, connect};
use super::live;
use super::output::{Report, bounded_reason};
use super::signals;
use super::{all_identities, identities};
use crate::clock::to_milliseconds;
use crate::config::Config;
use crate::crawl::CrawlRequest;
use crate::crawl::lease::Coordinator;
use crate::crawl::result::AwaitingApproval;
use crate::crawl::undefined::Undefined;
use crate::crawl::view::Phase;
use crate::crawl::{CrawlResult, CrawlView, ModeName, Outcome, local};
use crate::failure::{Failure, Kind, Result};
use crate::temporal::follow::{self, Started};
use crate::temporal::workflows::AllInput;
use crate::temporal::workflows::all::OneOfAll;
use crate::text::{bytes, count, grouped, one_line};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    #[arg(required_unless_present = "all")]
    pub name: Option<String>,
    /// Every connection of sheaf.toml.
    #[arg(long, conflicts_with_all = ["name", "connector"])]
    pub all: bool,
    /// With `--all`: how many are crawled at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..), requires = "all")]
    pub parallel: u16,
    /// Crawl in this process, without Temporal. Run again after an interruption, it is resumed.
    #[arg(long)]
    pub local: bool,
    /// Only what the connector finds changed since the last crawl; deletions may wait for a full one.
    #[arg(long)]
    pub incremental: bool,
    /// Only users and groups: who is who in the source.
    #[arg(long, conflicts_with_all = ["incremental", "connector", "follow"])]
    pub identities: bool,
    /// Run another connector than the connection's: a name, a file of the folder, or `sha256:…` of one
    /// that ran before.
    #[arg(long, value_name = "CONNECTOR")]
    pub connector: Option<String>,
    /// Start from the beginning, where an interrupted crawl would be resumed; with `--identities`, tell everything
    /// again.
    #[arg(long, alias = "anew")]
    pub restart: bool,
    /// Start nothing: follow the crawl that is under way on Temporal.
    #[arg(long, conflicts_with_all = ["all", "local", "incremental", "connector", "restart"])]
    pub follow: bool,
}

impl Args {
    /// One crawl of a connection.
    pub(super) fn one(name: &str, mode: ModeName) -> Self {
        Self {
            name: Some(name.to_owned()),
            all: false,
            parallel: 1,
            local: false,
            incremental: mode == ModeName::Incremental,
            identities: false,
            connector: None,
            restart: false,
            follow: false,
        }
    }

    fn coordinator(&self) -> Coordinator {
        if self.local { Coordinator::Process } else { Coordinator::Temporal }
    }

    fn mode(&self) -> ModeName {
        if self.incremental { ModeName::Incremental } else { ModeName::Full }
    }

    /// What is asked for of one connection.
    fn request(&self, name: &str) -> CrawlRequest {
        CrawlRequest {
            connector: self.connector.clone(),
            restart: self.restart,
            ..CrawlRequest::new(name, self.mode())
        }
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let cancel = signals::token();
    match &args.name {
        Some(name) if !args.all => {
            Box::pin(one(&args, name, config, &cancel, context.verbose)).await
        }
        _ if args.identities => {
            let (by, parallel) = (args.coordinator(), args.parallel);
            let crawls = all_identities::sync(&config, by, args.restart, parallel, context.verbose);
            Box::pin(crawls).await
        }
        _ => all(&args, config, &cancel).await,
    }
}

async fn one(
    args: &Args,
    name: &str,
    config: Config,
    cancel: &CancellationToken,
    verbose: u8,
) -> Result<Report> {
    config.connection(name)?;
    if args.identities {
        let crawl = identities::sync(&config, name, args.coordinator(), args.restart, verbose);
        return Box::pin(crawl).await;
    }
    let (view, views) = watch::channel(CrawlView::default());
    let shown = tokio::spawn(live::show(views));
    let mode = args.mode();
    let started = Instant::now();
    let ended = if args.local {
        let crawler = config.crawler()?;
        local::run(&crawler, &args.request(name), &view, cancel).await
    } else {
        on_temporal(&config, name, args, &view, cancel).await
    };
    let last = view.borrow().clone();
    drop(view);
    let _ = shown.await;
    match ended {
        Ok(result) => Ok(report(&result, verbose)),
        // A crawl that nobody follows any more has not failed.
        Err(failure) if failure.kind == Kind::Interrupted && !args.local => Err(failure),
        Err(failure) => Ok(failed(name, mode, &last, started.elapsed().as_secs_f64(), failure)),
    }
}

async fn on_temporal(
    config: &Config,
    name: &str,
    args: &Args,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<CrawlResult> {
    let client = connect(config).await?;
    let started = if args.follow {
        let found = follow::under_way(&client, config.deployment(), name).await?;
        let found = found.ok_or_else(|| follow::nothing_runs(name))?;
        Started { handle: found.handle(&client), joined: false }
    } else {
        let wanted = follow::crawl(config.deployment(), args.request(name), config.digest(name));
        follow::start(&client, config.deployment(), wanted).await?
    };
    if started.joined {
        tracing::warn!("a crawl of {name} is under way already, and is followed");
    }
    follow::follow(&client, started.handle, &config.temporal.task_queue, view, cancel).await
}

/// Each connection's crawl; one that fails does not stop the others.
async fn all(args: &Args, config: Config, cancel: &CancellationToken) -> Result<Report> {
    let mode = args.mode();
    let ended = if args.local {
        all_here(args, config, mode, cancel).await?
    } else {
        let client = connect(&config).await?;
        let crawl = |name: &String| {
            follow::crawl(config.deployment(), args.request(name), config.digest(name))
        };
        let input = AllInput {
            crawls: config.connections.keys().map(crawl).collect(),
            parallel: usize::from(args.parallel),
        };
        let mut told = BTreeSet::new();
        follow::all(&client, &config.temporal.task_queue, input, cancel, |crawls| {
            for one in crawls {
                if one.result.is_some() && told.insert(one.connection.clone()) {
                    eprintln!("{}", one_line(&line(one)));
                }
            }
        })
        .await?
    };
    let code = |one: &OneOfAll| match (&one.result, &one.failure) {
        (Some(result), _) => result.exit_code(),
        (None, Some(failure)) => failure.kind.exit_code(),
        (None, None) => 1,
    };
    let worst = ended.iter().map(code).max().unwrap_or(0);
    let well = ended.iter().filter(|one| code(one) == 0).count();
    let text: Vec<_> = ended.iter().map(line).collect();
    let summary = format!("{well} of {} complete", count(ended.len() as u64, "connection"));
    Ok(Report::new(summary.clone(), json!({ "connections": ended }))
        .text(format!("{}\n{summary}", text.join("\n")))
        .exit_code(signals::code().unwrap_or(worst)))
}

async fn all_here(
    args: &Args,
    config: Config,
    _mode: ModeName,
    cancel: &CancellationToken,
) -> Result<Vec<OneOfAll>> {
    let crawler = config.crawler()?;
    let crawl = |name: String| {
        let crawler = crawler.clone();
        async move {
            let (view, _views) = watch::channel(CrawlView::default());
            let ended = local::run(&crawler, &args.request(&name), &view, cancel).await;
            let (result, failure) = match ended {
                Ok(result) => (Some(result), None),
                Err(failure) => (None, Some(failure)),
            };
            OneOfAll { connection: name.into(), running: false, result, failure }
        }
    };
    let names: Vec<_> = config.connections.keys().cloned().collect();
    let crawls = futures::stream::iter(names).map(crawl).buffered(usize::from(args.parallel));
    Ok(crawls.collect().await)
}

fn line(one: &OneOfAll) -> String {
    match (&one.result, &one.failure) {
        (Some(result), _) if result.exit_code() == 0 => {
            format!("✓ {}", summary(result))
        }
        (Some(result), _) => format!("! {}", summary(result)),
        (None, Some(failure)) => {
            let next =
                failure.next.as_ref().map_or_else(String::new, |next| format!("\n  next: {next}"));
            format!("✗ {}: {failure}{next}", one.connection)
        }
        (None, None) => format!("  {}", one.connection),
    }
}

/// One line about a crawl that ended.
pub(super) fn summary(result: &CrawlResult) -> String {
    format!("{}: {}", result.connection, did(result, 0))
}

/// What a crawl did. Where it is held, the reasons stand with what waits.
pub(super) fn did(result: &CrawlResult, verbose: u8) -> String {
    let mut text = format!(
        "{} uploaded to {} ({}, {}) in {:.1} s",
        count(result.documents, "document"),
        result.datasource,
        result.mode,
        bytes(result.bytes),
        result.seconds,
    );
    for (number, what) in
        [(result.changed, "changed"), (result.added, "new"), (result.deleted, "deleted")]
    {
        if number > 0 && (result.unchanged > 0 || what == "deleted") {
            text.push_str(&format!(", {} {what}", grouped(number)));
        }
    }
    if result.quarantined > 0 {
        text.push_str(&format!(", {} quarantined", grouped(result.quarantined)));
    }
    if !result.undefined.is_empty() {
        text.push_str(&format!(", {}", undefined(&result.undefined)));
    }
    if result.outcome != Outcome::Complete {
        text.push_str(&format!("; {}", result.outcome));
        if let Some(reason) = result.reason.as_ref().filter(|_| result.held.is_none()) {
            text.push_str(&format!(": {}", bounded_reason(reason, verbose)));
        }
    }
    if let Some(people) = result.identities {
        text.push_str(&format!("; users and groups: {people}, `sheaf status` says why"));
    }
    text
}

pub(super) fn undefined(undefined: &Undefined) -> String {
    format!("{undefined} named by documents and told to Glean by nobody here")
}

/// What waits for a person's word, and how to say it.
pub(super) fn waiting_text(waiting: &AwaitingApproval, name: &str) -> String {
    let mut text = String::new();
    for reason in &waiting.reasons {
        text.push_str(&format!("  {}\n", one_line(reason)));
    }
    for sample in waiting.samples.iter().take(SHOWN) {
        let reason = if sample.reason.is_empty() { "" } else { ": " };
        let title = if sample.title == sample.id { "" } else { sample.title.as_str() };
        let sample = format!("{} {title}{reason}{}", sample.id, sample.reason);
        text.push_str(&format!("  would go: {}\n", one_line(&sample)));
    }
    let more = waiting.would_go.saturating_sub(waiting.samples.len().min(SHOWN) as u64);
    if more > 0 && waiting.would_go > more {
        text.push_str(&format!("  … and {} more\n", grouped(more)));
    }
    text.push_str(&format!(
        "  it waits until {}; `sheaf reject {name}` lets nothing go, and this deletes them:\n  {}",
        waiting.until,
        waiting.command(name)
    ));
    text
}

/// Documents that would go are named up to so many.
const SHOWN: usize = 5;

pub(super) fn report(result: &CrawlResult, verbose: u8) -> Report {
    let mut text = format!("{}: {}", result.connection, did(result, verbose));
    if result.resumable {
        text.push_str(
            "\n  a full crawl within 12 hours resumes what is missing; `--restart` reads everything",
        );
    }
    if let Some(waiting) = &result.held {
        text.push_str(&format!("\n{}", waiting_text(waiting, &result.connection)));
    }
    for document in &result.quarantine {
        let document = format!("{}: {}", document.id, document.reason);
        text.push_str(&format!("\n  quarantined: {}", one_line(&document)));
    }
    let more = result.quarantined.saturating_sub(result.quarantine.len() as u64);
    if more > 0 && !result.quarantine.is_empty() {
        text.push_str(&format!(
            "\n  … and {} more: `sheaf quarantine list {}`",
            grouped(more),
            result.connection
        ));
    }
    if result.access_unknown > 0 {
        text.push_str(&format!(
            "\n  {} can be found by nobody: the connector does not know who may see them",
            count(result.access_unknown, "document")
        ));
    }
    Report::new(summary(result), json!(result)).text(text).exit_code(result.exit_code())
}

/// A crawl that failed still says how far it came.
fn failed(name: &str, mode: ModeName, view: &CrawlView, seconds: f64, failure: Failure) -> Report {
    let total = &view.total.counts;
    let what = match failure.kind {
        Kind::Interrupted => "interrupted",
        _ => "failed",
    };
    let summary =
        format!("{name}: {what} after {} ({})", count(total.documents, "document"), failure.what);
    let text = match view.phase {
        Phase::Configuring => String::new(),
        _ => format!("{name}: {what} after {}", count(total.documents, "document")),
    };
    let result = json!({
        "connection": name,
        "datasource": view.datasource,
        "mode": mode,
        "outcome": Outcome::Failed,
        "upload_id": view.upload_id,
        "documents": total.documents,
        "deleted": total.deleted,
        "quarantined": total.quarantined,
        "batches": total.batches,
        "bytes": total.bytes,
        "seconds": to_milliseconds(seconds),
        "reason": failure.what,
    });
    let code = signals::code().unwrap_or(failure.kind.exit_code());
    Report::new(summary, result).text(text).exit_code(code).failure(failure)
}
