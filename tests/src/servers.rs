//! Real servers, which the scripts in `tests/servers` start and change.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::root;

/// A real server, which ends with its script.
pub struct Server {
    folder: TempDir,
    _script: Child,
    pub port: u16,
}

fn script(name: &str) -> PathBuf {
    root().join("tests/servers").join(name)
}

impl Server {
    /// Nothing, where it can be neither found nor installed.
    pub async fn start(name: &str) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut script = Command::new(script(name))
            .arg(folder.path())
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the script runs");
        let mut lines = BufReader::new(script.stdout.take().expect("piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(300), lines.next_line());
        let line = line.await.expect("the server starts").expect("a line");
        let Some(line) = line else {
            let status = script.wait().await.expect("ended");
            assert_eq!(status.code(), Some(3), "{name} did not start");
            eprintln!("SKIPPED: {name} cannot be installed here");
            return None;
        };
        assert!(line.starts_with("ready "), "{line}");
        Some(Self { folder, _script: script, port })
    }

    pub async fn change(&self, name: &str) {
        let status = Command::new(script(name)).arg(self.folder.path()).status().await;
        assert!(status.expect("the script runs").success(), "{name}");
    }

    /// What a script prints of this server.
    pub async fn asked(&self, name: &str) -> String {
        let ended = Command::new(script(name)).arg(self.folder.path()).output().await;
        let ended = ended.expect("the script runs");
        assert!(ended.status.success(), "{name}");
        String::from_utf8(ended.stdout).expect("UTF-8")
    }

    /// An example's connections, at this server.
    pub fn connections(&self, example: &str, usual: &str) -> String {
        let path = root().join("examples").join(example).join("sheaf.toml");
        let text = std::fs::read_to_string(path).expect("an example");
        let (_, connections) = text.split_once("\n[connections").expect("connections");
        format!("[connections{}", connections.replace(usual, &format!("127.0.0.1:{}", self.port)))
    }
}
