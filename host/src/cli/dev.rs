//! `sheaf dev`: everything on this machine, for trying out and for writing connectors.
//!
//! It starts a local Glean, a Temporal dev server where one can be had, and the worker; it crawls
//! every connection, stays up, and takes note of connectors that are dropped into the folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use sheaf_local_glean::{LocalGlean, Options};
use temporalio_client::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::live;
use super::output::Report;
use super::worker::observed;
use super::{inspect, local_glean, signals, sync};
use crate::config::Config;
use crate::crawl::CrawlRequest;
use crate::crawl::{CrawlView, Crawler, ModeName, Outcome, local};
use crate::failure::{Failure, Kind, Result};
use crate::temporal::connect::connect_to;
use crate::temporal::dev_server::DevServer;
use crate::temporal::follow;
use crate::temporal::follow::NotStarted;
use crate::temporal::worker::{self, Work};
use crate::text::lines;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// End when every connection was crawled once; the exit code says how it went.
    #[arg(long)]
    once: bool,
    /// Crawl in this process, without Temporal.
    #[arg(long)]
    no_temporal: bool,
    /// Where the search page listens.
    /// Without it: 127.0.0.1:7717, or any port that is free.
    #[arg(long)]
    glean: Option<SocketAddr>,
}

/// How often the folder of connectors is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let mut config = context.config()?;
    let stop = signals::token();
    std::fs::create_dir_all(&config.state).map_err(|error| {
        Failure::settings(format!("cannot create the state folder: {error}"))
            .at(config.state.display().to_string())
    })?;
    let glean = glean(&args, &config).await?;
    config.glean.server_url = glean.url();
    config.glean.token = None;
    // The limits are Glean's; a local one has none.
    config.glean.requests_per_second = 10_000.0;
    say(&format!("search page   {}", glean.url()));
    let temporal = if args.no_temporal { None } else { temporal(&config, &stop).await };
    let ended = Box::pin(with_temporal(&args, &config, temporal.as_ref(), &stop)).await;
    if let Some(Temporal { server, .. }) = temporal {
        server.stop().await;
    }
    glean.stop().await;
    ended
}

/// Lines for people: stdout is for the result.
fn say(text: &str) {
    super::logging::lines().suspend(|| eprintln!("{}", lines(text)));
}

async fn glean(args: &Args, config: &Config) -> Result<LocalGlean> {
    let address = args.glean.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7717)));
    let options = Options {
        address,
        database: Some(config.state.join("local-glean.db")),
        ..Options::default()
    };
    match LocalGlean::start(options.clone()).await {
        Ok(glean) => Ok(glean),
        // The usual address is taken: any other will do.
        Err(sheaf_local_glean::Error::Listen { .. }) if args.glean.is_none() => {
            let address = SocketAddr::new(address.ip(), 0);
            local_glean::start(Options { address, ..options }).await
        }
        Err(error @ sheaf_local_glean::Error::Listen { .. }) => {
            Err(Failure::new(Kind::Settings, error.to_string())
                .at("--glean")
                .next("choose another address, or end what listens there"))
        }
        Err(error) => Err(Failure::new(Kind::Settings, error.to_string())
            .at(config.state.display().to_string())
            .next("remove local-glean.db there, or correct the folder's permissions")),
    }
}

/// The dev server, and a client of it.
struct Temporal {
    client: Client,
    server: DevServer,
}

/// Starts a server of our own: crawls of a server that others use must never come to a worker whose
/// Glean is a local one. Without a server, crawls run in this process.
async fn temporal(config: &Config, stop: &CancellationToken) -> Option<Temporal> {
    let address = config.temporal.address.as_deref().unwrap_or_default();
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(7233);
    let started = tokio::select! {
        started = DevServer::start(&config.state, port) => started,
        () = stop.cancelled() => return None,
    };
    let connected = match started {
        Ok(server) => connect_to(&server.address).await.map(|client| Temporal { client, server }),
        Err(failure) => Err(failure),
    };
    match connected {
        Ok(temporal) => {
            say(&format!("Temporal      {}", temporal.server.address));
            say(&format!("Temporal UI   {}", temporal.server.ui));
            Some(temporal)
        }
        Err(failure) => {
            say(&format!("Temporal      none: {failure}"));
            if let Some(next) = &failure.next {
                say(&format!("              {next}"));
            }
            say("              crawls run in this process instead");
            None
        }
    }
}

async fn with_temporal(
    args: &Args,
    config: &Config,
    temporal: Option<&Temporal>,
    stop: &CancellationToken,
) -> Result<Report> {
    let crawler = config.crawler()?;
    let watch = Watch::new(&crawler).await?;
    let client = temporal.map(|temporal| temporal.client.clone());
    let work = work(args, config, &crawler, client.as_ref(), watch, stop);
    let Some(client) = client.clone() else {
        return Box::pin(work).await;
    };
    let end = stop.child_token();
    let (task_queue, digest) = (&config.temporal.task_queue, config.text_digest());
    let meter = observed(config, &crawler, &client, &end).await?;
    let worker = Work {
        crawler: crawler.clone(),
        client,
        task_queue,
        configuration: &digest,
        version: None,
        meter,
    };
    let worker = worker::run(worker, end.clone());
    let mut worker = std::pin::pin!(worker);
    let mut work = std::pin::pin!(work);
    tokio::select! {
        ended = &mut work => {
            end.cancel();
            worker.await?;
            ended
        }
        ended = &mut worker => {
            ended?;
            work.await
        }
    }
}

/// Crawls everything once; then, unless that was all, whatever comes.
async fn work(
    args: &Args,
    config: &Config,
    crawler: &Crawler,
    client: Option<&Client>,
    mut watch: Watch,
    stop: &CancellationToken,
) -> Result<Report> {
    let mut results = Vec::new();
    let mut code = 0;
    let mut text = String::new();
    for name in config.connections.keys() {
        let (summary, result, exit) = crawl(config, crawler, client, name, stop).await;
        if args.once {
            text.push_str(&format!("{summary}\n"));
        } else {
            say(&summary);
        }
        results.push(result);
        code = code.max(exit);
        if stop.is_cancelled() {
            break;
        }
    }
    if !args.once && !stop.is_cancelled() {
        say(&format!(
            "\nready: search at {}, drop connectors into {}, Ctrl-C ends everything",
            crawler.client.server_url(),
            crawler.registry.folder().display()
        ));
        Box::pin(watch.until(config, crawler, client, stop)).await;
    }
    if let Some(signal) = signals::code() {
        code = signal;
    }
    let summary = if text.is_empty() { "ended".to_owned() } else { text.trim_end().to_owned() };
    Ok(Report::new(summary, json!({ "crawls": results })).exit_code(code))
}

/// One crawl, shown live: a line about it, its result, and the exit code it stands for.
async fn crawl(
    config: &Config,
    crawler: &Crawler,
    client: Option<&Client>,
    name: &str,
    stop: &CancellationToken,
) -> (String, Value, u8) {
    let (view, views) = watch::channel(CrawlView::default());
    let shown = tokio::spawn(live::show(views));
    let ended = match client {
        None => {
            let request = CrawlRequest::new(name, ModeName::Full);
            local::run(crawler, &request, &view, stop).await
        }
        Some(client) => on_temporal(config, client, name, &view, stop).await,
    };
    drop(view);
    let _ = shown.await;
    match ended {
        Ok(result) => {
            let mark = if result.exit_code() == 0 { "✓" } else { "!" };
            (format!("{mark} {}", sync::summary(&result)), json!(result), result.exit_code())
        }
        Err(failure) => {
            let next =
                failure.next.as_ref().map_or_else(String::new, |next| format!("\n  next: {next}"));
            let result =
                json!({ "connection": name, "outcome": Outcome::Failed, "error": failure });
            (format!("✗ {name}: {failure}{next}"), result, failure.kind.exit_code())
        }
    }
}

async fn on_temporal(
    config: &Config,
    client: &Client,
    name: &str,
    view: &watch::Sender<CrawlView>,
    stop: &CancellationToken,
) -> Result<crate::crawl::CrawlResult> {
    let request = CrawlRequest::new(name, ModeName::Full);
    let wanted = follow::crawl(config.deployment(), request, config.digest(name));
    let started = follow::start(client, config.deployment(), wanted).await;
    let handle = match started {
        Ok(started) => started.handle,
        // A crawl that an earlier `dev` left is ours to see to its end.
        Err(NotStarted::Running(_)) => follow::handle(client, &config.temporal, name),
        Err(NotStarted::Failed(failure)) => return Err(failure),
    };
    follow::follow(client, handle, &config.temporal.task_queue, view, stop).await
}

/// The connectors of the folder as they were last seen.
struct Watch {
    seen: BTreeMap<PathBuf, Option<SystemTime>>,
}

impl Watch {
    async fn new(crawler: &Crawler) -> Result<Self> {
        let mut watch = Self { seen: BTreeMap::new() };
        for path in watch.changed(crawler)? {
            match crawler.registry.load(&path).await {
                Ok(connector) => say(&format!(
                    "connector     {} {} ({})",
                    connector.manifest.name,
                    connector.manifest.version,
                    path.display()
                )),
                Err(failure) => say(&format!("✗ {failure}")),
            }
        }
        Ok(watch)
    }

    /// Files that are new or other than they were.
    fn changed(&mut self, crawler: &Crawler) -> Result<Vec<PathBuf>> {
        let mut now = BTreeMap::new();
        for path in crawler.registry.files()? {
            let modified = path.metadata().and_then(|file| file.modified()).ok();
            now.insert(path, modified);
        }
        let changed = now
            .iter()
            .filter(|(path, modified)| self.seen.get(*path) != Some(modified))
            .map(|(path, _)| path.clone())
            .collect();
        self.seen = now;
        Ok(changed)
    }

    async fn until(
        &mut self,
        config: &Config,
        crawler: &Crawler,
        client: Option<&Client>,
        stop: &CancellationToken,
    ) {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            let changed = match self.changed(crawler) {
                Ok(changed) => changed,
                Err(failure) => {
                    tracing::warn!("{failure}");
                    continue;
                }
            };
            for path in changed {
                Box::pin(self.arrived(config, crawler, client, &path, stop)).await;
            }
        }
    }

    /// A connector came: its connections are crawled, or it is said how to make one.
    async fn arrived(
        &self,
        config: &Config,
        crawler: &Crawler,
        client: Option<&Client>,
        path: &std::path::Path,
        stop: &CancellationToken,
    ) {
        let connector = match crawler.registry.load(path).await {
            Ok(connector) => connector,
            Err(failure) => {
                // It may still be being copied: it is looked at again when it changes.
                say(&format!("✗ {failure}"));
                return;
            }
        };
        let manifest = &connector.manifest;
        say(&format!(
            "\nconnector     {} {} ({})",
            manifest.name,
            manifest.version,
            path.display()
        ));
        let mine: Vec<_> = config
            .connections
            .values()
            .filter(|connection| connection.connector == manifest.name)
            .collect();
        if mine.is_empty() {
            say(&format!(
                "no connection uses it yet; add one to {} and start `sheaf dev` again:\n\n{}",
                config.path.display(),
                inspect::toml_block(&connector.manifest)
            ));
        }
        for connection in mine {
            let (summary, ..) = crawl(config, crawler, client, &connection.name, stop).await;
            say(&summary);
        }
    }
}
