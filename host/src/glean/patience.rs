//! How long a request that fails is sent again, and when.
//!
//! Glean is deployed, networks are cut: what passes within `glean.patience` is waited for and fails
//! nothing. The bound is a time and not a number of tries, because an outage is one. Each wait is a
//! random part of one that doubles ("full jitter"), so that many clients do not come back at once;
//! where Glean says `Retry-After`, at least that long.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait is a part of this; it doubles with each try.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// One request's tries.
#[derive(Debug)]
pub struct Patience {
    lasts: Duration,
    /// The first failure.
    since: Option<Instant>,
    tries: u32,
}

impl Patience {
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, since: None, tries: 0 }
    }

    /// How often it failed.
    pub fn tries(&self) -> u32 {
        self.tries
    }

    /// How long it has failed.
    pub fn lasted(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }

    /// It failed: how long to wait before the next try, if there is one. `random` is from 0 to 1.
    pub fn next(
        &mut self,
        now: Instant,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        self.tries = self.tries.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let left = self.lasts.saturating_sub(now - since);
        let most = FIRST.saturating_mul(1 << (self.tries - 1).min(10)).min(LONGEST);
        // Where a server says how long, only a little is added: many clients heard the same.
        let (least, more) = retry_after.map_or((Duration::ZERO, most), |after| (after, FIRST));
        // The last try is at the end of what is left. A server that wants more is not asked again.
        if left.is_zero() || least > left {
            return None;
        }
        Some((least + more.mul_f64(random)).min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Tries on a clock of its own until `back`, or until patience is over: the tries' times.
    fn tries(
        lasts: Duration,
        back: Duration,
        after: Option<Duration>,
        random: f64,
    ) -> Vec<Duration> {
        let begin = Instant::now();
        let mut patience = Patience::new(lasts);
        let mut now = begin;
        let mut times = vec![Duration::ZERO];
        while now - begin < back {
            let Some(wait) = patience.next(now, after, random) else { break };
            now += wait;
            times.push(now - begin);
        }
        times
    }

    #[test]
    fn an_outage_of_five_minutes_is_waited_for_and_one_of_an_hour_is_given_up_after_ten_minutes() {
        for random in [0.1, 0.5, 1.0] {
            let times = tries(10 * MINUTE, 5 * MINUTE, None, random);
            let last = times[times.len() - 1];
            assert!(last >= 5 * MINUTE && last <= 5 * MINUTE + LONGEST, "{random}: {last:?}");
            let times = tries(10 * MINUTE, 60 * MINUTE, None, random);
            assert_eq!(times[times.len() - 1], 10 * MINUTE, "{random}: the last try is at its end");
            assert!(times.len() > 20, "{random}: {}", times.len());
        }
    }

    #[test]
    fn waits_double_up_to_half_a_minute_and_are_cut_at_random() {
        let waits = |random| -> Vec<Duration> {
            let times = tries(10 * MINUTE, 3 * MINUTE, None, random);
            times.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect()
        };
        assert_eq!(waits(1.0)[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert!(waits(1.0).iter().all(|wait| *wait <= LONGEST));
        assert_eq!(waits(0.25)[2], FIRST);
    }

    #[test]
    fn a_server_that_asks_for_a_pause_is_left_alone_for_as_long() {
        let after = Some(MINUTE);
        let times = tries(10 * MINUTE, 4 * MINUTE, after, 0.5);
        assert!(times.windows(2).all(|pair| pair[1].abs_diff(pair[0]) >= MINUTE), "{times:?}");
        // It will not be there before patience is over: nobody waits for nothing.
        assert_eq!(tries(MINUTE, 60 * MINUTE, Some(2 * MINUTE), 0.5).len(), 1);
    }
}
