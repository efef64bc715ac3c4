//! Fetches connectors from wherever they are named, and shows how far it is. Nothing of them is kept.

use std::path::{Path, PathBuf};

use semver::Version;
use serde_json::{Value, json};

use super::transfer::Transfer;
use crate::crawl::Crawler;
use crate::failure::{Failure, Result};
use crate::registry::oci::{Reference, SCHEME, tag_of};
use crate::registry::publish::no_version;
use crate::registry::refusal::Refusal;
use crate::registry::{Archive, Place, Published, Taken};
use crate::text::one_line;

/// Connectors of a bundle: all of them are held until all have been looked at.
const MOST: usize = 100;
/// So many versions are named to whoever asked for one that is not there.
const SHOWN: usize = 10;

/// What `oci://…`, a `.tar` of `sheaf bundle` or a `.wasm` file has. `yanked`: also what its publisher took back.
pub(super) async fn fetch(crawler: &Crawler, what: &str, yanked: bool) -> Result<Vec<Taken>> {
    if what.starts_with(SCHEME) {
        return Ok(vec![from_registry(crawler, &what.parse()?, yanked).await?]);
    }
    if Path::new(what).extension().is_some_and(|ending| ending == "tar") {
        return from_archive(crawler, Path::new(what), yanked).await;
    }
    Ok(vec![crawler.registry.take_file(&file(crawler, what)).await?])
}

/// In this folder, or in that of connectors.
fn file(crawler: &Crawler, named: &str) -> PathBuf {
    let here = PathBuf::from(named);
    let there = crawler.registry.folder().join(named);
    if !here.exists() && there.exists() { there } else { here }
}

async fn from_registry(crawler: &Crawler, reference: &Reference, yanked: bool) -> Result<Taken> {
    let place = Place::open(&reference.repository).await?;
    let found = match &reference.tag {
        Some(tag) => tagged(crawler, &place, tag, yanked).await?,
        None => newest_of(crawler, &place, reference, yanked).await?,
    };
    match found {
        Some(found) => Ok(found),
        None => Err(not_there(&place, reference).await),
    }
}

/// That there is no such version, and which there are.
async fn not_there(place: &Place, reference: &Reference) -> Failure {
    let failure = no_version(reference);
    // Who may not see the list is told that it is not there all the same.
    let versions = place.versions().await.unwrap_or_default();
    let versions: Vec<_> = versions.iter().rev().map(Version::to_string).collect();
    match versions.as_slice() {
        [] => failure,
        all if all.len() <= SHOWN => failure.next(format!("it has: {}", all.join(", "))),
        all => failure.next(format!("the newest of {}: {}", all.len(), all[..SHOWN].join(", "))),
    }
}

/// The same for `--json`; nothing of a file.
pub(super) fn said_value(taken: &Taken) -> Value {
    taken.published.as_ref().map_or(Value::Null, |published| {
        json!({
            "repository": published.repository.to_string(),
            "digest": published.digest(),
            "signer": taken.signer,
            "yanked": published.yanked(),
        })
    })
}

/// What its registry said of what was fetched, a line each.
pub(super) fn said(taken: &Taken) -> String {
    let Some(published) = &taken.published else { return String::new() };
    let mut text = format!("manifest  {}\n", published.digest());
    text.push_str(&taken.signer.as_ref().map_or_else(
        || "signed    by nobody who is trusted for it in [connectors.trust]\n".to_owned(),
        |id| format!("signed    by the key {id}\n"),
    ));
    if let Some(why) = published.yanked() {
        text.push_str(&format!("yanked    {}\n", Refusal::Yanked(why)));
    }
    text
}

/// The newest version that was not taken back.
async fn newest_of(
    crawler: &Crawler,
    place: &Place,
    reference: &Reference,
    yanked_too: bool,
) -> Result<Option<Taken>> {
    let newest = place.newest(&place.versions().await?, |_| true).await?;
    for (version, why) in &newest.yanked {
        tracing::warn!("{reference}:{version} was taken back by its publisher: {}", one_line(why));
    }
    let Some((version, published)) = newest.found else {
        let Some((version, why)) = newest.yanked.into_iter().next() else { return Ok(None) };
        let tag = tag_of(&version.to_string());
        if yanked_too {
            return tagged(crawler, place, &tag, true).await;
        }
        return Err(Refusal::Yanked(why).of(format!("{reference}:{tag}")));
    };
    let tag = tag_of(&version.to_string());
    take(crawler, place, published, &tag, false).await.map(Some)
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

pub(super) async fn take(
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
    let references = archive.references();
    if references.len() > MOST {
        let what = format!("it has {} connectors, and at most {MOST} are taken", references.len());
        return Err(Failure::settings(what)
            .at(path.display().to_string())
            .next("bundle them in several files: `sheaf bundle OUT.tar NAME…`"));
    }
    for reference in references {
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
