//! How connections stand, as gauges.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use super::seen::{Seen, SeenConnection, SeenKind};
use crate::failure::{Failure, Result};
use crate::machine;
use crate::release::{COMMIT, VERSION};

/// The exposition of these, in Prometheus's text format.
pub(super) fn text(seen: &Seen) -> Result<String> {
    encoded(&families(seen))
}

pub(super) fn encoded(families: &[MetricFamily]) -> Result<String> {
    let mut bytes = Vec::new();
    TextEncoder::new()
        .encode(families, &mut bytes)
        .map_err(|error| Failure::internal(format!("metrics cannot be written: {error}")))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[allow(clippy::cast_precision_loss)]
fn families(seen: &Seen) -> Vec<MetricFamily> {
    let all = &seen.connections;
    let built = [("version", VERSION), ("commit", COMMIT)];
    let mut families = vec![
        family("build_info", "Which build this worker is", vec![metric(&built, 1.0)]),
        family(
            "state_read_timestamp_seconds",
            "When this worker last read how connections stand",
            vec![metric(&[], seen.at.seconds() as f64)],
        ),
        family("connection_info", "What a connection is", all.iter().map(info).collect()),
        family("connection_state", "How a connection stands", all.iter().map(state).collect()),
    ];
    families.extend(of_kinds(all));
    let each = |value: &dyn Fn(&SeenConnection) -> Option<f64>| {
        let values = all.iter().filter_map(|one| Some((one, value(one)?)));
        values.map(|(one, value)| metric(&[("connection", &one.name)], value)).collect()
    };
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    for (name, help, value) in [
        (
            "crawl_running",
            "Whether anybody crawls the connection's documents now",
            each(&|one| Some(f64::from(u8::from(one.at_work)))),
        ),
        (
            "crawl_held_since_timestamp_seconds",
            "Since when something waits for an approval",
            each(&|one| one.held.as_ref().map(|held| held.since.seconds() as f64)),
        ),
        (
            "refused_changes",
            "Deletions and changes of access that Glean refuses",
            each(&|one| Some(one.refused as f64)),
        ),
        (
            "last_crawl_documents",
            "Documents that the last full crawl uploaded",
            each(&|one| one.full.map(|full| full.documents as f64)),
        ),
        (
            "last_crawl_quarantined_ratio",
            "Share of the last full crawl's documents that were quarantined",
            each(&|one| {
                one.full.map(|full| share(full.quarantined, full.documents + full.quarantined))
            }),
        ),
        (
            "last_crawl_access_unknown_ratio",
            "Share of the last full crawl's documents that nobody finds, because their access is not known",
            each(&|one| one.full.map(|full| share(full.access_unknown, full.documents))),
        ),
        (
            "guest_memory_bytes",
            "The most memory that a guest of the last full crawl had",
            each(&|one| one.full.map(|full| full.memory as f64)),
        ),
        (
            "ledger_bytes",
            "What is kept of the documents that Glean has",
            each(&|one| Some(one.ledger_bytes as f64)),
        ),
    ] {
        families.push(family(name, help, value));
    }
    // The text format has no family without a metric.
    families.retain(|family| !family.get_metric().is_empty());
    families
}

#[allow(clippy::cast_precision_loss)]
fn of_kinds(all: &[SeenConnection]) -> [MetricFamily; 3] {
    let each = |value: &dyn Fn(&SeenKind) -> Option<f64>| {
        let kinds = all.iter().flat_map(|one| one.kinds.iter().map(move |kind| (one, kind)));
        let values = kinds.filter_map(|(one, kind)| Some((one, kind, value(kind)?)));
        let metrics = values.map(|(one, kind, value)| {
            metric(&[("connection", &one.name), ("kind", kind.kind.name())], value)
        });
        metrics.collect()
    };
    [
        family(
            "crawl_last_complete_timestamp_seconds",
            "When the last complete crawl of a kind ended; 0: there was none",
            each(&|kind| match kind.complete {
                Some(complete) => Some(complete.seconds() as f64),
                None => kind.rhythm.is_some().then_some(0.0),
            }),
        ),
        family(
            "crawl_interval_seconds",
            "The longest time between two crawls of a kind, by its schedule",
            each(&|kind| Some(kind.rhythm.as_ref()?.interval?.as_secs_f64())),
        ),
        family(
            "crawl_failures",
            "Crawls of a kind that failed, in a row",
            each(&|kind| Some(kind.failures as f64)),
        ),
    ]
}

fn info(one: &SeenConnection) -> Metric {
    let of = &one.connector;
    metric(
        &[
            ("connection", one.name.as_str()),
            ("datasource", &one.datasource),
            ("connector", &of.name),
            ("version", &of.version),
            ("digest", &of.digest),
            ("signer", &of.signer),
        ],
        1.0,
    )
}

fn state(one: &SeenConnection) -> Metric {
    metric(&[("connection", &one.name), ("state", one.state.name())], 1.0)
}

/// What this process uses itself, under the names that such things have everywhere. Its cells are processes of their own.
#[allow(clippy::cast_precision_loss)]
pub(super) fn of_process() -> Vec<MetricFamily> {
    let used = machine::used();
    let one = |name: &str, help: &str, kind: MetricType, value: f64| {
        let mut family = family(name, help, Vec::new());
        family.set_name(name.to_owned());
        family.set_field_type(kind);
        let mut metric = metric(&[], value);
        if kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric = Metric::default();
            metric.set_counter(counter);
        }
        family.set_metric(vec![metric]);
        family
    };
    vec![
        one(
            "process_cpu_seconds_total",
            "Seconds that this process computed",
            MetricType::COUNTER,
            used.cpu.as_secs_f64(),
        ),
        one(
            "process_resident_memory_bytes",
            "Memory of this process",
            MetricType::GAUGE,
            used.memory as f64,
        ),
    ]
}

pub(super) fn family(name: &str, help: &str, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("sheaf_{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(MetricType::GAUGE);
    family.set_metric(metrics);
    family
}

pub(super) fn metric(labels: &[(&str, &str)], value: f64) -> Metric {
    let labels = labels.iter().map(|(name, value)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    });
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_label(labels.collect());
    metric.set_gauge(gauge);
    metric
}
