//! What the end-to-end tests share: guests compiled from source, and a site of its own for each test
//! with the real binary, a `sheaf.toml`, a folder of connectors and a local Glean.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use sheaf_local_glean::{LocalGlean, Options};
use tempfile::TempDir;

pub mod bucket;
pub mod company;
pub mod forward;
pub mod namespace;
pub mod people_api;
pub mod registries;
pub mod servers;
pub mod sink;
pub mod temporal;
mod told;
pub mod wait;
pub mod web;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's root")
}

pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether a build worked. One that did not is not tried again by each test.
fn builds(program: impl AsRef<OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.current_dir(root()).args(arguments).stdin(Stdio::null());
    // What cargo says of this package to its tests. ring's build script looks at it: with another value,
    // ring and all that stands on it would be built again, and once more by the next `cargo test`.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command.status().expect("it runs").success()
}

/// The binary, built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BINARY.get_or_init(|| {
        // A drill measures one that is built for speed.
        if let Some(binary) = std::env::var_os("SHEAF_DRILL_BINARY") {
            return Some(binary.into());
        }
        // With the features that the whole workspace was built with for the tests: nothing is built twice.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let arguments = ["build", "--quiet", "--locked", "--workspace", "--bin", "sheaf"];
        let built = builds(cargo, &arguments);
        built.then(|| target().join("debug/sheaf"))
    });
    built.as_deref().expect("sheaf is built")
}

/// A guest's component. Rust guests are compiled here, the others by `./test`.
pub fn guest(name: &str) -> PathBuf {
    static RUST: OnceLock<bool> = OnceLock::new();
    let other = target().join("guests").join(format!("{name}.wasm"));
    if matches!(name, "python_hello" | "js_hello" | "feed" | "sitemap") {
        assert!(other.is_file(), "{} is not there: run ./test, which builds it", other.display());
        return other;
    }
    let built = RUST.get_or_init(|| builds(root().join("tools/guests.sh"), &[]));
    assert!(built, "the guests in Rust are built");
    target().join("wasm32-wasip2/release").join(format!("{name}.wasm"))
}

/// For what a test asks by HTTP itself. All tests have this one: to make a client is to read all certificates of the
/// machine, which takes longer than a question. They do not share its connections, which end with the test that made
/// them.
pub fn http() -> &'static reqwest::Client {
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    HTTP.get_or_init(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client")
    })
}

/// Copies what is in one folder into another.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What `--json` printed: exactly one object.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON object ({error}): {self:?}"))
    }
}

/// A folder with all that `sheaf` needs, and a local Glean.
pub struct Site {
    pub folder: TempDir,
    pub glean: LocalGlean,
    /// More of the environment for each command.
    pub environment: Vec<(String, String)>,
}

impl Site {
    /// `connections` is the rest of the `sheaf.toml`.
    pub async fn new(connections: &str) -> Self {
        let glean = LocalGlean::start(Options::default()).await.expect("a local Glean");
        Self::with(connections, glean)
    }

    pub fn with(connections: &str, glean: LocalGlean) -> Self {
        // For what a test does by TLS itself.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let site =
            Self { folder: TempDir::new().expect("a folder"), glean, environment: Vec::new() };
        std::fs::create_dir(site.path("connectors")).expect("a folder");
        site.configure(connections);
        site
    }

    pub fn configure(&self, connections: &str) {
        let glean = format!(
            "[glean]\nserver_url = \"{}\"\nrequests_per_second = 1000.0\n\n",
            self.glean.url()
        );
        self.write("sheaf.toml", &format!("{glean}{connections}"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    /// Drops a guest into the folder of connectors.
    #[must_use]
    pub fn connector(self, name: &str) -> Self {
        let to = self.path("connectors").join(format!("{name}.wasm"));
        std::fs::copy(guest(name), to).expect("copied");
        self
    }

    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        self.command_of(binary(), arguments)
    }

    /// The same of another program.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(program);
        command
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in ["GLEAN_SERVER_URL", "GLEAN_INSTANCE", "GLEAN_INDEXING_API_TOKEN", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub async fn sheaf(&self, arguments: &[&str]) -> Ended {
        self.run(binary(), arguments).await
    }

    /// The same of another program.
    pub async fn run(&self, program: &Path, arguments: &[&str]) -> Ended {
        let output = self.command_of(program, arguments).output();
        let output = tokio::time::timeout(Duration::from_secs(240), output)
            .await
            .unwrap_or_else(|_| panic!("{} {arguments:?} did not end", program.display()))
            .expect("it runs");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `sheaf sync --local --json`, which must end with this code; its result.
    pub async fn sync(&self, connection: &str, code: i32) -> Value {
        let ended = self.sheaf(&["sync", connection, "--local", "--json"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
        ended.json()["result"].clone()
    }

    /// Approves what waits now, by the command that is shown for it.
    pub async fn approve(&self, connection: &str) -> Ended {
        let shown = self.sheaf(&["approve", connection, "--dry-run", "--json"]).await;
        if shown.code != 0 {
            return shown;
        }
        let command = shown.json()["result"]["command"].as_str().unwrap_or_default().to_owned();
        let words: Vec<_> = command.split(' ').skip(1).chain(["--json"]).collect();
        self.sheaf(&words).await
    }

    /// What `sheaf status --json` says of the first connection.
    pub async fn status(&self) -> Value {
        let status = self.sheaf(&["status", "--json"]).await.json();
        status["result"]["connections"][0].clone()
    }

    /// Whether Glean lets somebody see a document.
    pub async fn sees(&self, email: &str, datasource: &str, kind: &str, id: &str) -> bool {
        let path = "/api/index/v1/checkdocumentaccess";
        let answer = self.asked(path, email, datasource, kind, id).await;
        answer["hasAccess"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }

    /// What Glean answers to a question about somebody and a document.
    pub async fn asked(
        &self,
        path: &str,
        email: &str,
        datasource: &str,
        kind: &str,
        id: &str,
    ) -> Value {
        let body = json!({ "datasource": datasource, "objectType": kind, "docId": id, "userEmail": email });
        let url = format!("{}{path}", self.glean.url());
        let answer = http().post(url).json(&body).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }

    /// The ids that Glean has, in order.
    pub async fn ids(&self, datasource: &str) -> Vec<String> {
        let documents = self.glean.documents(datasource).await.expect("documents");
        documents.into_iter().map(|(id, _)| id).collect()
    }
}

/// The settings of the guest `odd`, as a connection of that name.
pub fn odd(settings: &str) -> String {
    format!(
        "[connections.odd]\nconnector = \"odd\"\ndatasource = \"odd\"\nsettings = {{ {settings} }}\n"
    )
}

/// A connection `docs` of the files connector over the folder `docs`.
pub fn files(settings: &str) -> String {
    format!(
        "[connections.docs]\nconnector = \"files\"\ndatasource = \"docs\"\n\n\
         [connections.docs.settings]\nroot = \"/content\"\nbase_url = \"https://docs.example.com\"\n\
         access = \"everyone\"\n{settings}\n\n\
         [connections.docs.grants]\nfolders = {{ \"/content\" = \"docs\" }}\n"
    )
}
