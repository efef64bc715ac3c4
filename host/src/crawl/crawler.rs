//! What all steps of a crawl need: [`super::configure`] registers the datasource, [`super::scope`] crawls
//! its scopes, [`super::complete`] ends it, and [`super::approval`] where a person has to look.
//!
//! They run one after the other in one process, or as Temporal activities on several. Each may be
//! run again: doing it twice is doing it once. What is done is in the store's journal, and nowhere
//! else: any worker that shares the store resumes a crawl where another was killed.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::census::Counted;
use super::configured::{Connections, Kept};
use super::connection::Connection;
use super::connection_state::States;
use super::guests::{Computed, Guests};
use super::kept_identities::KeptIdentities;
use super::lease::Who;
use super::pipeline::UploadLimits;
use super::plan::{Begun, CrawlRef, Plan};
use super::policy::CrawlPolicy;
use super::progress::ScopeHead;
use crate::cell::{CompileLimits, Connector, Guest, Loader, Program};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::glean::upload::{SessionState, Upload};
use crate::glean::{self, Client, Endpoint};
use crate::ledger;
use crate::pace::Wait;
use crate::registry::{Registry, Rules};
use crate::senders::Senders;
use crate::store::{Location, Store};

/// A crawl's journal: each of its frames says how far a scope is.
pub type Journal = ledger::Journal<ScopeHead>;

/// What the crawls of a process need, beside their connections.
#[derive(Clone, Debug)]
pub struct Settings {
    pub glean: Endpoint,
    pub uploads: UploadLimits,
    pub policy: CrawlPolicy,
    /// Guests of all connections that run at once.
    pub guests: usize,
    /// Where `.wasm` files are dropped.
    pub connectors: PathBuf,
    /// Which of them may be loaded.
    pub rules: Rules,
    pub compile: CompileLimits,
    /// This machine's own: locks and temporary files.
    pub state: PathBuf,
    /// What is kept between crawls.
    pub store: Location,
}

/// What every crawl of this process shares.
#[derive(Clone)]
pub struct Crawler {
    pub settings: Arc<Settings>,
    pub connections: Arc<dyn Connections>,
    /// What the crawls under way began with.
    pub(super) kept: Arc<Kept>,
    pub registry: Registry,
    pub client: Client,
    pub store: Store,
    pub states: States,
    pub guests: Arc<Guests>,
}

impl Crawler {
    /// There need not be a Glean: some only look at connectors and their sources.
    pub fn new(settings: Settings, connections: Arc<dyn Connections>) -> Result<Self> {
        let cache = crate::cell::cache_folder()?;
        let loader = Loader::limited(Program::this(), cache, settings.compile)?;
        let store = Store::open(&settings.store)?;
        let senders = Senders::new(&store, &settings.state, &settings.glean.server_url);
        Ok(Self {
            registry: Registry::new(
                loader,
                &settings.connectors,
                store.clone(),
                settings.rules.clone(),
            ),
            client: Client::among(settings.glean.clone(), Some(senders))?,
            states: States::new(store.clone(), &settings.state, &settings.glean.server_url),
            store,
            kept: Arc::default(),
            guests: Arc::new(Guests::new(connections.clone(), settings.guests)),
            connections,
            settings: Arc::new(settings),
        })
    }

    /// Tries what each crawl writes: the state folder of this machine, and the store.
    pub async fn can_write(&self) -> Result<()> {
        let temporary = self.settings.state.join("tmp");
        let written = std::fs::create_dir_all(&temporary)
            .and_then(|()| tempfile::NamedTempFile::new_in(&temporary));
        written.map_err(|error| {
            Failure::settings(format!("nothing can be written to the state folder: {error}"))
                .at(temporary.display().to_string())
                .next("correct its permissions, or change `state_folder`")
        })?;
        self.store.probe().await
    }

    pub(super) fn journal(&self, connection: &str, upload_id: &str) -> Journal {
        Journal::new(&self.store, &self.states.place(connection), upload_id)
    }

    /// What is kept of a connection's users and groups.
    pub(super) fn kept_identities(&self, connection: &str) -> KeptIdentities {
        KeptIdentities::new(&self.store, &self.states.place(connection))
    }

    /// A connection's connector, started with its grants, outside of a crawl.
    pub async fn start(&self, connection: &Connection, connector: &Connector) -> Result<Guest> {
        self.guests.start(connection, connector, Computed::default()).await
    }

    /// What a connection's crawl waits for now: Glean, or its source.
    pub fn waiting(&self, connection: &str) -> Option<Wait> {
        self.client.waiting().or_else(|| self.guests.waiting(connection))
    }

    /// Two workers that upload to different Gleans must not share a crawl: what one of them uploaded
    /// would be missing from the other's session.
    pub(super) fn check_glean(&self, crawl: &CrawlRef) -> Result<()> {
        if crawl.glean.is_empty() || crawl.glean == self.client.server_url() {
            return Ok(());
        }
        let ours = self.client.server_url();
        Err(Failure::settings(format!(
            "this worker uploads to {ours}, and the crawl to {}",
            crawl.glean
        ))
        .at(crawl.connection.clone())
        .next("give workers with different Gleans different task queues"))
    }

    pub(super) fn upload(&self, plan: &Plan) -> Upload {
        Upload {
            client: self.client.clone(),
            datasource: plan.datasource.clone(),
            upload_id: plan.upload_id.clone(),
            beside: plan.beside.clone(),
            accepted: Arc::default(),
        }
    }

    /// What Glean knows of a crawl's upload session.
    pub(super) async fn session_state(&self, plan: &Plan) -> Result<SessionState> {
        match self.upload(plan).session_state().await {
            // A datasource that Glean does not know has no sessions.
            Err(glean::Error::UnknownDatasource(_)) => Ok(SessionState::Unknown),
            state => Ok(state?),
        }
    }

    /// What the crawl's journal says of its beginning.
    pub(super) async fn begun(&self, crawl: &CrawlRef) -> Result<Begun> {
        let journal = self.journal(&crawl.connection, &crawl.upload_id);
        journal.begun().await?.ok_or_else(|| {
            Failure::settings(
                "the crawl's journal is not there: another worker began it in another store, or \
                 another crawl has taken its place",
            )
            .at(self.store.place(&self.states.place(&crawl.connection)))
            .next("let all workers of a task queue share a store: set `state_store`")
        })
    }

    /// Whose crawl it is; fails where another process has taken it over.
    pub(super) fn check_owner<'a>(begun: &'a Begun, crawl: &CrawlRef) -> Result<&'a Who> {
        match &begun.plan.who {
            Some(who) if crawl.who.as_ref() == Some(who) => Ok(who),
            _ => Err(Failure::new(
                Kind::Busy,
                format!("another process has taken over this crawl: {}", begun.by),
            )
            .at(format!("{}, upload {}", crawl.connection, crawl.upload_id))
            .next("nothing: it goes on there")),
        }
    }

    /// The range of the one scope that an activity of an earlier version's workflow is about.
    pub async fn number_of(&self, crawl: &CrawlRef, scope: &str) -> Result<Range<usize>> {
        let plan = self.begun(crawl).await?.plan;
        let at = plan.scopes.iter().position(|found| found.id == scope);
        let at =
            at.ok_or_else(|| Failure::internal(format!("the crawl has no scope `{scope}`")))?;
        Ok(at..at + 1)
    }

    /// Says that nobody is at work on a crawl for the moment, or for good.
    pub async fn rest(&self, crawl: &CrawlRef, for_now: Option<Duration>) -> Result<()> {
        let Some(who) = &crawl.who else { return Ok(()) };
        let claims = self.states.claims(&crawl.connection);
        match for_now {
            Some(pause) => Ok(claims.renew(who, &crawl.upload_id, pause).await?),
            None => claims.release(who, &crawl.upload_id).await,
        }
    }

    /// Keeps others from a crawl that rests.
    pub async fn hold(&self, crawl: &CrawlRef, lasts: Duration) -> Result<()> {
        let Some(who) = &crawl.who else { return Ok(()) };
        let claims = self.states.claims(&crawl.connection);
        Ok(claims.hold(who, &crawl.upload_id, lasts).await?)
    }

    /// How many documents Glean counts now, as far as it says.
    pub(super) async fn counted(&self, datasource: &str) -> Result<Option<Counted>> {
        Ok(self.counted_with_people(datasource).await?.0)
    }

    /// The same, and how many users and groups.
    pub(super) async fn counted_with_people(
        &self,
        datasource: &str,
    ) -> Result<(Option<Counted>, Option<u64>)> {
        let at = Timestamp::now();
        match self.client.datasource_status(datasource).await {
            Ok(status) => {
                let documents = status.documents.counted();
                Ok((documents.map(|documents| Counted { documents, at }), status.people_counted()))
            }
            Err(glean::Error::UnknownDatasource(_)) => {
                Ok((Some(Counted { documents: 0, at }), Some(0)))
            }
            Err(error) => Err(error.into()),
        }
    }
}
