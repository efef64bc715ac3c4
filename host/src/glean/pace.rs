//! Token buckets, for the rates that Glean documents.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Lets so much through per second, on average; a full bucket may go at once.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    state: Mutex<(f64, Instant)>,
}

impl Pace {
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self {
            per_second,
            burst,
            state: Mutex::new((burst, Instant::now())),
        }
    }

    /// Takes `amount`, waiting until it is there. More than a whole bucket is owed afterwards.
    pub async fn take(&self, amount: f64) {
        // Held while waiting: turns are first come, first served.
        let mut state = self.state.lock().await;
        let (tokens, then) = *state;
        let now = Instant::now();
        let refilled = (now - then)
            .as_secs_f64()
            .mul_add(self.per_second, tokens)
            .min(self.burst);
        let needed = amount.min(self.burst);
        let mut left = refilled - amount;
        let mut at = now;
        if refilled < needed {
            let wait = Duration::from_secs_f64((needed - refilled) / self.per_second);
            tokio::time::sleep(wait).await;
            left += wait.as_secs_f64() * self.per_second;
            at = now + wait;
        }
        *state = (left, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let pace = Pace::new(10.0, 5.0);
        let start = Instant::now();
        for _ in 0..5 {
            pace.take(1.0).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            pace.take(1.0).await;
        }
        let taken = start.elapsed();
        assert!(taken >= Duration::from_millis(990) && taken < Duration::from_millis(1100));
    }
}
