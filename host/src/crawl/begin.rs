//! The beginning of a crawl: the datasource is registered, other crawls are made way for, and what there
//! is to crawl is found out. An interrupted crawl of the same kind is gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::census::Counted;
use super::closing;
use super::memory::{Memory, now};
use super::plan::{ModeName, Plan};
use super::steps::Crawler;
use crate::config::Connection;
use crate::connector::{Connector, Digest, Guest};
use crate::failure::{Failure, Kind, Result};
use crate::glean;
use crate::glean::upload::{Opening, SessionState};
use crate::ledger::Journal;
use crate::ledger::journal::Lease;
use crate::observe::numbers::count;

/// An interrupted crawl is gone on with for so long; what it uploaded is older than that then.
const RESUME_WITHIN: u64 = 24 * 3600;

/// Each scope is an activity, and a part of what travels through Temporal.
const MAX_SCOPES: usize = 10_000;

/// A crawl that is about to begin.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub connection: &'a str,
    pub mode: ModeName,
    pub upload_id: &'a str,
    /// Another connector than the connection's: a name, a file, or `sha256:…`.
    pub connector: Option<&'a str>,
    /// Who crawls, for people.
    pub by: String,
    pub temporal: bool,
    /// Do not go on with an interrupted crawl.
    pub anew: bool,
}

/// What the journal of a crawl begins with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begun {
    pub plan: Plan,
    /// The mode that was asked for: the plan's may be a full crawl for want of a bookmark.
    pub asked: ModeName,
    /// A digest of the settings: other settings begin anew.
    pub settings: String,
    pub by: String,
    /// Seconds since 1970.
    pub at: u64,
    /// Full crawls: what Glean counted before it uploaded anything.
    #[serde(default)]
    pub counted: Option<Counted>,
    /// Glean was still at work on the end of the last full crawl.
    #[serde(default)]
    pub settling: bool,
}

impl Crawler {
    /// Registers the datasource and finds out what there is to crawl.
    pub async fn configure(&self, request: Request<'_>) -> Result<Plan> {
        let journal = self.journal(request.connection, request.upload_id);
        let plan = self.configured(request).await;
        if plan.is_err() {
            // What went wrong before is what is told.
            if let Err(failure) = journal.end_lease().await {
                tracing::debug!("{failure}");
            }
        }
        plan
    }

    async fn configured(&self, request: Request<'_>) -> Result<Plan> {
        let Request { connection: name, mode, upload_id, temporal, .. } = request;
        let connection = self.config.connection(name)?;
        let chosen = request.connector.unwrap_or(&connection.connector);
        let connector = self.registry.pin(chosen).await.map_err(|failure| {
            failure.at_least(|| self.config.place(&["connections", name, "connector"]))
        })?;
        let usage = self.guests.usage(upload_id, Duration::ZERO);
        let mut guest = self.guests.start(&connection, &connector, usage).await?;
        let datasource = datasource_config(&mut guest, &connection).await?;
        if !request.anew
            && let Some(begun) = self.resumable(&request, &connection, &connector).await?
        {
            return self.go_on(begun, request).await;
        }
        self.make_way(&request).await?;
        // Asked before it is registered: a Glean that has lost the datasource has lost its documents.
        let (mode, bookmarks) = self.begin(&connection, mode, &connector).await?;
        self.client.add_datasource(&datasource).await?;
        let scopes = guest.scopes().await?;
        if scopes.len() > MAX_SCOPES {
            let what = format!(
                "the connector names {}, and {MAX_SCOPES} are the most",
                count(scopes.len() as u64, "scope")
            );
            return Err(Failure::new(Kind::Contract, what)
                .at(name)
                .next("mend `scopes` in the connector: fewer, larger ones"));
        }
        let mut ids = BTreeSet::new();
        if let Some(twice) = scopes.iter().find(|scope| !ids.insert(&scope.id)) {
            return Err(Failure::new(
                Kind::Contract,
                format!("the connector names the scope `{}` twice", twice.id),
            )
            .at(name)
            .next("mend `scopes` in the connector"));
        }
        if mode == ModeName::Full {
            self.replace_held(name).await?;
        }
        let counted = match mode {
            ModeName::Full => self.counted(&connection.datasource).await?,
            ModeName::Incremental => None,
        };
        let settling = closing::look_again(&self.client, &self.memories, name).await?;
        let beside = match mode {
            ModeName::Incremental => {
                self.memories.of(name).await?.held.map(|held| held.plan.upload_id)
            }
            ModeName::Full => None,
        };
        self.try_again(name, &connection.datasource, upload_id, beside.as_deref()).await?;
        let memory = self.memories.of(name).await?;
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
            runs: memory.runs,
            beside,
            temporal,
        };
        if mode == ModeName::Full {
            self.open_session(&mut plan, &request).await?;
        }
        let begun = Begun {
            plan: plan.clone(),
            asked: request.mode,
            settings: settings_digest(&connection),
            by: request.by,
            at: now(),
            counted,
            settling,
        };
        self.journal(name, &plan.upload_id).begin(&begun).await?;
        Ok(plan)
    }

    /// Opens the session where that cannot wait for the first document: several scopes share it, or one
    /// that was left unfinished has to make way. The latter's place is taken under an id made for it,
    /// which is the crawl's from then on.
    async fn open_session(&self, plan: &mut Plan, request: &Request<'_>) -> Result<()> {
        let upload = self.upload(plan);
        if let Opening::Foreign(unfinished) = upload.opening().await? {
            tracing::warn!(
                datasource = plan.datasource,
                unfinished,
                "an upload session was left unfinished; it is replaced by this one"
            );
            plan.upload_id = upload.restart().await?;
            plan.opened = true;
            let lease = Lease::new(&request.by, request.temporal);
            self.journal(&plan.connection, &plan.upload_id).live(&lease).await?;
            return self.journal(&plan.connection, request.upload_id).remove().await;
        }
        if plan.scopes.len() > 1 {
            upload.open(None).await?;
            plan.opened = true;
        }
        Ok(())
    }

    /// An interrupted crawl of the same kind, with the same settings and connector, whose session is
    /// still open: it was killed, cancelled or failed, here or elsewhere.
    async fn resumable(
        &self,
        request: &Request<'_>,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Option<Begun>> {
        let name = request.connection;
        let memory = self.memories.of(name).await?;
        let held = memory.held.map(|held| held.plan.upload_id);
        let ended = memory.last.map(|last| last.upload_id);
        let mut newest: Option<Begun> = None;
        for upload in Journal::all(&self.store, &self.memories.place(name)).await? {
            let journal = self.journal(name, &upload);
            let lease = journal.lease().await?;
            let others = lease.is_some_and(|lease| self.excluded(name, &lease, request.temporal));
            if !others
                && held.as_ref() != Some(&upload)
                && ended.as_ref() != Some(&upload)
                && let Some(begun) = journal.begun::<Begun>().await?
                && newest.as_ref().is_none_or(|newest| newest.at <= begun.at)
            {
                newest = Some(begun);
            }
        }
        let Some(begun) = newest else { return Ok(None) };
        let not = |why: &str| {
            tracing::info!(connection = name, "an interrupted crawl is not gone on with: {why}");
            Ok(None)
        };
        let Begun { plan, asked, settings, at, .. } = &begun;
        if *settings != settings_digest(connection)
            || *asked != request.mode
            || plan.digest != connector.digest
            || plan.datasource != connection.datasource
        {
            return not("its settings, mode or connector differ");
        }
        if now().saturating_sub(*at) > RESUME_WITHIN {
            return not("it is too old");
        }
        let journal = self.journal(name, &plan.upload_id);
        let (mut opened, mut ended) = (plan.opened, true);
        for scope in &plan.scopes {
            let (_, progress) = journal.scope(&scope.id).await?;
            opened |= progress.as_ref().is_some_and(|progress| progress.opened);
            ended &= progress.is_some_and(|progress| progress.ending.is_some());
        }
        let state = if opened {
            self.session_state(plan).await?
        } else if plan.mode == ModeName::Full && self.is_in_the_way(plan).await? {
            // Nothing was uploaded: nothing is lost with it.
            return not("another session was left unfinished meanwhile");
        } else {
            SessionState::Active
        };
        // Where only the end was not written down, the session is closed already.
        if state != SessionState::Active && !(ended && state == SessionState::Finished) {
            return not("its session is gone");
        }
        Ok(Some(begun))
    }

    /// Whether another session than the crawl's own is unfinished.
    async fn is_in_the_way(&self, plan: &Plan) -> Result<bool> {
        match self.upload(plan).opening().await {
            Err(glean::Error::UnknownDatasource(_)) => Ok(false),
            opening => Ok(matches!(opening?, Opening::Foreign(_))),
        }
    }

    async fn go_on(&self, begun: Begun, request: Request<'_>) -> Result<Plan> {
        let name = request.connection;
        let upload_id = begun.plan.upload_id.clone();
        if upload_id != request.upload_id {
            tracing::info!(connection = name, upload_id, "going on with an interrupted crawl");
        }
        let plan = Plan { temporal: request.temporal, ..begun.plan };
        let journal = self.journal(name, &upload_id);
        let lease = Lease::new(&request.by, request.temporal);
        journal.live(&lease).await?;
        let begun = Begun { plan: plan.clone(), by: request.by, ..begun };
        journal.begin(&begun).await?;
        Ok(plan)
    }

    /// Sees that no other crawl of the connection is under way, and takes into the ledger what those
    /// that ended without a word had uploaded.
    async fn make_way(&self, request: &Request<'_>) -> Result<()> {
        let Request { connection: name, upload_id, temporal, .. } = *request;
        let memory = self.memories.of(name).await?;
        let waiting = memory.held.as_ref().map(|held| held.plan.upload_id.as_str());
        for other in Journal::all(&self.store, &self.memories.place(name)).await? {
            if other == upload_id || waiting == Some(other.as_str()) {
                continue;
            }
            let journal = self.journal(name, &other);
            if let Some(lease) = journal.lease().await?
                && self.excluded(name, &lease, temporal)
            {
                let ends = lease.until.saturating_sub(now());
                return Err(Failure::new(
                    Kind::Busy,
                    format!("`{name}` is being crawled already, by {}", lease.by),
                )
                .at(format!("upload {other}"))
                .next(format!(
                    "wait for it to end. If it was killed, it is forgotten in {ends} s"
                )));
            }
            self.absorb(name, &other).await?;
        }
        let lease = Lease::new(&request.by, temporal);
        self.journal(name, upload_id).live(&lease).await
    }

    /// Whether another is at work, whom nothing but its lease keeps apart from us.
    fn excluded(&self, name: &str, lease: &Lease, temporal: bool) -> bool {
        lease.excludes(temporal) && self.memories.is_at_work(name, lease)
    }

    /// A newer full crawl takes the place of one that waits for approval.
    async fn replace_held(&self, name: &str) -> Result<()> {
        if self.memories.of(name).await?.held.is_some() {
            tracing::warn!(
                connection = name,
                "a full crawl that waited for approval is replaced by this one; it deletes nothing"
            );
            self.memories.update(name, |memory| memory.held = None).await?;
        }
        Ok(())
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
        let Memory { bookmarks, held, .. } = self.memories.of(name).await?;
        let known = match self.client.datasource_config(&connection.datasource).await {
            Ok(_) => true,
            // Nothing else that answers may make us forget what we know.
            Err(glean::Error::UnknownDatasource(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if !known {
            // Not to be forgotten, should this crawl fail: Glean has nothing of what came before.
            self.memories.update(name, |memory| memory.bookmarks.clear()).await?;
        }
        if bookmarks.is_empty() && held.is_some() {
            return Err(Failure::new(
                Kind::Busy,
                "a full crawl waits for approval, and there is nothing yet that an incremental one \
                 could begin from",
            )
            .at(name.clone())
            .next(format!("`sheaf approve {name}` or `sheaf reject {name}`")));
        }
        if bookmarks.is_empty() || !known {
            tracing::warn!(
                connection = name,
                "there is nothing to begin from: this crawl is a full one"
            );
            return Ok((ModeName::Full, BTreeMap::new()));
        }
        Ok((mode, bookmarks))
    }
}

/// What decides which documents there are.
fn settings_digest(connection: &Connection) -> String {
    let text = format!("{} {:?}", connection.settings, connection.grants.folders);
    Digest::of(text.as_bytes()).to_string()
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
