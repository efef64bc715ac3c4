//! One crawl of a connection's users and groups: read, compared with what Glean was told, and told.
//!
//! It may be run again at any time. What is about to be told is written down as in doubt before it is, and as told
//! afterwards: whatever happens between the two, the next crawl tells it again.

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
    Account, Changes, Doubt, IdentityResult, Known, LeftOut, Member, Read, Reading, Standing, Step,
    Terms, changes,
};
use super::kept_identities::{KeptIdentities, KeptReading};
use super::lease::{Claims, Lease, Who};
use super::request::upload_id;
use crate::cell::{self, Connector, Guest};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::glean::identities::{Identities, Told};
use crate::name::UploadId;
use crate::wire::identities::{Replaced, Row, group_name};

/// Users and members of a page, as a wish.
const PAGE: u32 = 1_000;
/// What was read, and what was told, is kept this often.
const KEEP: Duration = Duration::from_secs(10);
/// A reading that was interrupted longer ago begins again.
const FRESH: Duration = Duration::from_secs(3600);
/// Groups in a row that Glean refuses: then it is not the groups.
const MAX_REFUSED: u32 = 20;

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
    pub(super) fn kept_identities(&self, connection: &str) -> KeptIdentities {
        KeptIdentities::new(&self.store, &self.states.place(connection))
    }

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
        let job = Job { crawler: self, kept, connection, connector, upload_id, wanted };
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
    wanted: &'a Wanted<'a>,
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
    /// What decides what is read: what was kept of another is of no use.
    fn with(&self) -> String {
        format!("{} {}", self.connector.digest, self.connection.settings_digest())
    }

    async fn kept_reading(&self) -> Result<Option<KeptReading>> {
        let with = self.with();
        let is_of_use = |kept: &KeptReading| kept.with == with && kept.at.age() < FRESH;
        let kept = if self.wanted.restart { None } else { self.kept.reading().await? };
        Ok(kept.filter(is_of_use))
    }

    /// Whether Glean was told of anybody. Where nobody is left to tell of, what failed before is over.
    async fn had_any(&self) -> Result<bool> {
        let standing = self.standing().await?;
        let had = match self.kept.known(&self.connection.datasource).await? {
            Ok(known) => known.is_some_and(|Known { roster, doubt }| {
                !(roster.users.is_empty() && roster.groups.is_empty()) || doubt != Doubt::default()
            }),
            Err(_) => standing.last.is_some(),
        };
        if !had && (standing.last.is_some() || standing.failing.is_some()) {
            let forget = |state: &mut ConnectionState| state.identities = Standing::default();
            self.crawler.states.update(&self.connection.name, forget).await?;
        }
        Ok(had)
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
        let terms = Terms {
            by_email: config["isUserReferencedByEmail"].as_bool().unwrap_or(false),
            approved: standing.approved(),
            lost: lost.as_deref(),
        };
        let (name, datasource) = (&self.connection.name, &self.connection.datasource);
        let mut result = IdentityResult::new(name, datasource, &self.upload_id);
        result.partial.clone_from(&read.partial);
        let is_new = known == Known::default();
        let changes = changes(&known, read, &terms);
        result.tells(&changes);
        let approved = !standing.approved().is_empty();
        let refused = if changes.has_any() {
            self.tell(&config, known, &changes, approved).await?
        } else {
            if is_new && changes.held.is_empty() {
                // That there is nobody to tell of is known from now on.
                self.kept.keep_known(datasource, &known).await?;
            }
            LeftOut::default()
        };
        result.ended(refused, started.elapsed());
        let (given, by) = (standing.approved(), self.wanted.who.coordinator());
        let ended = |state: &mut ConnectionState| state.identities.ended(&result, given, began, by);
        self.crawler.states.update(name, ended).await?;
        self.kept.forget_reading().await?;
        Ok(Some(result))
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
            Ok(None) => (Known::default(), None),
            Err(why) => (Known::default(), Some(why)),
        };
        if self.wanted.restart || lost.is_some() {
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
                    self.kept.forget_reading().await?;
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
                    self.kept.forget_reading().await?;
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
        let Opened { began, at, checkpoint, reading, .. } = opened;
        let Some(checkpoint) = checkpoint.clone() else { return Ok(()) };
        let (began, at, with, reading) = (*began, *at, self.with(), reading.clone());
        self.kept.keep_reading(&KeptReading { began, at, with, checkpoint, reading }).await
    }

    /// Tells Glean what has changed, in its order. Groups that it refuses keep the members that they had, and are
    /// told again by the next crawl.
    async fn tell(
        &self,
        config: &Value,
        known: Known,
        changes: &Changes,
        approved: bool,
    ) -> Result<LeftOut> {
        let (client, target) = (&self.crawler.client, &changes.target);
        client.add_datasource(config).await?;
        let datasource = self.connection.datasource.clone();
        let before = known.doubt.clone();
        let told = changes.while_told(&known);
        drop(known);
        let mut known = told;
        self.kept.keep_known(&datasource, &known).await?;
        let (client, upload_id) = (client.clone(), self.upload_id.clone());
        let upload = Identities { client, datasource, upload_id, approved };
        let left = |told, before| match told {
            Told::Certain => Doubt::after_telling(before),
            Told::InDoubt => Some(Timestamp::now()),
        };
        if changes.users {
            let told = upload.replace(Replaced::Users, || target.users.values().map(user)).await?;
            known.doubt.users = left(told, before.users);
        }
        if changes.groups {
            let rows = || target.groups.keys().map(String::as_str).map(group);
            known.doubt.groups = left(upload.replace(Replaced::Groups, rows).await?, before.groups);
        }
        self.kept.keep_known(&upload.datasource, &known).await?;
        let ended = self.tell_members(&upload, &mut known, &before, changes).await;
        self.kept.keep_known(&upload.datasource, &known).await?;
        ended
    }

    async fn tell_members(
        &self,
        upload: &Identities,
        known: &mut Known,
        before: &Doubt,
        changes: &Changes,
    ) -> Result<LeftOut> {
        let (mut refused, mut in_a_row, mut kept_at) = (LeftOut::default(), 0, Instant::now());
        for name in &changes.memberships {
            let Some(members) = changes.target.groups.get(name) else { continue };
            match upload.replace(Replaced::MembersOf(name), || members.iter().map(member)).await {
                Ok(told) => {
                    in_a_row = 0;
                    known.roster.groups.insert(name.clone(), members.clone());
                    let left = match told {
                        Told::Certain => Doubt::after_telling(before.members.get(name).copied()),
                        Told::InDoubt => Some(Timestamp::now()),
                    };
                    match left {
                        Some(at) => drop(known.doubt.members.insert(name.clone(), at)),
                        None => drop(known.doubt.members.remove(name)),
                    }
                }
                Err(error) if error.is_refusal() && in_a_row < MAX_REFUSED => {
                    in_a_row += 1;
                    refused.add(&format!("{name}: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
            if kept_at.elapsed() >= KEEP {
                self.kept.keep_known(&upload.datasource, known).await?;
                kept_at = Instant::now();
            }
        }
        upload.process_memberships().await?;
        Ok(refused)
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

fn user(account: &Account) -> Row<'_> {
    let Account { email, id, name, active } = account;
    let name = name.as_deref().unwrap_or(email);
    Row::User { email, user_id: id.as_deref(), name, is_active: *active }
}

fn group(name: &str) -> Row<'_> {
    Row::Group { name: group_name(name) }
}

fn member(member: &Member) -> Row<'_> {
    match member {
        Member::User(user) => Row::UserIn { member_user_id: user },
        Member::Group(name) => Row::GroupIn { member_group_name: group_name(name) },
    }
}
