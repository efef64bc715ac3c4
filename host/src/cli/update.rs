//! `sheaf update`: newer versions of what is locked, as long as nobody has to agree to them.

use clap::Args as ClapArgs;
use semver::Version;
use serde_json::{Value, json};

use super::context::Context;
use super::fetch::take;
use super::output::Report;
use crate::config::Config;
use crate::crawl::Crawler;
use crate::failure::{Failure, Kind, Result};
use crate::registry::lock::{Locked, Source, beside};
use crate::registry::oci::{Repository, tag_of};
use crate::registry::refusal::Refusal;
use crate::registry::{Consent, Newest, Place, is_compatible, is_newer};
use crate::text::one_line;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connector, as sheaf.lock names it; each unless said.
    name: Option<String>,
    /// Take also what asks for more, or is signed by another key; of one that is named.
    #[arg(long, requires = "name")]
    accept: bool,
}

/// What became of one.
struct Updated {
    line: String,
    result: Value,
    exit_code: u8,
    /// The version that was not taken, and may hide older ones that can be.
    waits_for: Option<Version>,
    /// What is locked now, where that is another one.
    now: Option<Locked>,
}

/// Versions that are tried below one that waits.
const TRIED: usize = 5;

/// A person has to look.
const WAITS: u8 = 5;

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config_without_secrets()?;
    let crawler = config.offline_crawler()?;
    let mut updated = Vec::new();
    for locked in &chosen(&config, &crawler, args.name.as_deref())? {
        let one = Box::pin(update(&crawler, locked, args.accept)).await;
        updated.push(one.unwrap_or_else(|failure| failed(locked, None, &failure)));
    }
    let text = updated.iter().map(|one| one.line.as_str()).collect::<Vec<_>>().join("\n");
    let text = if text.is_empty() { "no connector is locked".to_owned() } else { text };
    // What waits for a person comes before what cannot be asked today.
    let code = updated.iter().map(|one| one.exit_code).max().unwrap_or_default();
    let results = updated.into_iter().map(|one| one.result).collect::<Vec<_>>();
    Ok(Report::new(text, Value::from(results)).exit_code(code))
}

/// The entries that are meant: that of a name, or all.
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
            .at(beside(&config.path).display().to_string())
            .next(match all.as_slice() {
                [] => "`sheaf add` locks a connector".to_owned(),
                all => format!("it has: {}", all.join(", ")),
            })
    })?;
    Ok(vec![found])
}

/// One that cannot be updated keeps no other from it.
fn failed(locked: &Locked, to: Option<&Version>, failure: &Failure) -> Updated {
    let Locked { name, version, .. } = locked;
    let not = to.map_or_else(String::new, |to| format!(", {to} is not taken"));
    let mut line = format!("{name} {version} stays{not}: {failure}");
    if let Some(next) = &failure.next {
        line.push_str(&format!("\n  {next}"));
    }
    let exit_code = match failure.kind {
        Kind::Untrusted => WAITS,
        kind => kind.exit_code(),
    };
    let result = json!({
        "name": name, "from": version, "to": version, "waits": exit_code == WAITS, "error": failure,
    });
    Updated { line, result, exit_code, waits_for: to.cloned(), now: None }
}

/// Takes the newest; where that one waits for a person, the newest that does not.
async fn update(crawler: &Crawler, locked: &Locked, accept: bool) -> Result<Updated> {
    let Source::Published(repository) = &locked.source else {
        return Ok(stays(locked, "a file, which `sheaf add` takes anew", 0));
    };
    let place = Place::open(repository).await?;
    let versions = place.versions().await?;
    let offer = Offer { crawler, repository, place: &place, versions: &versions };
    let newest = attempt(&offer, locked, accept, None).await?;
    let mut below = newest.waits_for.clone();
    for _ in 0..TRIED {
        let Some(version) = below else { break };
        // What waits is told, whatever becomes of a look below it.
        let Ok(mut older) = Box::pin(attempt(&offer, locked, false, Some(&version))).await else {
            break;
        };
        if let Some(now) = older.now.take() {
            let newest = Box::pin(attempt(&offer, &now, false, None)).await;
            let newest = newest.unwrap_or_else(|failure| failed(&now, None, &failure));
            older.line = format!("{}\n{}", older.line, newest.line);
            older.result["waits"] = (newest.exit_code == WAITS).into();
            older.result["waiting"] = newest.result;
            older.exit_code = newest.exit_code;
            return Ok(older);
        }
        below = older.waits_for;
    }
    Ok(newest)
}

/// What a registry has, as it was asked once.
struct Offer<'a> {
    crawler: &'a Crawler,
    repository: &'a Repository,
    place: &'a Place,
    versions: &'a [Version],
}

fn stays(locked: &Locked, why: &str, exit_code: u8) -> Updated {
    let Locked { name, version, .. } = locked;
    Updated {
        line: format!("{name} {version}: {why}"),
        result: json!({ "name": name, "from": version, "to": version, "waits": exit_code == WAITS }),
        exit_code,
        waits_for: None,
        now: None,
    }
}

/// Takes the newest version, or the newest below another one.
async fn attempt(
    offer: &Offer<'_>,
    locked: &Locked,
    accept: bool,
    below: Option<&Version>,
) -> Result<Updated> {
    let (name, version) = (&locked.name, &locked.version);
    let Offer { crawler, repository, place, versions } = *offer;
    let is_below = |version: &Version| below.is_none_or(|below| version < below);
    let newer = |newer: &Version| {
        is_newer(version, newer) && is_compatible(version, newer) && is_below(newer)
    };
    let newest = place.newest(versions, newer).await?;
    let note = later(place, versions, repository, version).await;
    let Some((to, published)) = newest.found else {
        let wrong = taken_back(crawler, place, locked).await?;
        if !wrong.is_empty() {
            let why = wrong.join("; ");
            return Ok(stays(
                locked,
                &format!("{why}; there is no newer one to take{note}"),
                WAITS,
            ));
        }
        return Ok(stays(locked, &format!("the newest{note}"), 0));
    };
    let tag = tag_of(&to.to_string());
    let taken = match take(crawler, place, published, &tag, false).await {
        Ok(taken) => taken,
        Err(failure) => return Ok(failed(locked, Some(&to), &failure)),
    };
    let now = taken.entry();
    if now.name != *name {
        // Another name is another connection's grants.
        let what = format!("it calls itself `{}` now, and is locked as `{name}`", now.name);
        let next = format!("`sheaf add {repository}:{tag} --accept` locks it by that name");
        let failure = Failure::new(Kind::Untrusted, what).next(next);
        return Ok(failed(locked, Some(&to), &failure));
    }
    let unlike = locked.unlike(&now);
    if !unlike.is_empty() && !accept {
        let mut line = format!("{name} {version}: {to} waits, {version} stays");
        for unlike in &unlike {
            line.push_str(&format!("\n  {}", one_line(unlike)));
        }
        line.push_str(&format!("\n  `sheaf update {name} --accept` takes it all the same"));
        for wrong in taken_back(crawler, place, locked).await.unwrap_or_default() {
            line.push_str(&format!("\n  of {version}: {wrong}"));
        }
        let result = json!({
            "name": name, "from": version, "to": now.version, "waits": true, "reasons": unlike,
        });
        return Ok(Updated { line, result, exit_code: WAITS, waits_for: Some(to), now: None });
    }
    let consent = if accept { Consent::Accepted } else { Consent::AsLocked };
    crawler.registry.lock(&[taken], consent).await?;
    let mut line = format!("{name} {version}: now {}{note}", now.version);
    for unlike in &unlike {
        line.push_str(&format!("\n  {}", one_line(unlike)));
    }
    let result = json!({
        "name": name, "from": version, "to": now.version, "waits": false, "reasons": unlike,
    });
    Ok(Updated { line, result, exit_code: 0, waits_for: None, now: Some(now) })
}

/// The newest version of another generation, if there is one. It is a note: what is wrong with it is, too.
pub(super) async fn later(
    place: &Place,
    versions: &[Version],
    repository: &Repository,
    locked: &str,
) -> String {
    let later = |version: &Version| is_newer(locked, version) && !is_compatible(locked, version);
    match place.newest(versions, later).await {
        Ok(Newest { found: Some((later, _)), .. }) => {
            let tag = tag_of(&later.to_string());
            format!("; {later} is of another generation: `sheaf add {repository}:{tag}`")
        }
        Ok(_) => String::new(),
        Err(failure) => format!("; of another generation: {failure}"),
    }
}

/// What was done to the version that is locked, as its registry says it now.
pub(super) async fn taken_back(
    crawler: &Crawler,
    place: &Place,
    locked: &Locked,
) -> Result<Vec<String>> {
    let Some(manifest) = &locked.manifest else { return Ok(Vec::new()) };
    let mut wrong = Vec::new();
    match place.published(&manifest.to_string()).await? {
        None => wrong.push("its publisher took it out of the registry".to_owned()),
        // What a registry gives for a digest is believed only if it has it.
        Some(published) if published.digest() != *manifest => {
            wrong.push("its registry gave another manifest than was asked for".to_owned());
        }
        Some(published) => {
            wrong.extend(published.yanked().map(|why| Refusal::Yanked(why).to_string()));
            // A store that cannot be written keeps nobody from being told.
            if let Err(failure) = crawler.registry.remember(locked, published).await {
                tracing::warn!("{failure}");
            }
        }
    }
    let tag = tag_of(&locked.version);
    match place.digest_of(&tag).await? {
        None => wrong.push(format!("its tag {tag} was taken out of the registry")),
        Some(tagged) if tagged != *manifest => {
            wrong.push(format!("its tag {tag} was moved to another manifest, {tagged}"));
        }
        Some(_) => {}
    }
    Ok(wrong)
}
