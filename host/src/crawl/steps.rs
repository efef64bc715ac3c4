//! The three parts of a crawl: configure the datasource, crawl each scope, complete the upload.
//!
//! They run one after the other in one process, or as Temporal activities on several. Each may be
//! run again: doing it twice is doing it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::check::Rules;
use super::pipeline::Pipeline;
use super::progress::{Ending, Outcome, Quarantined, ScopeProgress};
use super::state::StateFolder;
use crate::config::{Config, Connection};
use crate::connector::model::{Crawl, Mode, PageLimits, Scope};
use crate::connector::{Connector, Digest, Engine, Guest};
use crate::failure::{Failure, Kind, Result};
use crate::glean::Client;
use crate::glean::upload::{SessionState, Upload};
use crate::observe::numbers::count;
use crate::registry::Registry;

/// Which crawl is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    #[default]
    Full,
    Incremental,
}

impl std::fmt::Display for ModeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// What a crawl does, fixed when it begins: a connector or bookmark that changes meanwhile is the
/// next crawl's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    pub connection: String,
    pub datasource: String,
    /// Name and version, for people.
    pub connector: String,
    pub digest: Digest,
    pub mode: ModeName,
    pub upload_id: String,
    /// The Glean it uploads to: a worker that uploads elsewhere must not touch it.
    #[serde(default)]
    pub glean: String,
    pub scopes: Vec<Scope>,
    /// Incremental crawls: where each scope begins.
    #[serde(default)]
    pub bookmarks: BTreeMap<String, String>,
    /// The session was opened by an empty page, for several scopes to share.
    pub opened: bool,
}

impl Plan {
    fn scope_mode(&self, scope: &str) -> Mode {
        match (self.mode, self.bookmarks.get(scope)) {
            (ModeName::Incremental, Some(bookmark)) => {
                Mode::Incremental { bookmark: bookmark.clone() }
            }
            _ => Mode::Full,
        }
    }
}

/// How a crawl ended: what `sync --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlResult {
    pub connection: String,
    pub datasource: String,
    pub mode: ModeName,
    pub outcome: Outcome,
    pub upload_id: String,
    pub connector: String,
    pub digest: Digest,
    pub documents: u64,
    pub deleted: u64,
    pub quarantined: u64,
    pub access_unknown: u64,
    pub batches: u64,
    pub bytes: u64,
    pub seconds: f64,
    /// Why it is not complete.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub quarantine: Vec<Quarantined>,
}

/// A source whose checkpoints never last is given up after so many new beginnings of a scope.
const MAX_RESTARTS: u32 = 3;

/// What every crawl of this process shares.
#[derive(Clone)]
pub struct Crawler {
    pub config: Arc<Config>,
    pub registry: Registry,
    pub client: Client,
    pub state: StateFolder,
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
        let engine = Engine::new(crate::connector::load::cache_folder())?;
        Ok(Self {
            registry: Registry::new(engine, &config.connectors, &config.state),
            client: Client::new(config.glean.clone())?,
            state: StateFolder::new(&config.state),
            config: Arc::new(config),
        })
    }

    /// A connection's connector, started with its grants after its settings were checked.
    pub async fn start(&self, connection: &Connection, connector: &Connector) -> Result<Guest> {
        check_settings(&self.config, connection, connector)?;
        connector.start(connection.grants()).await
    }

    /// Registers the datasource and finds out what there is to crawl.
    pub async fn configure(
        &self,
        name: &str,
        mode: ModeName,
        upload_id: &str,
        digest: Option<&Digest>,
    ) -> Result<Plan> {
        let connection = self.config.connection(name)?;
        let connector = match digest {
            Some(digest) => self.registry.pin_digest(digest).await,
            None => self.registry.pin(&connection.connector).await,
        };
        let connector = connector.map_err(|failure| {
            failure.at_least(|| self.config.place(&["connections", name, "connector"]))
        })?;
        let mut guest = self.start(&connection, &connector).await?;
        let datasource = datasource_config(&mut guest, &connection).await?;
        // Asked before it is registered: a Glean that has lost the datasource has lost its documents.
        let (mode, bookmarks) = self.begin(&connection, mode, &connector).await?;
        self.client.add_datasource(&datasource).await?;
        let scopes = guest.scopes().await?;
        let mut ids = BTreeSet::new();
        if let Some(twice) = scopes.iter().find(|scope| !ids.insert(&scope.id)) {
            return Err(Failure::new(
                Kind::Contract,
                format!("the connector names the scope `{}` twice", twice.id),
            )
            .at(name)
            .next("mend `scopes` in the connector"));
        }
        let mut plan = Plan {
            connection: name.to_owned(),
            datasource: connection.datasource.clone(),
            connector: format!("{} {}", connector.manifest.name, connector.manifest.version),
            digest: connector.digest.clone(),
            mode,
            upload_id: upload_id.to_owned(),
            glean: self.client.server_url().to_owned(),
            scopes,
            bookmarks,
            opened: false,
        };
        if mode == ModeName::Full && plan.scopes.len() > 1 {
            self.upload(&plan).open(None).await?;
            plan.opened = true;
        }
        Ok(plan)
    }

    /// An incremental crawl without a bookmark to begin from is a full one.
    async fn begin(
        &self,
        connection: &Connection,
        mode: ModeName,
        connector: &Connector,
    ) -> Result<(ModeName, BTreeMap<String, String>)> {
        let name = &connection.name;
        if mode == ModeName::Full {
            return Ok((mode, BTreeMap::new()));
        }
        if !connector.manifest.incremental {
            return Err(Failure::settings(format!(
                "the connector `{}` cannot crawl incrementally",
                connector.manifest.name
            ))
            .at(name.clone())
            .next("run a full crawl"));
        }
        let bookmarks = self.state.of(name, self.client.server_url())?.bookmarks;
        let known = match self.client.datasource_config(&connection.datasource).await {
            Ok(_) => true,
            Err(failure) if failure.kind == Kind::Refused => false,
            Err(failure) => return Err(failure),
        };
        if bookmarks.is_empty() || !known {
            tracing::warn!(
                connection = name,
                "there is nothing to begin from: this crawl is a full one"
            );
            return Ok((ModeName::Full, BTreeMap::new()));
        }
        Ok((mode, bookmarks))
    }

    /// Two workers that upload to different Gleans must not share a crawl: what one of them uploaded
    /// would be missing from the other's session.
    fn check_glean(&self, plan: &Plan) -> Result<()> {
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

    fn upload(&self, plan: &Plan) -> Upload {
        Upload {
            client: self.client.clone(),
            datasource: plan.datasource.clone(),
            upload_id: plan.upload_id.clone(),
        }
    }

    /// Whether Glean still has the upload session of a crawl that was interrupted.
    pub async fn session_is_open(&self, plan: &Plan) -> Result<bool> {
        match self.upload(plan).session_state().await {
            Ok(state) => Ok(state == SessionState::Active),
            // A datasource that Glean does not know has no sessions.
            Err(failure) if failure.kind == Kind::Refused => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Crawls one scope from where `start` left it. `report` always holds what is acknowledged.
    pub async fn crawl_scope(
        &self,
        plan: &Plan,
        scope: &str,
        start: ScopeProgress,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> Result<ScopeProgress> {
        self.check_glean(plan)?;
        let opened = start.opened || plan.opened;
        let start = ScopeProgress { scope: scope.to_owned(), opened, ..start };
        report.send_replace(start.clone());
        if start.ending.is_some() {
            return Ok(start);
        }
        let ended = match self.crawl_from(plan, scope, start.clone(), report, cancel).await {
            Err(failure) if failure.kind == Kind::StartOver => {
                let restarts = report.borrow().restarts + 1;
                if restarts > MAX_RESTARTS {
                    let what =
                        format!("the connector wants to start over for the {restarts}th time");
                    return Err(Failure::new(Kind::SourceGaveUp, what)
                        .at(plan.connection.clone())
                        .next("ask whoever maintains the connector")
                        .detail(failure.what));
                }
                tracing::warn!(scope, "{failure}; the scope is crawled from its beginning");
                let anew = ScopeProgress {
                    scope: start.scope,
                    opened: report.borrow().opened || start.opened,
                    restarts,
                    ..ScopeProgress::default()
                };
                report.send_replace(anew.clone());
                self.crawl_from(plan, scope, anew, report, cancel).await
            }
            ended => ended,
        };
        ended.map_err(|failure| failure.at_least(|| plan.connection.clone()))
    }

    async fn crawl_from(
        &self,
        plan: &Plan,
        scope: &str,
        start: ScopeProgress,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> Result<ScopeProgress> {
        let connection = self.config.connection(&plan.connection)?;
        let connector = self.registry.pinned(&plan.digest).await?;
        let mut guest = self.start(&connection, &connector).await?;
        let rules = Rules::of(&guest.datasource().await?);
        // A scope that was begun anew has no bookmark: the source no longer accepts it.
        let mode = if start.restarts == 0 { plan.scope_mode(scope) } else { Mode::Full };
        let cursor = guest
            .open(Crawl { mode, scope: scope.to_owned(), resume: start.checkpoint.clone() })
            .await?;
        let limits = &connection.limits;
        // A scope that is new to an incremental crawl is read in full, outside a session.
        let sent_as = match plan.mode {
            ModeName::Full => Mode::Full,
            ModeName::Incremental => Mode::Incremental { bookmark: String::new() },
        };
        let pipeline = Pipeline {
            upload: &self.upload(plan),
            mode: &sent_as,
            rules: &rules,
            window: &self.config.window,
            page: PageLimits { documents: limits.page_documents, bytes: limits.page_bytes },
            report,
            cancel,
        };
        pipeline.run(cursor, start).await
    }

    /// Closes the session when everything was read, and says how the crawl ended.
    pub async fn complete(
        &self,
        plan: &Plan,
        scopes: &BTreeMap<String, ScopeProgress>,
        seconds: f64,
    ) -> Result<CrawlResult> {
        self.check_glean(plan)?;
        let mut total = ScopeProgress::default();
        let mut reasons = Vec::new();
        for scope in &plan.scopes {
            let Some(progress) = scopes.get(&scope.id) else {
                reasons.push(format!("{} was not crawled", scope.title));
                continue;
            };
            total.add(progress);
            match &progress.ending {
                Some(Ending::Complete { .. }) => {}
                Some(Ending::Partial { reason }) => {
                    reasons.push(format!("{}: {reason}", scope.title));
                }
                None => reasons.push(format!("{} was not read to its end", scope.title)),
            }
        }
        let mut deleted = total.deleted;
        let outcome = if !reasons.is_empty() {
            Outcome::Partial
        } else if plan.mode == ModeName::Full && total.documents == 0 {
            reasons.push(
                "the source delivered no documents; nothing was deleted. Check the settings, or delete \
                 the datasource in Glean if it is really empty"
                    .to_owned(),
            );
            Outcome::Held
        } else if plan.mode == ModeName::Full && total.withheld > 0 {
            reasons.push(format!(
                "{} could not be uploaded and may be in Glean from before, so nothing was deleted; \
                 mend them, or leave them out by the connector's settings",
                count(total.withheld, "document")
            ));
            Outcome::Partial
        } else {
            if plan.mode == ModeName::Full {
                let before = self.client.document_count(&plan.datasource).await?;
                self.upload(plan).close().await?;
                deleted =
                    before.saturating_sub(self.client.document_count(&plan.datasource).await?);
            }
            if plan.mode == ModeName::Full && self.upload(plan).deletion_paused().await? {
                reasons.push(
                    "Glean holds the deletion of more than a fifth of the datasource back; look at \
                     what would go, and let Glean's support release it or upload what is missing"
                        .to_owned(),
                );
                Outcome::Held
            } else {
                Outcome::Complete
            }
        };
        let result = plan.result(outcome, &total, deleted, seconds, reasons.into_iter().next());
        self.state.update(&plan.connection, self.client.server_url(), |memory| {
            if outcome == Outcome::Complete {
                if plan.mode == ModeName::Full {
                    memory.bookmarks.clear();
                }
                for (scope, progress) in scopes {
                    if let Some(Ending::Complete { bookmark: Some(bookmark) }) = &progress.ending {
                        memory.bookmarks.insert(scope.clone(), bookmark.clone());
                    }
                }
            }
            memory.unfinished = None;
            memory.last = Some(result.clone());
        })?;
        Ok(result)
    }
}

impl Plan {
    /// Only what one scope's crawl needs: a plan travels through Temporal once for each.
    #[must_use]
    pub fn for_scope(&self, id: &str) -> Self {
        Self {
            scopes: self.scopes.iter().filter(|scope| scope.id == id).cloned().collect(),
            bookmarks: self
                .bookmarks
                .get_key_value(id)
                .map(|(id, bookmark)| (id.clone(), bookmark.clone()))
                .into_iter()
                .collect(),
            ..self.clone()
        }
    }

    pub fn result(
        &self,
        outcome: Outcome,
        total: &ScopeProgress,
        deleted: u64,
        seconds: f64,
        reason: Option<String>,
    ) -> CrawlResult {
        CrawlResult {
            connection: self.connection.clone(),
            datasource: self.datasource.clone(),
            mode: self.mode,
            outcome,
            upload_id: self.upload_id.clone(),
            connector: self.connector.clone(),
            digest: self.digest.clone(),
            documents: total.documents,
            deleted,
            quarantined: total.quarantined,
            access_unknown: total.access_unknown,
            batches: total.batches,
            bytes: total.bytes,
            seconds: (seconds * 1000.0).round() / 1000.0,
            reason,
            quarantine: total.samples.clone(),
        }
    }
}

/// The registration of a connection's datasource, with its name.
async fn datasource_config(guest: &mut Guest, connection: &Connection) -> Result<Value> {
    let mut config = guest.datasource().await?;
    let Some(fields) = config.as_object_mut() else {
        return Err(Failure::new(
            Kind::Contract,
            "`datasource` returned JSON that is not an object",
        )
        .at(connection.name.clone())
        .next("mend the connector"));
    };
    fields.insert("name".into(), connection.datasource.clone().into());
    Ok(config)
}

/// Settings must be valid by the connector's own schema before it sees them.
pub fn check_settings(
    config: &Config,
    connection: &Connection,
    connector: &Connector,
) -> Result<()> {
    let manifest = &connector.manifest;
    let validator = jsonschema::validator_for(&manifest.settings_schema).map_err(|error| {
        Failure::new(
            Kind::Contract,
            format!("the connector's settings schema is not valid: {error}"),
        )
        .at(manifest.name.clone())
        .next("mend `describe` in the connector")
    })?;
    let Some(error) = validator.iter_errors(&connection.settings).next() else {
        return Ok(());
    };
    let pointer = error.instance_path().to_string();
    let mut keys = vec!["connections", &connection.name, "settings"];
    keys.extend(pointer.split('/').filter(|part| !part.is_empty()));
    Err(Failure::settings(format!("the settings do not fit `{}`: {error}", manifest.name))
        .at(config.place(&keys))
        .next("correct them; `sheaf inspect` lists what the connector takes"))
}
