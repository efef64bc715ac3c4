//! `sheaf sync --all --identities`: the users and groups of each connection that has them.

use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::connect;
use super::identities::{did, not_whole, objection, outcome};
use super::output::Report;
use super::{shifts, signals};
use crate::config::Config;
use crate::crawl::CrawlView;
use crate::crawl::blame::interrupted;
use crate::crawl::identities::IdentityResult;
use crate::crawl::lease::Coordinator;
use crate::crawl::local_identities;
use crate::crawl::result::Outcome;
use crate::failure::{Failure, Result};
use crate::temporal::identities;
use crate::text::count;

/// How it ended for one connection; nothing where it has no users and groups.
type Ended = (String, Result<Option<IdentityResult>>);

/// So many connections at a time; one that fails stops no other.
pub(super) async fn sync(
    config: &Config,
    coordinator: Coordinator,
    restart: bool,
    parallel: u16,
    verbose: u8,
) -> Result<Report> {
    let cancel = signals::token();
    let ended = match coordinator {
        Coordinator::Process => here(config, restart, parallel, &cancel).await?,
        Coordinator::Temporal => on_temporal(config, restart, parallel, &cancel).await?,
    };
    report(&ended, verbose)
}

async fn here(
    config: &Config,
    restart: bool,
    parallel: u16,
    cancel: &CancellationToken,
) -> Result<Vec<Ended>> {
    let crawler = config.crawler()?;
    let crawl = |name: String| {
        let crawler = &crawler;
        async move {
            let ended = if cancel.is_cancelled() {
                Err(interrupted())
            } else {
                Box::pin(local_identities::run(crawler, &name, restart, None, cancel, &unseen()))
                    .await
            };
            (name, ended)
        }
    };
    Ok(of_each(config).map(crawl).buffered(usize::from(parallel)).collect().await)
}

async fn on_temporal(
    config: &Config,
    restart: bool,
    parallel: u16,
    cancel: &CancellationToken,
) -> Result<Vec<Ended>> {
    let client = connect(config).await?;
    let crawl = |name: String| {
        let client = &client;
        async move {
            let digest = config.digest(&name);
            let wanted = identities::wanted(config.deployment(), &name, digest, restart);
            let ended = if cancel.is_cancelled() {
                Err(interrupted())
            } else {
                Box::pin(identities::run(client, wanted, &unseen(), cancel)).await
            };
            (name, ended)
        }
    };
    Ok(of_each(config).map(crawl).buffered(usize::from(parallel)).collect().await)
}

/// Nobody sees how far each of several is.
fn unseen() -> watch::Sender<CrawlView> {
    watch::Sender::new(CrawlView::default())
}

fn of_each(config: &Config) -> impl futures::Stream<Item = String> + use<> {
    let names: Vec<_> = config.connections.keys().cloned().collect();
    futures::stream::iter(names)
}

fn report(ended: &[Ended], verbose: u8) -> Result<Report> {
    let has_any = |(_, ended): &&Ended| !matches!(ended, Ok(None));
    let have: Vec<&Ended> = ended.iter().filter(has_any).collect();
    if have.is_empty() {
        let what = "no connection has users and groups to tell of";
        let next = "see the connectors' READMEs: their settings may have to name them";
        return Err(Failure::settings(what).next(next));
    }
    let code = |(_, ended): &&Ended| match ended {
        Ok(result) => result.as_ref().map_or(0, |result| result.outcome.exit_code()),
        Err(failure) => failure.kind.exit_code(),
    };
    let worst = have.iter().map(code).max().unwrap_or(0);
    let well = have.iter().filter(|one| code(one) == 0).count();
    let summary = format!("{well} of {} complete", count(have.len() as u64, "connection"));
    let mut text: Vec<_> = have.iter().map(|one| line(one, verbose)).collect();
    let without: Vec<_> =
        ended.iter().filter(|one| !has_any(one)).map(|(name, _)| name.as_str()).collect();
    if !without.is_empty() {
        text.push(format!("  without users and groups: {}", without.join(", ")));
    }
    text.push(summary.clone());
    let one = |(name, ended): &Ended| {
        let (result, failure) = match ended {
            Ok(result) => (result.as_ref(), None),
            Err(failure) => (None, Some(failure)),
        };
        json!({ "connection": name, "result": result, "failure": failure })
    };
    let result = json!({ "connections": ended.iter().map(one).collect::<Vec<_>>() });
    let code = signals::code().unwrap_or(worst);
    Ok(Report::new(summary, result).text(text.join("\n")).exit_code(code))
}

fn line((name, ended): &Ended, verbose: u8) -> String {
    match ended {
        Ok(None) => format!("  {name}"),
        Ok(Some(result)) => {
            let mark = if result.outcome == Outcome::Complete { '✓' } else { '!' };
            let mut text = format!("{mark} {name}: {}{}", did(result), outcome(result));
            for reason in &result.held {
                text.push_str(&format!("\n  held: {}", objection(reason, verbose)));
                text.push_str(&shifts::of_held(reason, "\n    ", verbose));
            }
            if !result.held.is_empty() {
                text.push_str(&format!("\n  next: sheaf approve {name} --identities --dry-run"));
            }
            text.push_str(&not_whole(result, verbose));
            text
        }
        Err(failure) => {
            let next =
                failure.next.as_ref().map_or_else(String::new, |next| format!("\n  next: {next}"));
            format!("✗ {name}: {failure}{next}")
        }
    }
}
