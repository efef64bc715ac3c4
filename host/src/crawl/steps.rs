//! The parts of a crawl: [`super::begin`] configures the datasource, here each scope is crawled, and
//! [`super::finish`] ends it.
//!
//! They run one after the other in one process, or as Temporal activities on several. Each may be
//! run again: doing it twice is doing it once. What is done is in the store's journal, and nowhere
//! else: any worker that shares the store goes on where another was killed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::begin::Begun;
use super::changes::Keeper;
use super::check::Rules;
use super::guests::Guests;
use super::lease::Who;
use super::memory::Memories;
use super::pipeline::{Pipeline, interrupted};
use super::plan::{ModeName, Plan};
use super::progress::ScopeProgress;
use crate::config::{Config, Connection, Live};
use crate::connector::model::{Crawl, Mode, PageLimits};
use crate::connector::{Connector, Engine, Guest};
use crate::failure::{Failure, Kind, Result, bounded_str};
use crate::glean::upload::{SessionState, Upload};
use crate::glean::{self, Client};
use crate::ledger::{Journal, ScopeJournal};
use crate::pace::Wait;
use crate::registry::Registry;
use crate::store::Store;

/// A source whose checkpoints never last is given up after so many new beginnings of a scope.
const MAX_RESTARTS: u32 = 3;

/// What every crawl of this process shares.
#[derive(Clone)]
pub struct Crawler {
    /// As it was when the process began; the connections of a crawl are in `live`.
    pub config: Arc<Config>,
    pub live: Live,
    pub registry: Registry,
    pub client: Client,
    pub store: Store,
    pub memories: Memories,
    pub guests: Arc<Guests>,
}

impl Crawler {
    pub fn new(config: Config) -> Result<Self> {
        if config.glean.server_url.is_empty() {
            return Err(Self::no_glean(&config));
        }
        Self::offline(config)
    }

    pub fn no_glean(config: &Config) -> Failure {
        Failure::settings("there is no Glean to upload to")
            .at(config.place(&["glean", "server_url"]))
            .next(
                "set `server_url` in [glean], or GLEAN_INSTANCE; `sheaf local-glean` runs one here",
            )
    }

    /// For what only looks at connectors and their sources: there need not be a Glean.
    pub fn offline(config: Config) -> Result<Self> {
        let cache = crate::connector::load::cache_folder();
        let engine = Engine::limited(cache, config.compile)?;
        let store = Store::open(&config.store)?;
        let config = Arc::new(config);
        let live = Live::new(config.clone());
        Ok(Self {
            registry: Registry::new(engine, &config.connectors, store.clone()),
            client: Client::new(config.glean.clone())?,
            memories: Memories::new(store.clone(), &config.state, &config.glean.server_url),
            store,
            guests: Arc::new(Guests::new(live.clone(), config.guests)),
            live,
            config,
        })
    }

    /// Tries what each crawl writes: the state folder of this machine, and the store.
    pub async fn can_write(&self) -> Result<()> {
        let temporary = self.config.state.join("tmp");
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
        Journal::new(&self.store, &self.memories.place(connection), upload_id)
    }

    /// A connection's connector, started with its grants, outside of a crawl.
    pub async fn start(&self, connection: &Connection, connector: &Connector) -> Result<Guest> {
        self.guests.start(connection, connector, Arc::default()).await
    }

    /// What a connection's crawl waits for now: Glean, or its source.
    pub fn waiting(&self, connection: &str) -> Option<Wait> {
        self.client.waiting().or_else(|| self.guests.waiting(connection))
    }

    /// Two workers that upload to different Gleans must not share a crawl: what one of them uploaded
    /// would be missing from the other's session.
    pub(super) fn check_glean(&self, plan: &Plan) -> Result<()> {
        if plan.glean.is_empty() || plan.glean == self.client.server_url() {
            return Ok(());
        }
        let ours = self.client.server_url();
        Err(Failure::settings(format!(
            "this worker uploads to {ours}, and the crawl to {}",
            plan.glean
        ))
        .at(plan.connection.clone())
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
    pub(super) async fn begun(&self, plan: &Plan) -> Result<Begun> {
        let journal = self.journal(&plan.connection, &plan.upload_id);
        journal.begun().await?.ok_or_else(|| {
            Failure::settings(
                "the crawl's journal is not there: another worker began it in another store, or \
                 another crawl has taken its place",
            )
            .at(self.store.place(&self.memories.place(&plan.connection)))
            .next("let all workers of a task queue share a store: set `state_store`")
        })
    }

    /// Whose crawl it is; fails where another has taken it over and goes on with it.
    pub(super) fn stands<'a>(begun: &'a Begun, plan: &Plan) -> Result<&'a Who> {
        match &begun.plan.who {
            Some(who) if plan.who.as_ref() == Some(who) => Ok(who),
            _ => Err(Failure::new(
                Kind::Busy,
                format!("another process has taken over this crawl: {}", begun.by),
            )
            .at(format!("{}, upload {}", plan.connection, plan.upload_id))
            .next("nothing: it goes on there")),
        }
    }

    /// Crawls one scope from where the journal left it. `report` always holds what is acknowledged
    /// and kept. `tried` is what the attempt before said of itself: its failures.
    pub async fn crawl_scope(
        &self,
        plan: &Plan,
        scope: &str,
        tried: &ScopeProgress,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> Result<ScopeProgress> {
        self.check_glean(plan)?;
        let journal = self.journal(&plan.connection, &plan.upload_id);
        let begun = self.begun(plan).await?;
        let who = Self::stands(&begun, plan)?;
        let claims = self.memories.claims(&plan.connection);
        let plan = &begun.plan;
        self.check_begun(&begun).await?;
        let (part, kept) = journal.scope(scope).await?;
        let kept = kept.unwrap_or_default();
        let mut start = ScopeProgress {
            scope: scope.to_owned(),
            opened: kept.opened || plan.opened,
            in_flight: 0,
            waiting: None,
            waiting_since: None,
            ..kept
        };
        if start.checkpoint == tried.checkpoint && start.restarts == tried.restarts {
            start.failures = tried.failures;
            start.cause.clone_from(&tried.cause);
        }
        report.send_replace(start.clone());
        if start.ending.is_some() {
            return Ok(start);
        }
        if start.pages > 0 {
            tracing::info!(
                connection = plan.connection,
                scope,
                page = start.pages,
                documents = start.documents,
                checkpoint = bounded_str(start.checkpoint.as_deref().unwrap_or_default(), 200),
                "the scope goes on where it was"
            );
        }
        let ended = tokio::select! {
            ended = self.crawl_restarting(plan, &journal, part, start, report, cancel) => ended,
            failure = claims.keep(who, &plan.upload_id) => Err(failure),
        };
        ended.map_err(|failure| failure.at_least(|| plan.connection.clone()))
    }

    /// Begins the scope anew where its connector asks for it.
    async fn crawl_restarting(
        &self,
        plan: &Plan,
        journal: &Journal,
        part: ScopeJournal,
        start: ScopeProgress,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> Result<ScopeProgress> {
        let scope = start.scope.clone();
        let opened = start.opened;
        let failure = match self.crawl_from(plan, start, part, report, cancel).await {
            Err(failure) if failure.kind == Kind::StartOver => failure,
            ended => return ended,
        };
        let restarts = report.borrow().restarts + 1;
        if restarts > MAX_RESTARTS {
            let what = format!("the connector wants to start over for the {restarts}th time");
            return Err(Failure::new(Kind::SourceGaveUp, what)
                .at(plan.connection.clone())
                .next("ask whoever maintains the connector")
                .detail(failure.what));
        }
        tracing::warn!(scope, "{failure}; the scope is crawled from its beginning");
        let anew = ScopeProgress {
            scope: scope.clone(),
            opened: report.borrow().opened || opened,
            restarts,
            ..ScopeProgress::default()
        };
        // Kept before it is begun: whoever goes on must not go back to the old checkpoint.
        let (mut part, _) = journal.scope(&scope).await?;
        part.commit(&[], &anew).await?;
        report.send_replace(anew.clone());
        self.crawl_from(plan, anew, part, report, cancel).await
    }

    async fn crawl_from(
        &self,
        plan: &Plan,
        start: ScopeProgress,
        journal: ScopeJournal,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> Result<ScopeProgress> {
        let connection = self.crawled(plan)?;
        let connector = self.registry.pinned(&plan.digest).await?;
        let usage = self.guests.usage(&plan.upload_id, Duration::from_millis(start.cpu_ms));
        let mut guest = tokio::select! {
            guest = self.guests.start(&connection, &connector, usage.clone()) => guest?,
            () = cancel.cancelled() => return Err(interrupted()),
        };
        let rules = Rules::of(&guest.datasource().await?);
        // A scope that was begun anew has no bookmark: the source no longer accepts it.
        let mode = if start.restarts == 0 { plan.scope_mode(&start.scope) } else { Mode::Full };
        let cursor = guest
            .open(Crawl { mode, scope: start.scope.clone(), resume: start.checkpoint.clone() })
            .await?;
        let limits = &connection.limits;
        // A scope that is new to an incremental crawl is read in full, outside a session.
        let sent_as = match plan.mode {
            ModeName::Full => Mode::Full,
            ModeName::Incremental => Mode::Incremental { bookmark: String::new() },
        };
        let changes = match plan.mode {
            ModeName::Full => None,
            ModeName::Incremental => Some(Keeper::new(&self.memories, plan)),
        };
        let pipeline = Pipeline {
            upload: &self.upload(plan),
            changes: changes.as_ref(),
            mode: &sent_as,
            rules: &rules,
            tolerance: &connection.quarantine,
            window: &self.config.window,
            page: PageLimits { documents: limits.page_documents, bytes: limits.page_bytes },
            report,
            cancel,
            journal: Some(journal),
            usage,
        };
        pipeline.run(cursor, start).await
    }

    /// Says that nobody is at work on a crawl for the moment, or for good.
    pub async fn rest(&self, plan: &Plan, for_now: Option<Duration>) -> Result<()> {
        let Some(who) = &plan.who else { return Ok(()) };
        let claims = self.memories.claims(&plan.connection);
        match for_now {
            Some(pause) => claims.renew(who, &plan.upload_id, pause).await,
            None => claims.release(who, &plan.upload_id).await,
        }
    }
}
