//! One real Temporal server for the tests of a process, and workers beside it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt as _;
use serde_json::Value;
use sheaf::temporal::connect::connect_to;
use sheaf::temporal::dev_server::DevServer;
use sheaf::temporal::workflows::{
    AllWorkflow, ApprovalWorkflow, ForecastWorkflow, IdentitiesWorkflow, IndexingWorkflow,
    ScheduledCrawl,
};
use sheaf_local_glean::Fault;
use temporalio_client::errors::WorkflowGetResultError;
use temporalio_client::schedules::{ListSchedulesOptions, ScheduleDescription, ScheduleSummary};
use temporalio_client::{
    Client, RpcOptions, UntypedWorkflow, WorkflowFetchHistoryOptions, WorkflowGetResultOptions,
    WorkflowHistory,
};
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayer, WorkflowReplayerOptions, WorkflowReplayerOptionsBuilder,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Site;
use crate::wait::{in_time, until};

/// Starts a server that keeps its database in the site.
pub async fn server(site: &mut Site) -> DevServer {
    let server = DevServer::start(site.folder.path(), 0).await.unwrap_or_else(|failure| {
        panic!(
            "{failure}; the tests need a Temporal server: {}",
            failure.next.as_deref().unwrap_or("")
        )
    });
    site.environment.push(("TEMPORAL_ADDRESS".into(), server.address.clone()));
    server
}

/// A worker that is ready.
pub async fn worker(site: &Site) -> Child {
    worker_and_log(site).await.0
}

/// The same, and all that it says.
pub async fn worker_and_log(site: &Site) -> (Child, Arc<Mutex<String>>) {
    let mut command = site.command(&["worker"]);
    command.stdout(Stdio::null());
    ready(command).await
}

/// A worker that is started by this command and ready, and all that it says.
pub async fn ready(mut command: Command) -> (Child, Arc<Mutex<String>>) {
    let mut child = command.spawn().expect("a worker");
    let stderr = child.stderr.take().expect("its log");
    let mut lines = BufReader::new(stderr).lines();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let log = Arc::new(Mutex::new(String::new()));
    let said = log.clone();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("worker: {line}");
            said.lock().expect("a log").push_str(&format!("{line}\n"));
            if line.contains("the worker is ready")
                && let Some(ready) = ready.take()
            {
                let _ = ready.send(());
            }
        }
    });
    in_time("a worker is ready", is_ready).await.expect("a worker gets ready");
    (child, log)
}

/// A client of a server that may have started a moment ago.
pub async fn client(server: &DevServer) -> Client {
    let mut connected = None;
    until("Temporal answers", async || {
        connected = connect_to(&server.address).await.ok();
        connected.is_some()
    })
    .await;
    connected.expect("a client")
}

/// Waits for a workflow's end; its result, unless it failed or was ended.
pub async fn ended(client: &Client, workflow: &str) -> Option<Value> {
    let handle = client.get_workflow_handle::<UntypedWorkflow>(workflow);
    let result = handle.get_result(WorkflowGetResultOptions::default());
    match in_time(&format!("{workflow} ends"), result).await {
        Ok(result) => Some(serde_json::from_slice(&result.payloads[0].data).expect("JSON")),
        Err(WorkflowGetResultError::Rpc(status) | WorkflowGetResultError::NotFound(status)) => {
            panic!("{workflow}: {status}")
        }
        Err(_) => None,
    }
}

/// Waits until the server lists exactly these schedules: its list is some seconds behind.
pub async fn lists(client: &Client, ids: &[&str]) {
    until(&format!("the server lists {ids:?}"), async || {
        let listed = client.list_schedules(ListSchedulesOptions::default());
        let listed: Vec<_> = listed.try_collect().await.unwrap_or_default();
        // What is known by its id alone is not there yet.
        let whole = listed.iter().filter(|one| one.workflow_type().is_some());
        let mut found: Vec<_> = whole.map(ScheduleSummary::schedule_id).collect();
        found.sort_unstable();
        found == ids
    })
    .await;
}

/// Waits until what the server says of a schedule is so.
pub async fn until_schedule(
    client: &Client,
    id: &str,
    what: &str,
    is_so: impl Fn(&ScheduleDescription) -> bool,
) {
    let handle = client.get_schedule_handle(id);
    until(what, async || {
        let described = handle.describe(RpcOptions::default()).await;
        described.is_ok_and(|described| is_so(&described))
    })
    .await;
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("a process that runs").to_string();
    let status = std::process::Command::new("kill").args(["-s", name, &pid]).status();
    assert!(status.expect("kill runs").success());
}

/// Replays what a workflow just did through the code. With `SHEAF_RECORD_HISTORIES=FOLDER` the history
/// is kept there too, under this name: what once ran must always replay.
pub async fn replays(server: &DevServer, workflow: &str, name: &str) {
    let client = connect_to(&server.address).await.expect("a client");
    let handle = client.get_workflow_handle::<UntypedWorkflow>(workflow);
    let history = handle.fetch_history(WorkflowFetchHistoryOptions::default());
    let json = history.to_json().await.expect("a history");
    if let Some(folder) = std::env::var_os("SHEAF_RECORD_HISTORIES") {
        let path = std::path::Path::new(&folder).join(format!("{name}.json"));
        std::fs::write(path, &json).expect("written");
    }
    replay(&json).await;
}

/// Replays a history through the code.
pub async fn replay(json: &[u8]) {
    let history = WorkflowHistory::from_json(json).expect("a history");
    let options = WorkflowReplayerOptions::new()
        .register_workflow::<IndexingWorkflow>()
        .and_then(WorkflowReplayerOptionsBuilder::register_workflow::<ApprovalWorkflow>)
        .and_then(WorkflowReplayerOptionsBuilder::register_workflow::<ScheduledCrawl>)
        .and_then(WorkflowReplayerOptionsBuilder::register_workflow::<AllWorkflow>)
        .and_then(WorkflowReplayerOptionsBuilder::register_workflow::<IdentitiesWorkflow>)
        .and_then(WorkflowReplayerOptionsBuilder::register_workflow::<ForecastWorkflow>)
        .expect("registered")
        .build();
    let replayed =
        WorkflowReplayer::new(options).expect("a replayer").replay_workflow(history).await;
    replayed.expect("the workflow's code still does what it did");
}

/// What fails once ends a crawl.
pub const ONCE: &str = "[temporal.policy]\nattempts = 1\n\n";

/// Retries that a test need not wait for.
pub const QUICK: &str = "[temporal.policy]\ninitial_interval = \"100ms\"\nmax_interval = \"2s\"\nheartbeat_timeout = \"3s\"\n\n";

/// A crawl that is slow enough to be met in the middle, and is.
pub async fn in_the_middle(site: &Site) -> Child {
    let path = "/bulkindexdocuments".to_owned();
    site.glean.drill().add(Fault { path, times: 30, delay_ms: 400, skip: 1, ..Fault::default() });
    let sync = site.command(&["sync", "odd", "--json"]).spawn().expect("a sync");
    arrived(site).await;
    sync
}

/// A crawl is in its middle.
pub async fn arrived(site: &Site) {
    until("documents arrive", || async { site.ids("odd").await.len() >= 3000 }).await;
}
