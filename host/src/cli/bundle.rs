//! `sheaf bundle OUT.tar`: what is locked, with its signatures, for where no registry can be reached.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;

use super::add::chosen;
use super::context::Context;
use super::output::Report;
use crate::failure::{Failure, Result};
use crate::registry::lock::Source;
use crate::registry::oci::{Descriptor, MANIFEST, Reference};
use crate::registry::{ArchiveWriter, tag_of};
use crate::text::count;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The tar that is written.
    out: PathBuf,
    /// Connectors, as sheaf.lock names them; all that are published unless said.
    names: Vec<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let registry = config.offline_crawler()?;
    let mut locked = Vec::new();
    if args.names.is_empty() {
        locked = chosen(&config, &registry, None)?;
        locked.retain(|one| matches!(one.source, Source::Published(_)));
    }
    for name in &args.names {
        locked.extend(chosen(&config, &registry, Some(name))?);
    }
    if locked.is_empty() {
        return Err(Failure::settings("no published connector is locked")
            .next("`sheaf add oci://…` locks one"));
    }
    let mut writer = ArchiveWriter::create(&args.out)?;
    let mut names = Vec::new();
    for one in &locked {
        let of = || format!("{} {}", one.name, one.version);
        let gone = |what: &str| {
            Failure::settings(format!("{what} of {} is not in the store", of()))
                .next(format!("`sheaf add {}` fetches it again", one.source))
        };
        let Source::Published(repository) = &one.source else {
            return Err(Failure::settings(format!("{} is a file, and was not published", of()))
                .next("take the file itself along"));
        };
        let published = registry.registry.published(one).await?;
        let published = published.ok_or_else(|| gone("the manifest"))?;
        let wasm = registry.registry.stored(&one.wasm).await?.ok_or_else(|| gone("the file"))?;
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
    Ok(Report::new(summary, json!({ "file": args.out, "connectors": names })))
}
