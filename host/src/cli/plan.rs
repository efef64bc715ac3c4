//! `sheaf plan NAME`: what a full crawl would do, before it does.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::{Context, connect};
use super::output::{Report, bounded_reason};
use super::{identities, live, signals, sync};
use crate::config::Config;
use crate::crawl::CrawlView;
use crate::crawl::connection_state::lock_of_plan;
use crate::crawl::forecast::{Asking, Forecast};
use crate::crawl::lease::Who;
use crate::crawl::local_forecast;
use crate::crawl::result::Outcome;
use crate::failure::Result;
use crate::ledger::{Sample, Shifted};
use crate::temporal::forecasts;
use crate::text::{count, grouped, one_line};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// Let a worker read the source, on Temporal: for large sources.
    #[arg(long)]
    temporal: bool,
    /// Read everything again, where an interrupted reading would be resumed.
    #[arg(long)]
    restart: bool,
}

/// What was begun so long before is said to be so.
const RESUMED: Duration = Duration::from_secs(60);
/// So many documents of a kind are named; with `-v` as many as are kept.
const SHOWN: usize = 5;

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    config.connection(&args.name)?;
    let cancel = signals::token();
    let (view, views) = watch::channel(CrawlView::default());
    let shown = tokio::spawn(live::show(views));
    let forecast = if args.temporal {
        let client = connect(&config).await?;
        let (name, digest) = (args.name.as_str(), config.digest(&args.name));
        let wanted = forecasts::wanted(config.deployment(), name, digest, args.restart);
        forecasts::run(&client, wanted, &view, &cancel).await
    } else {
        here(&config, &args, &view, &cancel).await
    };
    drop(view);
    let _ = shown.await;
    Ok(report(&forecast?, context.verbose))
}

async fn here(
    config: &Config,
    args: &Args,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<Forecast> {
    let crawler = config.offline_crawler()?;
    let _lock = crawler.states.machine.lock(&lock_of_plan(&args.name))?;
    let who = Who::Process { machine: crawler.states.machine.id()? };
    let by = format!("process {}", std::process::id());
    let asking = Asking { connection: &args.name, who: &who, by: &by, restart: args.restart };
    Box::pin(local_forecast::run(&crawler, asking, view, cancel)).await
}

fn report(forecast: &Forecast, verbose: u8) -> Report {
    let of_people = match forecast.identities.as_ref().map(|people| people.outcome) {
        None | Some(Outcome::Complete) => String::new(),
        Some(outcome) => format!(" (its users and groups {outcome})"),
    };
    let summary = format!(
        "{}: a full crawl would upload {} to {} and be {}{of_people}; nothing was uploaded ({:.1} s)",
        forecast.connection,
        count(forecast.documents, "document"),
        forecast.datasource,
        forecast.outcome,
        forecast.seconds,
    );
    let mut text = summary.clone();
    let now = Duration::from_secs_f64(forecast.seconds);
    if forecast.at.since(forecast.since) > now + RESUMED {
        text.push_str(&format!(
            "\n  an interrupted plan was resumed: read since {}; `--restart` reads everything again",
            forecast.since
        ));
    }
    for reason in &forecast.held {
        text.push_str(&format!("\n  would be held: {}", bounded_reason(reason, verbose)));
    }
    if let Some(reason) = &forecast.reason {
        let reason = bounded_reason(reason, verbose);
        text.push_str(&format!("\n  not all can be read, so nothing would be deleted: {reason}"));
    }
    let shown = if verbose > 0 { usize::MAX } else { SHOWN };
    if forecast.under_way > 0 {
        let of = count(forecast.under_way, "document");
        text.push_str(&format!(
            "\n  a crawl that has not ended has uploaded {of}: they are compared with what was there before it"
        ));
    }
    access(forecast, shown, &mut text);
    documents(forecast, shown, &mut text);
    people(forecast, verbose, &mut text);
    let code = signals::code().unwrap_or(forecast.exit_code());
    Report::new(summary, json!(forecast)).text(text).exit_code(code)
}

/// Who may find documents that could not before, first of all everyone.
fn access(forecast: &Forecast, shown: usize, text: &mut String) {
    let shifts = &forecast.access;
    for (Shifted { count: number, samples }, what) in [
        (&shifts.to_everyone, "would be found by everyone, and not by all before"),
        (&shifts.wider, "would be found by more people than before"),
        (&shifts.narrower, "would be found by fewer people than before"),
        (&shifts.others, "would be found by other people than before"),
    ] {
        if *number > 0 {
            text.push_str(&format!("\n  {} {what}", count(*number, "document")));
            named(samples, *number, shown, text);
        }
    }
    let unknown = shifts.not_known;
    if unknown > 0 {
        text.push_str(&format!(
            "\n  of {} that would change it is not known who finds them now: Sheaf's ledger does not say",
            count(unknown, "document")
        ));
    }
    if forecast.access_unknown > 0 {
        text.push_str(&format!(
            "\n  {} would be found by nobody: the connector does not know who may",
            count(forecast.access_unknown, "document")
        ));
    }
    if !forecast.undefined.is_empty() {
        text.push_str(&format!("\n  {}", sync::undefined(&forecast.undefined)));
    }
}

fn documents(forecast: &Forecast, shown: usize, text: &mut String) {
    text.push_str(&format!("\n  {} unchanged", grouped(forecast.unchanged)));
    for (number, samples, what) in [
        (forecast.added, &forecast.added_samples, "new"),
        (forecast.changed, &forecast.changed_samples, "changed"),
    ] {
        text.push_str(&format!("\n  {} {what}", grouped(number)));
        named(samples, number, shown, text);
    }
    let of = count(forecast.of, "document");
    text.push_str(&format!("\n  {} of {of} deleted", grouped(forecast.deleted)));
    if forecast.deleted > 0 {
        named(&forecast.gone_samples, forecast.gone, shown, text);
        named(&forecast.withheld_samples, forecast.withheld, shown, text);
        if forecast.foreign > 0 {
            let foreign = count(forecast.foreign, "document");
            text.push_str(&format!("\n    {foreign} of others, by Glean's count"));
        }
    }
    if forecast.quarantined > 0 {
        text.push_str(&format!("\n  {} quarantined", grouped(forecast.quarantined)));
        for one in forecast.quarantine.iter().take(shown) {
            text.push_str(&format!("\n    `{}`: {}", one_line(&one.id), one_line(&one.reason)));
        }
    }
}

fn people(forecast: &Forecast, verbose: u8, text: &mut String) {
    if let Some(result) = &forecast.identities {
        text.push_str(&format!("\n  {}", identities::would_do(result, verbose)));
    }
    if let Some(failure) = &forecast.identities_failure {
        let what = bounded_reason(&failure.what, verbose);
        text.push_str(&format!("\n  users and groups cannot be read: {what}"));
    }
}

/// Some of so many documents, by id and title.
fn named(samples: &[Sample], of: u64, shown: usize, text: &mut String) {
    for Sample { id, title, reason } in samples.iter().take(shown) {
        let title = if title == id { String::new() } else { format!(" {}", one_line(title)) };
        let reason =
            if reason.is_empty() { String::new() } else { format!(": {}", one_line(reason)) };
        text.push_str(&format!("\n    `{}`{title}{reason}", one_line(id)));
    }
    let more = of.saturating_sub(samples.len().min(shown) as u64);
    if more > 0 {
        text.push_str(&format!("\n    … and {} more", grouped(more)));
    }
}
