//! `sheaf add`: a published connector, or a file, is looked at and locked.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::fetch::fetch;
use super::inspect;
use super::output::Report;
use crate::failure::Result;
use crate::registry::lock::Locked;
use crate::registry::oci::Reference;
use crate::registry::{Placed, Taken};
use crate::text::one_line;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// `oci://registry.example.com/name`, that with `:1.2.0` behind it, a `.wasm` file, or a `.tar` of `sheaf bundle`.
    what: String,
    /// Take also what is not as agreed: an older version, one that asks for more, or another connector of its name.
    #[arg(long)]
    accept: bool,
    /// Take a version that its publisher took back.
    #[arg(long)]
    yanked: bool,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let crawler = context.config_without_secrets()?.offline_crawler()?;
    let taken = fetch(&crawler, &args.what, args.yanked).await?;
    if !args.accept {
        let is_named = is_named(&args.what);
        taken.iter().try_for_each(|taken| crawler.registry.is_agreed(taken, is_named))?;
    }
    let (mut text, mut result) = (String::new(), Vec::new());
    let mut names = Vec::new();
    for taken in &taken {
        let placed = crawler.registry.lock(taken, args.accept).await?;
        names.push(format!("{} {}", placed.locked.name, placed.locked.version));
        text.push_str(&shown(taken, &placed));
        let mut one = json!(placed.locked);
        one["connector"] = inspect::value(&taken.connector);
        one["before"] = json!(placed.before);
        result.push(one);
    }
    let summary = format!("{} locked: sheaf.lock is to be kept with sheaf.toml", names.join(", "));
    text.push_str(&format!("\n{summary}\n"));
    Ok(Report::new(summary, Value::from(result)).text(text))
}

/// Whether a version is named: then an older one is meant.
fn is_named(what: &str) -> bool {
    what.parse::<Reference>().is_ok_and(|reference| reference.tag.is_some())
}

fn shown(taken: &Taken, placed: &Placed) -> String {
    let Placed { locked, before } = placed;
    let mut text = inspect::describe(&taken.connector, &format!("{}", locked.source));
    text.push('\n');
    if let Some(manifest) = &locked.manifest {
        text.push_str(&format!("manifest  {manifest}\n"));
        let by = locked.signer.as_ref();
        text.push_str(&by.map_or_else(
            || "signed    by nobody who is trusted for it in [connectors.trust]\n".to_owned(),
            |id| format!("signed    by the key {id}\n"),
        ));
    }
    for before in before.iter().filter(|before| *before != locked) {
        let Locked { name, version, wasm, source, .. } = before;
        text.push_str(&format!("instead   of {name} {version} ({}) from {source}\n", wasm.short()));
        for unlike in before.unlike(locked) {
            text.push_str(&format!("          {}\n", one_line(&unlike)));
        }
    }
    text
}
