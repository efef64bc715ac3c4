//! Rates that are kept, and waits that a server asks for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::Timestamp;

/// Lets at most so much through in any stretch of time of a certain length. What is taken at once is a
/// part of that: the first minute allows no more than any other.
#[derive(Debug)]
pub struct Pace {
    taken: Mutex<Taken>,
    /// Where others take from the same.
    share: Option<Arc<dyn Share>>,
}

/// Says which part of a pace is this process's, where others have parts of it.
pub trait Share: std::fmt::Debug + Send + Sync {
    /// Waits until anything may be taken. `taken`: how much counts then, with what is to be taken.
    fn part<'a>(&'a self, taken: f64, waits: &'a Waits) -> BoxFuture<'a, Part>;
}

/// A part of a pace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Among so many it is divided.
    pub among: usize,
    /// What others took that this process has to count as its own.
    pub before: f64,
}

impl Part {
    pub const WHOLE: Self = Self { among: 1, before: 0.0 };
}

impl Pace {
    /// So much in any second; where that is no whole number, in so many seconds that it is one.
    pub fn per_second(rate: f64) -> Self {
        let rate = rate.max(SLOWEST);
        let most = rate.ceil();
        Self::new(most, Duration::from_secs_f64(most / rate))
    }

    /// So much in any minute.
    pub fn per_minute(rate: f64) -> Self {
        Self::new(rate.max(SLOWEST), Duration::from_secs(60))
    }

    fn new(most: f64, per: Duration) -> Self {
        let taken = Taken { whole: most, most, per, sum: 0.0, log: VecDeque::new() };
        Self { taken: Mutex::new(taken), share: None }
    }

    /// The same, of which others have parts.
    #[must_use]
    pub fn shared(self, share: Option<Arc<dyn Share>>) -> Self {
        Self { share, ..self }
    }

    /// Takes `amount`, waiting until it is there. While it waits, `waits` says why. A wait that is
    /// given up has taken nothing, and changed nothing.
    pub async fn take(&self, amount: f64, waits: &Waits, why: impl Fn() -> String) {
        // Held while waiting: turns are first come, first served.
        let mut taken = self.taken.lock().await;
        let mut waiting = None;
        loop {
            if let Some(share) = &self.share {
                let part = share.part(taken.counts(Instant::now()) + amount, waits).await;
                taken.divide(part, Instant::now());
            }
            let wait = taken.wait(amount, Instant::now());
            if wait.is_zero() {
                break;
            }
            if waiting.is_none() && wait >= WORTH_SAYING {
                waiting = Some(waits.begin(why()));
            }
            tokio::time::sleep(wait).await;
        }
        taken.take(amount, Instant::now());
    }
}

/// A slower pace is none: a wait would last longer than a clock can count.
const SLOWEST: f64 = 1e-6;

/// Shorter waits are not worth a word.
const WORTH_SAYING: Duration = Duration::from_millis(200);

/// What went through lately, with the time at which it counts no longer.
#[derive(Debug)]
struct Taken {
    /// What all may take together, and this process.
    whole: f64,
    most: f64,
    per: Duration,
    sum: f64,
    log: VecDeque<(Instant, f64)>,
}

impl Taken {
    /// How much of what was taken still counts.
    fn counts(&mut self, now: Instant) -> f64 {
        while let Some((_, amount)) = self.log.pop_front_if(|(until, _)| *until <= now) {
            self.sum -= amount;
        }
        self.sum
    }

    /// From now on this process has a part.
    fn divide(&mut self, part: Part, now: Instant) {
        #[allow(clippy::cast_precision_loss)]
        let among = part.among.max(1) as f64;
        self.most = self.whole / among;
        if part.before > 0.0 {
            self.take(part.before.min(self.most), now);
        }
    }

    /// How long `amount` has to wait. More than what may go at all goes alone.
    fn wait(&mut self, amount: f64, now: Instant) -> Duration {
        self.counts(now);
        let mut lacking = self.sum + amount - self.most;
        for (until, amount) in &self.log {
            if lacking <= 0.0 {
                break;
            }
            lacking -= amount;
            if lacking <= 0.0 || Some(until) == self.log.back().map(|(until, _)| until) {
                return *until - now;
            }
        }
        Duration::ZERO
    }

    fn take(&mut self, amount: f64, now: Instant) {
        // What is more than may go at all is paid for by time.
        let until = now + self.per.mul_f64((amount / self.most).max(1.0));
        self.log.push_back((until, amount));
        self.sum += amount;
    }
}

/// What a client waits for now, for people.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<std::sync::Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    next: u64,
    waits: Vec<(u64, Wait)>,
}

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub why: String,
    pub since: Timestamp,
}

/// A wait that ends when this is dropped.
pub struct WaitGuard {
    waits: Waits,
    number: u64,
}

impl Waits {
    pub fn begin(&self, why: String) -> WaitGuard {
        let mut list = self.list();
        let number = list.next;
        list.next += 1;
        list.waits.push((number, Wait { why, since: Timestamp::now() }));
        WaitGuard { waits: self.clone(), number }
    }

    /// The wait that has lasted longest.
    pub fn now(&self) -> Option<Wait> {
        self.list().waits.first().map(|(_, wait)| wait.clone())
    }

    fn list(&self) -> std::sync::MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl WaitGuard {
    /// It goes on, for a reason that is newer.
    pub fn says(&self, why: String) {
        let mut list = self.waits.list();
        if let Some((_, wait)) = list.waits.iter_mut().find(|(number, _)| *number == self.number) {
            wait.why = why;
        }
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        self.waits.list().waits.retain(|(number, _)| *number != self.number);
    }
}

/// `Retry-After`, in seconds or as a date.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(Timestamp::of(date).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes these amounts one after the other, on a clock of its own; when each went.
    fn times(pace: &Pace, amounts: impl IntoIterator<Item = f64>) -> Vec<(Duration, f64)> {
        let mut taken = pace.taken.try_lock().expect("nobody else");
        let begin = Instant::now();
        let mut now = begin;
        let mut times = Vec::new();
        for amount in amounts {
            loop {
                let wait = taken.wait(amount, now);
                if wait.is_zero() {
                    break;
                }
                now += wait;
            }
            taken.take(amount, now);
            times.push((now - begin, amount));
        }
        times
    }

    #[test]
    fn no_minute_has_more_than_its_share_the_first_neither() {
        const UNEVEN: [u8; 7] = [1, 37, 100, 4, 99, 63, 12];
        let minute = Duration::from_secs(60);
        for amounts in [[100.0; 40], std::array::from_fn(|at| f64::from(UNEVEN[at % UNEVEN.len()]))]
        {
            let times = times(&Pace::per_minute(600.0), amounts);
            for (from, _) in &times {
                let within = times.iter().filter(|(at, _)| at >= from && *at < *from + minute);
                let sum: f64 = within.map(|(_, amount)| amount).sum();
                assert!(sum <= 600.0, "{sum} from {from:?}");
            }
            assert_eq!(times[4].0, Duration::ZERO, "what may go at once does");
        }
        // And no time is lost: 4,000 need six whole minutes after the first 600.
        assert_eq!(times(&Pace::per_minute(600.0), [100.0; 40])[39].0, minute * 6);
    }

    #[test]
    fn rates_that_are_no_whole_numbers_are_kept() {
        for rate in [0.5, 1.0, 1.5, 4.0] {
            let last = times(&Pace::per_second(rate), [1.0; 61])[60].0;
            assert!((last.as_secs_f64() - 60.0 / rate).abs() < 0.001, "{rate}: {last:?}");
        }
    }

    #[test]
    fn more_than_may_go_at_all_goes_alone_and_is_paid_for() {
        let times = times(&Pace::per_minute(60.0), [30.0, 180.0, 1.0]);
        let minutes: Vec<_> = times.iter().map(|(at, _)| at.as_secs() / 60).collect();
        assert_eq!(minutes, [0, 1, 4]);
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_takes_nothing_and_credits_nothing() {
        let waits = Waits::default();
        let pace = Pace::new(1.0, Duration::from_secs(3600));
        pace.take(1.0, &waits, String::new).await;
        let left = |pace: &Pace| {
            let now = Instant::now() + Duration::from_secs(1800);
            pace.taken.try_lock().expect("nobody else").wait(1.0, now)
        };
        let before = left(&pace);
        for _ in 0..100 {
            let mut wait = std::pin::pin!(pace.take(1.0, &waits, || "a turn".to_owned()));
            assert!(futures::poll!(&mut wait).is_pending());
            assert_eq!(waits.now().expect("a wait").why, "a turn");
        }
        assert_eq!(waits.now(), None);
        assert!(before.abs_diff(left(&pace)) < Duration::from_secs(60));
        assert!(!left(&pace).is_zero());
    }

    #[test]
    fn the_wait_that_lasts_longest_is_told_with_its_newest_reason() {
        let waits = Waits::default();
        let first = waits.begin("first".into());
        let second = waits.begin("second".into());
        first.says("first, still".into());
        assert_eq!(waits.now().expect("a wait").why, "first, still");
        drop(first);
        assert_eq!(waits.now().expect("a wait").why, "second");
        drop(second);
        assert_eq!(waits.now(), None);
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = Timestamp::from_seconds(1_000);
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers, now), None);
        headers.insert(RETRY_AFTER, "7".parse().expect("a header"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date((now + Duration::from_secs(30)).into());
        headers.insert(RETRY_AFTER, date.parse().expect("a header"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
        headers.insert(RETRY_AFTER, "soon".parse().expect("a header"));
        assert_eq!(retry_after(&headers, now), None);
    }
}
