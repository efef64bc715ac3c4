//! How much a guest may use. Policy and meters, without wasmtime's store.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Limits of one connection, each under its key in `[connections.NAME.limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory, in bytes, of all the guest's memories together.
    pub memory: usize,
    /// Time the guest itself may compute in one call.
    pub cpu_per_call: Duration,
    /// Time one call may take, waiting included.
    pub wall_per_call: Duration,
    /// Documents the host asks for in one page.
    pub page_documents: u32,
    /// Bytes the host asks for in one page. Twice as many, and at least 16 MiB, are the law.
    pub page_bytes: u32,
    /// Lines a guest may log in one second; more are dropped and counted.
    pub log_lines_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            cpu_per_call: Duration::from_secs(60),
            wall_per_call: Duration::from_secs(300),
            page_documents: 500,
            page_bytes: 1 << 20,
            log_lines_per_second: 100,
        }
    }
}

impl Limits {
    /// What a call may hand over at most, in bytes: refused before it is allocated.
    pub fn page_bytes_at_most(&self) -> usize {
        (self.page_bytes as usize * 2).max(16 << 20)
    }

    /// The limits of a component that was granted nothing and only describes itself.
    pub fn for_describe() -> Self {
        Self {
            cpu_per_call: Duration::from_secs(5),
            wall_per_call: Duration::from_secs(20),
            ..Self::default()
        }
    }
}

/// Which limit a guest ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    Memory,
    Cpu,
}

/// Counts a guest's memory and refuses what goes over the limit.
#[derive(Debug)]
pub struct MemoryMeter {
    limit: usize,
    used: usize,
    /// The most that was ever in use, in bytes.
    pub high_water: usize,
    pub exceeded: bool,
}

impl MemoryMeter {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: 0, high_water: 0, exceeded: false }
    }
}

/// More table entries than any toolchain's output needs.
const MAX_TABLE_ENTRIES: usize = 1 << 20;

impl ResourceLimiter for MemoryMeter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used + desired.saturating_sub(current);
        if used > self.limit {
            self.exceeded = true;
            return Ok(false);
        }
        self.used = used;
        self.high_water = self.high_water.max(used);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ENTRIES)
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

/// Counts the ticks a guest computed for, call by call.
#[derive(Debug)]
pub struct CpuMeter {
    limit: u64,
    used: u64,
    pub exceeded: bool,
}

impl CpuMeter {
    pub fn new(per_call: Duration, tick: Duration) -> Self {
        let limit = u64::try_from(per_call.as_nanos() / tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        Self { limit, used: 0, exceeded: false }
    }

    /// A new call begins.
    pub fn renew(&mut self) {
        self.used = 0;
    }

    /// One tick passed while the guest computed. False when the budget is spent.
    pub fn tick(&mut self) -> bool {
        self.used += 1;
        self.exceeded = self.used > self.limit;
        !self.exceeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_over_the_limit_is_refused_and_remembered() {
        let mut meter = MemoryMeter::new(100);
        assert!(meter.memory_growing(0, 60, None).is_ok_and(|granted| granted));
        assert!(meter.memory_growing(0, 50, None).is_ok_and(|granted| !granted));
        assert!(meter.exceeded);
        assert_eq!(meter.high_water, 60);
    }

    #[test]
    fn cpu_is_counted_per_call() {
        let tick = Duration::from_millis(10);
        let mut meter = CpuMeter::new(Duration::from_millis(20), tick);
        assert!(meter.tick() && meter.tick());
        assert!(!meter.tick());
        meter.renew();
        assert!(meter.tick());
    }
}
