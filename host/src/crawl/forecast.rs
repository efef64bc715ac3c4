//! What a full crawl would do, for `sheaf plan`: everything is read, checked and compared as a full crawl does it, and
//! nothing is sent.
//!
//! It has a place of its own beside the connection's, with a journal by which an interrupted one is resumed: no crawl
//! waits for its end, and it waits for none's. Its guests are counted with those of the crawls.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::census::Counted;
use super::configure::scopes_of;
use super::connection::Connection;
use super::crawler::Crawler;
use super::guard::Intent;
use super::identities::{IdentityResult, Known};
use super::identity_progress::Say;
use super::lease::{Lease, Who};
use super::plan::{Begun, Plan};
use super::progress::Quarantined;
use super::request::{ModeName, upload_id};
use super::result::{Outcome, joined, listed};
use super::totals::Account;
use super::undefined::Undefined;
use crate::cell::Connector;
use crate::clock::Timestamp;
use crate::connector::Digest;
use crate::failure::{Failure, Kind, Result};
use crate::ledger::compare::compare;
use crate::ledger::{AccessShifts, Sample, journals};
use crate::name::ConnectionName;

/// How long Glean is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was read longer ago is read again: it may be another by now.
const RESUME_WITHIN: Duration = Duration::from_secs(3600);

/// What a full crawl would come to: what `sheaf plan --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forecast {
    pub connection: ConnectionName,
    pub datasource: String,
    pub connector: String,
    pub digest: Digest,
    /// Since when what is told here was read.
    pub since: Timestamp,
    /// How the crawl would end: what fails of users and groups stops no document.
    pub outcome: Outcome,
    /// Documents that it would upload, each counted once.
    pub documents: u64,
    /// Documents that it would delete, those of others among them, and of how many.
    pub deleted: u64,
    pub of: u64,
    /// Documents in Glean that are in no ledger of Sheaf's.
    pub foreign: u64,
    /// Documents that a crawl under way, or one that was interrupted, has uploaded. The ledger has them when it ends:
    /// what is new and what is changed is held against what was there before.
    pub under_way: u64,
    pub added: u64,
    pub changed: u64,
    pub unchanged: u64,
    /// Documents that the source does not have any more, and those that it has and that cannot be uploaded.
    pub gone: u64,
    pub withheld: u64,
    /// Of the changed ones, how many would be found by others than before.
    pub access: Box<AccessShifts>,
    /// Some of each.
    pub added_samples: Vec<Sample>,
    pub changed_samples: Vec<Sample>,
    pub gone_samples: Vec<Sample>,
    pub withheld_samples: Vec<Sample>,
    pub quarantined: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub quarantine: Vec<Quarantined>,
    /// Documents of which the connector does not know who may find them: nobody would.
    pub access_unknown: u64,
    /// Groups and users that documents name and nobody told Glean of.
    #[serde(default)]
    pub undefined: Box<Undefined>,
    /// Why a person would have to look first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub held: Vec<String>,
    /// Why not everything was read: then nothing would be deleted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What Glean would be told of users and groups, where the connector has them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identities: Option<Box<IdentityResult>>,
    /// Why that is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identities_failure: Option<Failure>,
    /// Why Glean was not asked what others have in the datasource: then the guard may hold more than is said here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub glean_failure: Option<Failure>,
    pub seconds: f64,
    pub at: Timestamp,
}

/// Crawls that have not ended.
#[derive(Default)]
struct UnderWay {
    documents: u64,
    /// What Glean counted before.
    counted: Option<Counted>,
}

/// Who asks for a forecast.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub connection: &'a str,
    pub who: &'a Who,
    /// For people.
    pub by: &'a str,
    /// Read everything again.
    pub restart: bool,
}

impl Crawler {
    /// The same with a place of its own.
    pub(super) fn aside(&self) -> Self {
        Self { states: self.states.aside(), ..self.clone() }
    }

    /// Begins to read, or goes on with an interrupted forecast. `self` is aside.
    pub(super) async fn begin_forecast(&self, real: &Self, asking: Asking<'_>) -> Result<Begun> {
        let Asking { connection: name, who, by, restart } = asking;
        let connection = self.connections.now().connection(name)?;
        let connector = self.registry.pin(&connection.connector).await.map_err(|failure| {
            failure.at_least(|| self.connections.now().place(&["connections", name, "connector"]))
        })?;
        // Before anything of another one's is touched.
        let (claims, new) = (self.states.claims(name), upload_id_of(name));
        claims.claim(&Lease::new(who.clone(), by, &new)).await?;
        let resumed = self.interrupted_forecast(&connection, &connector, restart).await?;
        let upload_id = resumed.as_ref().map_or(new, |begun| begun.plan.upload_id.to_string());
        claims.claim(&Lease::new(who.clone(), by, &upload_id)).await?;
        self.kept.keep(&upload_id, by, &connection);
        let runs = real.states.of(name).await?.runs;
        let begun = if let Some(before) = resumed {
            let plan = Plan { who: Some(who.clone()), runs, ..before.plan };
            Begun { plan, by: by.to_owned(), ..before }
        } else {
            // Of one that nobody resumed.
            self.kept_identities(name).forget_reading().await?;
            let usage = self.guests.usage(&upload_id, Duration::ZERO);
            let mut guest = self.guests.start(&connection, &connector, usage).await?;
            let scopes = scopes_of(&mut guest, name).await?;
            let plan = Plan {
                connection: name.into(),
                datasource: connection.datasource.clone(),
                connector: format!("{} {}", connector.manifest.name, connector.manifest.version),
                digest: connector.digest.clone(),
                mode: ModeName::Full,
                upload_id: upload_id.as_str().into(),
                glean: self.client.server_url().to_owned(),
                scopes,
                bookmarks: std::collections::BTreeMap::new(),
                opened: false,
                runs,
                beside: None,
                who: Some(who.clone()),
                identities: connector.inspection.has_identities(),
                planned: true,
            };
            let (settings, at) = (connection.settings_digest(), Timestamp::now());
            Begun { plan, settings, by: by.to_owned(), at, counted: None, settling: false }
        };
        self.begin_again(&begun).await?;
        Ok(begun)
    }

    /// The one that can be resumed, if there is one. All others go.
    async fn interrupted_forecast(
        &self,
        connection: &Arc<Connection>,
        connector: &Connector,
        restart: bool,
    ) -> Result<Option<Begun>> {
        let name = &connection.name;
        let mut found: Option<Begun> = None;
        for upload in journals(&self.store, &self.states.place(name)).await? {
            let journal = self.journal(name, &upload);
            let begun = journal.begun::<Begun>().await.ok().flatten();
            let is_of_use = |begun: &Begun| {
                !restart
                    && begun.at.age() < RESUME_WITHIN
                    && begun.plan.digest == connector.digest
                    && begun.plan.datasource == connection.datasource
                    && connection.has_settings(&begun.settings)
            };
            match begun.filter(is_of_use) {
                Some(begun) if found.is_none() => found = Some(begun),
                _ => journal.remove().await?,
            }
        }
        Ok(found)
    }

    /// What users and groups would be told, and who would be defined then.
    pub(super) async fn foresee_identities(
        &self,
        real: &Self,
        plan: &Plan,
        say: Say<'_>,
    ) -> Result<Option<IdentityResult>> {
        let judged = real.judge_identities(self, plan, say).await;
        let known = if let Ok(Some((_, roster))) = &judged {
            Known { roster: roster.clone(), ..Known::default() }
        } else {
            // Documents are held against what was told before.
            let known = real.kept_identities(&plan.connection).known(&plan.datasource).await?;
            known.ok().flatten().unwrap_or_default()
        };
        self.kept_identities(&plan.connection).keep_known(&plan.datasource, &known).await?;
        Ok(judged?.map(|(result, _)| result))
    }

    /// What was read, held against what Glean has. `self` is aside.
    pub(super) async fn foretold(&self, real: &Self, begun: &Begun) -> Result<Forecast> {
        let plan = &begun.plan;
        let found = self.found(plan).await?;
        if let Some(failure) = found.in_vain(plan) {
            return Err(failure);
        }
        let sealed = self.sealed(plan).await?;
        let state = real.states.of(&plan.connection).await?;
        let Account { counts, mut reasons, .. } =
            self.account(plan, &found, &sealed, state.runs.is_empty())?;
        let difference =
            compare(&self.store, &state.runs, std::slice::from_ref(&sealed.run)).await?;
        let (under_way, counted, glean_failure) = real.counted_beside(plan).await?;
        let mut census = state.census.clone();
        let in_doubt = !census.crawled(counted, None, &difference, Timestamp::now());
        let intent = Intent {
            doubt: state.doubt.as_ref().map(|doubt| doubt.what.clone()),
            uploaded: sealed.uploaded,
            foreign: census.foreign(),
            in_doubt,
            unsettled: state.unsettled,
            lost_scopes: found.lost_scopes(&state),
            difference,
        };
        let is_whole = reasons.is_empty();
        let guard = &self.connection_of(plan)?.deletions;
        let held = if is_whole { guard.objections(&intent) } else { Vec::new() };
        reasons.dedup();
        Ok(Forecast {
            connection: plan.connection.clone(),
            datasource: plan.datasource.clone(),
            connector: plan.connector.clone(),
            digest: plan.digest.clone(),
            since: begun.at,
            outcome: match (is_whole, held.is_empty()) {
                (false, _) => Outcome::Partial,
                (true, false) => Outcome::Held,
                (true, true) => Outcome::Complete,
            },
            documents: counts.documents,
            deleted: if is_whole { intent.deleted() } else { 0 },
            of: intent.before(),
            foreign: intent.foreign,
            under_way,
            added: intent.difference.added,
            changed: intent.difference.changed,
            unchanged: intent.difference.unchanged,
            gone: intent.difference.gone,
            withheld: intent.difference.withheld,
            access: intent.difference.access,
            added_samples: intent.difference.added_samples,
            changed_samples: intent.difference.changed_samples,
            gone_samples: intent.difference.gone_samples,
            withheld_samples: intent.difference.withheld_samples,
            quarantined: counts.quarantined,
            quarantine: counts.samples,
            access_unknown: counts.access_unknown,
            undefined: counts.undefined,
            held: listed(held),
            reason: joined(&reasons),
            identities: None,
            identities_failure: None,
            glean_failure,
            seconds: 0.0,
            at: Timestamp::now(),
        })
    }

    /// How many documents crawls that have not ended have uploaded, and what Glean counted before them; or why that is
    /// not known.
    async fn counted_beside(&self, plan: &Plan) -> Result<(u64, Option<Counted>, Option<Failure>)> {
        if let Some(UnderWay { documents, counted }) = self.under_way(&plan.connection).await? {
            return Ok((documents, counted, None));
        }
        let (counted, failure) = self.counted_soon(&plan.datasource).await;
        Ok((0, counted, failure))
    }

    /// What crawls that have not ended have done; nothing where there is none. The ledger does not know their documents
    /// yet, and they are no others': so what Glean counts now says nothing.
    async fn under_way(&self, name: &str) -> Result<Option<UnderWay>> {
        let mut found: Option<UnderWay> = None;
        for upload in journals(&self.store, &self.states.place(name)).await? {
            let journal = self.journal(name, &upload);
            // What cannot be read, its crawl tells of.
            let Ok(Some(begun)) = journal.begun::<Begun>().await else { continue };
            let under_way = found.get_or_insert_default();
            under_way.counted = under_way.counted.or(begun.counted);
            for scope in &begun.plan.scopes {
                let head = journal.scope(&scope.id).await.ok().and_then(|(_, head)| head);
                under_way.documents += head.map_or(0, |head| head.counts.documents);
            }
        }
        Ok(found)
    }

    /// What Glean counts, where it answers soon; or why it is not known.
    async fn counted_soon(&self, datasource: &str) -> (Option<Counted>, Option<Failure>) {
        if self.client.server_url().is_empty() {
            return (None, None);
        }
        let counted = tokio::time::timeout(PATIENCE, self.counted(datasource)).await;
        let failure = match counted {
            Ok(Ok(counted)) => return (counted, None),
            Ok(Err(failure)) => failure,
            Err(_) => {
                let what = format!("Glean does not answer: no answer within {PATIENCE:?}");
                Failure::new(Kind::Unreachable, what).next("plan again when it answers")
            }
        };
        tracing::warn!(
            "Glean was not asked whether others have documents in {datasource}, so that a crawl may be held: {failure}"
        );
        (None, Some(failure))
    }

    /// It was told: nothing of it is kept. `self` is aside.
    pub(super) async fn end_forecast(&self, plan: &Plan, who: &Who) -> Result<()> {
        self.journal(&plan.connection, &plan.upload_id).remove().await?;
        let place = self.states.place(&plan.connection);
        for part in ["ledger", "identities"] {
            self.store.remove_all(&format!("{place}/{part}")).await?;
        }
        self.states.claims(&plan.connection).release(who, &plan.upload_id).await
    }
}

impl Forecast {
    /// With what is known of users and groups.
    pub(super) fn with_identities(&mut self, told: Result<Option<IdentityResult>>) {
        match told {
            Ok(result) => self.identities = result.map(Box::new),
            Err(failure) => self.identities_failure = Some(failure),
        }
    }

    /// 0 where the crawl would be complete, and nothing of users and groups would wait.
    pub fn exit_code(&self) -> u8 {
        let people = self.identities.as_ref().map_or(Outcome::Complete, |result| result.outcome);
        if self.identities_failure.is_some() {
            return Outcome::Partial.exit_code();
        }
        match (self.outcome.exit_code().max(people.exit_code()), &self.glean_failure) {
            // Nobody knows whether the guard would let it pass.
            (0, Some(failure)) => failure.kind.exit_code(),
            (code, _) => code,
        }
    }
}

fn upload_id_of(connection: &str) -> String {
    format!("plan-{}", upload_id(connection))
}
