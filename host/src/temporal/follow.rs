//! Starts a crawl's workflow and watches it until it ends.

use std::time::{Duration, Instant};

use temporalio_client::errors::{WorkflowGetResultError, WorkflowStartError};
use temporalio_client::{
    Client, WorkflowDescribeOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowIdConflictPolicy, WorkflowQueryOptions, WorkflowStartOptions,
};
use temporalio_common::protos::temporal::api::enums::v1::PendingActivityState;
use temporalio_common::protos::temporal::api::workflow::v1::PendingActivityInfo;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::found::{self, Found};
use super::settings::{Deployment, Settings};
use super::workflows::all::{self, OneOfAll};
use super::workflows::indexing::Run;
use super::workflows::{AllInput, AllWorkflow, CrawlInput, IndexingWorkflow, reported};
use super::{ids, queue};
use crate::connector::Digest;
use crate::crawl::CrawlRequest;
use crate::crawl::view::Phase;
use crate::crawl::{CrawlResult, CrawlView, RangeProgress};
use crate::failure::{Failure, Kind, Result};
use crate::machine::host_name;

pub type Handle = WorkflowHandle<Client, Run>;

const LOOK: Duration = Duration::from_millis(500);
/// A query that no worker answers within this is not going to be.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// A worker that listens says something within this.
const SILENCE: Duration = Duration::from_secs(5);

/// A crawl that is followed.
pub struct Started {
    pub handle: Handle,
    /// It was under way already: whoever started it is gone.
    pub joined: bool,
}

/// Why a crawl was not started.
#[derive(Debug)]
pub enum NotStarted {
    /// One runs under its id.
    Running(Failure),
    Failed(Failure),
}

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<NotStarted> for Failure {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::Running(failure) | NotStarted::Failed(failure) => failure,
        }
    }
}

/// Starts a crawl. The worker may have other files than we do: the connector it finds when the crawl
/// begins is what runs.
pub async fn start(
    client: &Client,
    deployment: Deployment<'_>,
    wanted: CrawlInput,
) -> Result<Started, NotStarted> {
    let connection = wanted.request.connection.as_str();
    let id = ids::crawl(connection, deployment.task_queue());
    // Temporal keeps those of one id apart; an earlier version's crawl may have another.
    let earlier = match ids::earlier(&id) {
        earlier if earlier == id => None,
        _ => under_way(client, deployment, connection).await?,
    };
    if let Some(found) = earlier {
        return join(client, deployment, &wanted, &found);
    }
    let options = WorkflowStartOptions::new(deployment.task_queue(), &id)
        .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
        .static_summary(format!("{} crawl of {connection}", wanted.request.mode))
        .build();
    match client.start_workflow(IndexingWorkflow::run, wanted.clone(), options).await {
        Ok(handle) => Ok(Started { handle, joined: false }),
        Err(error @ WorkflowStartError::AlreadyStarted { .. }) => {
            match found::any::<CrawlInput>(client, &id).await? {
                Some(found) if found.running => join(client, deployment, &wanted, &found),
                _ => Err(not_started(error, &format!("`{connection}` is"), &id)),
            }
        }
        Err(error) => Err(not_started(error, &format!("`{connection}` is"), &id)),
    }
}

/// Follows a crawl that is what was wanted, where nobody else can: the process that started it was on
/// this machine, and is gone.
fn join(
    client: &Client,
    deployment: Deployment<'_>,
    wanted: &CrawlInput,
    found: &Found<CrawlInput>,
) -> Result<Started, NotStarted> {
    let name = &wanted.request.connection;
    let CrawlRequest { mode, restart, connector, .. } = &wanted.request;
    let same = found.input.request.mode == *mode && !restart && connector.is_none();
    if found.is_of(deployment) && same && found.parent.is_none() && is_gone(&found.started_by) {
        return Ok(Started { handle: found.handle(client), joined: true });
    }
    let at = format!("workflow {}, run {}", found.id, found.run_id);
    let failure = if found.is_of(deployment) {
        Failure::new(Kind::Busy, format!("`{name}` is being crawled already")).next(format!(
            "wait for it, see it with `sheaf sync {name} --follow`, or end it with \
             `sheaf cancel {name}`"
        ))
    } else {
        let what = format!("`{name}` is being crawled already, by {}", found.whose());
        Failure::new(Kind::Busy, what)
            .next("wait for it; give each deployment a `task_queue` of its own in [temporal]")
    };
    Err(NotStarted::Running(failure.at(at)))
}

/// Whether a client was a process of this machine that is no more.
fn is_gone(client: &str) -> bool {
    let known = client.strip_prefix("sheaf-").and_then(|rest| rest.split_once('@'));
    let Some((pid, host)) = known else { return false };
    if host != host_name() || pid.parse::<u32>().is_err() {
        return false;
    }
    let process = std::path::Path::new("/proc");
    process.join("self").exists() && !process.join(pid).exists()
}

/// A connection's crawl that runs now, if it is this deployment's.
pub async fn under_way(
    client: &Client,
    deployment: Deployment<'_>,
    connection: &str,
) -> Result<Option<Found<CrawlInput>>> {
    let id = ids::crawl(connection, deployment.task_queue());
    found::running(client, deployment, &id).await
}

pub fn nothing_runs(connection: &str) -> Failure {
    Failure::settings(format!("no crawl of `{connection}` is under way on Temporal"))
        .next("see `sheaf status`; one with `--local` is followed, and ended, where it runs")
}

/// What a crawl's workflow is told. The digest is the connection's, as whoever starts the crawl has it.
pub fn crawl(
    deployment: Deployment<'_>,
    request: CrawlRequest,
    digest: Option<Digest>,
) -> CrawlInput {
    CrawlInput {
        request,
        digest: None,
        policy: deployment.settings.policy.clone(),
        task_queue: deployment.task_queue().to_owned(),
        glean: deployment.glean.to_owned(),
        connection_digest: digest.map(|digest| digest.to_string()),
    }
}

fn not_started(error: WorkflowStartError, who: &str, workflow: &str) -> NotStarted {
    match error {
        WorkflowStartError::AlreadyStarted { run_id, .. } => {
            let failure = Failure::new(Kind::Busy, format!("{who} being crawled already"))
                .at(format!("workflow {workflow}, run {}", run_id.unwrap_or_default()))
                .next("wait for it: `sheaf status` shows how far it is");
            NotStarted::Running(failure)
        }
        WorkflowStartError::Rpc(status) => found::unanswered(&status).into(),
        other => Failure::internal(format!("the crawl was not started: {other}")).into(),
    }
}

/// Crawls several connections, so many at once, and waits for all of them. `said` hears of each
/// change.
pub async fn all(
    client: &Client,
    task_queue: &str,
    input: AllInput,
    detach: &CancellationToken,
    mut said: impl FnMut(&[OneOfAll]),
) -> Result<Vec<OneOfAll>> {
    let summary = format!("crawls of {} connections", input.crawls.len());
    let id = ids::all(task_queue);
    let options = WorkflowStartOptions::new(task_queue, &id)
        .id_conflict_policy(WorkflowIdConflictPolicy::Fail)
        .static_summary(summary)
        .build();
    let started = client.start_workflow(AllWorkflow::run, input, options).await;
    let handle: WorkflowHandle<Client, all::Run> =
        started.map_err(|error| not_started(error, "several connections are", &id))?;
    let mut watch = Watch::new(client, task_queue);
    let look = async || {
        let query = handle.query(AllWorkflow::progress, (), WorkflowQueryOptions::default());
        match tokio::time::timeout(QUERY_TIMEOUT, query).await {
            Ok(Ok(crawls)) => {
                watch.answered();
                said(&crawls);
            }
            _ => drop(watch.unanswered().await),
        }
    };
    let result = || handle.get_result(WorkflowGetResultOptions::default());
    patiently(result, detach, look).await?.map_err(explain)
}

/// Looks at a workflow until its result is there, or until nobody wants to see it any more. A server
/// that is away is waited for: the crawl goes on without us.
pub(super) async fn patiently<T, F: Future<Output = Result<T, WorkflowGetResultError>>>(
    result: impl Fn() -> F,
    detach: &CancellationToken,
    mut look: impl AsyncFnMut(),
) -> Result<Result<T, WorkflowGetResultError>> {
    loop {
        match watched(result(), detach, &mut look).await? {
            Err(WorkflowGetResultError::Rpc(status)) if found::is_away(&status) => {
                tracing::debug!("{status}");
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => look().await,
                    () = detach.cancelled() => return Err(detached()),
                }
            }
            ended => return Ok(ended),
        }
    }
}

async fn watched<T>(
    result: impl Future<Output = T>,
    detach: &CancellationToken,
    look: &mut impl AsyncFnMut(),
) -> Result<T> {
    let mut result = std::pin::pin!(result);
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            ended = &mut result => return Ok(ended),
            _ = looks.tick() => look().await,
            () = detach.cancelled() => return Err(detached()),
        }
    }
}

fn detached() -> Failure {
    Failure::new(Kind::Interrupted, "stopped watching; the crawl goes on")
        .next("`sheaf status` shows how far it is")
}

/// Why a workflow says nothing: told once when it begins, and once when it is over.
pub(super) struct Watch<'a> {
    client: &'a Client,
    task_queue: &'a str,
    silent_since: Instant,
    told: Option<String>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(client: &'a Client, task_queue: &'a str) -> Self {
        Self { client, task_queue, silent_since: Instant::now(), told: None }
    }

    pub(super) fn answered(&mut self) {
        self.silent_since = Instant::now();
        if let Some(told) = self.told.take() {
            tracing::warn!("it is over: {told}");
        }
    }

    /// For how long nobody has answered.
    pub(super) fn silence(&self) -> Duration {
        self.silent_since.elapsed()
    }

    pub(super) async fn unanswered(&mut self) -> Option<String> {
        let workers = queue::workers(self.client, self.task_queue);
        let why = match tokio::time::timeout(QUERY_TIMEOUT, workers).await {
            Ok(Ok(workers)) if !workers.is_empty() => None,
            Ok(Ok(_)) if self.silent_since.elapsed() < SILENCE => None,
            Ok(Ok(_)) => Some(format!(
                "no worker listens on the task queue `{}`: run `sheaf worker`",
                self.task_queue
            )),
            _ => Some(
                "Temporal does not answer; what runs goes on, and is followed again when it does"
                    .to_owned(),
            ),
        };
        if let Some(why) = &why
            && self.told.as_ref() != Some(why)
        {
            tracing::warn!("{why}");
        }
        self.told.clone_from(&why);
        why
    }
}

/// Watches a workflow to its end. When `detach` comes first, the crawl goes on without us.
pub async fn follow(
    client: &Client,
    mut handle: Handle,
    task_queue: &str,
    view: &watch::Sender<CrawlView>,
    detach: &CancellationToken,
) -> Result<CrawlResult> {
    let mut watch = Watch::new(client, task_queue);
    loop {
        let result = || handle.get_result(WorkflowGetResultOptions::default());
        let looking = async || look(&handle, &mut watch, view).await;
        let ended = patiently(result, detach, looking).await?;
        if let Err(WorkflowGetResultError::Terminated { .. }) = &ended
            && let Some(reset) = reset_of(client, &handle).await?
        {
            handle = reset;
            continue;
        }
        look(&handle, &mut watch, view).await;
        return ended.map_err(explain);
    }
}

/// The run that took the place of one that `temporal workflow reset` ended.
async fn reset_of(client: &Client, handle: &Handle) -> Result<Option<Handle>> {
    let info = handle.info();
    let newest = found::any::<CrawlInput>(client, &info.workflow_id).await?;
    let other = newest.filter(|newest| info.run_id.as_ref() != Some(&newest.run_id));
    let of_ours = other.filter(|newest| info.run_id.as_ref() == Some(&newest.first_run_id));
    Ok(of_ours.map(|newest| newest.handle(client)))
}

/// A connection's workflow, the one under way or the last.
pub fn handle(client: &Client, settings: &Settings, connection: &str) -> Handle {
    client.get_workflow_handle::<Run>(ids::crawl(connection, &settings.task_queue))
}

/// How far the crawl is: the workflow's view, and in it what the running scopes heartbeated.
pub async fn progress(handle: &Handle) -> Option<CrawlView> {
    let query = handle.query(IndexingWorkflow::progress, (), WorkflowQueryOptions::default());
    let mut view = tokio::time::timeout(QUERY_TIMEOUT, query).await.ok()?.ok()?;
    let described = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
    for pending in &described.raw().pending_activities {
        let Some(mut range) = heartbeated(pending) else { continue };
        if pending.activity_type.as_ref().is_some_and(|of| of.name != "execute_indexing") {
            view.identities = range.identities;
            if view.paused.is_none() {
                view.note =
                    range.total.live.waits().map(|waits| format!("{} {waits}", view.connection));
            }
            continue;
        }
        if pending.attempt > 1
            && let Some(failure) = &pending.last_failure
        {
            let waits = pending.state() == PendingActivityState::Scheduled;
            range.tried(pending.attempt, &failure.message, waits);
        }
        view.add(range);
    }
    Some(view)
}

/// The same; that nobody tells, where nobody does.
pub(super) async fn progress_or_silence(handle: &Handle, connection: &str) -> CrawlView {
    progress(handle).await.unwrap_or_else(|| CrawlView {
        connection: connection.into(),
        note: Some("no worker has taken it yet, or answers".to_owned()),
        ..CrawlView::default()
    })
}

/// Whether a crawl that was paused has heard of it, and nothing works on it any more.
pub(super) async fn rests(handle: &Handle) -> bool {
    let query = handle.query(IndexingWorkflow::progress, (), WorkflowQueryOptions::default());
    let Ok(Ok(view)) = tokio::time::timeout(QUERY_TIMEOUT, query).await else { return false };
    let Ok(described) = handle.describe(WorkflowDescribeOptions::default()).await else {
        return false;
    };
    view.paused.is_some() && described.raw().pending_activities.is_empty()
}

/// How far an activity said it is.
pub(super) fn heartbeated(pending: &PendingActivityInfo) -> Option<RangeProgress> {
    let details = pending.heartbeat_details.as_ref()?.payloads.first()?;
    serde_json::from_slice(&details.data).ok()
}

async fn look(handle: &Handle, watch: &mut Watch<'_>, view: &watch::Sender<CrawlView>) {
    if let Some(found) = progress(handle).await {
        watch.answered();
        view.send_replace(found);
        return;
    }
    let why = watch.unanswered().await;
    view.send_modify(|view| {
        view.note = match why {
            None if view.phase == Phase::Configuring => Some("waiting for a worker".to_owned()),
            why => why,
        };
    });
}

/// The failure that an activity reported, out of Temporal's wrapping.
pub fn explain(error: WorkflowGetResultError) -> Failure {
    match error {
        WorkflowGetResultError::Failed(error) => {
            if let Some(failure) = reported(&error) {
                return failure;
            }
            let message = error.failure().message.clone();
            Failure::new(Kind::Internal, format!("the crawl's workflow failed: {message}"))
                .next("see its history in Temporal's UI")
        }
        WorkflowGetResultError::Cancelled { .. } => {
            Failure::new(Kind::Interrupted, "the crawl was cancelled").next("start it again")
        }
        WorkflowGetResultError::Terminated { .. } => {
            Failure::new(Kind::Interrupted, "the crawl was terminated").next("start it again")
        }
        WorkflowGetResultError::Rpc(status) => {
            found::unanswered(&status).next("`sheaf status` shows how it ended")
        }
        other => {
            Failure::new(Kind::Unreachable, format!("the crawl's result was not heard: {other}"))
                .next("`sheaf status` shows how it ended")
        }
    }
}
