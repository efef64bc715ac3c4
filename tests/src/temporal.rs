//! One real Temporal server for the tests of a process, and workers beside it.

use std::process::Stdio;
use std::time::Duration;

use sheaf::temporal::dev_server::DevServer;
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
    let mut command = site.command(&["worker"]);
    command.stdout(Stdio::null());
    let mut child = command.spawn().expect("a worker");
    let stderr = child.stderr.take().expect("its log");
    let mut lines = BufReader::new(stderr).lines();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut ready = Some(ready);
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("worker: {line}");
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
    child
}

/// Sends a signal by its name.
pub fn signal(child: &Child, name: &str) {
    let pid = child.id().expect("a process that runs").to_string();
    let status = std::process::Command::new("kill").args(["-s", name, &pid]).status();
    assert!(status.expect("kill runs").success());
}
