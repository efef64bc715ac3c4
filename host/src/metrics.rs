//! What this process counts, as Prometheus reads it. What is true of a connection, whoever crawls it, is read from the
//! store instead: see `observe/`.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{Counter, CounterVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::task::AbortHandle;

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
    /// 1 while the file of this process has been changed to something that it does not take.
    pub configuration_refused: IntGauge,
    /// Guests that run now, by connection.
    pub guests: IntGaugeVec,
    pub guest_cpu: CounterVec,
}

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let of_connections = ["connection"].as_slice();
        let counts = |name, help| {
            registered(&registry, IntCounterVec::new(opts(name, help), of_connections))
        };
        let seconds =
            |name, help| registered(&registry, CounterVec::new(opts(name, help), of_connections));
        let responses =
            opts("glean_responses_total", "Glean's answers by status; none: there was no answer");
        let glean_responses = registered(&registry, IntCounterVec::new(responses, &["status"]));
        // What is counted from 0 is seen when it becomes 1.
        for status in ["200", "401", "403", "429", "500", "503", "none"] {
            glean_responses.with_label_values(&[status]).inc_by(0);
        }
        let throttled = opts(
            "glean_throttled_seconds_total",
            "Seconds that requests waited for Glean's limits, of all requests together",
        );
        let guests = opts("guests", "Guests that run in this worker");
        let refused = opts(
            "configuration_refused",
            "1 while sheaf.toml was changed to something that the worker does not take",
        );
        Self {
            documents: counts("documents_total", "Documents that Glean has taken"),
            bytes: counts("bytes_total", "Bytes of JSON of these documents"),
            batches: counts("batches_total", "Requests that these documents went in"),
            quarantined: counts("quarantined_total", "Documents that were quarantined"),
            glean_responses,
            glean_throttled: registered(&registry, Counter::with_opts(throttled)),
            source_throttled: seconds(
                "source_throttled_seconds_total",
                "Seconds that requests to a source waited for it, or for its limits",
            ),
            configuration_refused: registered(&registry, IntGauge::with_opts(refused)),
            guests: registered(&registry, IntGaugeVec::new(guests, of_connections)),
            guest_cpu: seconds(
                "guest_cpu_seconds_total",
                "Seconds that guests computed in this worker",
            ),
            registry,
        }
    }

    /// Counts what something waits for Glean's limits.
    pub async fn throttled_by_glean<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        // A turn that is had at once costs less.
        if let Ok(done) = tokio::time::timeout(WORTH_COUNTING, &mut wait).await {
            return done;
        }
        let _counting = Counting::into(self.glean_throttled.clone());
        wait.await
    }

    /// Counts what a connection's requests wait for their source, until it is dropped.
    pub fn throttled_by_source(&self, connection: &str) -> Counting {
        Counting::into(self.source_throttled.with_label_values(&[connection]))
    }
}

/// Counts the seconds until it is dropped. Of a long wait they are seen while it lasts.
pub struct Counting {
    counted: Arc<Mutex<Counted>>,
    seen: AbortHandle,
}

struct Counted {
    counter: Counter,
    until: Instant,
}

impl Counting {
    fn into(counter: Counter) -> Self {
        let counted = Arc::new(Mutex::new(Counted { counter, until: Instant::now() }));
        let counts = counted.clone();
        let seen = tokio::spawn(async move {
            loop {
                tokio::time::sleep(SEEN).await;
                count(&counts);
            }
        });
        Self { counted, seen: seen.abort_handle() }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.seen.abort();
        count(&self.counted);
    }
}

fn count(counted: &Mutex<Counted>) {
    let Counted { counter, until } = &mut *counted.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    counter.inc_by((now - *until).as_secs_f64());
    *until = now;
}

const WORTH_COUNTING: Duration = Duration::from_millis(1);
/// How often a wait that lasts is counted.
const SEEN: Duration = Duration::from_secs(1);

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("sheaf_{name}"), help)
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<C>,
) -> C {
    let metric = metric.expect("a valid name");
    registry.register(Box::new(metric.clone())).expect("each name is registered once");
    metric
}
