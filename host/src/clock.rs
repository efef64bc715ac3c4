//! What time it is. Tests can stop the clock: nothing else in this crate asks for the date.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time, in whole seconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    pub fn now() -> Self {
        #[cfg(test)]
        if let Some(stopped) = stopped::now() {
            return stopped;
        }
        Self::of(SystemTime::now())
    }

    /// A time before 1970 counts as its beginning.
    pub fn of(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// As the ledger's records keep it.
    pub fn seconds_32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// As a part of a file's name: not all have colons.
    pub fn in_names(self) -> String {
        self.to_string().replace(':', "")
    }

    /// How long it is after an earlier time; nothing where that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// How long ago it was.
    pub fn age(self) -> Duration {
        Self::now().since(self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_secs(time.0)
    }
}

/// In RFC 3339: `2026-11-23T10:00:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds((*self).into()).fmt(f)
    }
}

/// A clock that stands still until it is moved, for the tests of one thread.
/// Seconds for people and scripts, to the millisecond.
pub fn to_milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

#[cfg(test)]
pub mod stopped {
    use std::cell::Cell;

    use super::{Duration, Timestamp};

    thread_local! {
        static NOW: Cell<Option<Timestamp>> = const { Cell::new(None) };
    }

    pub fn now() -> Option<Timestamp> {
        NOW.get()
    }

    /// A clock of the calling thread, which goes again when this is dropped. Other threads have the real time.
    pub struct Clock(());

    impl Clock {
        /// Stops it at the present.
        pub fn stop() -> Self {
            NOW.set(Some(Timestamp::now()));
            Self(())
        }

        pub fn advance(&self, by: Duration) {
            NOW.set(NOW.get().map(|now| now + by));
        }
    }

    impl Drop for Clock {
        fn drop(&mut self) {
            NOW.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_and_kept_as_others_read_it() {
        let time = Timestamp::from_seconds(1_764_064_800);
        assert_eq!(time.to_string(), "2025-11-25T10:00:00Z");
        assert_eq!(serde_json::to_string(&time).expect("JSON"), "1764064800");
        assert_eq!(time.since(time + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Timestamp::of(UNIX_EPOCH - Duration::from_secs(1)), Timestamp::default());
    }

    #[test]
    fn a_clock_that_is_stopped_moves_when_it_is_told_to() {
        let clock = stopped::Clock::stop();
        let then = Timestamp::now();
        assert_eq!(then.age(), Duration::ZERO);
        clock.advance(Duration::from_secs(90));
        assert_eq!(then.age(), Duration::from_secs(90));
    }
}
