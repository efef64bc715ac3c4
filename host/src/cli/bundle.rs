//! `sheaf bundle OUT.tar`: what is locked, with its signatures, for where no registry can be reached.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::Context;
use super::output::Report;
use super::update::chosen;
use crate::crawl::Crawler;
use crate::failure::{Failure, Kind, Result};
use crate::registry::lock::{Locked, Source};
use crate::registry::oci::{Descriptor, MANIFEST, Reference, Repository, tag_of};
use crate::registry::refusal::Refusal;
use crate::registry::{ArchiveWriter, Place, Published};
use crate::text::count;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The tar that is written.
    out: PathBuf,
    /// Connectors, as sheaf.lock names them; all that are published unless said.
    names: Vec<String>,
    /// Also what its publisher took back.
    #[arg(long)]
    yanked: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config_without_secrets()?;
    let crawler = config.offline_crawler()?;
    if args.out.extension().is_none_or(|ending| ending != "tar") {
        return Err(Failure::settings("a bundle is a tar, and is known by its ending")
            .at(args.out.display().to_string())
            .next("let its name end with .tar"));
    }
    let (mut locked, mut left) = (Vec::new(), Vec::new());
    if args.names.is_empty() {
        locked = chosen(&config, &crawler, None)?;
        let is_file = |one: &mut Locked| matches!(one.source, Source::File(_));
        left = locked.extract_if(.., is_file).map(|one| one.name).collect();
    }
    for name in &args.names {
        let chosen = chosen(&config, &crawler, Some(name))?;
        let is_new = |one: &Locked| !locked.contains(one);
        let new: Vec<_> = chosen.into_iter().filter(is_new).collect();
        locked.extend(new);
    }
    if locked.is_empty() {
        return Err(Failure::settings("no published connector is locked")
            .next("`sheaf add oci://…` locks one"));
    }
    let mut writer = ArchiveWriter::create(&args.out)?;
    let mut names = Vec::new();
    for one in &locked {
        let Source::Published(repository) = &one.source else {
            let what = format!("{} {} is a file, and was not published", one.name, one.version);
            return Err(Failure::settings(what).next("take the file itself along"));
        };
        let published = as_it_is_now(&crawler, one, repository, args.yanked).await?;
        let wasm = crawler.registry.locked_bytes(one).await?;
        let tag = Some(tag_of(&one.version));
        let reference = Reference { repository: repository.clone(), tag };
        let manifest = &published.manifest;
        writer.manifest(Descriptor::of(MANIFEST, manifest), Some(&reference), manifest)?;
        writer.blob(&published.config)?;
        writer.blob(&wasm)?;
        for attached in &published.attached {
            let of = Descriptor::of(MANIFEST, &attached.manifest);
            let of = Descriptor { artifact_type: attached.descriptor.artifact_type.clone(), ..of };
            writer.manifest(of, None, &attached.manifest)?;
            writer.blob(&attached.content)?;
            writer.blob(b"{}")?;
        }
        names.push(reference.to_string());
    }
    writer.finish()?;
    let summary = format!(
        "{} in {}: `sheaf add {}` takes it where there is no registry",
        count(names.len() as u64, "connector"),
        args.out.display(),
        args.out.display()
    );
    let mut text = summary.clone();
    if !left.is_empty() {
        text.push_str(&format!("\n  not in it, as they are files: {}", left.join(", ")));
    }
    let result = json!({ "file": args.out, "connectors": names, "left": left });
    Ok(Report::new(summary, result).text(text))
}

/// What is said of it, with what its registry says since it was added; without a registry, as it was then.
async fn as_it_is_now(
    crawler: &Crawler,
    locked: &Locked,
    repository: &Repository,
    yanked: bool,
) -> Result<Published> {
    let Locked { name, version, .. } = locked;
    let kept = crawler.registry.check_locked(locked).await?;
    let mut published =
        kept.ok_or_else(|| Failure::internal(format!("{name} {version} has no manifest")))?;
    match now(repository, &published).await {
        Ok(Some(now)) => {
            // A store that cannot be written keeps nobody from a bundle.
            if let Err(failure) = crawler.registry.remember(locked, now.clone()).await {
                tracing::warn!("{failure}");
            }
            crawler.registry.add_what_is_new(&mut published, now);
        }
        Ok(None) => tracing::warn!("{name} {version} is not in its registry any more"),
        Err(failure) if failure.kind == Kind::Unreachable => tracing::warn!(
            "whether {name} {version} was taken back is not known, as its registry cannot be asked: {failure}"
        ),
        Err(failure) => return Err(failure),
    }
    match published.yanked().filter(|_| !yanked) {
        Some(why) => {
            Err(Refusal::Yanked(why).of(format!("{name} {version}, {}", published.name())))
        }
        None => Ok(published),
    }
}

async fn now(repository: &Repository, kept: &Published) -> Result<Option<Published>> {
    let place = Place::open(repository).await?;
    let now = place.published(&kept.digest().to_string()).await?;
    Ok(now.filter(|now| now.digest() == kept.digest()))
}
