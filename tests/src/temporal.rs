//! One real Temporal server for the tests of a process, and workers beside it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sheaf::temporal::connect::connect_to;
use sheaf::temporal::dev_server::DevServer;
use sheaf::temporal::workflows::{AllWorkflow, ApprovalWorkflow, IndexingWorkflow, ScheduledCrawl};
use sheaf_local_glean::Fault;
use temporalio_client::{UntypedWorkflow, WorkflowFetchHistoryOptions, WorkflowHistory};
use temporalio_sdk::workflow_replayer::{
    WorkflowReplayer, WorkflowReplayerOptions, WorkflowReplayerOptionsBuilder,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use crate::Site;

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
    tokio::time::timeout(Duration::from_secs(120), is_ready)
        .await
        .expect("a worker is ready in time")
        .expect("a worker gets ready");
    (child, log)
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

/// Asks again and again until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let waited = async {
        while !ask().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(90), waited)
        .await
        .unwrap_or_else(|_| panic!("in time: {what}"));
}

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
