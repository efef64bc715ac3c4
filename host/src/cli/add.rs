//! `sheaf add`: a published connector, or a file, is looked at and locked; `sheaf update` takes newer versions.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use semver::Version;
use serde_json::{Value, json};

use super::context::Context;
use super::inspect::describe;
use super::output::Report;
use super::transfer::Transfer;
use crate::config::Config;
use crate::crawl::Crawler;
use crate::failure::{Failure, Result};
use crate::registry::lock::{Locked, Source};
use crate::registry::oci::{Reference, Remote, SCHEME};
use crate::registry::publish::no_version;
use crate::registry::refusal::Refusal;
use crate::registry::{Archive, Place, Published, Taken, newest, tag_of};
use crate::text::one_line;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// `oci://registry.example.com/name`, that with `:1.2.0` behind it, a `.wasm` file, or a `.tar` of `sheaf bundle`.
    what: String,
    /// Let it take the place, and the grants, of another connector of its name.
    #[arg(long)]
    accept: bool,
    /// Take a version that its publisher took back.
    #[arg(long)]
    yanked: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let crawler = context.config()?.offline_crawler()?;
    let taken = if args.what.starts_with(SCHEME) {
        vec![from_registry(&crawler, &args.what.parse()?, args.yanked).await?]
    } else if Path::new(&args.what).extension().is_some_and(|ending| ending == "tar") {
        from_archive(&crawler, Path::new(&args.what), args.yanked).await?
    } else {
        vec![crawler.registry.take_file(&file(&crawler, &args.what)).await?]
    };
    let (mut text, mut result) = (String::new(), Vec::new());
    let mut names = Vec::new();
    for taken in &taken {
        if !(args.accept || is_named(&args.what)) {
            crawler.registry.is_no_downgrade(taken)?;
        }
        let locked = crawler.registry.lock(taken, args.accept).await?;
        names.push(format!("{} {}", locked.name, locked.version));
        text.push_str(&shown(taken, &locked));
        result.push(json!(locked));
    }
    let summary = format!("{} locked: sheaf.lock is to be kept with sheaf.toml", names.join(", "));
    text.push_str(&format!("\n{summary}\n"));
    Ok(Report::new(summary, Value::from(result)).text(text))
}

/// Whether a version is named: then an older one is meant.
fn is_named(what: &str) -> bool {
    what.parse::<Reference>().is_ok_and(|reference| reference.tag.is_some())
}

/// In this folder, or in that of connectors.
fn file(crawler: &Crawler, named: &str) -> PathBuf {
    let here = PathBuf::from(named);
    let there = crawler.registry.folder().join(named);
    if !here.exists() && there.exists() { there } else { here }
}

fn shown(taken: &Taken, locked: &Locked) -> String {
    let mut text = describe(&taken.connector, &format!("{}", locked.source));
    text.push('\n');
    if let Some(manifest) = &locked.manifest {
        text.push_str(&format!("manifest  {manifest}\n"));
        let by = locked.signer.as_ref();
        text.push_str(&by.map_or_else(
            || "signed    by nobody who is trusted for it in [connectors.trust]\n".to_owned(),
            |id| format!("signed    by the key {id}\n"),
        ));
    }
    text
}

async fn from_registry(crawler: &Crawler, reference: &Reference, yanked: bool) -> Result<Taken> {
    let place = Place::Registry(Box::new(Remote::open(&reference.repository, false).await?));
    let found = match &reference.tag {
        Some(tag) => tagged(crawler, &place, tag, yanked).await?,
        None => newest_of(crawler, &place, reference).await?,
    };
    found.ok_or_else(|| no_version(reference))
}

/// The newest version that was not taken back.
async fn newest_of(
    crawler: &Crawler,
    place: &Place,
    reference: &Reference,
) -> Result<Option<Taken>> {
    let mut versions = place.versions().await?;
    let mut yanked = None;
    while let Some(version) = newest(&versions).cloned() {
        let tag = tag_of(&version.to_string());
        let Some(published) = place.published(&tag).await? else { return Ok(None) };
        match published.yanked() {
            Some(why) => {
                let why = one_line(&why);
                tracing::warn!("{reference}:{tag} was taken back by its publisher: {why}");
                yanked.get_or_insert(Refusal::Yanked(why.into_owned()));
            }
            None => return take(crawler, place, published, &tag, false).await.map(Some),
        }
        versions.retain(|other| *other != version);
    }
    yanked.map_or(Ok(None), |refusal| Err(refusal.of(reference)))
}

async fn tagged(
    crawler: &Crawler,
    place: &Place,
    tag: &str,
    yanked: bool,
) -> Result<Option<Taken>> {
    match place.published(tag).await? {
        Some(published) => take(crawler, place, published, tag, yanked).await.map(Some),
        None => Ok(None),
    }
}

async fn take(
    crawler: &Crawler,
    place: &Place,
    published: Published,
    tag: &str,
    yanked: bool,
) -> Result<Taken> {
    let transfer = Transfer::new("fetches", 1 << 20);
    crawler.registry.take(place, published, tag, yanked, &transfer.progress()).await
}

async fn from_archive(crawler: &Crawler, path: &Path, yanked: bool) -> Result<Vec<Taken>> {
    let archive = Archive::open(path)?;
    let mut taken = Vec::new();
    for reference in archive.references() {
        let Some(tag) = &reference.tag else { continue };
        let place = Place::Layout(archive.of(reference.repository.clone()));
        let found = tagged(crawler, &place, tag, yanked).await?;
        taken.push(found.ok_or_else(|| no_version(&reference))?);
    }
    if taken.is_empty() {
        return Err(Failure::settings("there is no connector in it")
            .at(path.display().to_string())
            .next("give a tar that `sheaf bundle` wrote"));
    }
    Ok(taken)
}

#[derive(ClapArgs)]
pub(super) struct UpdateArgs {
    /// The connector, as sheaf.lock names it; each unless said.
    name: Option<String>,
    /// Take also what asks for more, or is signed by another key.
    #[arg(long, requires = "name")]
    accept: bool,
}

/// What became of one.
struct Updated {
    line: String,
    result: Value,
    /// Whether it waits for a person.
    waits: bool,
}

pub(super) async fn run_update(args: UpdateArgs, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let crawler = config.offline_crawler()?;
    let locked = chosen(&config, &crawler, args.name.as_deref())?;
    let mut updated = Vec::new();
    for locked in &locked {
        let one = Box::pin(update(&crawler, locked, args.accept)).await;
        updated.push(one.unwrap_or_else(|failure| failed(locked, &failure)));
    }
    let text = updated.iter().map(|one| one.line.as_str()).collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { "no connector is locked".to_owned() } else { text };
    let waits = updated.iter().any(|one| one.waits);
    let results = updated.into_iter().map(|one| one.result).collect::<Vec<_>>();
    Ok(Report::new(text, Value::from(results)).exit_code(if waits { 5 } else { 0 }))
}

/// One that cannot be updated keeps no other from it.
fn failed(locked: &Locked, failure: &Failure) -> Updated {
    let Locked { name, version, .. } = locked;
    let line = format!("{name} {version} stays: {failure}");
    let result =
        json!({ "name": name, "from": version, "to": version, "waits": true, "error": failure });
    Updated { line, result, waits: true }
}

pub(super) fn chosen(
    config: &Config,
    crawler: &Crawler,
    name: Option<&str>,
) -> Result<Vec<Locked>> {
    let lock = crawler.registry.locked()?;
    let Some(name) = name else { return Ok(lock.connectors) };
    let found = lock.meant(name).cloned().ok_or_else(|| {
        let all: Vec<_> = lock.connectors.iter().map(|one| one.name.as_str()).collect();
        Failure::settings(format!("`{name}` is not locked"))
            .at(crate::registry::lock::beside(&config.path).display().to_string())
            .next(match all.as_slice() {
                [] => "`sheaf add` locks a connector".to_owned(),
                all => format!("it has: {}", all.join(", ")),
            })
    })?;
    Ok(vec![found])
}

async fn update(crawler: &Crawler, locked: &Locked, accept: bool) -> Result<Updated> {
    let (name, version) = (&locked.name, &locked.version);
    let stays = |why: &str| Updated {
        line: format!("{name} {version}: {why}"),
        result: json!({ "name": name, "from": version, "to": version, "waits": false }),
        waits: false,
    };
    let Source::Published(repository) = &locked.source else {
        return Ok(stays("a file, which `sheaf add` takes anew"));
    };
    let place = Place::Registry(Box::new(Remote::open(repository, false).await?));
    let newer = newer(&place, version).await?;
    let mut compatible = newer.iter().rev().filter(|newer| is_compatible(version, newer));
    let later = newer.last().filter(|newest| !is_compatible(version, newest));
    let note = later.map_or_else(String::new, |later| {
        format!(
            "; {later} is another generation: `sheaf add {repository}:{}`",
            tag_of(&later.to_string())
        )
    });
    let taken = loop {
        let Some(candidate) = compatible.next() else {
            return Ok(stays(&format!("the newest{note}")));
        };
        let tag = tag_of(&candidate.to_string());
        let published = place.published(&tag).await?;
        if let Some(published) = published.filter(|published| published.yanked().is_none()) {
            break take(crawler, &place, published, &tag, false).await?;
        }
    };
    let now = taken.entry();
    if now.name != *name {
        // Another name is another connection's grants.
        return Err(Failure::settings(format!(
            "{repository} calls itself `{}` now, and is locked as `{name}`",
            now.name
        ))
        .next("`sheaf add` locks it by that name"));
    }
    let reasons = reasons(locked, &now);
    if !reasons.is_empty() && !accept {
        let mut line = format!("{name} {version}: {} waits, {version} stays", now.version);
        for reason in &reasons {
            line.push_str(&format!("\n  {}", one_line(reason)));
        }
        line.push_str(&format!("\n  `sheaf update {name} --accept` takes it all the same"));
        let result = json!({
            "name": name, "from": version, "to": now.version, "waits": true, "reasons": reasons,
        });
        return Ok(Updated { line, result, waits: true });
    }
    crawler.registry.lock(&taken, accept).await?;
    let line = format!("{name} {version}: now {}{note}", now.version);
    let result = json!({ "name": name, "from": version, "to": now.version, "waits": false });
    Ok(Updated { line, result, waits: false })
}

/// What a person has to agree to.
fn reasons(before: &Locked, now: &Locked) -> Vec<String> {
    let more = now.asks.beyond(&before.asks);
    let mut reasons: Vec<_> = more.iter().map(|one| format!("it asks for {one}")).collect();
    if before.signer != now.signer {
        let who = |locked: &Locked| {
            locked.signer.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string)
        };
        reasons.push(format!("it is signed by {}, and was by {}", who(now), who(before)));
    }
    if before.contract != now.contract {
        reasons.push(format!("it speaks contract {}, and spoke {}", now.contract, before.contract));
    }
    reasons
}

/// Versions after this one, but for trials.
pub(super) async fn newer(place: &Place, version: &str) -> Result<Vec<Version>> {
    let Ok(locked) = Version::parse(version) else { return Ok(Vec::new()) };
    let mut versions = place.versions().await?;
    versions.retain(|other| *other > locked && other.pre.is_empty());
    Ok(versions)
}

/// As Cargo and npm understand `^`.
fn is_compatible(version: &str, newer: &Version) -> bool {
    let requirement = semver::VersionReq::parse(&format!("^{version}"));
    requirement.is_ok_and(|requirement| requirement.matches(newer))
}
