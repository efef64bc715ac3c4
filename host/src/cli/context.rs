//! What every command may use.

use std::path::PathBuf;

use temporalio_client::Client;
use temporalio_common::telemetry::metrics::TemporalMeter;

use crate::config::Config;
use crate::failure::Result;
use crate::temporal;

pub(super) struct Context {
    pub(super) file: Option<PathBuf>,
    pub json: bool,
    pub verbose: u8,
}

impl Context {
    pub(super) fn config(&self) -> Result<Config> {
        Config::load(self.file.as_deref())
    }

    /// For commands that speak neither to Glean nor to Temporal.
    pub(super) fn config_without_secrets(&self) -> Result<Config> {
        Config::load_without_secrets(self.file.as_deref())
    }
}

/// For what is done to a connection's crawl on Temporal: the configuration, which has it, and the server.
pub(super) async fn with_crawl_of(name: &str, context: &Context) -> Result<(Config, Client)> {
    let config = context.config()?;
    config.connection(name)?;
    let client = connect(&config).await?;
    Ok((config, client))
}

/// Connects to the Temporal of the configuration.
pub(super) async fn connect(config: &Config) -> Result<Client> {
    connect_counted(config, None).await
}

/// The same, and its requests are counted.
pub(super) async fn connect_counted(
    config: &Config,
    meter: Option<TemporalMeter>,
) -> Result<Client> {
    let connected = temporal::connect::connect_counted(&config.temporal, meter).await;
    connected.map_err(|failure| failure.at_least(|| config.place(&["temporal"])))
}
