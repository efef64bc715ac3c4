//! `sheaf schedules`: when connections are crawled.

use std::time::SystemTime;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use serde_json::json;
use temporalio_client::Client;

use super::context::{Context, connect};
use super::output::{Report, bounded_reason};
use super::sync;
use crate::config::Config;
use crate::failure::{Failure, Result};
use crate::temporal::schedule::{Overlap, Schedule};
use crate::temporal::schedules::{self, Act, Found, Gone};
use crate::text::count;

#[derive(ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

/// One connection's schedules, or one of them.
#[derive(ClapArgs)]
struct Which {
    /// The connection in sheaf.toml.
    name: String,
    /// Only this schedule of it, such as `full`.
    schedule: Option<String>,
}

#[derive(Subcommand)]
enum What {
    /// Make the server's schedules those of sheaf.toml: create, update, and remove what is gone.
    /// A schedule belongs to the task queue of [temporal]; others are not touched.
    Apply,
    /// Show the schedules on the server: when they start next, what they started, what was skipped.
    List,
    /// Start nothing until `resume`.
    Pause {
        #[command(flatten)]
        which: Which,
        /// Why, for others who look.
        #[arg(long)]
        note: Option<String>,
    },
    /// Go on after `pause`.
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Start a crawl now, as if it were due.
    Trigger {
        #[command(flatten)]
        which: Which,
    },
    /// Start the crawls that were due between two times.
    Backfill {
        #[command(flatten)]
        which: Which,
        /// Such as 2026-11-01T00:00:00Z.
        #[arg(long, value_parser = time)]
        from: SystemTime,
        #[arg(long, value_parser = time)]
        to: SystemTime,
        #[arg(long, value_enum, default_value_t = OnOverlap::BufferAll)]
        overlap: OnOverlap,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum OnOverlap {
    Skip,
    BufferOne,
    BufferAll,
    AllowAll,
}

fn time(text: &str) -> Result<SystemTime, String> {
    humantime::parse_rfc3339_weak(text)
        .map_err(|error| format!("{error}; write 2026-11-01T00:00:00Z"))
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let client = connect(&config).await?;
    let (which, act) = match args.what {
        What::Apply => return apply(&client, &config).await,
        What::List => return list(&client, &config, context.verbose).await,
        What::Pause { which, note } => (which, Act::Pause(note)),
        What::Resume { which } => (which, Act::Resume),
        What::Trigger { which } => (which, Act::Trigger),
        What::Backfill { which, from, to, overlap } => {
            if to <= from {
                return Err(Failure::settings("`--to` is not after `--from`")
                    .next("give the earlier time to `--from`"));
            }
            let overlap = match overlap {
                OnOverlap::Skip => Overlap::Skip,
                OnOverlap::BufferOne => Overlap::BufferOne,
                OnOverlap::BufferAll => Overlap::BufferAll,
                OnOverlap::AllowAll => Overlap::AllowAll,
            };
            (which, Act::Backfill { from, to, overlap })
        }
    };
    config.connection(&which.name)?;
    let (name, schedule) = (&which.name, which.schedule.as_deref());
    let ids = schedules::act(&client, &config.temporal, name, schedule, &act).await?;
    let did = match act {
        Act::Pause(_) => "paused",
        Act::Resume => "resumed",
        Act::Trigger => "triggered",
        Act::Backfill { .. } => "backfilled",
    };
    let summary = format!("{did}: {}", ids.join(", "));
    Ok(Report::new(summary, json!({ "schedules": ids })))
}

async fn apply(client: &Client, config: &Config) -> Result<Report> {
    let applied =
        schedules::apply(client, config.deployment(), config.wanted(), Gone::Remove).await?;
    let mut text = String::new();
    for (did, ids) in [
        ("created", &applied.created),
        ("updated", &applied.updated),
        ("unchanged", &applied.unchanged),
        ("removed", &applied.removed),
    ] {
        for id in ids {
            text.push_str(&format!("{did:<10} {id}\n"));
        }
    }
    let summary = format!(
        "{} created, {} updated, {} unchanged, {} removed",
        applied.created.len(),
        applied.updated.len(),
        applied.unchanged.len(),
        applied.removed.len()
    );
    text.push_str(&summary);
    Ok(Report::new(summary, json!(applied)).text(text))
}

async fn list(client: &Client, config: &Config, verbose: u8) -> Result<Report> {
    let found = schedules::list(client, &config.temporal).await?;
    let found = schedules::with_outcomes(client, found).await?;
    let mut text: String = found.iter().map(|one| line(one, verbose)).collect();
    let summary = count(found.len() as u64, "schedule");
    if found.is_empty() {
        text = format!("{summary}: `sheaf schedules apply` puts those of sheaf.toml there");
    }
    Ok(Report::new(summary, json!({ "schedules": found })).text(text))
}

fn line(found: &Found, verbose: u8) -> String {
    let mut text = format!(
        "{}  {} {}, {}\n",
        found.id,
        if found.schedule.identities {
            "identities".into()
        } else {
            found.schedule.mode.to_string()
        },
        found.connection,
        when(&found.schedule)
    );
    let next = match (&found.next, found.paused) {
        (_, true) => "paused".to_owned(),
        (Some(next), false) => format!("next {next}"),
        (None, false) => "never again".to_owned(),
    };
    text.push_str(&format!(
        "    {next}; {} started, {} skipped as one was running, {} missed, {} running\n",
        found.started, found.skipped, found.missed, found.running
    ));
    if let Some(note) = &found.note {
        text.push_str(&format!("    {note}\n"));
    }
    for run in &found.recent {
        let at = run.started.as_deref().unwrap_or("some time ago");
        text.push_str(&format!("    {at}  {}", run.outcome));
        if let Some(result) = &run.result {
            text.push_str(&format!(": {}", sync::did(result, verbose)));
        }
        if let Some(reason) = &run.reason {
            text.push_str(&format!(": {}", bounded_reason(reason, verbose)));
        }
        text.push('\n');
    }
    text
}

/// When a schedule starts, as it stands in the file.
fn when(schedule: &Schedule) -> String {
    let mut parts: Vec<String> =
        schedule.cron.iter().map(|cron| format!("cron `{cron}`")).collect();
    if let Some(every) = schedule.every {
        parts.push(format!("every {}", humantime::format_duration(every)));
    }
    if !schedule.calendars.is_empty() {
        parts.push(count(schedule.calendars.len() as u64, "calendar"));
    }
    if let Some(zone) = &schedule.time_zone {
        parts.push(zone.clone());
    }
    if let Some(jitter) = schedule.jitter {
        parts.push(format!("jitter {}", humantime::format_duration(jitter)));
    }
    parts.join(", ")
}
