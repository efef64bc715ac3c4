//! The worker: offers the workflow and its activities to a task queue.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use temporalio_client::{Client, NamespacedClient as _};
use temporalio_common::telemetry::TelemetryOptions;
use temporalio_common::telemetry::metrics::CoreMeter;
use temporalio_common::worker::{
    VersioningBehavior, WorkerDeploymentOptions, WorkerDeploymentVersion,
};
use temporalio_sdk::runtime::RuntimeOptions;
use temporalio_sdk::{Runtime, Worker, WorkerOptions, WorkerOptionsBuilder};
use tokio_util::sync::CancellationToken;

use super::activities::Activities;
use super::connect;
use super::rollout::Version;
use super::store_watch;
use super::workflows::{
    AllWorkflow, ApprovalWorkflow, ForecastWorkflow, IdentitiesWorkflow, IndexingWorkflow,
    ScheduledCrawl,
};
use crate::connector::Digest;
use crate::crawl::Crawler;
use crate::failure::{Failure, Kind, Result};

/// How long activities may work on after a stop, before they are told to hand over.
const GRACE: Duration = Duration::from_secs(1);
/// Little progress is lost with a worker, and a cancellation is heard soon.
const MAX_HEARTBEAT_THROTTLE: Duration = Duration::from_secs(1);

/// What tells workers apart, for people and for `sheaf doctor`: process, host, version, configuration.
fn identity(client: &Client, configuration: &Digest) -> String {
    format!("{} {}", client.identity(), version(configuration))
}

/// The version of this program, and which configuration it read.
pub fn version(configuration: &Digest) -> String {
    format!("version {} configuration {}", env!("CARGO_PKG_VERSION"), configuration.short())
}

/// What Temporal is told of this build. Without versions each worker of the task queue gets whatever there is.
fn deployment(version: Option<&Version>) -> WorkerDeploymentOptions {
    let told = |deployment: &str, build_id: &str| {
        let version = WorkerDeploymentVersion::builder();
        WorkerDeploymentOptions::new(version.deployment_name(deployment).build_id(build_id).build())
    };
    match version {
        Some(Version { deployment, build_id }) => told(deployment, build_id)
            .use_worker_versioning(true)
            // A crawl goes on with whichever build gets the work: its steps resume from the journal.
            .default_versioning_behavior(VersioningBehavior::AutoUpgrade)
            .build(),
        // Named because the SDK would otherwise hash the whole binary at each start.
        None => told("sheaf", env!("CARGO_PKG_VERSION")).build(),
    }
}

/// What a worker works with.
pub struct Work<'a> {
    pub crawler: Crawler,
    pub client: Client,
    pub task_queue: &'a str,
    /// The digest of the file that the process read.
    pub configuration: &'a Digest,
    /// Where it stands among the versions of its deployment, if it has some.
    pub version: Option<&'a Version>,
    /// Where it counts.
    pub meter: Option<Arc<dyn CoreMeter>>,
}

fn broken(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Kind::Internal, format!("the worker {what}: {error}"))
}

/// Works until `stop`; crawls under way are handed over with their checkpoints. While the store does not answer it asks
/// for no work.
pub async fn run(work: Work<'_>, stop: CancellationToken) -> Result<()> {
    let telemetry = TelemetryOptions::builder().maybe_metrics(work.meter.clone()).build();
    let options = RuntimeOptions::builder().telemetry_options(telemetry).build();
    let options = options.map_err(|error| broken("has no runtime", &error))?;
    let runtime =
        Runtime::from_current_tokio(options).map_err(|error| broken("has no runtime", &error))?;
    let temporal = connect::namespace_id(&work.client).await?;
    let store = work.crawler.store.clone();
    loop {
        let until = stop.child_token();
        let watched = async {
            store_watch::lost(&store).await;
            tracing::error!("the store does not answer: this worker takes no work until it does");
            until.cancel();
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            ended = once(&work, &runtime, &temporal, until.clone()) => ended?,
            never = watched => match never {},
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = store_watch::back(&store) => tracing::info!("the store answers again"),
        }
    }
}

/// The same while the store answers.
async fn once(
    work: &Work<'_>,
    runtime: &Runtime,
    temporal: &str,
    stop: CancellationToken,
) -> Result<()> {
    let Work { crawler, client, task_queue, configuration, version, .. } = work;
    let activities = Activities { crawler: crawler.clone(), temporal: temporal.to_owned() };
    let options = WorkerOptions::new(*task_queue)
        .client_identity_override(identity(client, configuration))
        .graceful_shutdown_period(GRACE)
        .max_heartbeat_throttle_interval(MAX_HEARTBEAT_THROTTLE)
        .deployment_options(deployment(*version))
        .register_workflow::<IndexingWorkflow>()
        .and_then(WorkerOptionsBuilder::register_workflow::<ApprovalWorkflow>)
        .and_then(WorkerOptionsBuilder::register_workflow::<ScheduledCrawl>)
        .and_then(WorkerOptionsBuilder::register_workflow::<IdentitiesWorkflow>)
        .and_then(WorkerOptionsBuilder::register_workflow::<ForecastWorkflow>)
        .and_then(WorkerOptionsBuilder::register_workflow::<AllWorkflow>)
        .map_err(|error| broken("cannot register its workflows", &error))?
        .register_activities(activities)
        .build();
    let mut worker = Worker::new(runtime, client.clone(), options).map_err(|error| {
        broken("does not start", &error).next("see whether another worker of this process runs")
    })?;
    if let Some(Version { deployment, build_id }) = version {
        tracing::info!(deployment, build_id, "gets work once `sheaf rollout` has said so");
    }
    tracing::info!(task_queue, "the worker is ready");
    let shutdown = worker.shutdown_handle();
    let stopping = tokio::spawn(async move {
        stop.cancelled().await;
        tracing::info!("the worker stops: crawls under way are handed over");
        shutdown();
    });
    let ended = worker.run().await.map_err(|error| broken("ended", &error));
    stopping.abort();
    ended
}
