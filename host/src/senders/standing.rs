//! When this process may send, and which part of a limit is its own. Pure: it is told what was done and seen, and when.
//!
//! Whoever sends has announced itself, and looks again and again at who else has:
//!
//! - What a look saw counts for some time after it began: [`Times::certain`]. So whoever was announced for longer than that, and only
//!   then, knows that everybody who sends has seen it, and takes a part that the others have left to it.
//! - A look that sees nobody else needs no such wait: whoever comes later sees this process, and waits.
//! - An announcement counts for others until all that was taken by it is past: [`Times::lasts`], by the stamps of the
//!   store. Whoever has not renewed it in time is new.
//!
//! Thus of all who send at one moment each has seen all others, and their parts are no more than the whole. What was
//! taken by a larger part before counts for as long as the limit's window lasts, and is waited for.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is looked, and for how long that counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Whoever sends renews its announcement this often, and looks.
    pub(super) renew: Duration,
    /// For so long after it began, what a look saw is so.
    pub(super) certain: Duration,
}

impl Times {
    /// Each look is two requests.
    pub(super) const BUCKET: Self =
        Self { renew: Duration::from_secs(10), certain: Duration::from_secs(15) };
    /// It costs next to nothing.
    pub(super) const FOLDER: Self =
        Self { renew: Duration::from_secs(2), certain: Duration::from_secs(5) };

    /// How long after its stamp an announcement counts. `window`: the stretch of time that the limit is about.
    pub(super) fn lasts(self, window: Duration) -> Duration {
        self.certain + window + SLACK
    }
}

/// Stamps of stores are of whole seconds.
const SLACK: Duration = Duration::from_secs(2);

/// How long after it took something a process stays announced; until all that it took is past, at least. `works`: whether
/// anything is under way. Where nothing is, the next piece of a crawl may come at any moment, and to be announced anew
/// is to wait.
pub(super) fn stays(window: Duration, works: bool) -> Duration {
    window.max(Duration::from_secs(if works { 120 } else { 30 }))
}

#[derive(Debug)]
pub(super) struct Standing {
    times: Times,
    window: Duration,
    announced: Option<Announced>,
}

#[derive(Debug)]
struct Announced {
    /// When the last announcement was begun: it may have been made at once.
    newest: Instant,
    /// When the first of them was certainly made.
    since: Instant,
    /// When the last look began, and how many it saw, this process included.
    looked: Option<(Instant, usize)>,
    /// Whether everybody leaves its part to it.
    entered: bool,
}

impl Standing {
    pub(super) fn new(times: Times, window: Duration) -> Self {
        Self { times, window, announced: None }
    }

    /// Whether others have seen it all the time.
    pub(super) fn is_announced(&self, now: Instant) -> bool {
        self.announced.as_ref().is_some_and(|announced| now < announced.newest + self.times.certain)
    }

    /// Whether it is time to announce it again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.announced.as_ref().is_none_or(|announced| now >= announced.newest + self.times.renew)
    }

    /// It was announced, again or for the first time.
    pub(super) fn announced(&mut self, begun: Instant, done: Instant) {
        let is_new = !self.is_announced(done);
        match &mut self.announced {
            Some(announced) if !is_new => announced.newest = begun,
            announced => {
                let (newest, since) = (begun, done);
                *announced = Some(Announced { newest, since, looked: None, entered: false });
            }
        }
    }

    /// A look that was begun then saw so many others.
    pub(super) fn looked(&mut self, begun: Instant, others: usize) {
        let Some(announced) = &mut self.announced else { return };
        announced.looked = Some((begun, others + 1));
        announced.entered |=
            others == 0 || begun >= announced.since + self.times.certain + self.window;
    }

    /// Among how many the limit is divided; nothing while this process may not send.
    pub(super) fn among(&self, now: Instant) -> Option<usize> {
        let announced = self.announced.as_ref().filter(|announced| announced.entered)?;
        let (begun, among) = announced.looked?;
        (now < begun + self.times.certain).then_some(among)
    }

    /// It sends nothing any more, and has taken its announcement back.
    pub(super) fn left(&mut self) {
        self.announced = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn second(base: Instant, seconds: u64) -> Instant {
        base + Duration::from_secs(seconds)
    }

    #[test]
    fn who_is_alone_sends_at_once_and_who_is_not_waits_until_all_others_have_seen_it() {
        let base = Instant::now();
        let at = |seconds| second(base, seconds);
        let mut alone = Standing::new(Times::BUCKET, WINDOW);
        assert_eq!((alone.is_due(at(0)), alone.among(at(0))), (true, None));
        alone.announced(at(0), at(1));
        alone.looked(at(1), 0);
        assert_eq!((alone.among(at(1)), alone.among(at(15))), (Some(1), Some(1)));
        assert_eq!(alone.among(at(16)), None, "it has not looked for too long");
        let mut late = Standing::new(Times::BUCKET, WINDOW);
        late.announced(at(0), at(1));
        for seconds in [1, 10, 75] {
            late.announced(at(seconds), at(seconds));
            late.looked(at(seconds), 2);
            assert_eq!(late.among(at(seconds)), None);
        }
        late.looked(at(76), 2);
        assert_eq!(
            late.among(at(76)),
            None,
            "it was not renewed in between, and is new since the 75th"
        );
    }

    #[test]
    fn who_has_nothing_to_do_stays_for_a_while_and_never_leaves_before_what_it_took_is_past() {
        let seconds = Duration::from_secs;
        assert_eq!([false, true].map(|works| stays(seconds(1), works)), [30, 120].map(seconds));
        assert_eq!([false, true].map(|works| stays(WINDOW, works)), [60, 120].map(seconds));
        assert_eq!(stays(seconds(300), true), seconds(300));
    }

    #[test]
    fn who_could_not_renew_in_time_is_new() {
        let base = Instant::now();
        let at = |seconds| second(base, seconds);
        let mut slow = Standing::new(Times::BUCKET, WINDOW);
        slow.announced(at(0), at(0));
        slow.looked(at(0), 0);
        slow.announced(at(10), at(14));
        slow.looked(at(14), 1);
        assert_eq!(slow.among(at(14)), Some(2), "it was seen all the time");
        // Begun in time, and made too late.
        slow.announced(at(24), at(26));
        slow.looked(at(26), 1);
        assert_eq!(slow.among(at(26)), None);
        slow.looked(at(27), 0);
        assert_eq!(slow.among(at(27)), Some(1), "nobody else is left");
        slow.left();
        assert_eq!(slow.among(at(27)), None);
    }

    /// A process of the simulation below.
    struct Process {
        standing: Standing,
        /// What it does next, and when.
        next: u64,
        step: Step,
        begun: u64,
        /// Until when it takes part; it ends without a word.
        ends: u64,
        /// Until when the store does not answer it.
        cut: std::ops::Range<u64>,
        /// What it took, and when.
        taken: Vec<(u64, f64)>,
    }

    enum Step {
        Announce,
        Announced,
        Look,
    }

    /// A generator that is the same each time.
    struct Random(u64);

    impl Random {
        fn below(&mut self, most: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % most
        }
    }

    impl Process {
        fn new(random: &mut Random) -> Self {
            let begins = random.below(120);
            let cut = begins + random.below(200);
            Self {
                standing: Standing::new(Times::BUCKET, WINDOW),
                next: begins,
                step: Step::Announce,
                begun: begins,
                ends: begins + 30 + random.below(300),
                cut: cut..cut + random.below(60),
                taken: Vec::new(),
            }
        }

        /// What it does in a second. `stamps`: by whom an announcement is in the store, and since when.
        fn does(
            &mut self,
            me: usize,
            now: u64,
            base: Instant,
            stamps: &mut BTreeMap<usize, u64>,
            random: &mut Random,
        ) {
            let at = |seconds| second(base, seconds);
            if now < self.next || self.cut.contains(&now) {
                return;
            }
            match self.step {
                Step::Announce => {
                    self.begun = now;
                    (self.step, self.next) = (Step::Announced, now + random.below(4));
                }
                // It takes effect somewhere between, and its answer comes late.
                Step::Announced => {
                    stamps.insert(me, now);
                    let done = now + random.below(3);
                    self.standing.announced(at(self.begun), at(done));
                    (self.step, self.next) = (Step::Look, done);
                }
                Step::Look => {
                    let own = stamps[&me];
                    let counts = |stamp: u64| {
                        Duration::from_secs(own.saturating_sub(stamp))
                            <= Times::BUCKET.lasts(WINDOW)
                    };
                    let others =
                        stamps.iter().filter(|(who, stamp)| **who != me && counts(**stamp));
                    self.standing.looked(at(now), others.count());
                    self.next = now + 1 + random.below(6);
                    if self.standing.is_due(at(self.next)) {
                        self.step = Step::Announce;
                    }
                }
            }
        }

        /// Takes whatever its part allows, at once.
        fn takes(&mut self, now: u64, base: Instant) {
            let Some(among) = self.standing.among(second(base, now)) else { return };
            let lately = self.taken.iter().filter(|(at, _)| now - at < WINDOW.as_secs());
            let lately: f64 = lately.map(|(_, amount)| amount).sum();
            #[allow(clippy::cast_precision_loss)]
            let free = 600.0 / among as f64 - lately;
            if free > 0.0 {
                self.taken.push((now, free));
            }
        }
    }

    #[test]
    fn however_late_they_come_go_and_are_answered_all_together_keep_the_limit() {
        let mut sent = 0;
        for seed in 0..2_000 {
            let mut random = Random(seed);
            let base = Instant::now();
            let mut processes: Vec<_> =
                (0..2 + random.below(4)).map(|_| Process::new(&mut random)).collect();
            let mut stamps = BTreeMap::new();
            for now in 0..450 {
                for (me, process) in processes.iter_mut().enumerate() {
                    if now < process.ends {
                        process.does(me, now, base, &mut stamps, &mut random);
                        process.takes(now, base);
                    }
                }
                let all = processes.iter().flat_map(|process| &process.taken);
                let lately = all.filter(|(at, _)| now - at < WINDOW.as_secs());
                let lately: f64 = lately.map(|(_, amount)| amount).sum();
                assert!(lately <= 600.1, "{lately} in the minute before {now}, seed {seed}");
            }
            sent += processes.iter().filter(|process| !process.taken.is_empty()).count();
        }
        assert!(sent > 2_000, "most of them send: {sent}");
    }
}
