//! `sheaf add`: a published connector, or a file, is looked at and locked.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::fetch::{fetch, said};
use super::inspect;
use super::output::Report;
use super::transfer::Transfer;
use crate::crawl::Crawler;
use crate::failure::{Failure, Kind, Result};
use crate::registry::lock::{Locked, Source};
use crate::registry::oci::Reference;
use crate::registry::{Consent, Place, Placed, Taken};
use crate::text::one_line;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// `oci://registry.example.com/name`, that with `:1.2.0` behind it, a `.wasm` file, or a `.tar` of `sheaf bundle`.
    /// Unless said, what sheaf.lock has and the store does not.
    what: Option<String>,
    /// Take also what is not as agreed: an older version, one that asks for more, or another connector of its name.
    #[arg(long)]
    accept: bool,
    /// Take a version that its publisher took back.
    #[arg(long)]
    yanked: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let crawler = context.config_without_secrets()?.offline_crawler()?;
    let Some(what) = &args.what else { return locked(&crawler).await };
    let taken = fetch(&crawler, what, args.yanked).await?;
    let consent = match args.accept {
        true => Consent::Accepted,
        false if is_named(what) => Consent::Named,
        false => Consent::AsLocked,
    };
    let all = crawler.registry.lock(&taken, consent).await?;
    let (mut text, mut result) = (String::new(), Vec::new());
    let mut names = Vec::new();
    for (taken, placed) in taken.iter().zip(&all) {
        names.push(format!("{} {}", placed.locked.name, placed.locked.version));
        text.push_str(&shown(taken, placed));
        let mut one = json!(placed.locked);
        one["connector"] = inspect::value(&taken.connector);
        one["before"] = json!(placed.before);
        result.push(one);
    }
    let summary = format!("{} locked: sheaf.lock is to be kept with sheaf.toml", names.join(", "));
    text.push_str(&format!("\n{summary}\n"));
    Ok(Report::new(summary, Value::from(result)).text(text))
}

/// Fetches what is locked already: on another machine than the one where it was added, say.
async fn locked(crawler: &Crawler) -> Result<Report> {
    let (mut lines, mut results, mut failed) = (Vec::new(), Vec::new(), None);
    for locked in crawler.registry.locked()?.connectors {
        let (name, version) = (&locked.name, &locked.version);
        let outcome = here_again(crawler, &locked).await;
        let (line, fetched) = match &outcome {
            Ok(true) => {
                warn_if_taken_back(crawler, &locked).await;
                (format!("{name} {version}: fetched from {}", locked.source), true)
            }
            Ok(false) => (format!("{name} {version}: is here"), false),
            Err(failure) => (format!("{name} {version}: {failure}"), false),
        };
        let error = outcome.as_ref().err();
        results
            .push(json!({ "name": name, "version": version, "fetched": fetched, "error": error }));
        lines.push(line);
        // A registry that is away is the least that can be wrong.
        let is_least = |failure: &Failure| failure.kind == Kind::Unreachable;
        if failed.as_ref().is_none_or(is_least) {
            failed = outcome.err().or(failed);
        }
    }
    if lines.is_empty() {
        return Err(Failure::settings("it is not said what to add, and nothing is locked")
            .next("name it: `sheaf add oci://…`, or a file"));
    }
    let summary = match &failed {
        None => "all that is locked is here".to_owned(),
        Some(_) => "not all that is locked is here".to_owned(),
    };
    let text = format!("{}\n{summary}", lines.join("\n"));
    let report = Report::new(summary, Value::from(results)).text(text);
    Ok(match failed {
        Some(failure) => report.failure(failure),
        None => report,
    })
}

async fn warn_if_taken_back(crawler: &Crawler, locked: &Locked) {
    let published = crawler.registry.published(locked).await.ok().flatten();
    if let Some(why) = published.and_then(|published| published.yanked()) {
        let Locked { name, version, .. } = locked;
        tracing::warn!("{name} {version} was taken back by its publisher: {}", one_line(&why));
    }
}

/// Whether it had to be fetched.
async fn here_again(crawler: &Crawler, locked: &Locked) -> Result<bool> {
    let loaded = crawler.registry.load_locked(locked).await;
    let (Err(_), Source::Published(repository)) = (&loaded, &locked.source) else {
        return loaded.map(|_| false);
    };
    // What is refused is refused wherever it comes from.
    let transfer = Transfer::new("fetches", 1 << 20);
    let place = Place::open(repository).await?;
    let restored = crawler.registry.restore(locked, &place, &transfer.progress()).await;
    match (restored, loaded) {
        // What is refused here needs no registry.
        (Err(away), Err(refused))
            if away.kind == Kind::Unreachable && refused.kind == Kind::Untrusted =>
        {
            Err(refused)
        }
        (restored, _) => restored.map(|()| true),
    }
}

/// Whether a version is named: then an older one is meant.
fn is_named(what: &str) -> bool {
    what.parse::<Reference>().is_ok_and(|reference| reference.tag.is_some())
}

fn shown(taken: &Taken, placed: &Placed) -> String {
    let Placed { locked, before } = placed;
    let mut text = inspect::describe(&taken.connector, &format!("{}", locked.source));
    text.push('\n');
    text.push_str(&said(taken));
    for before in before.iter().filter(|before| *before != locked) {
        let Locked { name, version, wasm, source, .. } = before;
        text.push_str(&format!("instead   of {name} {version} ({}) from {source}\n", wasm.short()));
        for unlike in before.unlike(locked) {
            text.push_str(&format!("          {}\n", one_line(&unlike)));
        }
    }
    text
}
