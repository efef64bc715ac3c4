//! Who is at work on a connection: one crawl at a time, by Temporal or by `--local`.
//!
//! Whoever begins a crawl claims the connection by creating the next of its numbered claims, which only
//! one can; looking first and writing then would let two pass. A claim is renewed while its crawl
//! works, and stops counting some time after that ends: by the store's own clock, which stamps each
//! renewal, so that machines whose clocks differ do not take each other for dead.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::failure::{Failure, Kind, Result};
use crate::machine::Machine;
use crate::name::{ConnectionName, UploadId};
use crate::store::{Kept, Store};

/// A crawl under way renews its claim this often.
pub const RENEW: Duration = Duration::from_secs(10);
/// How long a claim counts after it was renewed last.
const LASTS: Duration = Duration::from_secs(60);
/// The same between two attempts of an activity: longer than the usual pauses.
pub const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(360);
/// The same of a crawl that is paused: it is held again each hour.
pub const PAUSED: Duration = Duration::from_secs(2 * 3600);
/// For so long after a renewal the crawl itself counts on it: less than it lasts.
const CERTAIN: Duration = Duration::from_secs(45);
/// Claims that were replaced are removed after this.
const KEEP: Duration = Duration::from_secs(3600);

/// Who keeps a crawl apart from others of its kind: Temporal by the workflow's id, a machine by its lock
/// files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    Process {
        /// The id that a machine keeps in its state: host names are not unique.
        machine: String,
    },
    Workflow {
        /// The cluster and namespace: another Temporal knows nothing of this one's workflows.
        temporal: String,
        workflow: String,
    },
}

/// What takes the steps of a crawl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "bool", into = "bool")]
pub enum Coordinator {
    /// One process, from the first step to the last.
    Process,
    Temporal,
}

/// It is kept as whether Temporal does.
impl From<bool> for Coordinator {
    fn from(is_temporal: bool) -> Self {
        if is_temporal { Self::Temporal } else { Self::Process }
    }
}

impl From<Coordinator> for bool {
    fn from(coordinator: Coordinator) -> Self {
        coordinator == Coordinator::Temporal
    }
}

impl Who {
    pub fn coordinator(&self) -> Coordinator {
        match self {
            Self::Process { .. } => Coordinator::Process,
            Self::Workflow { .. } => Coordinator::Temporal,
        }
    }

    /// Whether nothing but the claim keeps the two apart.
    fn is_apart_from(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Process { machine: one }, Self::Process { machine: other }) => one != other,
            _ => self != other,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    pub who: Who,
    /// For people: `workflow sheaf-docs, run …` or `process 4711`.
    pub by: String,
    pub upload_id: UploadId,
    /// Seconds after its renewal in which it counts; none where the crawl has ended.
    pub lasts: u64,
}

/// Why a claim cannot be renewed.
#[derive(Debug)]
pub enum NotRenewed {
    /// Another crawl has taken this one's place.
    Replaced(Failure),
    Failed(Failure),
}

impl From<Failure> for NotRenewed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NotRenewed> for Failure {
    fn from(error: NotRenewed) -> Self {
        match error {
            NotRenewed::Replaced(failure) | NotRenewed::Failed(failure) => failure,
        }
    }
}

/// The claims of one connection.
#[derive(Clone, Debug)]
pub struct Claims {
    store: Store,
    connection: ConnectionName,
    folder: String,
    machine: Machine,
}

/// A claim as the store has it.
struct Found {
    number: u64,
    lease: Lease,
    kept: Kept,
}

impl Claims {
    /// `place` is the connection's.
    pub fn new(store: &Store, connection: &str, place: &str, machine: &Machine) -> Self {
        let folder = format!("{place}/claims");
        let (store, machine) = (store.clone(), machine.clone());
        Self { store, connection: connection.into(), folder, machine }
    }

    fn name(&self, number: u64) -> String {
        format!("{}/{number:010}", self.folder)
    }

    /// The newest claim, and the names of all.
    async fn newest(&self) -> Result<(Option<Found>, Vec<Kept>)> {
        loop {
            let all = self.store.list(&self.folder).await?;
            let Some(kept) = all.last().cloned() else { return Ok((None, all)) };
            // Removed meanwhile, because there is a newer one.
            let Some(bytes) = self.store.get(&kept.name).await? else { continue };
            let number = kept.name.rsplit('/').next().and_then(|number| number.parse().ok());
            let number: u64 = number.unwrap_or_default();
            // One that cannot be read keeps nobody away; its number is taken all the same.
            let lease = serde_json::from_slice(&bytes).unwrap_or(Lease {
                who: Who::Process { machine: String::new() },
                by: String::new(),
                upload_id: UploadId::default(),
                lasts: 0,
            });
            return Ok((Some(Found { number, lease, kept }), all));
        }
    }

    /// Claims the connection for a crawl, or says who is at work on it.
    pub async fn claim(&self, lease: &Lease) -> Result<()> {
        let (newest, all) = self.newest().await?;
        if let Some(found) = &newest
            && found.lease.who.is_apart_from(&lease.who)
            && let Some(left) = self.left(found).await?
        {
            return Err(self.busy(&found.lease, left));
        }
        let number = newest.map_or(0, |found| found.number) + 1;
        let created = self.store.create(&self.name(number), text(lease)?).await?;
        // Whoever stood still since it looked may have got a number that was given and removed before.
        let (now, _) = self.newest().await?;
        match now {
            Some(now) if created && now.number == number => {}
            Some(now) => return Err(self.busy(&now.lease, LASTS)),
            None => return Err(self.busy(lease, LASTS)),
        }
        self.forget(&all).await
    }

    /// Says that the crawl still works; fails where another has taken its place.
    pub async fn renew(
        &self,
        who: &Who,
        upload_id: &str,
        lasts: Duration,
    ) -> Result<(), NotRenewed> {
        let (newest, _) = self.newest().await?;
        let Some(Found { number, mut lease, .. }) = newest else { return Ok(()) };
        if lease.who != *who || lease.upload_id != upload_id {
            let what = format!("another crawl has taken this one's place: {}", lease.by);
            let failure = Failure::new(Kind::Busy, what)
                .at(format!("{}, upload {upload_id}", self.connection))
                .next("nothing: `sheaf status` shows the other");
            return Err(NotRenewed::Replaced(failure));
        }
        lease.lasts = lasts.as_secs();
        Ok(self.store.put(&self.name(number), text(&lease)?).await?)
    }

    /// Says that the crawl rests, and for how long nobody else may take its place; unless it has ended meanwhile.
    pub async fn hold(
        &self,
        who: &Who,
        upload_id: &str,
        lasts: Duration,
    ) -> Result<(), NotRenewed> {
        match self.newest().await?.0 {
            Some(found) if found.lease.lasts == 0 => Ok(()),
            _ => self.renew(who, upload_id, lasts).await,
        }
    }

    /// Says that a crawl still works, for as long as a step works beside it. The first renewal that fails, for
    /// whatever reason, ends the step: then nobody may count on the claim.
    pub async fn renew_until_it_fails(&self, who: &Who, upload_id: &str) -> Failure {
        let mut renewed = Instant::now();
        loop {
            let begun = Instant::now();
            let renewal = self.renew(who, upload_id, LASTS);
            match tokio::time::timeout_at(renewed + CERTAIN, renewal).await {
                Ok(Ok(())) => renewed = begun,
                Ok(Err(error)) => return error.into(),
                Err(_) => return self.unheard(),
            }
            tokio::time::sleep(RENEW).await;
        }
    }

    /// A store that answers nothing is asked again for minutes, and a claim counts for less.
    fn unheard(&self) -> Failure {
        let what = format!("the store has not answered for {} s", CERTAIN.as_secs());
        Failure::internal(format!("{what}, and another may take over the crawl soon"))
            .at(self.store.place(&self.folder))
            .next("see that the store can be reached")
    }

    /// Nobody is at work any more. What another has claimed meanwhile is left alone.
    pub async fn release(&self, who: &Who, upload_id: &str) -> Result<()> {
        match self.renew(who, upload_id, Duration::ZERO).await {
            Err(NotRenewed::Failed(failure)) => Err(failure),
            Ok(()) | Err(NotRenewed::Replaced(_)) => Ok(()),
        }
    }

    /// Who is at work now.
    pub async fn at_work(&self) -> Result<Option<Lease>> {
        let Some(found) = self.newest().await?.0 else { return Ok(None) };
        Ok(self.left(&found).await?.map(|_| found.lease))
    }

    /// How long a claim still counts, if it does. Of a process on this machine the lock tells it better:
    /// it may have been killed.
    async fn left(&self, found: &Found) -> Result<Option<Duration>> {
        let Lease { who, lasts, .. } = &found.lease;
        if *lasts == 0 {
            return Ok(None);
        }
        let near = matches!(who, Who::Process { machine } if *machine == self.machine.id()?);
        if near && self.machine.lock(&self.connection).is_ok() {
            return Ok(None);
        }
        let now = self.store.now(&format!("{}.now", self.folder)).await?;
        let age = now.duration_since(found.kept.modified).unwrap_or_default();
        Ok(Duration::from_secs(*lasts).checked_sub(age).filter(|left| !left.is_zero()))
    }

    async fn forget(&self, all: &[Kept]) -> Result<()> {
        // The newest of these is only now replaced.
        let Some((newest, old)) = all.split_last() else { return Ok(()) };
        for kept in old {
            let age = newest.modified.duration_since(kept.modified).unwrap_or_default();
            if age > KEEP {
                self.store.remove(&kept.name).await?;
            }
        }
        Ok(())
    }

    fn busy(&self, lease: &Lease, left: Duration) -> Failure {
        let Lease { by, upload_id, lasts, .. } = lease;
        let (name, left) = (&self.connection, left.as_secs().max(1));
        if *lasts == PAUSED.as_secs() {
            return Failure::new(Kind::Busy, format!("a crawl of `{name}` is paused: {by}"))
                .at(format!("upload {upload_id}"))
                .next(format!(
                    "`sheaf resume {name}` goes on with it, `sheaf cancel {name}` ends it. If it was \
                     terminated in Temporal, it is forgotten in {left} s"
                ));
        }
        Failure::new(Kind::Busy, format!("`{name}` is being crawled already, by {by}"))
            .at(format!("upload {upload_id}"))
            .next(format!("wait for it to end. If it was killed, it is forgotten in {left} s"))
    }
}

impl Lease {
    pub fn new(who: Who, by: &str, upload_id: &str) -> Self {
        let (by, upload_id) = (by.to_owned(), upload_id.into());
        Self { who, by, upload_id, lasts: LASTS.as_secs() }
    }
}

fn text(lease: &Lease) -> Result<Vec<u8>> {
    serde_json::to_vec(lease)
        .map_err(|error| Failure::internal(format!("a claim is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::stopped::Clock;
    use crate::store::Location;

    fn store(folder: &Path) -> Store {
        Store::open(&Location::Folder(folder.to_owned())).expect("a store")
    }

    fn claims(folder: &Path, machine: &str) -> Claims {
        claims_in(&store(folder), folder, machine)
    }

    fn claims_in(store: &Store, folder: &Path, machine: &str) -> Claims {
        Claims::new(store, "docs", "place", &Machine::new(&folder.join(machine)))
    }

    fn workflow(temporal: &str) -> Who {
        Who::Workflow { temporal: temporal.into(), workflow: "sheaf-docs".into() }
    }

    fn process(claims: &Claims) -> Who {
        Who::Process { machine: claims.machine.id().expect("an id") }
    }

    #[tokio::test]
    async fn of_many_who_claim_at_once_one_is_at_work() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let one = |number: usize| async move {
            let claims = claims(path, &number.to_string());
            let lease = Lease::new(process(&claims), &format!("process {number}"), "upload");
            claims.claim(&lease).await.is_ok()
        };
        let claimed = futures::future::join_all((0..8).map(one)).await;
        assert_eq!(claimed.iter().filter(|claimed| **claimed).count(), 1, "{claimed:?}");
    }

    #[tokio::test]
    async fn a_claim_counts_by_the_stores_clock_until_it_is_old_or_given_back() {
        let clock = Clock::stop();
        let folder = tempfile::tempdir().expect("a folder");
        let shared = store(folder.path());
        let (near, far) =
            (claims_in(&shared, folder.path(), "near"), claims_in(&shared, folder.path(), "far"));
        let ours = Lease::new(process(&near), "process 1", "one");
        let theirs = Lease::new(process(&far), "process 2", "two");
        let lock = near.machine.lock("docs").expect("a lock");
        near.claim(&ours).await.expect("free");
        let busy = far.claim(&theirs).await.expect_err("at work");
        assert_eq!(busy.kind, Kind::Busy);
        assert!(busy.what.contains("process 1"), "{busy}");
        clock.advance(LASTS / 2);
        far.claim(&theirs).await.expect_err("still at work");
        clock.advance(LASTS / 2 + RENEW);
        far.claim(&theirs).await.expect("long not renewed");
        // The first was not dead, but only slow.
        let late = near.renew(&ours.who, "one", LASTS).await.expect_err("replaced");
        assert!(matches!(late, NotRenewed::Replaced(_)), "{late:?}");
        near.release(&ours.who, "one").await.expect("nothing of the other's");
        assert_eq!(near.at_work().await.expect("read").map(|lease| lease.by), Some(theirs.by));
        far.release(&theirs.who, "two").await.expect("given back");
        assert!(near.at_work().await.expect("read").is_none());
        drop(lock);
    }

    #[tokio::test]
    async fn temporal_keeps_its_own_crawls_apart_and_no_other_temporals() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = claims(folder.path(), "here");
        let ours = Lease::new(workflow("a/default"), "run 1", "one");
        claims.claim(&ours).await.expect("free");
        let again = Lease::new(workflow("a/default"), "run 2", "two");
        claims.claim(&again).await.expect("Temporal would not have begun it otherwise");
        let other = Lease::new(workflow("b/default"), "run 3", "three");
        claims.claim(&other).await.expect_err("of another cluster");
        let local = Lease::new(process(&claims), "process 1", "four");
        claims.claim(&local).await.expect_err("a workflow is at work");
    }

    #[tokio::test]
    async fn a_process_of_this_machine_that_was_killed_keeps_nobody_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let claims = claims(folder.path(), "here");
        let lock = claims.machine.lock("docs").expect("a lock");
        claims.claim(&Lease::new(process(&claims), "process 1", "one")).await.expect("free");
        let workflow = Lease::new(workflow("a/default"), "run 1", "two");
        claims.claim(&workflow).await.expect_err("at work");
        drop(lock);
        claims.claim(&workflow).await.expect("nobody holds the lock");
    }
}
