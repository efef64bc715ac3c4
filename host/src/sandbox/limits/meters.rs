//! What a guest uses: counted while it runs, and refused where it is too much. Wasmtime's store asks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::keys::Limits;
use super::priority;

/// Which limit a guest ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Memory,
    Tables,
    CpuPerCall,
    CpuPerCrawl,
}

/// What a guest used: written while it runs, read by whoever reports it.
#[derive(Debug, Default)]
pub struct Usage {
    /// The most memory it ever had, in bytes.
    memory: AtomicU64,
    /// Time it computed, in nanoseconds.
    cpu: AtomicU64,
    /// The same of all guests of its crawl in this process.
    crawl: Arc<AtomicU64>,
}

impl Usage {
    /// `crawl` counts for a whole crawl, of which at least `before` was used elsewhere.
    pub fn of_crawl(crawl: Arc<AtomicU64>, before: Duration) -> Arc<Self> {
        crawl.fetch_max(nanoseconds(before), Ordering::Relaxed);
        Arc::new(Self { crawl, ..Self::default() })
    }

    pub fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu.load(Ordering::Relaxed))
    }

    /// Time that all guests of its crawl computed in this process.
    pub fn of_whole_crawl(&self) -> Duration {
        Duration::from_nanos(self.crawl.load(Ordering::Relaxed))
    }

    /// What another process says that it used.
    pub(crate) fn was_told(&self, memory: u64, cpu: u64, crawl: u64) {
        for (known, told) in [(&self.memory, memory), (&self.cpu, cpu), (&*self.crawl, crawl)] {
            known.fetch_max(told, Ordering::Relaxed);
        }
    }

    fn computed(&self, time: Duration) {
        let time = nanoseconds(time);
        self.cpu.fetch_add(time, Ordering::Relaxed);
        self.crawl.fetch_add(time, Ordering::Relaxed);
    }

    /// Runs a guest's call, and counts the time it computes for.
    pub(crate) fn measure<F: Future + Unpin>(
        self: &Arc<Self>,
        call: F,
    ) -> impl Future<Output = F::Output> {
        Measured { call, usage: self.clone() }
    }
}

/// Counts the time of the thread that polls it: what waits costs nothing.
struct Measured<F> {
    call: F,
    usage: Arc<Usage>,
}

impl<F: Future + Unpin> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = thread_time();
        let polled = Pin::new(&mut self.call).poll(context);
        self.usage.computed(thread_time().saturating_sub(before));
        polled
    }
}

#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// Counts a guest's memory and tables, and refuses what goes over the limit.
#[derive(Debug)]
pub(crate) struct MemoryMeter {
    limit: usize,
    used: usize,
    table_entries: usize,
    used_entries: usize,
    usage: Arc<Usage>,
    pub(crate) exceeded: Option<Exceeded>,
}

impl MemoryMeter {
    pub(crate) fn new(limits: &Limits, usage: Arc<Usage>) -> Self {
        let Limits { memory, table_entries, .. } = *limits;
        Self { limit: memory, used: 0, table_entries, used_entries: 0, usage, exceeded: None }
    }
}

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used + desired.saturating_sub(current);
        if used > self.limit {
            self.exceeded = Some(Exceeded::Memory);
            return Ok(false);
        }
        self.used = used;
        self.usage.memory.fetch_max(used as u64, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // All tables together: a component may have many.
        let used = self.used_entries + desired.saturating_sub(current);
        if used > self.table_entries {
            self.exceeded = Some(Exceeded::Tables);
            return Ok(false);
        }
        self.used_entries = used;
        Ok(true)
    }

    fn instances(&self) -> usize {
        200
    }

    fn tables(&self) -> usize {
        200
    }

    fn memories(&self) -> usize {
        50
    }
}

/// Whether a guest has computed for too long: in this call, or in its whole crawl.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    per_call: u64,
    per_crawl: u64,
    /// What was used when the call began.
    before: u64,
    usage: Arc<Usage>,
    pub(crate) exceeded: Option<Exceeded>,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl CpuMeter {
    pub(crate) fn new(limits: &Limits, usage: Arc<Usage>) -> Self {
        Self {
            per_call: nanoseconds(limits.cpu_per_call),
            per_crawl: nanoseconds(limits.cpu_per_crawl),
            before: 0,
            usage,
            exceeded: None,
        }
    }

    /// A new call begins. A crawl's budget is not renewed.
    pub(crate) fn renew(&mut self) {
        self.before = self.usage.cpu.load(Ordering::Relaxed);
        self.exceeded = None;
    }

    /// The guest is computing. False when the budget is spent.
    pub(crate) fn tick(&mut self) -> bool {
        let call = self.usage.cpu.load(Ordering::Relaxed).saturating_sub(self.before);
        if call > self.per_call {
            self.exceeded = Some(Exceeded::CpuPerCall);
        } else if self.usage.crawl.load(Ordering::Relaxed) > self.per_crawl {
            self.exceeded = Some(Exceeded::CpuPerCrawl);
        } else {
            priority::has_computed(Duration::from_nanos(call));
        }
        self.exceeded.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_over_the_limit_is_refused_and_remembered() {
        let limits = Limits { memory: 100, table_entries: 10, ..Limits::default() };
        let usage = Arc::new(Usage::default());
        let mut meter = MemoryMeter::new(&limits, usage.clone());
        assert!(meter.memory_growing(0, 60, None).is_ok_and(|granted| granted));
        assert!(meter.memory_growing(0, 50, None).is_ok_and(|granted| !granted));
        assert_eq!(meter.exceeded, Some(Exceeded::Memory));
        assert_eq!(usage.memory(), 60);
        assert!(meter.table_growing(0, 10, None).is_ok_and(|granted| granted));
        assert!(meter.table_growing(0, 1, None).is_ok_and(|granted| !granted));
        assert_eq!(meter.exceeded, Some(Exceeded::Tables));
    }

    #[test]
    fn cpu_is_renewed_by_a_call_but_not_for_a_crawl() {
        let limits = Limits {
            cpu_per_call: Duration::from_millis(20),
            cpu_per_crawl: Duration::from_millis(50),
            ..Limits::default()
        };
        let usage = Arc::new(Usage::default());
        let mut meter = CpuMeter::new(&limits, usage.clone());
        usage.computed(Duration::from_millis(20));
        assert!(meter.tick());
        usage.computed(Duration::from_millis(10));
        assert!(!meter.tick());
        assert_eq!(meter.exceeded, Some(Exceeded::CpuPerCall));
        meter.renew();
        assert!(meter.tick());
        usage.computed(Duration::from_millis(21));
        meter.renew();
        assert!(!meter.tick());
        assert_eq!(meter.exceeded, Some(Exceeded::CpuPerCrawl));
        // Another scope of the same crawl shares its budget.
        let mut other =
            CpuMeter::new(&limits, Usage::of_crawl(usage.crawl.clone(), Duration::ZERO));
        other.renew();
        assert!(!other.tick());
    }
}
