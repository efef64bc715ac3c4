//! When connections are crawled, as Temporal has it: what is due next, and how far apart crawls may be.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::clock::Timestamp;
use crate::crawl::ModeName;
use crate::temporal::schedules::Found;

/// What is crawled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Full,
    Incremental,
    Identities,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Full, Self::Incremental, Self::Identities];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::Identities => "identities",
        }
    }

    pub(super) fn mode(self) -> Option<ModeName> {
        match self {
            Self::Full => Some(ModeName::Full),
            Self::Incremental => Some(ModeName::Incremental),
            Self::Identities => None,
        }
    }

    fn of(found: &Found) -> Self {
        match found.schedule.mode {
            _ if found.schedule.identities => Self::Identities,
            ModeName::Full => Self::Full,
            ModeName::Incremental => Self::Incremental,
        }
    }
}

/// The crawls of one kind of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    /// The longest time between two of them; of several schedules the shortest.
    pub(super) interval: Option<Duration>,
    pub(super) next: Option<Timestamp>,
    /// Every schedule of this kind is paused.
    pub(super) paused: bool,
}

/// By connection and kind. What is paused has no rhythm: nobody waits for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythms(BTreeMap<(String, Kind), Vec<One>>);

#[derive(Clone, Debug)]
struct One {
    interval: Option<Duration>,
    times: Vec<SystemTime>,
    paused: bool,
}

impl Rhythms {
    pub(super) fn of(found: Vec<Found>) -> Self {
        let mut rhythms = Self::default();
        for found in found {
            let kind = Kind::of(&found);
            let interval = found.schedule.every.or_else(|| longest(&found.times));
            let of = rhythms.0.entry((found.connection.to_string(), kind)).or_default();
            of.push(One { interval, times: found.times, paused: found.paused });
        }
        rhythms
    }

    /// Nothing where there is no schedule.
    pub(super) fn of_connection(&self, connection: &str, kind: Kind) -> Option<Rhythm> {
        let all = self.0.get(&(connection.to_owned(), kind))?;
        let run = || all.iter().filter(|one| !one.paused);
        let now = SystemTime::now();
        let next = run().flat_map(|one| one.times.iter().filter(|time| **time > now)).min();
        Some(Rhythm {
            interval: run().filter_map(|one| one.interval).min(),
            next: next.map(|time| Timestamp::of(*time)),
            paused: run().next().is_none(),
        })
    }
}

/// The longest time between two of these points, which are in order: those of a calendar are not evenly apart.
fn longest(times: &[SystemTime]) -> Option<Duration> {
    times.windows(2).filter_map(|pair| pair[1].duration_since(pair[0]).ok()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_s_rhythm_is_the_longest_pause_in_it() {
        let day = 86_400;
        let at = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * day);
        // Friday, Monday, Tuesday: the weekend counts.
        assert_eq!(longest(&[at(1), at(4), at(5)]), Some(Duration::from_secs(3 * day)));
        assert_eq!(longest(&[at(1)]), None);
    }
}
