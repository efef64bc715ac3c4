//! One crawl of a connection's users and groups: read, compared with what Glean was told, and told.
//!
//! It may be run again at any time. What is told is written down around the telling: see `send_identities`.

use std::sync::Arc;
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
    Changes, Doubt, IdentityResult, Known, LeftOut, Read, Reading, Roster, Standing, Step, Terms,
    changes,
};
use super::kept_identities::{KeptIdentities, KeptReading};
use super::lease::{Claims, Coordinator, Lease, Who};
use super::request::upload_id;
use super::send_identities::{Said, Sending};
use crate::cell::{self, Connector, Guest};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::glean::identities::Identities;
use crate::glean::{self, Client};
use crate::name::UploadId;
use crate::text::count;

/// Users and members of a page, as a wish.
const PAGE: u32 = 1_000;
/// What was read is kept this often.
const KEEP: Duration = Duration::from_secs(10);
/// A reading that was interrupted longer ago begins again.
const FRESH: Duration = Duration::from_secs(3600);

/// Who asks for a crawl of identities, and how it ends early.
pub struct Wanted<'a> {
    pub connection: &'a str,
    pub who: Who,
    /// For people.
    pub by: &'a str,
    /// Tell everything again, whether it has changed or not.
    pub restart: bool,
    /// The crawl of documents that waits for it.
    pub beside: Option<&'a UploadId>,
    pub cancel: &'a CancellationToken,
}

impl Crawler {
    /// One crawl, tried once. Nothing where the connection has no identities.
    pub fn crawl_identities<'a>(
        &'a self,
        wanted: &'a Wanted<'a>,
    ) -> BoxFuture<'a, Result<Option<IdentityResult>>> {
        Box::pin(async move {
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
        // By this name its lock is called, too.
        let claimed = lock_of(name);
        let claims = Claims::new(&self.store, &claimed, &kept.folder, &self.states.machine);
        let job =
            Job { crawler: self, kept, connection, connector, upload_id, wanted: Some(wanted) };
        claims.claim(&Lease::new(wanted.who.clone(), wanted.by, &job.upload_id)).await?;
        let ended = tokio::select! {
            ended = Box::pin(job.run()) => ended,
            failure = claims.renew_until_it_fails(&wanted.who, &job.upload_id) => Err(failure),
            () = wanted.cancel.cancelled() => Err(interrupted()),
        };
        if let Err(failure) = claims.release(&wanted.who, &job.upload_id).await {
            tracing::debug!("{failure}");
        }
        ended
    }

    /// What a crawl would tell, and whom Glean would know then. Nothing is told, and nothing is kept.
    pub(super) async fn judge_identities(
        &self,
        name: &str,
    ) -> Result<Option<(IdentityResult, Roster)>> {
        let connection = self.connections.now().connection(name)?;
        let connector = self.registry.pin(&connection.connector).await?;
        let (kept, upload_id) = (self.kept_identities(name), upload_id(name));
        let job = Job { crawler: self, kept, connection, connector, upload_id, wanted: None };
        let started = Instant::now();
        let standing = job.standing().await?;
        let (config, read) = match job.open(None).await? {
            Some(opened) => {
                let (config, _, read) = job.read_all(opened).await?;
                (config, read)
            }
            None if job.was_told(&standing).await? => (job.guest().await?.1, Read::default()),
            None => return Ok(None),
        };
        let (known, lost) = job.known(&standing).await?;
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

/// A crawl that is under way.
struct Job<'a> {
    crawler: &'a Crawler,
    kept: KeptIdentities,
    connection: Arc<Connection>,
    connector: Arc<Connector>,
    upload_id: String,
    /// Nothing where it is only judged what would be told.
    wanted: Option<&'a Wanted<'a>>,
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
}

impl Job<'_> {
    fn is_restarted(&self) -> bool {
        self.wanted.is_some_and(|wanted| wanted.restart)
    }

    /// What decides what is read: what was kept of another is of no use.
    fn with(&self) -> String {
        format!("{} {}", self.connector.digest, self.connection.settings_digest())
    }

    async fn forget_reading(&self) -> Result<()> {
        if self.wanted.is_some() { self.kept.forget_reading().await } else { Ok(()) }
    }

    async fn kept_reading(&self) -> Result<Option<KeptReading>> {
        let with = self.with();
        let is_of_use = |kept: &KeptReading| kept.with == with && kept.at.age() < FRESH;
        let kept = if self.is_restarted() { None } else { self.kept.reading().await? };
        Ok(kept.filter(is_of_use))
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
        Ok(match self.kept.known(&self.connection.datasource).await? {
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
            let (began, at, checkpoint, reading) = match kept.take() {
                Some(kept) => (kept.began, kept.at, Some(kept.checkpoint), kept.reading),
                None => (now, now, None, Reading::default()),
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
                    }));
                }
                Err(failure) if failure.kind == Kind::StartOver && goes_on => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn run(&self) -> Result<Option<IdentityResult>> {
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
        let standing = self.standing().await?;
        let (known, lost) = self.known(&standing).await?;
        let (name, datasource) = (&self.connection.name, &self.connection.datasource);
        let judged = self.judged(&config, &known, read, &standing, lost.as_deref());
        let Judged { mut result, changes } = judged;
        let (known, mut refused) = if changes.has_any() {
            // Whoever begins anew has Glean forget what it has besides, unless something waits for a person.
            let is_anew = self.is_restarted() && changes.held.is_empty();
            let approved = !changes.used.is_empty() || is_anew;
            let Said { known, refused } =
                self.sending(approved).tell(&config, known, &changes).await?;
            (known, refused)
        } else {
            let is_known = lost.is_none() || changes.held.is_empty();
            let is_new = known == Known::default();
            let (waits, refused) = (changes.waits.clone(), changes.refused.clone());
            let differs = known.waits != waits || known.refused != refused;
            let known = Known { waits, refused, ..known };
            if is_known && (differs || is_new) {
                // Who waits is known from now on, and also that there is nobody to tell of.
                self.kept.keep_known(datasource, &known).await?;
            }
            (known, LeftOut::default())
        };
        refused.extend(known.refused.left_out());
        result.knows(&known);
        result.ended(refused, started.elapsed());
        let by = self.wanted.map_or(Coordinator::Process, |wanted| wanted.who.coordinator());
        let ended =
            |state: &mut ConnectionState| state.identities.ended(&result, &changes.used, began, by);
        let state = self.crawler.states.update(name, ended).await?;
        self.kept.forget_reading().await?;
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

    fn sending(&self, approved: bool) -> Sending<'_> {
        let client = self.crawler.client.clone();
        let (datasource, upload_id) = (self.connection.datasource.clone(), self.upload_id.clone());
        let upload = Identities { client, datasource, upload_id, approved };
        Sending { upload, kept: &self.kept }
    }

    /// What Glean was told, and why that is not known any more, if so.
    async fn known(&self, standing: &Standing) -> Result<(Known, Option<String>)> {
        // That of another datasource is another.
        let was_told = |last: &IdentityResult| last.datasource == self.connection.datasource;
        let (mut known, lost) = match self.kept.known(&self.connection.datasource).await? {
            Ok(Some(known)) => (known, None),
            Ok(None) if standing.last.as_ref().is_some_and(was_told) => {
                (Known::default(), Some("it is not in the store".to_owned()))
            }
            Ok(None) => {
                let (client, datasource) = (&self.crawler.client, &self.connection.datasource);
                let asked = told_by_others(client, datasource);
                let lost = match self.wanted {
                    Some(_) => asked.await?,
                    // It is only judged: where Glean is away, nobody waits for it.
                    None => tokio::time::timeout(PATIENCE, asked)
                        .await
                        .ok()
                        .and_then(Result::ok)
                        .flatten(),
                };
                (Known::default(), lost)
            }
            Err(why) if self.wanted.is_none() => (Known::default(), Some(why)),
            Err(why) => {
                let aside = self.kept.move_known_aside(&self.connection.datasource).await?;
                tracing::error!(connection = %self.connection.name, "{why}; it is moved to {aside}");
                (Known::default(), Some(format!("{why}; it was moved to {aside}")))
            }
        };
        if self.is_restarted() || lost.is_some() {
            known.doubt = Doubt::everything(&known.roster);
        }
        Ok((known, lost))
    }

    /// Everyone that the source has. What an earlier attempt read is not read again.
    async fn read_all(&self, mut opened: Opened) -> Result<(Value, Timestamp, Read)> {
        let mut kept_at = Instant::now();
        loop {
            let page = match opened.cursor.next(PAGE).await {
                Ok(page) => page,
                Err(failure) if failure.kind == Kind::StartOver && opened.goes_on => {
                    self.forget_reading().await?;
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
                    self.forget_reading().await?;
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
        if self.wanted.is_none() {
            return Ok(());
        }
        let Opened { began, at, checkpoint, reading, .. } = opened;
        let Some(checkpoint) = checkpoint.clone() else { return Ok(()) };
        let (began, at, with, reading) = (*began, *at, self.with(), reading.clone());
        self.kept.keep_reading(&KeptReading { began, at, with, checkpoint, reading }).await
    }
}

/// How long Glean is waited for where nothing is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether Glean has users or groups of a datasource of which nothing is kept here: then a person has to look.
async fn told_by_others(client: &Client, datasource: &str) -> Result<Option<String>> {
    if client.server_url().is_empty() {
        return Ok(None);
    }
    let status = match client.datasource_status(datasource).await {
        Ok(status) => status,
        Err(glean::Error::UnknownDatasource(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let [users, groups] = ["users", "groups"].map(|part| status.identities_counted(part));
    Ok((users > 0 || groups > 0).then(|| {
        format!(
            "Glean counts {} and {} of `{datasource}`, and Sheaf's store has none",
            count(users, "user"),
            count(groups, "group")
        )
    }))
}

pub fn no_identities(connection: &str) -> Failure {
    Failure::settings(format!("`{connection}` has no users and groups to tell of"))
        .next("see the connector's README: its settings may have to name them")
}

pub fn nothing_waits(connection: &str) -> Failure {
    Failure::settings(format!("no users and groups of `{connection}` wait for approval"))
        .next("see `sheaf status`")
}
