//! `sheaf worker`: crawls whatever is started on the task queue.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{Context, connect};
use super::output::Report;
use super::signals;
use crate::cell::{self, Connector, Program};
use crate::config::Config;
use crate::crawl::Crawler;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::registry::lock::Locked;
use crate::temporal::worker;

#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) async fn run(_: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let stop = signals::token();
    let crawler = config.crawler()?;
    // What keeps it from crawling is said now, not in the middle of the night.
    crawler.can_write().await?;
    walls().await?;
    if config.connections.is_empty() {
        return Err(Failure::settings("there is no connection to crawl")
            .at(config.path.display().to_string())
            .next("add a [connections.NAME]; `sheaf inspect FILE` prints one to begin with"));
    }
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
    connectors(&config, &crawler).await?;
    glean(&config, &crawler).await?;
    let client = connect(&config).await?;
    let task_queue = &config.temporal.task_queue;
    worker::run(crawler, client, task_queue, &config.text_digest(), stop).await?;
    let code = signals::code().unwrap_or(0);
    Ok(Report::new("the worker ended", json!({})).exit_code(code))
}

/// Connections whose connector is not there are told; a worker that has none of them cannot work.
async fn connectors(config: &Config, crawler: &Crawler) -> Result<()> {
    let mut first = None;
    let mut well = 0;
    for (name, connection) in &config.connections {
        let place = || config.place(&["connections", name, "connector"]);
        match crawler.registry.find(&connection.connector).await {
            Ok(connector) => {
                well += 1;
                tell(name, &connector, crawler.registry.locked_as(&connection.connector)?.as_ref());
            }
            Err(failure) => {
                let failure = failure.at_least(place);
                tracing::warn!(connection = name, "{failure}");
                first.get_or_insert(failure);
            }
        }
    }
    match first {
        Some(failure) if well == 0 => Err(failure),
        _ => Ok(()),
    }
}

/// What it will run, from where, and signed by whom.
fn tell(connection: &str, connector: &Connector, locked: Option<&Locked>) {
    let from = locked.map_or_else(|| "the folder".to_owned(), |locked| locked.source.to_string());
    let signer = locked.and_then(|locked| locked.signer.as_ref());
    let signer = signer.map_or_else(|| "nobody".to_owned(), |id| id.short().to_owned());
    let (manifest, digest) = (&connector.manifest, connector.digest.short());
    tracing::info!(connection, digest, from, signer, "runs {} {}", manifest.name, manifest.version);
}

/// Whoever runs strangers' connectors is told where they are less walled in than elsewhere.
async fn walls() -> Result<()> {
    let misdeeds = cell::misdeeds(&Program::this(), &[]).await?;
    if !misdeeds.is_empty() {
        tracing::warn!("{}", cell::missing_walls(&misdeeds));
    }
    Ok(())
}

/// How long the start waits for Glean: crawls have the patience.
const PATIENCE: Duration = Duration::from_secs(10);

/// A token that Glean refuses is for a person to mend; a Glean that is away comes back.
async fn glean(config: &Config, crawler: &Crawler) -> Result<()> {
    let datasource = config.connections.values().next();
    let Some(datasource) = datasource.map(|connection| &connection.datasource) else {
        return Ok(());
    };
    let asked = crawler.client.datasource_config(datasource);
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Err(error @ glean::Error::Unauthorized(_))) => return Err(error.into()),
        Ok(Err(glean::Error::UnknownDatasource(_) | glean::Error::BadRequest(_)) | Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!("Glean cannot be asked now: {error}"),
        Err(_) => tracing::warn!("Glean did not answer within {PATIENCE:?}"),
    }
    Ok(())
}
