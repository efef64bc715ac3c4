//! The beginning of a crawl: the datasource is registered, other crawls are made way for, and what there
//! is to crawl is found out. An interrupted crawl of the same kind is resumed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::connection::Connection;
use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::interrupted::AsNow;
use super::late_deletion;
use super::lease::Lease;
use super::plan::{Begun, Plan};
use super::progress::FailedScope;
use super::request::{CrawlRequest, ModeName, Start};
use crate::cell::{Connector, Guest};
use crate::clock::Timestamp;
use crate::document::Scope;
use crate::failure::{Failure, Kind, Result};
use crate::glean;
use crate::glean::upload::Opening;
use crate::name::UploadId;
use crate::text::{bounded_str, count};
use crate::traces::Step;

/// Each is an object or more of the journal.
const MAX_SCOPES: usize = 10_000;
/// Ids of scopes travel to whoever watches, many at a time.
const MAX_SCOPE_ID: usize = 500;

/// What a crawl that begins is to do.
enum Beginning {
    New(Box<Plan>),
    /// An interrupted crawl is resumed.
    Resumed(Box<Begun>),
}

impl Crawler {
    /// Registers the datasource and finds out what there is to crawl.
    pub async fn configure(&self, start: Start) -> Result<Plan> {
        let step = Step::of_crawl(&start.request.connection, &start.upload_id, "configure");
        step.run(self.configured_once(start)).await
    }

    async fn configured_once(&self, start: Start) -> Result<Plan> {
        let (name, upload_id) = (start.request.connection.as_str(), start.upload_id.as_str());
        self.connections.now().connection(name)?;
        let _working = self.client.working();
        let claims = self.states.claims(name);
        let lease = Lease::new(start.who.clone(), &start.by, upload_id);
        claims.claim(&lease).await?;
        let begun = tokio::select! {
            begun = self.begin_or_resume(&start) => begun,
            failure = claims.renew_until_it_fails(&start.who, upload_id) => Err(failure),
        };
        let plan = match begun {
            // It has the id of the crawl that it resumes, or of the session that it restarted.
            Ok(plan) if plan.upload_id != upload_id => {
                let lease = Lease { upload_id: plan.upload_id.clone(), ..lease };
                claims.claim(&lease).await.map(|()| plan)
            }
            plan => plan,
        };
        if plan.is_err()
            && let Err(failure) = claims.release(&start.who, upload_id).await
        {
            // What went wrong before is what is told.
            tracing::debug!("{failure}");
        }
        plan
    }

    async fn begin_or_resume(&self, start: &Start) -> Result<Plan> {
        match Box::pin(self.configured(start)).await? {
            Beginning::New(plan) => Ok(*plan),
            Beginning::Resumed(begun) => self.resume(*begun, start).await,
        }
    }

    async fn configured(&self, start: &Start) -> Result<Beginning> {
        let Start { request, upload_id, by, .. } = start;
        let CrawlRequest { connection: name, mode, connector, restart } = request;
        let connection = self.connections.now().connection(name)?;
        self.kept.keep(upload_id, by, &connection);
        let chosen = connector.as_ref().unwrap_or(&connection.connector);
        let connector = self.registry.pin(chosen).await.map_err(|failure| {
            failure.at_least(|| self.connections.now().place(&["connections", name, "connector"]))
        })?;
        let usage = self.guests.usage(upload_id, Duration::ZERO);
        let mut guest = self.guests.start(&connection, &connector, usage).await?;
        let datasource = datasource_config(&mut guest, &connection).await?;
        // Asked before it is registered: a Glean that has lost the datasource has lost its documents.
        let (mode, bookmarks) = self.begin(&connection, *mode, &connector).await?;
        let as_now = AsNow { connection: &connection, connector: &connector, mode };
        let mut others = self.others(&as_now, upload_id).await?;
        match others.resumable.take() {
            // Its own beginning, of which only the answer was lost, is resumed in any case.
            Some(begun) if !restart || begun.plan.upload_id == *upload_id => {
                return Ok(Beginning::Resumed(Box::new(begun)));
            }
            Some(begun) => others.over.push(begun.plan.upload_id),
            None => {}
        }
        for other in &others.over {
            self.absorb(name, other).await?;
        }
        self.client.add_datasource(&datasource).await?;
        let scopes = scopes_of(&mut guest, name).await?;
        let plan = self.begin_new(start, &as_now, scopes, bookmarks, others.stopped).await?;
        Ok(Beginning::New(Box::new(plan)))
    }

    /// A crawl that resumes no other. `stopped`: the session of a full crawl that the next full one may
    /// resume.
    async fn begin_new(
        &self,
        start: &Start,
        as_now: &AsNow<'_>,
        scopes: Vec<Scope>,
        bookmarks: BTreeMap<String, String>,
        stopped: Option<UploadId>,
    ) -> Result<Plan> {
        let Start { request, upload_id, by, who } = start;
        let AsNow { connection, connector, mode } = *as_now;
        let name = &request.connection;
        let full = mode == ModeName::Full;
        if full {
            self.replace_held(name).await?;
        }
        let counted =
            if full { self.counted_at_first(name, &connection.datasource).await? } else { None };
        let settling = late_deletion::look_again(&self.client, &self.states, name).await?;
        let beside = if full {
            None
        } else {
            let held = self.states.of(name).await?.held;
            held.map(|held| held.plan.upload_id).or(stopped)
        };
        self.try_again(name, &connection.datasource, upload_id, beside.as_deref()).await?;
        let mut plan = Plan {
            connection: name.clone(),
            datasource: connection.datasource.clone(),
            connector: format!("{} {}", connector.manifest.name, connector.manifest.version),
            digest: connector.digest.clone(),
            mode,
            upload_id: upload_id.clone(),
            glean: self.client.server_url().to_owned(),
            scopes,
            bookmarks,
            opened: false,
            runs: self.states.of(name).await?.runs,
            beside,
            who: Some(who.clone()),
            // Those of another connector are not this connection's.
            identities: full
                && request.connector.is_none()
                && connector.inspection.has_identities(),
            planned: false,
        };
        if full {
            self.open_session(&mut plan).await?;
            self.kept.keep(&plan.upload_id, by, connection);
        }
        let begun = Begun {
            plan: plan.clone(),
            settings: connection.settings_digest(),
            by: by.clone(),
            at: Timestamp::now(),
            counted,
            settling,
        };
        self.journal(name, &plan.upload_id).begin(&begun).await?;
        Ok(plan)
    }

    /// Opens the session where that cannot wait for the first document: several scopes share it, or one
    /// that was left unfinished has to make way. The latter's place is taken under an id made for it,
    /// which is the crawl's from then on.
    async fn open_session(&self, plan: &mut Plan) -> Result<()> {
        let upload = self.upload(plan);
        if let Opening::Foreign(unfinished) = upload.opening().await? {
            tracing::warn!(
                datasource = plan.datasource,
                unfinished = unfinished.as_str(),
                "an upload session was left unfinished; it is replaced by this one"
            );
            plan.upload_id = upload.restart().await?;
            plan.opened = true;
            return Ok(());
        }
        if plan.scopes.len() > 1 {
            upload.open(None).await?;
            plan.opened = true;
        }
        Ok(())
    }

    /// Whether another session than the crawl's own is unfinished.
    pub(super) async fn is_in_the_way(&self, plan: &Plan) -> Result<bool> {
        match self.upload(plan).opening().await {
            Err(glean::Error::UnknownDatasource(_)) => Ok(false),
            opening => Ok(matches!(opening?, Opening::Foreign(_))),
        }
    }

    async fn resume(&self, begun: Begun, start: &Start) -> Result<Plan> {
        let name = &start.request.connection;
        let upload_id = begun.plan.upload_id.clone();
        if let Some(kept) = self.kept.of(&start.upload_id) {
            self.kept.keep(&upload_id, &start.by, &kept.connection);
        }
        if upload_id != start.upload_id {
            tracing::info!(
                connection = name.as_str(),
                upload_id = upload_id.as_str(),
                "an interrupted crawl is resumed"
            );
        }
        let plan = Plan { who: Some(start.who.clone()), ..begun.plan };
        let begun = Begun { plan: plan.clone(), by: start.by.clone(), ..begun };
        self.begin_again(&begun).await?;
        Ok(plan)
    }

    /// An interrupted crawl is resumed: a scope that failed in it may be read now.
    pub(super) async fn begin_again(&self, begun: &Begun) -> Result<()> {
        let plan = &begun.plan;
        let journal = self.journal(&plan.connection, &plan.upload_id);
        journal.begin(begun).await?;
        let failed = journal.failed_scopes().await?;
        for scope in &plan.scopes {
            if let Some(before) = journal.failed_scope::<FailedScope>(&failed, &scope.id).await? {
                journal.keep_failed_scope(&scope.id, &before.resumed()).await?;
            }
        }
        Ok(())
    }

    /// A newer full crawl takes the place of one that waits for approval.
    async fn replace_held(&self, name: &str) -> Result<()> {
        if self.states.of(name).await?.held.is_some() {
            tracing::warn!(
                connection = name,
                "a full crawl that waited for approval is replaced by this one; it deletes nothing"
            );
            self.states.update(name, |state| state.held = None).await?;
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
        let ConnectionState { bookmarks, held, .. } = self.states.of(name).await?;
        let known = match self.client.datasource_config(&connection.datasource).await {
            Ok(_) => true,
            // Nothing else that answers may make us forget what we know.
            Err(glean::Error::UnknownDatasource(_)) => false,
            Err(error) => return Err(error.into()),
        };
        if !known {
            // Not to be forgotten, should this crawl fail: Glean has nothing of what came before.
            self.states.update(name, |state| state.bookmarks.clear()).await?;
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
                connection = name.as_str(),
                "there is nothing to begin from: this crawl is a full one"
            );
            return Ok((ModeName::Full, BTreeMap::new()));
        }
        Ok((mode, bookmarks))
    }
}

/// The registration of a connection's datasource, with its name.
pub(super) async fn datasource_config(guest: &mut Guest, connection: &Connection) -> Result<Value> {
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

/// The scopes that a connector names, as far as they can be crawled.
pub(super) async fn scopes_of(guest: &mut Guest, name: &str) -> Result<Vec<Scope>> {
    let scopes = guest.scopes().await?;
    let wrong = |what: String, next: &str| {
        let next = format!("mend `scopes` in the connector{next}");
        Err(Failure::new(Kind::Contract, what).at(name).next(next))
    };
    if scopes.len() > MAX_SCOPES {
        let named = count(scopes.len() as u64, "scope");
        let what = format!("the connector names {named}, and {MAX_SCOPES} are the most");
        return wrong(what, ": fewer, larger ones");
    }
    let mut ids = BTreeSet::new();
    for scope in &scopes {
        let id = bounded_str(&scope.id, 80);
        if scope.id.len() > MAX_SCOPE_ID {
            let what = format!(
                "the id of the scope `{id}…` has {} bytes, and {MAX_SCOPE_ID} is the most",
                scope.id.len()
            );
            return wrong(what, ": make its ids shorter");
        }
        if !ids.insert(scope.id.clone()) {
            return wrong(format!("the connector names the scope `{id}` twice"), "");
        }
    }
    Ok(scopes)
}
