//! A Temporal dev server for trying out: found on the PATH, in our cache, by the SDK's download, or
//! built with Go.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use temporalio_sdk_core::ephemeral_server::{
    EphemeralExe, EphemeralExeVersion, TemporalDevServerConfig,
};
use tokio::process::{Child, Command};

use super::connect::connect_to;
use crate::failure::{Failure, Kind, Result};
use crate::machine::user_cache;

/// What the SDK calls its download.
const DOWNLOADED: &str = "temporal-sdk-rust-1.1.1";

/// Later versions do not install this way.
const GO_PACKAGE: &str = "github.com/temporalio/cli/cmd/temporal@v1.5.1";

/// A dev server that this process started. It ends with it.
pub struct DevServer {
    child: Child,
    pub address: String,
    pub ui: String,
}

const START: Duration = Duration::from_secs(30);
/// How often a server that ends at once is started.
const STARTS: u32 = 5;

/// Why a server did not start.
enum Started {
    Ended(Failure),
    Failed(Failure),
}

impl DevServer {
    /// Starts one that keeps its database in `folder`. `port` is used if it is free.
    pub async fn start(folder: &Path, port: u16) -> Result<Self> {
        let exe = executable().await?;
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::settings(format!("cannot create a folder: {error}"))
                .at(folder.display().to_string())
        })?;
        // A port that is free now may be taken a moment later: then others are tried.
        let mut left = STARTS;
        loop {
            left -= 1;
            match Self::start_once(&exe, folder, port).await {
                Err(Started::Ended(_)) if left > 0 => {}
                Err(Started::Ended(failure) | Started::Failed(failure)) => return Err(failure),
                Ok(server) => return Ok(server),
            }
        }
    }

    async fn start_once(exe: &Path, folder: &Path, port: u16) -> Result<Self, Started> {
        let port = free_port(port).map_err(Started::Failed)?;
        let ui_port = free_port(port.saturating_add(1000)).map_err(Started::Failed)?;
        let mut command = Command::new(exe);
        command
            .args(["server", "start-dev", "--ip", "127.0.0.1", "--log-level", "error"])
            .args(["--port", &port.to_string(), "--ui-port", &ui_port.to_string()])
            .arg("--db-filename")
            .arg(folder.join("temporal.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        // Ctrl-C is for us: crawls are handed over to the server before it ends.
        #[cfg(unix)]
        command.process_group(0);
        let none = |what: String| {
            Failure::new(Kind::Unreachable, format!("no Temporal dev server: {what}"))
                .next("install the `temporal` command, or run without it: `--no-temporal`")
        };
        let mut child =
            command.spawn().map_err(|error| Started::Failed(none(error.to_string())))?;
        let address = format!("127.0.0.1:{port}");
        // It takes connections before it answers.
        let answering = async {
            while connect_to(&address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            () = answering => {}
            ended = child.wait() => {
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(Started::Ended(none(format!("it ended at once ({status})"))));
            }
            () = tokio::time::sleep(START) => {
                let what = format!("it did not start within {START:?}");
                return Err(Started::Failed(none(what)));
            }
        }
        Ok(Self { child, address, ui: format!("http://127.0.0.1:{ui_port}") })
    }

    pub async fn stop(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(%error, "the Temporal dev server did not end properly");
        }
    }
}

/// The port itself, or any other that is free.
fn free_port(wanted: u16) -> Result<u16> {
    let free = TcpListener::bind(("127.0.0.1", wanted))
        .or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
        .and_then(|listener| listener.local_addr());
    free.map(|address| address.port())
        .map_err(|error| Failure::internal(format!("there is no free port: {error}")))
}

/// Finds the `temporal` command, getting it when it has to.
async fn executable() -> Result<PathBuf> {
    // Whoever comes second finds what the first one got.
    static GETTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = GETTING.lock().await;
    if let Some(found) = on_path() {
        return Ok(found);
    }
    let cache = user_cache()?;
    let cached = cache.join(command_name());
    if cached.is_file() {
        return Ok(cached);
    }
    let downloaded = cache.join(DOWNLOADED);
    if downloaded.is_file() || (download(&cache).await && downloaded.is_file()) {
        return Ok(downloaded);
    }
    if build(&cache).await && cached.is_file() {
        return Ok(cached);
    }
    Err(Failure::new(
        Kind::Unreachable,
        "there is no `temporal` command, and none could be downloaded or built",
    )
    .next("install it (`brew install temporal`, or from Temporal's site), or run with `--no-temporal`"))
}

fn command_name() -> &'static str {
    if cfg!(windows) { "temporal.exe" } else { "temporal" }
}

fn on_path() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let go = std::env::var_os("HOME").map(|home| PathBuf::from(home).join("go/bin"));
    std::env::split_paths(&folders)
        .chain(go)
        .map(|folder| folder.join(command_name()))
        .find(|path| path.is_file())
}

fn cached_download(cache: &Path) -> EphemeralExe {
    EphemeralExe::CachedDownload {
        version: EphemeralExeVersion::SDKDefault {
            sdk_name: "sdk-rust".into(),
            sdk_version: "1.1.1".into(),
        },
        dest_dir: Some(cache.display().to_string()),
        ttl: None,
    }
}

/// Whether the SDK's own download works: it is tried by starting a server and ending it.
async fn download(cache: &Path) -> bool {
    if std::fs::create_dir_all(cache).is_err() {
        return false;
    }
    tracing::info!("looking for a Temporal dev server to download");
    let config = TemporalDevServerConfig::builder().exe(cached_download(cache)).build();
    let trial = config.start_server_with_output(Stdio::null(), Stdio::null());
    match tokio::time::timeout(Duration::from_secs(120), trial).await {
        Ok(Ok(mut server)) => {
            let _ = server.shutdown().await;
            true
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "no Temporal dev server was downloaded");
            false
        }
        Err(_) => false,
    }
}

/// Builds it with Go, where Go is.
async fn build(cache: &Path) -> bool {
    let go = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !go.await.is_ok_and(|status| status.success()) {
        return false;
    }
    tracing::info!("building a Temporal dev server with Go; this takes some minutes, once");
    let built = Command::new("go")
        .args(["install", GO_PACKAGE])
        .env("GOBIN", cache)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    built.await.is_ok_and(|status| status.success())
}
