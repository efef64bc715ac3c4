//! `sheaf pause NAME` and `sheaf resume NAME`: a crawl that is under way rests, and goes on.

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{Context, with_crawl_of};
use super::output::Report;
use crate::failure::Result;
use crate::machine::this_process;
use crate::temporal::pause;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let name = &args.name;
    let (config, client) = with_crawl_of(name, context).await?;
    pause::pause(&client, config.deployment(), name, &this_process()).await?;
    let text = format!(
        "{name}: paused; what it has uploaded is kept, and its schedules wait for it\n  \
         `sheaf resume {name}` goes on with it, `sheaf cancel {name}` ends it"
    );
    let result = json!({ "connection": name, "paused": true });
    Ok(Report::new(format!("{name}: paused"), result).text(text))
}

pub(super) async fn run_resume(args: Args, context: &Context) -> Result<Report> {
    let name = &args.name;
    let (config, client) = with_crawl_of(name, context).await?;
    pause::resume(&client, config.deployment(), name).await?;
    let summary = format!("{name}: resumed");
    Ok(Report::new(summary, json!({ "connection": name, "paused": false })))
}
