//! WASI's interfaces, for the projects that `sheaf new` begins: out of the crate that this program is built with. And what
//! `sheaf version` says of the build.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const CRATE: &str = "wasmtime-wasi-http";

fn main() {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let metadata = metadata();
    copy_interfaces(&metadata);
    say("TARGET", &variable("TARGET"));
    say("WASMTIME", version(&metadata, "wasmtime"));
    say("TEMPORAL_SDK", version(&metadata, "temporalio-sdk"));
    say("COMMIT", &commit().unwrap_or_default());
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// What `cli/version.rs` reads.
fn say(what: &str, value: &str) {
    println!("cargo::rustc-env=SHEAF_BUILD_{what}={value}");
}

/// What cargo knows of the packages, as `Cargo.lock` has them.
fn metadata() -> Value {
    let metadata = Command::new(variable("CARGO"))
        .args(["metadata", "--quiet", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &variable("TARGET")])
        .current_dir(variable("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&metadata.stderr);
    serde_json::from_slice(&metadata.stdout)
        .unwrap_or_else(|error| panic!("cargo tells of its packages ({error}): {said}"))
}

/// A package that this one depends on itself: there may be others of its name.
fn dependency<'a>(metadata: &'a Value, name: &str) -> &'a Value {
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a list of nodes");
    let of_id = |id: &Value| packages.iter().find(|package| package["id"] == *id);
    let ours = |node: &&Value| {
        of_id(&node["id"]).is_some_and(|package| package["name"] == variable("CARGO_PKG_NAME"))
    };
    let ours = nodes.iter().find(ours).and_then(|node| node["dependencies"].as_array());
    let mut used = ours.expect("what this package depends on").iter().filter_map(of_id);
    used.find(|package| package["name"] == name).unwrap_or_else(|| panic!("{name} is a dependency"))
}

fn version<'a>(metadata: &'a Value, name: &str) -> &'a str {
    dependency(metadata, name)["version"].as_str().expect("a version")
}

/// From where cargo unpacked them.
fn copy_interfaces(metadata: &Value) {
    let output = PathBuf::from(variable("OUT_DIR")).join("wasi");
    let manifest = dependency(metadata, CRATE)["manifest_path"].as_str().map(Path::new);
    let from = manifest.and_then(Path::parent).expect("a crate has a folder").join("wit/deps");
    std::fs::create_dir_all(&output).expect("the output folder can be written");
    for entry in std::fs::read_dir(&from).expect("the crate's interfaces are there").flatten() {
        std::fs::copy(entry.path(), output.join(entry.file_name())).expect("copied");
    }
}

/// The commit that is built: whoever builds says it in `SHEAF_COMMIT`, otherwise git does, and where there is none,
/// nobody. Git is not asked for a build of developers, which would be compiled again after each commit.
fn commit() -> Option<String> {
    println!("cargo::rerun-if-env-changed=SHEAF_COMMIT");
    if let Some(said) = std::env::var("SHEAF_COMMIT").ok().filter(|said| !said.is_empty()) {
        let is_one = said.len() <= 64 && said.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_one, "SHEAF_COMMIT is no commit: {said:?}");
        return Some(said);
    }
    if variable("PROFILE") != "release" {
        return None;
    }
    // A checkout around an unpacked archive knows nothing of it.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    // What changes with each commit and checkout, and what is compiled. A path that is not there counts as changed.
    for path in ["HEAD", "logs/HEAD"] {
        let path = git(&["rev-parse", "--git-path", path])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for path in ["build.rs", "Cargo.toml", "src", "templates", "../local-glean", "../wit"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-changed") })
}

/// What git says, if there is one and it agrees.
fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    let output = command.args(arguments).current_dir(variable("CARGO_MANIFEST_DIR")).output();
    let output = output.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
