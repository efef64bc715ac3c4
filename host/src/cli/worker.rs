//! `sheaf worker`: crawls whatever is started on the task queue.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Context, Report, signals};
use crate::crawl::Crawler;
use crate::failure::Result;
use crate::temporal::{connect, worker};

#[derive(ClapArgs)]
pub struct Args {}

pub async fn run(_: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let stop = signals::token();
    let crawler = Crawler::new(config.clone())?;
    // What is wrong with a connector is said now, not in the middle of the night.
    for found in crawler.registry.all().await? {
        match found.connector {
            Ok(connector) => tracing::info!(
                connector = connector.manifest.name,
                version = connector.manifest.version,
                digest = connector.digest.short(),
                "found"
            ),
            Err(failure) => tracing::warn!("{failure}"),
        }
    }
    let client = connect::connect(&config).await?;
    worker::run(crawler, client, stop).await?;
    let code = signals::code().unwrap_or(0);
    Ok(Report::new("the worker ended", json!({})).exit_code(code))
}
