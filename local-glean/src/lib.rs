//! Glean's Indexing API on `SQLite`, with a search page.
//!
//! It keeps the documented rules (required fields, ids, upload sessions, stale deletion with the 20 %
//! check, identities and access) and answers what Glean's documents call wrong with their status
//! codes. It stands in for Glean where Glean cannot be had: trying out, tests, and drills in which it
//! is told to misbehave. It is not Glean: ranking, processing delays and parsing of binary files are
//! left out. What Glean's documents leave open is decided in this crate's README, for the worst.
//!
//! Source: Glean's public `OpenAPI` description of the Indexing API and its developer site, August 2026.

mod answer;
mod concurrency;
mod custom_metadata;
mod debug;
mod documents;
mod drill;
mod identities;
mod lag;
mod page;
mod people;
mod rules;
mod same_origin;
mod search;
mod sessions;
mod store;
mod text;
mod token;
mod visibility;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use answer::REMOVED;
pub use drill::{Drill, Dropped, Fault};
pub use lag::Counts;
use store::Store;

/// Glean names no number; its own SDK treats 5 MiB as the ceiling of a request.
const MAX_REQUEST_BYTES: usize = 5 << 20;

/// How a local Glean is run.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: SocketAddr,
    /// The database file; nothing for one in memory.
    pub database: Option<PathBuf>,
    /// The token that requests must carry; nothing accepts any and none.
    pub token: Option<String>,
    /// Writes each request to the Indexing API into this file, one JSON object a line.
    pub record: Option<PathBuf>,
    /// The largest request that is accepted.
    pub max_request_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            database: None,
            token: None,
            record: None,
            max_request_bytes: MAX_REQUEST_BYTES,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("the database cannot be opened: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("{0}")]
    Read(String),
    #[error("requests cannot be recorded: {0}")]
    Record(std::io::Error),
}

/// A local Glean that is listening.
pub struct LocalGlean {
    address: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    drill: Drill,
    store: Store,
}

#[derive(Clone)]
pub(crate) struct App {
    store: Store,
    token: Option<Arc<str>>,
    drill: Drill,
}

impl LocalGlean {
    pub async fn start(options: Options) -> Result<Self, Error> {
        let store = Store::open(options.database.as_deref())?;
        let drill = Drill::new(options.record.as_deref()).map_err(Error::Record)?;
        let app = App {
            store: store.clone(),
            token: options.token.map(Into::into),
            drill: drill.clone(),
        };
        let listener = TcpListener::bind(options.address)
            .await
            .map_err(|error| Error::Listen { address: options.address, error })?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::Listen { address: options.address, error })?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let router = router(app, address, options.max_request_bytes);
        let served = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await
            {
                tracing::error!(%error, "local Glean ended");
            }
        });
        Ok(Self { address, stop, served, drill, store })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Tells it to misbehave.
    pub fn drill(&self) -> &Drill {
        &self.drill
    }

    /// How the counts in `/debug/{datasource}/status` follow what is there.
    pub async fn set_counts(&self, counts: Counts) -> Result<(), Error> {
        let set = self.store.with(move |database| lag::set_counts(database, counts)).await;
        set.map_err(|refusal| Error::Read(refusal.1))
    }

    /// Each document of a datasource by its id, as it was uploaded.
    pub async fn documents(&self, datasource: &str) -> Result<Vec<(String, String)>, Error> {
        let datasource = datasource.to_owned();
        let listed = self.store.with(move |database| {
            let mut statement = database
                .prepare("SELECT id, json FROM documents WHERE datasource = ?1 ORDER BY id")?;
            let rows = statement.query_map([datasource], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        });
        listed.await.map_err(|refusal| Error::Read(refusal.1))
    }

    /// What the page's side bar shows: datasources, sessions, users.
    pub async fn overview(&self) -> Result<serde_json::Value, Error> {
        let overview = self.store.with(search::overview).await;
        overview.map_err(|refusal| Error::Read(refusal.1))
    }

    /// Stops listening; requests under way get a moment to finish.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(2), self.served).await;
    }
}

fn router(app: App, address: SocketAddr, max_request_bytes: usize) -> Router {
    let part = |base: &'static str, routes: Router<App>| {
        let around = axum::middleware::from_fn_with_state((app.clone(), base), drill::around);
        let routes = routes
            .fallback(answer::unknown_endpoint)
            .layer(around)
            .layer(DefaultBodyLimit::max(max_request_bytes));
        Router::new().nest(base, routes)
    };
    let indexing = documents::routes()
        .merge(identities::routes())
        .merge(debug::routes())
        .merge(people::routes());
    part("/api/index/v1", indexing)
        .merge(part("/rest/api/index", custom_metadata::routes()))
        .merge(page::routes())
        .merge(drill::routes())
        .layer(axum::middleware::from_fn_with_state(app.clone(), token::needed))
        .layer(axum::middleware::from_fn_with_state(address, same_origin::only))
        .with_state(app)
}
