//! Fetches connectors from wherever they are named, and shows how far it is. Nothing of them is kept.

use std::path::{Path, PathBuf};

use super::transfer::Transfer;
use crate::crawl::Crawler;
use crate::failure::{Failure, Result};
use crate::registry::oci::{Reference, Remote, SCHEME, tag_of};
use crate::registry::publish::no_version;
use crate::registry::refusal::Refusal;
use crate::registry::{Archive, Place, Published, Taken};
use crate::text::one_line;

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
    let newest = place.newest(&place.versions().await?, |_| true).await?;
    for (version, why) in &newest.yanked {
        tracing::warn!("{reference}:{version} was taken back by its publisher: {}", one_line(why));
    }
    let Some((version, published)) = newest.found else {
        let yanked = newest.yanked.into_iter().next();
        return yanked.map_or(Ok(None), |(_, why)| Err(Refusal::Yanked(why).of(reference)));
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
