//! `sheaf local-glean`: the Indexing API and a search page on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;
use sheaf_local_glean::{LocalGlean, Options};

use super::output::Report;
use super::signals;
use crate::failure::{Failure, Kind, Result};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:7717")]
    address: SocketAddr,
    /// The database file; without it everything is kept in memory and gone at the end.
    #[arg(long)]
    database: Option<PathBuf>,
    /// The token that all requests must carry, the search page's as well; without it none is asked for.
    #[arg(long, env = "LOCAL_GLEAN_TOKEN")]
    token: Option<String>,
    /// Write each request to the Indexing API into this file.
    #[arg(long)]
    record: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<Report> {
    let cancel = signals::token();
    let options = Options {
        address: args.address,
        database: args.database,
        token: args.token,
        record: args.record,
        ..Options::default()
    };
    let glean = start(options).await?;
    eprintln!("local Glean: {}  (Ctrl-C ends it)", glean.url());
    cancel.cancelled().await;
    let requests = glean.drill().requests();
    glean.stop().await;
    Ok(Report::new(
        format!("local Glean ended after {requests} requests"),
        json!({ "requests": requests }),
    ))
}

pub(super) async fn start(options: Options) -> Result<LocalGlean> {
    let address = options.address;
    LocalGlean::start(options).await.map_err(|error| {
        Failure::new(Kind::Settings, format!("local Glean does not start: {error}"))
            .at(address.to_string())
            .next("choose another `--address`, or end what listens there")
    })
}
