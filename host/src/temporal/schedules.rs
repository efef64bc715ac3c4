//! `[connections.X.schedules]` as Temporal schedules.
//!
//! A schedule is ours when it starts our `ScheduledCrawl` on our task queue; nothing else is touched.
//! Its input holds what stands in the file, so that what changed can be told from what did not: the
//! server keeps cron expressions in another form.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures::StreamExt as _;
use serde::Serialize;
use temporalio_client::schedules::{
    BackfillScheduleOptions, CreateScheduleOptions, DeleteScheduleOptions, ListSchedulesOptions,
    PauseScheduleOptions, ScheduleAction, ScheduleBackfill, ScheduleCalendarSpec,
    ScheduleDescription, ScheduleDescriptionAction, ScheduleError, ScheduleHandle,
    ScheduleIntervalSpec, ScheduleOverlapPolicy, ScheduleSpec, TriggerScheduleOptions,
    UnpauseScheduleOptions,
};
use temporalio_client::{Client, RpcOptions};

use super::follow::{self, Choice};
use super::found::unanswered;
use super::ids;
use super::outcomes::{Started, scheduled};
use super::workflows::{CrawlInput, ScheduledCrawl, ScheduledInput};
use crate::config::schedules::{Calendar, Overlap, Schedule};
use crate::config::{Config, Connection, Temporal};
use crate::failure::{Failure, Kind, Result};

type Handle = ScheduleHandle<Client>;

/// So many of the crawls that a schedule started are asked how they ended.
const RECENT: usize = 5;

/// A schedule that the server has.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub id: String,
    pub connection: String,
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
}

/// Makes the server's schedules those of the file.
pub async fn apply(client: &Client, config: &Config) -> Result<Applied> {
    let mut found: BTreeMap<String, Found> = list(client, &config.temporal)
        .await?
        .into_iter()
        .map(|one| (one.id.clone(), one))
        .collect();
    let mut applied = Applied::default();
    for connection in config.connections.values() {
        for schedule in &connection.schedules {
            let id = ids::schedule(&connection.name, &schedule.name, &config.temporal.task_queue);
            match found.remove(&id) {
                Some(one)
                    if one.schedule == *schedule
                        && one.crawl == crawl(config, connection, schedule) =>
                {
                    applied.unchanged.push(id);
                }
                Some(_) => {
                    update(client, config, connection, schedule, &id).await?;
                    applied.updated.push(id);
                }
                None => {
                    create(client, config, connection, schedule, &id).await?;
                    // One that an earlier version made goes by another id: what was paused stays so.
                    if let Some(earlier) = found.get(ids::earlier(&id)).filter(|one| one.paused) {
                        let note = earlier.note.clone();
                        let handle = client.get_schedule_handle(id.as_str());
                        let paused = do_one(&handle, &Act::Pause(note)).await;
                        paused.map_err(|error| failed(&id, &error))?;
                    }
                    applied.created.push(id);
                }
            }
        }
    }
    for (id, _) in found {
        let handle = client.get_schedule_handle(id.as_str());
        let gone = handle.delete(DeleteScheduleOptions::default()).await;
        gone.map_err(|error| failed(&id, &error))?;
        applied.removed.push(id);
    }
    Ok(applied)
}

fn place(config: &Config, connection: &str, schedule: &str) -> String {
    config.place(&["connections", connection, "schedules", schedule])
}

async fn create(
    client: &Client,
    config: &Config,
    connection: &Connection,
    schedule: &Schedule,
    id: &str,
) -> Result<()> {
    let options = CreateScheduleOptions::builder()
        .action(action(config, connection, schedule, id))
        .spec(spec(schedule))
        .overlap_policy(overlap(schedule.overlap))
        .build();
    match client.create_schedule(id, options).await {
        Ok(_) => {}
        Err(ScheduleError::Rpc(status)) if is_there(&status) => {
            // The list is some seconds behind.
            if describe(client, &config.temporal, id).await?.is_some() {
                return update(client, config, connection, schedule, id).await;
            }
            return Err(Failure::settings(format!(
                "the namespace has a schedule `{id}` of another task queue or program"
            ))
            .at(place(config, &connection.name, &schedule.name))
            .next("rename the connection or the schedule, or remove the other one"));
        }
        Err(error) => return Err(refused(config, connection, schedule, error)),
    }
    // What cannot be said when it is created. Half of a schedule is none.
    let updated = update(client, config, connection, schedule, id).await;
    if updated.is_err() {
        let handle = client.get_schedule_handle(id);
        let gone = handle.delete(DeleteScheduleOptions::default()).await;
        gone.map_err(|error| failed(id, &error))?;
    }
    updated
}

async fn update(
    client: &Client,
    config: &Config,
    connection: &Connection,
    schedule: &Schedule,
    id: &str,
) -> Result<()> {
    let handle = client.get_schedule_handle(id);
    let described = handle.describe(RpcOptions::default());
    let described = described.await.map_err(|error| failed(id, &error))?;
    let mut changed = described.into_update();
    changed
        .set_spec(spec(schedule))
        .set_action(action(config, connection, schedule, id))
        .set_overlap_policy(overlap(schedule.overlap))
        .set_catchup_window(schedule.catch_up)
        .set_pause_on_failure(schedule.pause_on_failure);
    let sent = handle.send_update(changed, RpcOptions::default());
    sent.await.map_err(|error| refused(config, connection, schedule, error))
}

/// The server says what is wrong with an expression or a time zone.
fn refused(
    config: &Config,
    connection: &Connection,
    schedule: &Schedule,
    error: ScheduleError,
) -> Failure {
    match error {
        ScheduleError::Rpc(status) if is_wrong(&status) => {
            Failure::settings(format!("Temporal does not take the schedule: {}", status.message()))
                .at(place(config, &connection.name, &schedule.name))
                .next("correct it")
        }
        error => {
            let task_queue = &config.temporal.task_queue;
            failed(&ids::schedule(&connection.name, &schedule.name, task_queue), &error)
        }
    }
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

fn action(
    config: &Config,
    connection: &Connection,
    schedule: &Schedule,
    id: &str,
) -> ScheduleAction {
    let crawl = crawl(config, connection, schedule);
    let input = ScheduledInput { crawl, schedule: schedule.clone() };
    let task_queue = &config.temporal.task_queue;
    ScheduleAction::start_workflow(ScheduledCrawl::run, input, task_queue, id)
}

/// What is due is crawled as the worker's file says then: settings that change need no `apply`.
fn crawl(config: &Config, connection: &Connection, schedule: &Schedule) -> CrawlInput {
    CrawlInput {
        connection_digest: None,
        ..follow::crawl(config, &connection.name, schedule.mode, Choice::default())
    }
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
pub async fn list(client: &Client, temporal: &Temporal) -> Result<Vec<Found>> {
    let mut listed = client.list_schedules(ListSchedulesOptions::default());
    let mut found = Vec::new();
    while let Some(one) = listed.next().await {
        let one = one.map_err(|error| failed("*", &error))?;
        if one.workflow_type() != Some("ScheduledCrawl") {
            continue;
        }
        found.extend(describe(client, temporal, one.schedule_id()).await?);
    }
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
async fn describe(client: &Client, temporal: &Temporal, id: &str) -> Result<Option<Found>> {
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
    Ok(ours(&described, temporal, id).await)
}

async fn ours(described: &ScheduleDescription, temporal: &Temporal, id: &str) -> Option<Found> {
    let ScheduleDescriptionAction::StartWorkflow(action) = described.action() else { return None };
    if action.workflow_type() != "ScheduledCrawl" || action.task_queue() != temporal.task_queue {
        return None;
    }
    let input: ScheduledInput = action.args().await.ok()??;
    Some(Found {
        id: id.to_owned(),
        connection: input.crawl.connection.clone(),
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
    temporal: &Temporal,
    connection: &str,
    schedule: Option<&str>,
    act: &Act,
) -> Result<Vec<String>> {
    let found = list(client, temporal).await?;
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
