//! Rates that are kept, and waits that a server asks for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Lets so much through per second, on average; a full bucket may go at once.
#[derive(Debug)]
pub struct Pace {
    bucket: Mutex<(Bucket, Instant)>,
}

impl Pace {
    pub fn new(per_second: f64, burst: f64) -> Self {
        let bucket = Bucket { per_second, burst, tokens: burst };
        Self { bucket: Mutex::new((bucket, Instant::now())) }
    }

    /// Takes `amount`, waiting until it is there. While it waits, `waits` says why.
    pub async fn take(&self, amount: f64, waits: &Waits, why: impl FnOnce() -> String) {
        // Held while waiting: turns are first come, first served.
        let mut bucket = self.bucket.lock().await;
        let now = Instant::now();
        let passed = now - bucket.1;
        let wait = bucket.0.take(amount, passed);
        let _waiting = (wait >= WORTH_SAYING).then(|| waits.begin(why()));
        tokio::time::sleep(wait).await;
        bucket.1 = now + wait;
    }
}

/// Shorter waits are not worth a word.
const WORTH_SAYING: Duration = Duration::from_millis(200);

/// What a client waits for now, for people.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<std::sync::Mutex<Vec<String>>>);

/// A wait that ends when this is dropped.
pub struct Waiting {
    waits: Waits,
    why: String,
}

impl Waits {
    pub fn begin(&self, why: String) -> Waiting {
        self.list().push(why.clone());
        Waiting { waits: self.clone(), why }
    }

    pub fn now(&self) -> Option<String> {
        self.list().first().cloned()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut list = self.waits.list();
        if let Some(at) = list.iter().position(|why| *why == self.why) {
            list.remove(at);
        }
    }
}

#[derive(Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
}

impl Bucket {
    /// How long to wait for `amount`, when so much time passed since the last one was taken. More
    /// than a whole bucket is owed afterwards.
    fn take(&mut self, amount: f64, passed: Duration) -> Duration {
        self.tokens = passed.as_secs_f64().mul_add(self.per_second, self.tokens).min(self.burst);
        let lacking = (amount.min(self.burst) - self.tokens).max(0.0);
        self.tokens += lacking - amount;
        Duration::from_secs_f64(lacking / self.per_second)
    }
}

/// `Retry-After`, in seconds or as a date.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = Bucket { per_second: 10.0, burst: 5.0, tokens: 5.0 };
        for _ in 0..5 {
            assert_eq!(bucket.take(1.0, Duration::ZERO), Duration::ZERO);
        }
        for _ in 0..10 {
            // Each wait is over when the next one begins.
            assert_eq!(bucket.take(1.0, Duration::ZERO), Duration::from_millis(100));
        }
        assert_eq!(bucket.take(1.0, Duration::from_secs(60)), Duration::ZERO);
    }

    #[test]
    fn more_than_a_bucket_goes_when_it_is_full_and_is_owed() {
        let mut bucket = Bucket { per_second: 10.0, burst: 5.0, tokens: 5.0 };
        assert_eq!(bucket.take(20.0, Duration::ZERO), Duration::ZERO);
        assert_eq!(bucket.take(1.0, Duration::ZERO), Duration::from_millis(1600));
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers, now), None);
        headers.insert(RETRY_AFTER, "7".parse().expect("a header"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(30));
        headers.insert(RETRY_AFTER, date.parse().expect("a header"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
        headers.insert(RETRY_AFTER, "soon".parse().expect("a header"));
        assert_eq!(retry_after(&headers, now), None);
    }
}
