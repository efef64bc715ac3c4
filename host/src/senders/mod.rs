//! Who else sends to a server whose limits hold over all who send to it: each process that shares a store and does
//! so keeps an object there, and takes its part of each limit. When it may is decided by `standing`.
//!
//! An object is called by its machine, by a lock of that machine that its process holds, and by chance. Whoever sees
//! one of its own machine whose lock is free knows that its process is dead, and waits for nothing. The folder is
//! called by the server alone, as no part of a token is to be kept: two tokens of one Glean, used with one store,
//! have the limits of one.

mod standing;

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::failure::{Failure, Kind, Result};
use crate::machine::Machine;
use crate::pace::{Part, Share, WaitGuard, Waits};
use crate::store::Store;
use standing::{Standing, Times, stays};

/// Whoever waits for its part looks this often.
const LOOK: Duration = Duration::from_secs(1);
/// What a process that has gone left behind is removed after this.
const KEEP: Duration = Duration::from_secs(3600);
/// So much more than is taken is told at once, so that it need not be told of each.
const AHEAD: f64 = 50.0;
/// More processes of one machine do not send at once.
const MOST: u32 = 1_000;

/// What a limit is about.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub name: &'static str,
    /// The stretch of time in which no more may be taken.
    pub window: Duration,
    /// Whether a process tells what it takes, so that it counts after it has ended.
    pub told: bool,
}

/// Those who send to one server and share a store, as one of them knows them.
#[derive(Clone, Debug)]
pub struct Senders(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    machine: Machine,
    folder: String,
    times: Times,
    /// How much is under way that sends.
    working: AtomicUsize,
    /// The lock that says that this process lives, and its number.
    lock: Mutex<Option<(u32, File)>>,
}

/// Something is under way that sends. Without one a process has no part, and takes what it needs: a command that asks
/// a server a few things is no worker.
#[derive(Debug)]
pub struct Working(Option<Senders>);

impl Senders {
    /// `state` is the folder of this machine's own state.
    pub fn new(store: &Store, state: &Path, server_url: &str) -> Self {
        let server = server_url.split_once("://").map_or(server_url, |(_, rest)| rest);
        let server = server.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        Self(Arc::new(Shared {
            store: store.clone(),
            machine: Machine::new(state),
            folder: format!("senders/{server}"),
            times: if store.is_bucket() { Times::BUCKET } else { Times::FOLDER },
            working: AtomicUsize::new(0),
            lock: Mutex::default(),
        }))
    }

    /// This process's part of a limit.
    pub fn share(&self, limit: Limit) -> Arc<dyn Share> {
        Arc::new(self.seat(limit))
    }

    fn seat(&self, limit: Limit) -> Seat {
        let held = Held {
            standing: Standing::new(self.0.times, limit.window),
            name: String::new(),
            told: 0.0,
            before: 0.0,
            known: HashSet::new(),
            used: Instant::now(),
            renewing: false,
        };
        Seat(Arc::new(Inner {
            all: self.clone(),
            limit,
            held: Mutex::new(held),
            doing: tokio::sync::Mutex::default(),
        }))
    }
}

impl Working {
    /// Until it is dropped.
    pub fn begin(senders: Option<&Senders>) -> Self {
        if let Some(senders) = senders {
            senders.0.working.fetch_add(1, Ordering::Relaxed);
        }
        Self(senders.cloned())
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(senders) = &self.0 {
            senders.0.working.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Shared {
    /// What this process's objects begin with: its machine, and the number of a lock that it holds.
    fn prefix(&self) -> Result<String> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let machine = self.machine.id()?;
        if let Some((number, _)) = &*lock {
            return Ok(format!("{machine}-{number}-"));
        }
        for number in 0..MOST {
            match self.machine.lock(&lock_of(number)) {
                Ok(file) => {
                    *lock = Some((number, file));
                    return Ok(format!("{machine}-{number}-"));
                }
                Err(failure) if failure.kind == Kind::Busy => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::internal(format!("{MOST} processes of this machine send at once")))
    }

    /// Whether an object is of a process of this machine that does not live any more. `ours`: its own prefix.
    fn is_dead(&self, name: &str, ours: &str) -> bool {
        let mut parts = name.splitn(3, '-');
        let (Some(machine), Some(number)) = (parts.next(), parts.next()) else { return false };
        let Ok(number) = number.parse::<u32>() else { return false };
        ours.split_once('-').is_some_and(|(here, _)| here == machine)
            && (name.starts_with(ours) || self.machine.lock(&lock_of(number)).is_ok())
    }
}

/// No connection is called so: a name has no dot.
fn lock_of(number: u32) -> String {
    format!("sender.{number}")
}

#[derive(Clone, Debug)]
struct Seat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Senders,
    limit: Limit,
    held: Mutex<Held>,
    /// Held by whoever announces this process, or looks.
    doing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Held {
    standing: Standing,
    /// Of its object; empty where there is none.
    name: String,
    /// How much it said that it takes.
    told: f64,
    /// What dead processes of this machine had taken lately, and was not counted yet.
    before: f64,
    /// Their objects that were counted.
    known: HashSet<String>,
    /// When something was taken last.
    used: Instant,
    /// Whether a task renews it.
    renewing: bool,
}

impl Share for Seat {
    fn part<'a>(&'a self, taken: f64, waits: &'a Waits) -> BoxFuture<'a, Part> {
        Box::pin(async move {
            let mut waiting: Option<WaitGuard> = None;
            loop {
                if self.0.all.0.working.load(Ordering::Relaxed) == 0 {
                    return Part::WHOLE;
                }
                if let Some(part) = self.now(taken) {
                    return part;
                }
                let announced = self.announce(taken).await;
                if let Some(part) = self.now(taken) {
                    return part;
                }
                let why = match announced {
                    Ok(()) => "its part of Glean's limits: others send to it, too".to_owned(),
                    Err(failure) => {
                        format!("the store, which says who else sends to Glean: {failure}")
                    }
                };
                match &waiting {
                    Some(waiting) => waiting.says(why),
                    None => waiting = Some(waits.begin(why)),
                }
                tokio::time::sleep(LOOK).await;
            }
        })
    }
}

impl Seat {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_told(&self, held: &Held, taken: f64) -> bool {
        !self.0.limit.told || taken <= held.told
    }

    /// The part of this process, if it has one now.
    fn now(&self, taken: f64) -> Option<Part> {
        let now = Instant::now();
        let mut held = self.held();
        let among = held.standing.among(now).filter(|_| self.is_told(&held, taken))?;
        held.used = now;
        if !held.renewing {
            held.renewing = true;
            tokio::spawn(self.clone().renew());
        }
        Some(Part { among, before: std::mem::take(&mut held.before) })
    }

    /// Announces this process where that is due, and looks who else is there.
    async fn announce(&self, taken: f64) -> Result<()> {
        let _doing = self.0.doing.lock().await;
        let all = &self.0.all.0;
        let ours = all.prefix()?;
        let folder = format!("{}/{}", all.folder, self.0.limit.name);
        let begun = Instant::now();
        let (name, told) = {
            let mut held = self.held();
            if held.name.is_empty() {
                held.name = format!("{folder}/{ours}{:08x}", rand::random::<u32>());
            }
            let is_due = held.standing.is_due(begun) || !self.is_told(&held, taken);
            (held.name.clone(), is_due.then(|| if taken > 0.0 { taken + AHEAD } else { held.told }))
        };
        if let Some(told) = told {
            all.store.put(&name, told.to_string()).await?;
            let mut held = self.held();
            held.standing.announced(begun, Instant::now());
            held.told = told;
        }
        let begun = Instant::now();
        let others = self.look(&folder, &name, &ours).await?;
        self.held().standing.looked(begun, others);
        Ok(())
    }

    /// How many others there are that live, as far as anybody knows.
    async fn look(&self, folder: &str, own: &str, ours: &str) -> Result<usize> {
        let all = &self.0.all.0;
        let kept = all.store.list(folder).await?;
        let now = kept.iter().find(|kept| kept.name == own).map(|kept| kept.modified);
        let now = now.ok_or_else(|| {
            Failure::internal("what was just written to the store is not there")
                .at(all.store.place(own))
        })?;
        let mut others = 0;
        for kept in kept.iter().filter(|kept| kept.name != own) {
            let age = now.duration_since(kept.modified).unwrap_or_default();
            let name = kept.name.rsplit('/').next().unwrap_or_default();
            if age > KEEP {
                all.store.remove(&kept.name).await?;
            }
            if age > all.times.lasts(self.0.limit.window) {
                continue;
            }
            if !all.is_dead(name, ours) {
                others += 1;
            } else if self.0.limit.told && !self.held().known.contains(&kept.name) {
                let text = all.store.get(&kept.name).await?.unwrap_or_default();
                let taken = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                let mut held = self.held();
                held.known.insert(kept.name.clone());
                held.before += taken.unwrap_or(0.0_f64).max(0.0);
            }
        }
        Ok(others)
    }

    /// Renews the announcement while this process sends now and then, and takes it back when it does no more and all
    /// that was taken is past.
    async fn renew(self) {
        let window = self.0.limit.window;
        let renew = self.0.all.0.times.renew;
        let mut pause = renew;
        loop {
            tokio::time::sleep(pause).await;
            let works = self.0.all.0.working.load(Ordering::Relaxed) > 0;
            let quiet = self.held().used.elapsed();
            if quiet < stays(window, works) {
                let renewed = self.announce(0.0).await;
                pause = if renewed.is_ok() { renew } else { LOOK };
                if let Err(failure) = renewed {
                    tracing::debug!("who else sends is not known: {failure}");
                }
            } else if self.leave().await {
                return;
            }
        }
    }

    /// Takes the announcement back, unless something was taken meanwhile.
    async fn leave(&self) -> bool {
        let _doing = self.0.doing.lock().await;
        let name = {
            let mut held = self.held();
            if held.used.elapsed() < self.0.limit.window {
                return false;
            }
            held.standing.left();
            (held.told, held.renewing) = (0.0, false);
            std::mem::take(&mut held.name)
        };
        if let Err(failure) = self.0.all.0.store.remove(&name).await {
            tracing::debug!("{failure}");
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stopped::Clock;
    use crate::store::Location;

    const SECOND: Limit = Limit { name: "requests", window: Duration::from_secs(1), told: false };
    const MINUTE: Limit = Limit { name: "documents", window: Duration::from_secs(60), told: true };

    fn senders(store: &Store, folder: &Path, machine: &str) -> Senders {
        Senders::new(store, &folder.join(machine), "https://acme-be.glean.com")
    }

    fn store(folder: &Path) -> Store {
        Store::open(&Location::Folder(folder.join("store"))).expect("a store")
    }

    async fn part(share: &Arc<dyn Share>, taken: f64) -> Part {
        share.part(taken, &Waits::default()).await
    }

    #[tokio::test]
    async fn who_comes_second_waits_until_the_first_has_seen_it_and_then_they_share() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let [first, second] = ["one", "two"].map(|machine| senders(&store, folder.path(), machine));
        let (one, two) = (first.share(SECOND), second.share(SECOND));
        let works = Working::begin(Some(&first));
        assert_eq!(part(&one, 1.0).await, Part::WHOLE);
        // A command asks something: it has no part, and waits for none.
        assert_eq!(part(&two, 1.0).await, Part::WHOLE);
        let _also_works = Working::begin(Some(&second));
        let waits = Waits::default();
        let mut late = two.part(1.0, &waits);
        let told = async {
            while waits.now().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            part = &mut late => panic!("it did not wait: {part:?}"),
            () = told => {}
        }
        assert_eq!(late.await, Part { among: 2, before: 0.0 });
        // The first has nothing to do any more. The next thing may come at any moment, so that it stays.
        drop(works);
        assert_eq!(part(&two, 1.0).await, Part { among: 2, before: 0.0 });
        let seen = store.list("senders").await.expect("a list");
        assert_eq!(seen.len(), 2, "{seen:?}");
    }

    #[tokio::test]
    async fn who_takes_its_announcement_back_is_seen_by_nobody_any_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let [first, second] = ["one", "two"].map(|machine| senders(&store, folder.path(), machine));
        // What it took is past at once.
        let (one, two) =
            (first.seat(Limit { window: Duration::ZERO, ..SECOND }), second.seat(SECOND));
        one.announce(1.0).await.expect("announced");
        two.announce(1.0).await.expect("announced");
        assert_eq!(two.now(1.0), None, "another may send");
        assert!(one.leave().await);
        let left = store.list("senders").await.expect("a list");
        assert_eq!(left.len(), 1, "{left:?}");
        two.announce(0.0).await.expect("looked");
        assert_eq!(two.now(1.0), Some(Part::WHOLE));
    }

    #[tokio::test]
    async fn who_ended_without_a_word_counts_until_what_it_took_is_past() {
        let clock = Clock::stop();
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let name = "senders/acme-be.glean.com/requests/elsewhere-0-1";
        store.put(name, "0").await.expect("kept");
        clock.advance(Times::FOLDER.lasts(SECOND.window));
        let senders = senders(&store, folder.path(), "one");
        let seat = senders.seat(SECOND);
        seat.announce(1.0).await.expect("announced");
        assert_eq!(seat.now(1.0), None, "another may still send");
        clock.advance(Duration::from_secs(1));
        let again = senders.seat(SECOND);
        again.announce(1.0).await.expect("announced");
        // The first seat is of this very process, and so no other.
        assert_eq!(again.now(1.0), Some(Part::WHOLE));
    }

    #[test]
    fn who_died_on_this_machine_is_waited_for_by_nobody_and_what_it_took_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store(folder.path());
        let run = |taken: f64| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            // It ends with the runtime, and has no time to say so.
            runtime.block_on(async {
                let senders = senders(&store, folder.path(), "here");
                let _works = Working::begin(Some(&senders));
                let share = senders.share(MINUTE);
                let first = part(&share, taken).await;
                (first, part(&share, taken + AHEAD + 1.0).await)
            })
        };
        assert_eq!(run(100.0), (Part::WHOLE, Part::WHOLE));
        let told = 100.0 + AHEAD + 1.0 + AHEAD;
        assert_eq!(run(10.0).0, Part { among: 1, before: told });
    }
}
