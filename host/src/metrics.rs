//! What this process counts, as Prometheus reads it. What is true of a connection, whoever crawls it, is read from the
//! store instead: see `observe/`.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{Counter, CounterVec, IntCounterVec, IntGaugeVec, Opts, Registry};

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// What this process counts.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

pub struct Metrics {
    pub registry: Registry,
    /// Documents that Glean has taken, by connection; what they are as JSON, and in how many requests.
    pub documents: IntCounterVec,
    pub bytes: IntCounterVec,
    pub batches: IntCounterVec,
    pub quarantined: IntCounterVec,
    /// Glean's answers by status; `none` where there was none.
    pub glean_responses: IntCounterVec,
    /// Seconds that requests waited for Glean's limits, of all requests together.
    pub glean_throttled: Counter,
    /// Seconds that a connection's requests waited for their source, or for its limits.
    pub source_throttled: CounterVec,
    /// Guests that run now, by connection.
    pub guests: IntGaugeVec,
    pub guest_cpu: CounterVec,
}

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let of_connections = ["connection"].as_slice();
        let metrics = Self {
            documents: vec(
                IntCounterVec::new,
                "documents_total",
                "Documents that Glean has taken",
                of_connections,
            ),
            bytes: vec(
                IntCounterVec::new,
                "bytes_total",
                "Bytes of JSON of these documents",
                of_connections,
            ),
            batches: vec(
                IntCounterVec::new,
                "batches_total",
                "Requests that these documents went in",
                of_connections,
            ),
            quarantined: vec(
                IntCounterVec::new,
                "quarantined_total",
                "Documents that were set aside with a reason",
                of_connections,
            ),
            glean_responses: vec(
                IntCounterVec::new,
                "glean_responses_total",
                "Glean's answers by status; none: there was no answer",
                &["status"],
            ),
            glean_throttled: Counter::with_opts(opts(
                "glean_throttled_seconds_total",
                "Seconds that requests waited for Glean's limits, of all requests together",
            ))
            .expect("a valid name"),
            source_throttled: vec(
                CounterVec::new,
                "source_throttled_seconds_total",
                "Seconds that requests to a source waited for it, or for its limits",
                of_connections,
            ),
            guests: vec(
                IntGaugeVec::new,
                "guests",
                "Guests that run in this worker",
                of_connections,
            ),
            guest_cpu: vec(
                CounterVec::new,
                "guest_cpu_seconds_total",
                "Seconds that guests computed in this worker",
                of_connections,
            ),
            registry,
        };
        // What is counted from 0 is seen when it becomes 1.
        for status in ["200", "401", "403", "429", "500", "503", "none"] {
            metrics.glean_responses.with_label_values(&[status]).inc_by(0);
        }
        let all: [Box<dyn Collector>; 9] = [
            Box::new(metrics.documents.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.batches.clone()),
            Box::new(metrics.quarantined.clone()),
            Box::new(metrics.glean_responses.clone()),
            Box::new(metrics.glean_throttled.clone()),
            Box::new(metrics.source_throttled.clone()),
            Box::new(metrics.guests.clone()),
            Box::new(metrics.guest_cpu.clone()),
        ];
        for metric in all {
            metrics.registry.register(metric).expect("each name is registered once");
        }
        metrics
    }

    /// Counts what something waits for Glean's limits.
    pub async fn throttled_by_glean<T>(&self, wait: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let done = wait.await;
        let waited = began.elapsed();
        if waited >= WORTH_COUNTING {
            self.glean_throttled.inc_by(waited.as_secs_f64());
        }
        done
    }
}

/// A turn that is had at once costs less than this.
const WORTH_COUNTING: Duration = Duration::from_millis(1);

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("sheaf_{name}"), help)
}

fn vec<V>(
    new: fn(Opts, &[&str]) -> prometheus::Result<V>,
    name: &str,
    help: &str,
    labels: &[&str],
) -> V {
    new(opts(name, help), labels).expect("a valid name")
}
