//! Values as people write them: `"30s"`, `"4 MiB"`, `{ env = "NAME" }`.

use std::str::FromStr as _;
use std::time::Duration;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

use crate::failure::Failure;

/// A duration such as `"30s"`, `"5m"` or `"2h"`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"a duration such as \"30s\", \"5m\" or \"2h\"",
            )),
        }
    }
}

/// A number of bytes such as `"4 MiB"`.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytesize::ByteSize::from_str(&text)
            .ok()
            .and_then(|size| usize::try_from(size.as_u64()).ok())
            .filter(|size| *size > 0)
            .map(Self)
            .ok_or_else(|| {
                D::Error::invalid_value(
                    Unexpected::Str(&text),
                    &"a size such as \"512 KiB\" or \"4 MiB\"",
                )
            })
    }
}

/// How Temporal retries and times a crawl: `[temporal.policy]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyConfig {
    /// Failures in a row, without an acknowledged page between them, that end a scope's crawl, or a
    /// step that is no scope's.
    pub attempts: u32,
    pub initial_interval: Duration,
    pub backoff: f64,
    pub max_interval: Duration,
    pub start_to_close: Duration,
    pub heartbeat_timeout: Duration,
    /// Scopes of one crawl that run at the same time.
    pub parallel_scopes: usize,
}

impl PolicyConfig {
    /// How many failures like this one, in a row, are the last. A source that wants to be left alone for
    /// longer than the longest interval is not waited for.
    pub fn allowed(&self, failure: &Failure) -> u32 {
        let long = failure.retry_after.is_some_and(|pause| pause > self.max_interval);
        if long && failure.kind.is_away() { 1 } else { self.attempts }
    }

    /// How long to wait after a failure, the last of so many in a row.
    pub fn pause_after(&self, failure: &Failure, failures: u32) -> Duration {
        failure.retry_after.unwrap_or_else(|| self.pause(failures))
    }

    /// How long to wait after so many failures in a row.
    fn pause(&self, failures: u32) -> Duration {
        let more = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let pause = self.initial_interval.as_secs_f64() * self.backoff.powi(more);
        Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX).min(self.max_interval)
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            attempts: 3,
            initial_interval: Duration::from_secs(30),
            backoff: 2.0,
            max_interval: Duration::from_secs(300),
            start_to_close: Duration::from_secs(2 * 3600),
            heartbeat_timeout: Duration::from_secs(30),
            parallel_scopes: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_by_the_policy_up_to_the_longest() {
        let policy = PolicyConfig::default();
        let pauses = [1, 2, 3, 4, 5, 40_000].map(|failures| policy.pause(failures).as_secs());
        assert_eq!(pauses, [30, 60, 120, 240, 300, 300]);
    }
}
