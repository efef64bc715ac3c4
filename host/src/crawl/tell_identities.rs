//! One crawl of a connection's users and groups: read, compared with what Glean was told, and told.
//!
//! It may be run again at any time. What is told is written down around the telling: see `send_identities`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::blame::interrupted;
use super::configure::datasource_config;
use super::connection::Connection;
use super::connection_state::ConnectionState;
use super::crawler::Crawler;
use super::identities::{
    Changes, Done, Doubt, IdentityResult, Known, Read, Reading, Roster, Standing, Step, Terms,
    changes,
};
use super::identity_progress::{IdentityCounts, IdentityProgress, Say};
use super::kept_identities::{FRESH, KeptIdentities, KeptReading};
use super::lease::{Claims, Lease, Who};
use super::plan::Plan;
use super::request::upload_id;
use super::send_identities::Sending;
use super::told_identities::WasTold;
use crate::cell::{self, Connector, Guest};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::glean::identities::Identities;
use crate::machine::Machine;
use crate::name::UploadId;
use crate::store::Store;

/// Users and members of a page, as a wish.
const PAGE: u32 = 1_000;
/// What was read is kept this often.
const KEEP: Duration = Duration::from_secs(10);

/// Who asks for a crawl of identities, and how it ends early.
pub struct Wanted<'a> {
    pub connection: &'a str,
    pub who: Who,
    /// For people.
    pub by: &'a str,
    /// The crawl that this is a try of: what an earlier try of it has read is not read again.
    pub run: &'a str,
    /// Read everything, and tell it again, whether it has changed or not.
    pub restart: bool,
    /// The crawl of documents that waits for it.
    pub beside: Option<&'a UploadId>,
    pub cancel: &'a CancellationToken,
    /// Hears how far it is.
    pub say: Say<'a>,
}

impl Crawler {
    /// One crawl, tried once. Nothing where the connection has no identities.
    pub fn crawl_identities<'a>(
        &'a self,
        wanted: &'a Wanted<'a>,
    ) -> BoxFuture<'a, Result<Option<IdentityResult>>> {
        Box::pin(async move {
            let _working = self.client.working();
            let Some(beside) = wanted.beside else { return self.crawl_claimed(wanted).await };
            // The claim of the crawl that waits must not end meanwhile.
            let claims = self.states.claims(wanted.connection);
            tokio::select! {
                ended = self.crawl_claimed(wanted) => ended,
                failure = claims.renew_until_it_fails(&wanted.who, beside) => Err(failure),
            }
        })
    }

    async fn crawl_claimed(&self, wanted: &Wanted<'_>) -> Result<Option<IdentityResult>> {
        let (name, upload_id) = (wanted.connection, upload_id(wanted.connection));
        let connection = self.connections.now().connection(name)?;
        let connector = self.registry.pin(&connection.connector).await?;
        let kept = self.kept_identities(name);
        let claims = claims_of(&self.store, &kept, name, &self.states.machine);
        let Wanted { run, restart, say, .. } = *wanted;
        let reading = Place { kept: kept.clone(), run, only_own: restart };
        let job =
            Job { crawler: self, known: kept, reading, connection, connector, upload_id, say };
        claims.claim(&Lease::new(wanted.who.clone(), wanted.by, &job.upload_id)).await?;
        let ended = tokio::select! {
            ended = Box::pin(job.run(wanted)) => ended,
            failure = claims.renew_until_it_fails(&wanted.who, &job.upload_id) => Err(failure),
            () = wanted.cancel.cancelled() => Err(interrupted()),
        };
        if let Err(failure) = claims.release(&wanted.who, &job.upload_id).await {
            tracing::debug!("{failure}");
        }
        ended
    }

    /// What a crawl would tell, and whom Glean would know then, for a plan. Nothing is told, and what is kept of a reading
    /// is kept in the plan's own place: `aside`.
    pub(super) async fn judge_identities(
        &self,
        aside: &Self,
        plan: &Plan,
        say: Say<'_>,
    ) -> Result<Option<(IdentityResult, Roster)>> {
        let name: &str = &plan.connection;
        let connection = self.connections.now().connection(name)?;
        let connector = self.registry.pin(&connection.connector).await?;
        let (known, upload_id) = (self.kept_identities(name), upload_id(name));
        // What another plan has read is of another time.
        let kept = aside.kept_identities(name);
        let reading = Place { kept, run: &plan.upload_id, only_own: true };
        let job = Job { crawler: self, known, reading, connection, connector, upload_id, say };
        let started = Instant::now();
        let standing = job.standing().await?;
        let (config, read) = match job.open(job.kept_reading().await?).await? {
            Some(opened) => {
                let (config, _, read) = job.read_all(opened).await?;
                (config, read)
            }
            None if job.was_told(&standing).await? => (job.guest().await?.1, Read::default()),
            None => return Ok(None),
        };
        let (known, lost) = job.was_told_of(&standing).supposed().await?;
        let (users, groups) = (read.users.clone(), read.groups.keys().cloned().collect::<Vec<_>>());
        let judged = job.judged(&config, &known, read, &standing, lost.as_deref());
        let Judged { mut result, changes } = judged;
        result.ended(changes.refused.left_out(), started.elapsed());
        // What is held is defined as soon as a person says so.
        let mut roster = changes.target;
        roster.users.extend(users);
        for name in groups {
            roster.groups.entry(name).or_default();
        }
        Ok(Some((result, roster)))
    }

    /// Remembers that a crawl failed for good.
    pub async fn remember_failed_identities(&self, connection: &str, run: &str, failure: &Failure) {
        if matches!(failure.kind, Kind::Interrupted | Kind::Busy) {
            return;
        }
        let at = Timestamp::now();
        let kept =
            self.states.update(connection, |state| state.identities.failed(failure, run, at));
        if let Err(failure) = kept.await {
            tracing::warn!("that the crawl failed cannot be kept: {failure}");
        }
    }
}

/// What keeps crawls of a connection's identities apart on one machine. A name of a connection has no dot: this is no
/// other connection's.
pub fn lock_of(connection: &str) -> String {
    format!("{connection}.identities")
}

/// Who is at work on a connection's users and groups. By the name of its lock it is called, too.
pub fn claims_of(store: &Store, kept: &KeptIdentities, name: &str, machine: &Machine) -> Claims {
    Claims::new(store, &lock_of(name), &kept.folder, machine)
}

/// A crawl that is under way, or what one would come to.
struct Job<'a> {
    crawler: &'a Crawler,
    /// What Glean was told.
    known: KeptIdentities,
    reading: Place<'a>,
    connection: Arc<Connection>,
    connector: Arc<Connector>,
    upload_id: String,
    say: Say<'a>,
}

/// Where a reading is kept: a plan has a place of its own.
struct Place<'a> {
    kept: KeptIdentities,
    /// By whom.
    run: &'a str,
    /// What another has read is read again.
    only_own: bool,
}

/// What a reading comes to.
struct Judged {
    result: IdentityResult,
    changes: Changes,
}

/// A reading that was begun, or goes on.
struct Opened {
    /// What the datasource is registered with.
    config: Value,
    began: Timestamp,
    /// When the last page came.
    at: Timestamp,
    cursor: cell::Identities,
    reading: Reading,
    checkpoint: Option<String>,
    goes_on: bool,
    /// Who began it.
    run: String,
}

impl Job<'_> {
    /// What decides what is read: what was kept of another is of no use.
    fn with(&self) -> String {
        format!("{} {}", self.connector.digest, self.connection.settings_digest())
    }

    async fn kept_reading(&self) -> Result<Option<KeptReading>> {
        let (with, Place { kept, run, only_own }) = (self.with(), &self.reading);
        let is_of_use = |kept: &KeptReading| {
            kept.with == with && kept.at.age() < FRESH && (!only_own || kept.run == *run)
        };
        Ok(kept.reading().await?.filter(is_of_use))
    }

    /// Whether Glean was told of anybody. Where nobody is left to tell of, what failed before is over.
    async fn had_any(&self) -> Result<bool> {
        let standing = self.standing().await?;
        let had = self.was_told(&standing).await?;
        if !had && (standing.last.is_some() || standing.failing.is_some()) {
            let forget = |state: &mut ConnectionState| state.identities = Standing::default();
            self.crawler.states.update(&self.connection.name, forget).await?;
        }
        Ok(had)
    }

    async fn was_told(&self, standing: &Standing) -> Result<bool> {
        Ok(match self.known.known(&self.connection.datasource).await? {
            Ok(known) => known.is_some_and(|Known { roster, doubt, .. }| {
                !(roster.users.is_empty() && roster.groups.is_empty()) || doubt != Doubt::default()
            }),
            Err(_) => standing.last.is_some(),
        })
    }

    async fn standing(&self) -> Result<Standing> {
        Ok(self.crawler.states.of(&self.connection.name).await?.identities)
    }

    async fn guest(&self) -> Result<(Guest, Value)> {
        let guests = &self.crawler.guests;
        let usage = guests.usage(&self.upload_id, Duration::ZERO);
        let mut guest = guests.start(&self.connection, &self.connector, usage).await?;
        let config = datasource_config(&mut guest, &self.connection).await?;
        Ok((guest, config))
    }

    /// Begins to read, or goes on where an earlier attempt was interrupted.
    async fn open(&self, mut kept: Option<KeptReading>) -> Result<Option<Opened>> {
        if !self.connector.inspection.has_identities() {
            return Ok(None);
        }
        loop {
            let goes_on = kept.is_some();
            let now = Timestamp::now();
            let (began, at, checkpoint, reading, run) = match kept.take() {
                Some(kept) => (kept.began, kept.at, Some(kept.checkpoint), kept.reading, kept.run),
                None => (now, now, None, Reading::default(), self.reading.run.to_owned()),
            };
            let (guest, config) = self.guest().await?;
            match guest.open_identities(checkpoint.clone()).await {
                Ok(cursor) => {
                    return Ok(cursor.map(|cursor| Opened {
                        config,
                        began,
                        at,
                        cursor,
                        reading,
                        checkpoint,
                        goes_on,
                        run,
                    }));
                }
                Err(failure) if failure.kind == Kind::StartOver && goes_on => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn run(&self, wanted: &Wanted<'_>) -> Result<Option<IdentityResult>> {
        let started = Instant::now();
        let opened = self.open(self.kept_reading().await?).await?;
        if opened.is_none() && !self.had_any().await? {
            return Ok(None);
        }
        let (config, began, read) = match opened {
            Some(opened) => self.read_all(opened).await?,
            // It tells of nobody any more.
            None => (self.guest().await?.1, Timestamp::now(), Read::default()),
        };
        let counts = read.counts();
        let standing = self.standing().await?;
        let (mut known, lost) = self.was_told_of(&standing).known().await?;
        if wanted.restart || lost.is_some() {
            known.doubt = Doubt::everything(&known.roster);
        }
        let (name, datasource) = (&self.connection.name, &self.connection.datasource);
        let judged = self.judged(&config, &known, read, &standing, lost.as_deref());
        let Judged { mut result, changes } = judged;
        let has_told = changes.has_any();
        let mut undone = BTreeSet::new();
        let known = if has_told {
            // Whoever begins anew has Glean forget what it has besides, unless something waits for a person.
            let is_anew = wanted.restart && changes.held.is_empty();
            let approved = !changes.used.is_empty() || is_anew;
            let said = self.sending(approved, counts).tell(&config, known, &changes).await?;
            result.did(said.counts, said.shifts);
            let used_by = |name: &String| changes.used_by.get(name).cloned();
            undone.extend(said.undone.iter().filter_map(used_by));
            said.known
        } else {
            let is_known = lost.is_none() || changes.held.is_empty();
            let is_new = known == Known::default();
            let (waits, refused) = (changes.waits.clone(), changes.refused.clone());
            let differs = known.waits != waits || known.refused != refused;
            let known = Known { waits, refused, ..known };
            if is_known && (differs || is_new) {
                // Who waits is known from now on, and also that there is nobody to tell of.
                self.known.keep_known(datasource, &known).await?;
            }
            known
        };
        result.knows(&known);
        result.ended(known.refused.left_out(), started.elapsed());
        let (used, undone, coordinator) = (&changes.used, &undone, wanted.who.coordinator());
        let done = Done { used, undone, has_told, began, coordinator };
        let ended = |state: &mut ConnectionState| state.identities.ended(&result, &done);
        let state = self.crawler.states.update(name, ended).await?;
        self.reading.kept.forget_reading().await?;
        result.held_as = state.identities.held.map(|held| held.upload_id);
        Ok(Some(result))
    }

    fn judged(
        &self,
        config: &Value,
        known: &Known,
        read: Read,
        standing: &Standing,
        lost: Option<&str>,
    ) -> Judged {
        let terms = Terms {
            by_email: config["isUserReferencedByEmail"].as_bool().unwrap_or(false),
            approved: standing.approved(),
            lost,
        };
        let (name, datasource) = (&self.connection.name, &self.connection.datasource);
        let mut result = IdentityResult::new(name, datasource, &self.upload_id);
        result.partial.clone_from(&read.partial);
        let changes = changes(known, read, &terms);
        result.tells(&changes);
        Judged { result, changes }
    }

    fn sending(&self, approved: bool, read: IdentityCounts) -> Sending<'_> {
        let client = self.crawler.client.clone();
        let (datasource, upload_id) = (self.connection.datasource.clone(), self.upload_id.clone());
        let upload = Identities { client, datasource, upload_id, approved };
        let progress = Mutex::new(IdentityProgress { read, ..IdentityProgress::default() });
        Sending { upload, kept: &self.known, progress, say: self.say }
    }

    fn was_told_of<'a>(&'a self, standing: &'a Standing) -> WasTold<'a> {
        let (kept, client) = (&self.known, &self.crawler.client);
        WasTold { kept, client, connection: &self.connection, standing }
    }

    /// Everyone that the source has. What an earlier attempt read is not read again.
    async fn read_all(&self, mut opened: Opened) -> Result<(Value, Timestamp, Read)> {
        let mut kept_at = Instant::now();
        loop {
            let read = opened.reading.counts();
            (self.say)(IdentityProgress { read, ..IdentityProgress::default() });
            let page = match opened.cursor.next(PAGE).await {
                Ok(page) => page,
                Err(failure) if failure.kind == Kind::StartOver && opened.goes_on => {
                    self.reading.kept.forget_reading().await?;
                    // Its guest has the place that the next one needs.
                    drop(opened);
                    let again = self.open(None).await?;
                    opened = again.ok_or_else(|| no_identities(&self.connection.name))?;
                    continue;
                }
                Err(failure) => {
                    self.keep(&opened).await?;
                    return Err(failure);
                }
            };
            let step = match opened.reading.take(page) {
                Ok(step) => step,
                Err(failure) => {
                    // What is wrong with it stays wrong.
                    self.reading.kept.forget_reading().await?;
                    return Err(failure.at(self.connection.name.clone()));
                }
            };
            opened.at = Timestamp::now();
            match step {
                Step::Ended => {
                    let Opened { config, began, reading, .. } = opened;
                    return Ok((config, began, reading.ended()));
                }
                Step::More(next) => opened.checkpoint = Some(next),
            }
            if kept_at.elapsed() >= KEEP {
                self.keep(&opened).await?;
                kept_at = Instant::now();
            }
        }
    }

    async fn keep(&self, opened: &Opened) -> Result<()> {
        let Opened { began, at, checkpoint, reading, run, .. } = opened;
        let Some(checkpoint) = checkpoint.clone() else { return Ok(()) };
        let (began, at, with, reading) = (*began, *at, self.with(), reading.clone());
        let kept = KeptReading { began, at, run: run.clone(), with, checkpoint, reading };
        self.reading.kept.keep_reading(&kept).await
    }
}

pub fn no_identities(connection: &str) -> Failure {
    Failure::settings(format!("`{connection}` has no users and groups to tell of"))
        .next("see the connector's README: its settings may have to name them")
}

pub fn nothing_waits(connection: &str) -> Failure {
    Failure::settings(format!("no users and groups of `{connection}` wait for approval"))
        .next("see `sheaf status`")
}
