//! The names that one connection looks up: few at once, and each answer is used for a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::resolve::Names;
use crate::clock::Timestamp;

/// Lookups at once. One that is given up goes on, and keeps its turn: domains that never answer take these
/// of their own connection, and not those of all.
const AT_ONCE: usize = 4;
/// An answer is used for so long.
const FRESH: Duration = Duration::from_secs(30);
/// And a failure.
const FAILED: Duration = Duration::from_secs(5);
/// Names whose answers are kept.
const MOST_NAMES: usize = 256;

/// A name's addresses, or why there are none.
type Answer = Result<Vec<IpAddr>, String>;

/// What came of a lookup, and when.
#[derive(Clone, Debug)]
struct Found {
    answer: Answer,
    since: Timestamp,
}

/// A lookup; it holds nothing until it has ended.
type Lookup = watch::Receiver<Option<Found>>;

pub(super) struct Lookups {
    names: Arc<dyn Names>,
    turns: Arc<Semaphore>,
    known: Mutex<HashMap<String, Lookup>>,
}

impl Lookups {
    pub(super) fn new(names: Arc<dyn Names>) -> Self {
        Self { names, turns: Arc::new(Semaphore::new(AT_ONCE)), known: Mutex::default() }
    }

    /// Where a name leads. Whoever asks while it is looked up waits for that answer.
    pub(super) async fn addresses(&self, name: &str) -> Answer {
        let mut lookup = match self.lookup(name, None) {
            Some(lookup) => lookup,
            None => self.begun(name).await?,
        };
        let found = lookup.wait_for(Option::is_some).await;
        let answer = found.ok().and_then(|found| found.as_ref().map(|found| found.answer.clone()));
        answer.unwrap_or_else(|| Err("its lookup ended without an answer".into()))
    }

    async fn begun(&self, name: &str) -> Result<Lookup, String> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        self.lookup(name, Some(turn)).ok_or_else(|| "it is not looked up".into())
    }

    /// The lookup whose answer can be used, or with a turn another one.
    fn lookup(&self, name: &str, turn: Option<OwnedSemaphorePermit>) -> Option<Lookup> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp::now();
        if let Some(lookup) = known.get(name).filter(|lookup| is_usable(lookup, now)) {
            return Some(lookup.clone());
        }
        let turn = turn?;
        if known.len() >= MOST_NAMES {
            known.retain(|_, lookup| is_usable(lookup, now));
            let oldest = known.iter().min_by_key(|(_, lookup)| since(lookup).unwrap_or(now));
            let oldest = oldest.map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| known.len() >= MOST_NAMES) {
                known.remove(&oldest);
            }
        }
        let (told, lookup) = watch::channel(None);
        known.insert(name.to_owned(), lookup.clone());
        let (names, name) = (self.names.clone(), name.to_owned());
        tokio::spawn(async move {
            let answer = match names.lookup(&name).await {
                Ok(found) if found.is_empty() => Err("the name has no addresses".into()),
                Ok(found) => Ok(found),
                Err(error) => Err(error.to_string()),
            };
            told.send_replace(Some(Found { answer, since: Timestamp::now() }));
            drop(turn);
        });
        Some(lookup)
    }
}

fn since(lookup: &Lookup) -> Option<Timestamp> {
    lookup.borrow().as_ref().map(|found| found.since)
}

fn is_usable(lookup: &Lookup, now: Timestamp) -> bool {
    let found = lookup.borrow();
    let Some(Found { answer, since }) = &*found else {
        // It goes on, unless whoever looks it up is gone.
        return lookup.has_changed().is_ok();
    };
    let lasts = if answer.is_ok() { FRESH } else { FAILED };
    // A clock that was set back tells nothing.
    *since <= now && now.since(*since) < lasts
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use tokio::sync::Notify;

    use super::*;
    use crate::clock::stopped::Clock;

    /// Names below `silent` are answered when the test says, and `none` has no answer.
    #[derive(Default)]
    struct Counted {
        asked: AtomicUsize,
        answer: Notify,
    }

    impl Names for Counted {
        fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(async move {
                self.asked.fetch_add(1, Ordering::SeqCst);
                if name.ends_with("silent") {
                    self.answer.notified().await;
                }
                if name == "none" {
                    return Err(io::Error::other("there is none"));
                }
                Ok(vec![IpAddr::from([192, 0, 2, 1])])
            })
        }
    }

    fn lookups() -> (Arc<Counted>, Lookups) {
        let names = Arc::new(Counted::default());
        (names.clone(), Lookups::new(names))
    }

    #[tokio::test]
    async fn an_answer_is_used_for_half_a_minute_and_a_failure_for_five_seconds() {
        let clock = Clock::stop();
        let (names, lookups) = lookups();
        for (name, seconds, asked) in
            [("a", 0, 1), ("a", 29, 1), ("a", 1, 2), ("none", 0, 3), ("none", 4, 3), ("none", 1, 4)]
        {
            clock.advance(Duration::from_secs(seconds));
            assert_eq!(lookups.addresses(name).await.is_ok(), name == "a");
            assert_eq!(names.asked.load(Ordering::SeqCst), asked, "{name} {seconds}");
        }
    }

    #[tokio::test]
    async fn names_that_never_answer_take_four_turns_and_each_is_asked_once() {
        let (names, lookups) = lookups();
        for number in 0..6 {
            for _ in 0..3 {
                // Given up at once.
                let name = format!("{number}.silent");
                assert!(lookups.addresses(&name).now_or_never().is_none());
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(names.asked.load(Ordering::SeqCst), AT_ONCE);
        assert!(lookups.addresses("other").now_or_never().is_none(), "there is no turn");
        names.answer.notify_one();
        assert!(lookups.addresses("other").await.is_ok(), "one has ended");
    }

    #[tokio::test]
    async fn no_more_names_are_kept_than_that() {
        let (_, lookups) = lookups();
        for number in 0..MOST_NAMES + 10 {
            assert!(lookups.addresses(&number.to_string()).await.is_ok());
        }
        assert_eq!(lookups.known.lock().expect("names").len(), MOST_NAMES);
    }
}
