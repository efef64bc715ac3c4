//! `sheaf new`: from an empty folder outside the checkout to documents, in each language, by the commands that it
//! names; and then by the changes of code that the page for authors tells of. What they would get from a network,
//! `./test` has got before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::{self, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::Value;
use sheaf_tests::{Ended, Site, root, target};

/// A project that was just begun.
struct Project {
    site: Site,
    folder: PathBuf,
    build: Vec<String>,
    test: String,
    environment: Vec<(&'static str, String)>,
}

impl Project {
    async fn begin(language: &str) -> Self {
        let site = Site::new("").await;
        let ended = site.sheaf(&["new", "team-wiki", "--lang", language, "--json"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let result = ended.json()["result"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let build = result["build"].as_array().expect("commands").iter().map(text).collect();
        let folder = site.path("team-wiki");
        Self { site, folder, build, test: text(&result["test"]), environment: Vec::new() }
    }

    /// Runs a line as an author would, in the project.
    async fn run(&self, line: &str) -> Ended {
        let mut command = self.site.command_of(Path::new("sh"), &["-c", line]);
        command.current_dir(&self.folder);
        // What cargo says of this package to its tests, and where it builds.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CARGO_") && name != "CARGO_HOME" {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = tokio::time::timeout(Duration::from_secs(900), command.output());
        let output =
            output.await.unwrap_or_else(|_| panic!("{line} did not end")).expect("it runs");
        let ended = Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended
    }

    async fn build(&self) {
        for line in &self.build {
            // Not every machine has it, and the toolchain of this checkout has the target.
            if !line.starts_with("rustup ") {
                self.run(line).await;
            }
        }
    }

    async fn sheaf(&self, arguments: &[&str]) -> Ended {
        let mut command = self.site.command(arguments);
        let output = command.current_dir(&self.folder).output().await.expect("it runs");
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The ids that a preview shows, none of which would be quarantined.
    async fn previewed(&self) -> Vec<String> {
        let ended = self.sheaf(&["preview", "team-wiki", "--json"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let result = ended.json()["result"].clone();
        let documents = result["documents"].as_array().expect("documents").iter();
        documents
            .map(|found| {
                assert!(found["problem"].is_null(), "{found}");
                found["document"]["id"].as_str().expect("an id").to_owned()
            })
            .collect()
    }

    /// Builds and previews it, crawls what it reads on the web, and reads another source by what the page for authors
    /// says of this language.
    async fn goes_all_the_way(&mut self, language: &str) {
        self.build().await;
        assert_eq!(self.previewed().await, NOTES);
        self.run(&self.test).await;

        let toml = std::fs::read_to_string(self.folder.join("sheaf.toml")).expect("sheaf.toml");
        let source = served(self.folder.join("sample")).await;
        self.configure(&toml, &source, "/api", "");
        let checked = self.sheaf(&["check", "team-wiki"]).await;
        assert!(checked.stdout.contains("Notes on the first page: 3."), "{checked:?}");
        for (more, documents) in [("--restart", 7), ("--incremental", 0)] {
            let ended = self.sheaf(&["sync", "team-wiki", "--local", more, "--json"]).await;
            assert_eq!(ended.code, 0, "{ended:?}");
            assert_eq!(ended.json()["result"]["documents"], documents, "{ended:?}");
        }
        let mut notes = NOTES.map(str::to_owned);
        notes.sort();
        assert_eq!(self.site.ids("teamwiki").await, notes);

        let changes = changes(language);
        assert_eq!(changes.len(), if language == "Rust" { 2 } else { 3 });
        for (file, before, after) in changes {
            let path = self.folder.join(&file);
            let text = std::fs::read_to_string(&path).expect(&file);
            assert_eq!(text.matches(&before).count(), 1, "{file}: {before}");
            std::fs::write(path, text.replace(&before, &after)).expect("written");
        }
        self.build().await;
        self.run(&self.test).await;
        let credential = "credentials.api = { bearer = { env = \"WIKI_TOKEN\" } }";
        assert!(page().contains(credential));
        self.configure(&toml, &source, "/wiki", credential);
        self.site.environment.push(("WIKI_TOKEN".into(), "open".into()));
        assert_eq!(self.previewed().await, NOTES);
        self.site.environment.push(("WIKI_TOKEN".into(), "old".into()));
        let refused = self.sheaf(&["check", "team-wiki"]).await;
        assert_eq!(refused.code, 4, "{refused:?}");
    }

    /// Its `sheaf.toml` with a Glean, and with a source on the web where it has a place for one.
    fn configure(&self, toml: &str, source: &str, path: &str, grants: &str) {
        let given = toml
            .replace(
                "# settings = { url = \"https://notes.example.com/api\" }",
                &format!("settings = {{ url = \"{source}{path}\" }}"),
            )
            .replace("# hosts = [\"notes.example.com\"]", &format!("hosts = [\"{source}\"]"))
            .replace("folders = ", "# folders = ");
        let glean = format!("[glean]\nserver_url = \"{}\"\n", self.site.glean.url());
        let all = format!("{glean}{given}{grants}\n");
        std::fs::write(self.folder.join("sheaf.toml"), all).expect("written");
    }
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/authoring.md")).expect("the page for authors")
}

/// The changes that the page tells of for a language: in which file what becomes what.
fn changes(language: &str) -> Vec<(String, String, String)> {
    let page = page();
    let (_, section) = page.split_once(&format!("### In {language}\n")).expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let section = section.split("\n### ").next().unwrap_or_default();
    let mut blocks = section.split("```");
    let mut found = Vec::new();
    while let (Some(said), Some(before), Some(becomes), Some(after)) =
        (blocks.next(), blocks.next(), blocks.next(), blocks.next())
    {
        let file = said.split('`').nth(1).expect("a file's name").to_owned();
        assert_eq!(becomes.trim(), "becomes");
        let code = |block: &str| block.split_once('\n').expect("code").1.to_owned();
        found.push((file, code(before), code(after)));
    }
    found
}

const NOTES: [&str; 7] = ["canteen", "bicycles", "badges", "printers", "travel", "parcels", "keys"];

/// Serves the pages of a folder: below `/api` as files, and at `/wiki/notes` one after the other, to who has a token.
async fn served(folder: PathBuf) -> String {
    let read = |folder: &Path, name: &str| {
        std::fs::read_to_string(folder.join(name)).expect("a page of the sample")
    };
    let files = folder.clone();
    let file = move |extract::Path(name): extract::Path<String>| async move { read(&files, &name) };
    let listed = move |Query(query): Query<BTreeMap<String, u32>>, headers: HeaderMap| async move {
        if headers.get("authorization").is_none_or(|sent| sent != "Bearer open") {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let number = query.get("page").copied().unwrap_or(1);
        let page: Value =
            serde_json::from_str(&read(&folder, &format!("notes-{number}.json"))).expect("JSON");
        let next = format!("</wiki/notes?page={}>; rel=\"next\"", number + 1);
        let link: Option<(&str, String)> = page["next"].is_string().then_some(("link", next));
        let answer: Response = page["notes"].to_string().into_response();
        match link {
            Some(link) => ([link], answer).into_response(),
            None => answer,
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
    let routes =
        axum::Router::new().route("/api/{name}", get(file)).route("/wiki/notes", get(listed));
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
    url
}

/// What cargo is told outside the project: it builds where this checkout builds, as this checkout does, so that what
/// both depend on is compiled once.
fn cargo_config() -> String {
    format!(
        "[net]\noffline = true\n[build]\nbuild-dir = \"{}\"\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n[profile.dev.package.\"*\"]\ndebug = false\n",
        target().display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_rust_is_begun_built_and_previewed_and_so_it_is_with_the_packaged_sdk() {
    let mut project = Project::begin("rust").await;
    project.site.write(".cargo/config.toml", &cargo_config());
    std::fs::copy(root().join("Cargo.lock"), project.folder.join("Cargo.lock")).expect("copied");
    project.goes_all_the_way("Rust").await;

    // The crate, as a registry would have it.
    let manifest = root().join("Cargo.toml");
    let packaged = project.site.path("packaged");
    let package = format!(
        "cargo package -p sheaf-sdk --manifest-path {} --allow-dirty --no-verify --locked --offline --target-dir {}",
        manifest.display(),
        packaged.display()
    );
    project.run(&package).await;
    let crates = packaged.join("package/sheaf-sdk-0.1.0.crate");
    project
        .run(&format!("rm -r sdk && tar xzf {} && mv sheaf-sdk-0.1.0 sdk", crates.display()))
        .await;
    project.build().await;
    project.site.environment.push(("WIKI_TOKEN".into(), "open".into()));
    assert_eq!(project.previewed().await, NOTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_python_is_begun_built_and_previewed() {
    let mut project = Project::begin("python").await;
    let wheels = target().join("wheels").display().to_string();
    project.environment = vec![("PIP_NO_INDEX", "1".into()), ("PIP_FIND_LINKS", wheels)];
    project.goes_all_the_way("Python").await;

    project.run(".venv/bin/pip wheel --quiet --no-deps --wheel-dir packaged ./sdk").await;
    let listed = project.run("python3 -m zipfile -l packaged/*.whl").await;
    for part in
        ["sheaf_sdk/py.typed", "sheaf_sdk/wit/world.wit", "sheaf_sdk/wit/deps/connector.wit"]
    {
        assert!(listed.stdout.contains(part), "{part}: {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_in_javascript_is_begun_built_and_previewed() {
    let mut project = Project::begin("js").await;
    let cache = target().join("npm").display().to_string();
    project.environment = vec![
        ("npm_config_offline", "true".into()),
        ("npm_config_cache", cache),
        ("npm_config_update_notifier", "false".into()),
    ];
    project.goes_all_the_way("JavaScript").await;

    let listed = project.run("npm pack --silent ./sdk && tar tzf sheaf-sdk-*.tgz").await;
    for part in
        ["package/src/index.d.ts", "package/wit/world.wit", "package/wit/deps/connector.wit"]
    {
        assert!(listed.stdout.contains(part), "{part}: {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_begun_with_a_name_and_where_nothing_is() {
    let site = Site::new("").await;
    for (name, code) in [("wiki", 0), ("wiki", 2), ("Wiki", 2), ("../wiki", 2), ("fn", 2)] {
        let ended = site.sheaf(&["new", name, "--lang", "python"]).await;
        assert_eq!(ended.code, code, "{ended:?}");
        insta::assert_snapshot!(format!("{}{}", ended.stdout, ended.stderr));
    }
    assert!(!site.folder.path().parent().expect("a folder").join("wiki").exists());
}
