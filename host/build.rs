//! WASI's interfaces, for the projects that `sheaf new` begins: out of the crate that this program is built with.

use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "wasmtime-wasi-http";

fn main() {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let output = PathBuf::from(variable("OUT_DIR")).join("wasi");
    let from = interfaces();
    std::fs::create_dir_all(&output).expect("the output folder can be written");
    for entry in std::fs::read_dir(&from).expect("the crate's interfaces are there").flatten() {
        std::fs::copy(entry.path(), output.join(entry.file_name())).expect("copied");
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

/// Where cargo unpacked them.
fn interfaces() -> PathBuf {
    let metadata = Command::new(variable("CARGO"))
        .args(["metadata", "--quiet", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", &variable("TARGET")])
        .current_dir(variable("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&metadata.stderr);
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)
        .unwrap_or_else(|error| panic!("cargo tells of its packages ({error}): {said}"));
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let package = packages.iter().find(|package| package["name"] == CRATE);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let folder = manifest.map(Path::new).and_then(Path::parent);
    folder.expect("wasmtime-wasi-http is a dependency").join("wit/deps")
}
