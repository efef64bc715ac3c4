//! The metrics of Temporal's SDK. It serves them itself, on a port of this machine that only this process knows, and from
//! there they come into ours.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use temporalio_common::telemetry::metrics::CoreMeter;
use temporalio_common::telemetry::{PrometheusExporterOptions, start_prometheus_metric_exporter};

use crate::failure::{Failure, Result, cause};

/// It is a port of this process.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Sdk {
    pub meter: Arc<dyn CoreMeter>,
    http: reqwest::Client,
    url: String,
}

impl Sdk {
    /// Its metrics, under the names that Temporal documents.
    pub fn start() -> Result<Self> {
        crate::tls::choose_provider();
        let broken = |error: &dyn std::fmt::Display| {
            Failure::internal(format!("Temporal's metrics cannot be served: {error}"))
        };
        let options = PrometheusExporterOptions::builder()
            .socket_addr(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .counters_total_suffix(true)
            .unit_suffix(true)
            .use_seconds_for_durations(true)
            .build();
        let started = start_prometheus_metric_exporter(options).map_err(|error| broken(&error))?;
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        Ok(Self {
            meter: started.meter,
            http: http.map_err(|error| broken(&error))?,
            url: format!("http://{}/metrics", started.bound_addr),
        })
    }

    pub(super) async fn text(&self) -> Result<String> {
        let lost = |error: reqwest::Error| {
            Failure::internal(format!("Temporal's metrics: {}", cause(&error)))
        };
        let answer = self.http.get(&self.url).send().await.map_err(lost)?;
        answer.text().await.map_err(lost)
    }
}

/// How many pollers ask Temporal for work, as its metrics say.
pub(super) fn pollers(metrics: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with("temporal_num_pollers{"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pollers_of_all_kinds_are_counted() {
        let text = "# TYPE temporal_num_pollers gauge\n\
                    temporal_num_pollers{poller_type=\"activity_task\"} 5\n\
                    temporal_num_pollers{poller_type=\"workflow_task\"} 2\n\
                    temporal_num_pollers_other 9\n";
        assert!((pollers(text) - 7.0).abs() < f64::EPSILON);
        assert!(pollers("").abs() < f64::EPSILON);
    }
}
