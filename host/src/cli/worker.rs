//! `sheaf worker`: crawls whatever is started on the task queue.

use std::sync::Arc;
use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use temporalio_client::Client;
use temporalio_common::telemetry::metrics::CoreMeter;
use tokio_util::sync::CancellationToken;

use super::context::{Context, connect};
use super::output::Report;
use super::reload::keep_reading;
use super::signals;
use crate::cell::{self, Connector, Program};
use crate::config::Config;
use crate::crawl::Crawler;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::observe::{Observer, Sdk};
use crate::registry::lock::Locked;
use crate::temporal::worker::{self, Work};
use crate::traces::{self, Sending};

#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) async fn run(_: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let stop = signals::token();
    let _traces = traces(&config)?;
    let live = config.live();
    let crawler = config.crawler_of(&live)?;
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
    let meter = observed(&config, &crawler, &client, &stop).await?;
    tokio::spawn(keep_reading(live, crawler.clone(), client.clone(), stop.clone()));
    let configuration = &config.text_digest();
    let version = config.version.as_ref();
    worker::run(Work { crawler, client, task_queue, configuration, version, meter }, stop).await?;
    let code = signals::code().unwrap_or(0);
    Ok(Report::new("the worker ended", json!({})).exit_code(code))
}

/// Sends traces, where that is wanted.
fn traces(config: &Config) -> Result<Option<Sending>> {
    let collector = config.traces.as_deref();
    let started = collector.map(traces::start).transpose();
    started.map_err(|failure| failure.at_least(|| config.place(&["observe", "traces"])))
}

/// Serves metrics and the page, where that is wanted; where the worker then counts.
pub(super) async fn observed(
    config: &Config,
    crawler: &Crawler,
    client: &Client,
    stop: &CancellationToken,
) -> Result<Option<Arc<dyn CoreMeter>>> {
    let Some(settings) = config.observe.clone() else { return Ok(None) };
    let listener = Observer::bind(&settings, || config.place(&["observe", "address"])).await?;
    let sdk = Sdk::start()?;
    let meter = sdk.meter.clone();
    let observer = Observer::new(crawler.clone(), client.clone(), config.temporal.clone(), sdk);
    tokio::spawn(observer.serve(listener, settings, stop.clone()));
    Ok(Some(meter))
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
