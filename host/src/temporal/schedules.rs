//! Schedules on the Temporal server.
//!
//! A schedule is ours when it starts our `ScheduledCrawl` on our task queue; nothing else is touched.
//! Its input holds the schedule as it was sent, so that what changed can be told from what did not:
//! the server keeps cron expressions in another form.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use temporalio_client::schedules::{
    BackfillScheduleOptions, CreateScheduleOptions, DeleteScheduleOptions, ListSchedulesOptions,
    PauseScheduleOptions, ScheduleAction, ScheduleBackfill, ScheduleCalendarSpec,
    ScheduleDescription, ScheduleDescriptionAction, ScheduleError, ScheduleHandle,
    ScheduleIntervalSpec, ScheduleOverlapPolicy, ScheduleSpec, TriggerScheduleOptions,
    UnpauseScheduleOptions,
};
use temporalio_client::{Client, RpcOptions};

use super::follow;
use super::found::unanswered;
use super::ids;
use super::outcomes::{Started, scheduled};
use super::schedule::{Calendar, Overlap, Schedule};
use super::settings::{Deployment, Settings};
use super::workflows::{CrawlInput, ScheduledCrawl, ScheduledInput};
use crate::crawl::CrawlRequest;
use crate::failure::{Failure, Kind, Result};
use crate::name::ConnectionName;

type Handle = ScheduleHandle<Client>;

/// Schedules that are asked for together.
const AT_ONCE: usize = 8;
/// So many of the crawls that a schedule started are asked how they ended.
const RECENT: usize = 5;

/// A schedule that the server has.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub id: String,
    pub connection: ConnectionName,
    pub schedule: Schedule,
    pub paused: bool,
    pub note: Option<String>,
    /// Crawls started by it so far, and starts that were skipped because one was running, or because
    /// no server was there.
    pub started: i64,
    pub skipped: i64,
    pub missed: i64,
    pub running: usize,
    /// In RFC 3339.
    pub next: Option<String>,
    /// When its last crawls were due, and its next ones are, in order.
    #[serde(skip)]
    pub times: Vec<SystemTime>,
    /// The last crawls it started, the newest first.
    pub recent: Vec<Started>,
    #[serde(skip)]
    crawl: CrawlInput,
}

/// What applying the file changed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Applied {
    pub created: Vec<String>,
    pub updated: Vec<String>,
    pub unchanged: Vec<String>,
    pub removed: Vec<String>,
    /// Those that stand in the file no more, and are still there.
    pub left: Vec<String>,
}

/// What becomes of schedules that stand in the file no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    Remove,
    /// A file may be cut off, or emptied by mistake: a person says that they are to go.
    Leave,
}

/// A schedule that the server should have.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    pub connection: &'a str,
    pub schedule: &'a Schedule,
    /// Where it stands in the file.
    pub place: String,
}

/// The same as it is sent.
struct Sent {
    id: String,
    input: ScheduledInput,
    place: String,
}

impl Sent {
    fn new(deployment: Deployment<'_>, wanted: Wanted<'_>) -> Self {
        let Wanted { connection, schedule, place } = wanted;
        let id = ids::schedule(connection, &schedule.name, deployment.task_queue());
        // What is due is crawled as the worker's file says then, without a digest of this one: settings
        // that change need no `apply`.
        let request = CrawlRequest::new(connection, schedule.mode);
        let crawl = follow::crawl(deployment, request, None);
        Self { id, input: ScheduledInput { crawl, schedule: schedule.clone() }, place }
    }

    fn schedule(&self) -> &Schedule {
        &self.input.schedule
    }

    fn action(&self) -> ScheduleAction {
        let task_queue = self.input.crawl.task_queue.as_str();
        let input = self.input.clone();
        ScheduleAction::start_workflow(ScheduledCrawl::run, input, task_queue, self.id.as_str())
    }

    /// The server says what is wrong with an expression or a time zone.
    fn refused(&self, error: &ScheduleError) -> Failure {
        match error {
            ScheduleError::Rpc(status) if is_wrong(status) => Failure::settings(format!(
                "Temporal does not take the schedule: {}",
                status.message()
            ))
            .at(self.place.clone())
            .next("correct it"),
            error => failed(&self.id, error),
        }
    }
}

/// Makes the server's schedules the wanted ones.
pub async fn apply(
    client: &Client,
    deployment: Deployment<'_>,
    wanted: impl IntoIterator<Item = Wanted<'_>>,
    gone: Gone,
) -> Result<Applied> {
    let mut found: BTreeMap<String, Found> = list(client, deployment.settings)
        .await?
        .into_iter()
        .map(|one| (one.id.clone(), one))
        .collect();
    let mut applied = Applied::default();
    for wanted in wanted {
        let sent = Sent::new(deployment, wanted);
        match found.remove(&sent.id) {
            Some(one) if one.schedule == *sent.schedule() && one.crawl == sent.input.crawl => {
                applied.unchanged.push(sent.id);
            }
            Some(_) => {
                update(client, &sent).await?;
                applied.updated.push(sent.id);
            }
            None => {
                create(client, deployment.settings, &sent).await?;
                // One that an earlier version made goes by another id: what was paused stays so.
                let earlier = found.get(ids::earlier(&sent.id)).filter(|one| one.paused);
                if let Some(earlier) = earlier {
                    let note = earlier.note.clone();
                    let handle = client.get_schedule_handle(sent.id.as_str());
                    let paused = do_one(&handle, &Act::Pause(note)).await;
                    paused.map_err(|error| failed(&sent.id, &error))?;
                }
                applied.created.push(sent.id);
            }
        }
    }
    for (id, _) in found {
        if gone == Gone::Leave {
            applied.left.push(id);
            continue;
        }
        let handle = client.get_schedule_handle(id.as_str());
        let gone = handle.delete(DeleteScheduleOptions::default()).await;
        gone.map_err(|error| failed(&id, &error))?;
        applied.removed.push(id);
    }
    Ok(applied)
}

async fn create(client: &Client, settings: &Settings, sent: &Sent) -> Result<()> {
    let id = sent.id.as_str();
    let options = CreateScheduleOptions::builder()
        .action(sent.action())
        .spec(spec(sent.schedule()))
        .overlap_policy(overlap(sent.schedule().overlap))
        .build();
    match client.create_schedule(id, options).await {
        Ok(_) => {}
        Err(ScheduleError::Rpc(status)) if is_there(&status) => {
            // The list is some seconds behind.
            if describe(client, settings, id).await?.is_some() {
                return update(client, sent).await;
            }
            return Err(Failure::settings(format!(
                "the namespace has a schedule `{id}` of another task queue or program"
            ))
            .at(sent.place.clone())
            .next("rename the connection or the schedule, or remove the other one"));
        }
        Err(error) => return Err(sent.refused(&error)),
    }
    // What cannot be said when it is created. Half of a schedule is none.
    let updated = update(client, sent).await;
    if updated.is_err() {
        let handle = client.get_schedule_handle(id);
        let gone = handle.delete(DeleteScheduleOptions::default()).await;
        gone.map_err(|error| failed(id, &error))?;
    }
    updated
}

async fn update(client: &Client, sent: &Sent) -> Result<()> {
    let schedule = sent.schedule();
    let handle = client.get_schedule_handle(sent.id.as_str());
    let described = handle.describe(RpcOptions::default());
    let described = described.await.map_err(|error| failed(&sent.id, &error))?;
    let mut changed = described.into_update();
    changed
        .set_spec(spec(schedule))
        .set_action(sent.action())
        .set_overlap_policy(overlap(schedule.overlap))
        .set_catchup_window(schedule.catch_up)
        .set_pause_on_failure(schedule.pause_on_failure);
    let changed = handle.send_update(changed, RpcOptions::default());
    changed.await.map_err(|error| sent.refused(&error))
}

fn is_wrong(status: &temporalio_client::tonic::Status) -> bool {
    status.code() == temporalio_client::tonic::Code::InvalidArgument
}

fn is_there(status: &temporalio_client::tonic::Status) -> bool {
    status.code() == temporalio_client::tonic::Code::AlreadyExists
}

fn failed(id: &str, error: &ScheduleError) -> Failure {
    let failure = match error {
        ScheduleError::Rpc(status) => unanswered(status),
        error => Failure::new(Kind::Unreachable, format!("Temporal did not do it: {error}"))
            .next("check [temporal]; `sheaf doctor` tries it"),
    };
    failure.at(format!("schedule {id}"))
}

fn spec(schedule: &Schedule) -> ScheduleSpec {
    let interval = schedule.every.map(|every| ScheduleIntervalSpec::new(every, schedule.offset));
    let calendars = schedule.calendars.iter().map(calendar).collect::<Vec<_>>();
    ScheduleSpec::builder()
        .cron_strings(schedule.cron.clone())
        .intervals(interval.into_iter().collect::<Vec<_>>())
        .calendars(calendars)
        .maybe_timezone_name(schedule.time_zone.clone())
        .maybe_jitter(schedule.jitter)
        .build()
}

/// What is not named is its usual: any day, any month, the full hour.
fn calendar(calendar: &Calendar) -> ScheduleCalendarSpec {
    let Calendar { second, minute, hour, day_of_month, month, year, day_of_week } =
        calendar.clone();
    let given = |text: String| (!text.is_empty()).then_some(text);
    ScheduleCalendarSpec::builder()
        .maybe_second(given(second))
        .maybe_minute(given(minute))
        .maybe_hour(given(hour))
        .maybe_day_of_month(given(day_of_month))
        .maybe_month(given(month))
        .maybe_year(given(year))
        .maybe_day_of_week(given(day_of_week))
        .build()
}

fn overlap(overlap: Overlap) -> ScheduleOverlapPolicy {
    match overlap {
        Overlap::Skip => ScheduleOverlapPolicy::Skip,
        Overlap::BufferOne => ScheduleOverlapPolicy::BufferOne,
        Overlap::BufferAll => ScheduleOverlapPolicy::BufferAll,
        Overlap::CancelOther => ScheduleOverlapPolicy::CancelOther,
        Overlap::TerminateOther => ScheduleOverlapPolicy::TerminateOther,
        Overlap::AllowAll => ScheduleOverlapPolicy::AllowAll,
    }
}

/// Our schedules on the server.
pub async fn list(client: &Client, settings: &Settings) -> Result<Vec<Found>> {
    let mut listed = client.list_schedules(ListSchedulesOptions::default());
    let mut ids = Vec::new();
    while let Some(one) = listed.next().await {
        let one = one.map_err(|error| failed("*", &error))?;
        if one.workflow_type() == Some("ScheduledCrawl") {
            ids.push(one.schedule_id().to_owned());
        }
    }
    let described: Vec<_> = ids.iter().map(|id| describe(client, settings, id).boxed()).collect();
    let described = futures::stream::iter(described).buffered(AT_ONCE);
    let described: Vec<Option<Found>> = described.try_collect().await?;
    let mut found: Vec<_> = described.into_iter().flatten().collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// How the last crawls that our schedules started ended.
pub async fn with_outcomes(client: &Client, mut found: Vec<Found>) -> Result<Vec<Found>> {
    for one in &mut found {
        let handle = client.get_schedule_handle(one.id.as_str());
        let described = handle.describe(RpcOptions::default()).await;
        let described = described.map_err(|error| failed(&one.id, &error))?;
        let mut actions = described.recent_actions();
        actions.reverse();
        let runs = actions.iter().take(RECENT);
        let asked = runs.map(|action| scheduled(client, &action.workflow_id, &action.run_id));
        one.recent = futures::future::join_all(asked).await;
    }
    Ok(found)
}

/// A schedule, if it is there and ours.
async fn describe(client: &Client, settings: &Settings, id: &str) -> Result<Option<Found>> {
    let handle = client.get_schedule_handle(id);
    let described = handle.describe(RpcOptions::default());
    let described = match described.await {
        Ok(described) => described,
        // The list is some seconds old.
        Err(ScheduleError::Rpc(status))
            if status.code() == temporalio_client::tonic::Code::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(id, &error)),
    };
    Ok(ours(&described, settings, id).await)
}

async fn ours(described: &ScheduleDescription, settings: &Settings, id: &str) -> Option<Found> {
    let ScheduleDescriptionAction::StartWorkflow(action) = described.action() else { return None };
    if action.workflow_type() != "ScheduledCrawl" || action.task_queue() != settings.task_queue {
        return None;
    }
    let input: ScheduledInput = action.args().await.ok()??;
    let recent = described.recent_actions().into_iter().filter_map(|action| action.schedule_time);
    let mut times: Vec<_> = recent.chain(described.future_action_times()).collect();
    times.sort();
    Some(Found {
        id: id.to_owned(),
        times,
        connection: input.crawl.request.connection.clone(),
        schedule: input.schedule,
        paused: described.paused(),
        note: described.note().filter(|note| !note.is_empty()).map(str::to_owned),
        started: described.action_count(),
        skipped: described.overlap_skipped(),
        missed: described.missed_catchup_window(),
        running: described.running_actions().len(),
        next: described
            .future_action_times()
            .first()
            .map(|time| humantime::format_rfc3339_seconds(*time).to_string()),
        recent: Vec::new(),
        crawl: input.crawl,
    })
}

/// What is done to one schedule.
#[derive(Clone, Debug)]
pub enum Act {
    Pause(Option<String>),
    Resume,
    Trigger,
    Backfill { from: SystemTime, to: SystemTime, overlap: Overlap },
}

/// Does something to schedules of ours: those of a connection, or one of them.
pub async fn act(
    client: &Client,
    settings: &Settings,
    connection: &str,
    schedule: Option<&str>,
    act: &Act,
) -> Result<Vec<String>> {
    let found = list(client, settings).await?;
    let meant = |one: &&Found| {
        one.connection == connection && schedule.is_none_or(|name| one.schedule.name == name)
    };
    let ids: Vec<_> = found.iter().filter(meant).map(|one| one.id.clone()).collect();
    if ids.is_empty() {
        let name =
            schedule.map_or_else(|| "no schedule".into(), |name| format!("no schedule `{name}`"));
        return Err(Failure::settings(format!("`{connection}` has {name} on the server")).next(
            "see `sheaf schedules list`; `sheaf schedules apply` puts those of the file there",
        ));
    }
    for id in &ids {
        // The note of whoever paused it stays.
        let paused = found.iter().any(|one| one.id == *id && one.paused);
        if paused && matches!(act, Act::Pause(None)) {
            continue;
        }
        let handle = client.get_schedule_handle(id.as_str());
        do_one(&handle, act).await.map_err(|error| failed(id, &error))?;
    }
    Ok(ids)
}

async fn do_one(handle: &Handle, act: &Act) -> std::result::Result<(), ScheduleError> {
    match act {
        Act::Pause(why) => {
            let why = why.as_deref().unwrap_or("paused by `sheaf schedules pause`");
            handle.pause(Some(why), PauseScheduleOptions::default()).await
        }
        Act::Resume => handle.unpause(None::<&str>, UnpauseScheduleOptions::default()).await,
        Act::Trigger => {
            let policy = ScheduleOverlapPolicy::Skip;
            handle.trigger(policy, TriggerScheduleOptions::default()).await
        }
        Act::Backfill { from, to, overlap: policy } => {
            let range = ScheduleBackfill::new(*from, *to).overlap_policy(overlap(*policy)).build();
            handle.backfill([range], BackfillScheduleOptions::default()).await
        }
    }
}
