//! `sheaf sync NAME`: one crawl, followed live.

use std::time::Instant;

use clap::Args as ClapArgs;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Context, Report, signals};
use crate::config::Config;
use crate::crawl::view::Phase;
use crate::crawl::{CrawlResult, CrawlView, Crawler, ModeName, Outcome, local};
use crate::failure::{Failure, Kind, Result};
use crate::observe::numbers::{bytes, count, grouped};
use crate::observe::progress;
use crate::temporal::connect::connect;
use crate::temporal::follow;

#[derive(ClapArgs)]
pub struct Args {
    /// The connection in sheaf.toml.
    pub name: String,
    /// Crawl in this process, without Temporal. Interrupted, it goes on where it was.
    #[arg(long)]
    pub local: bool,
    /// Only what the connector finds changed since the last crawl; deletions may wait for a full one.
    #[arg(long)]
    pub incremental: bool,
}

impl Args {
    fn mode(&self) -> ModeName {
        if self.incremental { ModeName::Incremental } else { ModeName::Full }
    }
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    config.connection(&args.name)?;
    let cancel = signals::token();
    let (view, views) = watch::channel(CrawlView::default());
    let shown = tokio::spawn(progress::show(views));
    let mode = args.mode();
    let started = Instant::now();
    let ended = if args.local {
        let crawler = Crawler::new(config)?;
        local::run(&crawler, &args.name, mode, &view, &cancel).await
    } else {
        on_temporal(&config, &args.name, mode, &view, &cancel).await
    };
    let last = view.borrow().clone();
    drop(view);
    let _ = shown.await;
    match ended {
        Ok(result) => Ok(report(&result)),
        // A crawl that goes on without us has not failed.
        Err(failure) if failure.kind == Kind::Interrupted && !args.local => Err(failure),
        Err(failure) => {
            Ok(failed(&args.name, mode, &last, started.elapsed().as_secs_f64(), failure))
        }
    }
}

async fn on_temporal(
    config: &Config,
    name: &str,
    mode: ModeName,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<CrawlResult> {
    let client = connect(config).await?;
    let handle = follow::start(&client, &config.temporal, name, mode).await?;
    follow::follow(&handle, &config.temporal.task_queue, view, cancel).await
}

/// One line about a crawl that ended.
pub fn summary(result: &CrawlResult) -> String {
    let mut text = format!(
        "{}: {} uploaded to {} ({}, {}) in {:.1} s",
        result.connection,
        count(result.documents, "document"),
        result.datasource,
        result.mode,
        bytes(result.bytes),
        result.seconds,
    );
    if result.deleted > 0 {
        text.push_str(&format!(", {} deleted", grouped(result.deleted)));
    }
    if result.quarantined > 0 {
        text.push_str(&format!(", {} set aside", grouped(result.quarantined)));
    }
    if result.outcome != Outcome::Complete {
        text.push_str(&format!("; {}", result.outcome));
        if let Some(reason) = &result.reason {
            text.push_str(&format!(": {reason}"));
        }
    }
    text
}

pub fn report(result: &CrawlResult) -> Report {
    let mut text = summary(result);
    for document in &result.quarantine {
        text.push_str(&format!("\n  set aside: {}: {}", document.id, document.reason));
    }
    if result.access_unknown > 0 {
        text.push_str(&format!(
            "\n  {} can be found by nobody: the connector does not know who may see them",
            count(result.access_unknown, "document")
        ));
    }
    Report::new(summary(result), json!(result)).text(text).exit_code(result.outcome.exit_code())
}

/// A crawl that failed still says how far it came.
fn failed(name: &str, mode: ModeName, view: &CrawlView, seconds: f64, failure: Failure) -> Report {
    let total = view.total();
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
        "seconds": (seconds * 1000.0).round() / 1000.0,
        "reason": failure.what,
    });
    let code = signals::code().unwrap_or(failure.kind.exit_code());
    Report::new(summary, result).text(text).exit_code(code).failure(failure)
}
