//! What `tools/release.sh` makes, of the binary that development built: its parts agree, and they are the same again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sheaf_tests::{binary, guest, root};
use tempfile::TempDir;

/// What a program says on stdout.
fn said(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn sheaf(arguments: &[&str]) -> String {
    said(Command::new(binary()).args(arguments))
}

fn version() -> Value {
    let version: Value = serde_json::from_str(&sheaf(&["version", "--json"])).expect("one object");
    assert_eq!(version["ok"], true, "{version}");
    version["result"].clone()
}

/// A release of what is there, in a folder of its own.
fn release(folder: &Path) {
    for connector in ["sheaf_files", "sheaf_rest", "feed", "sitemap"] {
        guest(connector);
    }
    let mut script = Command::new(root().join("tools/release.sh"));
    script.arg("--quick").arg(folder).env("SHEAF", binary());
    // A checkout need not have a history. The same moment for both, whatever is committed meanwhile.
    script.env("SOURCE_DATE_EPOCH", "1700000000");
    said(&mut script);
}

fn sums(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("SHA256SUMS")).expect("SHA256SUMS")
}

fn file(folder: &Path, ending: &str) -> PathBuf {
    let of_ending = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    let files = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let found: Vec<_> = files.filter(of_ending).collect();
    let [file] = found.as_slice() else { panic!("one {ending}: {found:?}") };
    file.clone()
}

/// The version of each package in `Cargo.lock` that has one only.
fn locked(name: &str) -> String {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock");
    let begins = format!("name = \"{name}\"\nversion = \"");
    let found: Vec<_> =
        lock.split(&begins).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let [version] = found.as_slice() else { panic!("one {name}: {found:?}") };
    (*version).to_owned()
}

/// In the form of `CycloneDX`, and of what the binary says of itself.
fn is_a_bill_of_materials(bill: &Value) {
    assert_eq!(bill["bomFormat"], "CycloneDX");
    assert_eq!(bill["specVersion"], "1.6");
    assert_eq!(bill["version"], 1);
    let about = version();
    assert_eq!(bill["metadata"]["component"]["version"], about["version"]);

    let components = bill["components"].as_array().expect("components");
    let by_reference: BTreeMap<&str, &Value> = components
        .iter()
        .map(|component| (component["bom-ref"].as_str().expect("a reference"), component))
        .collect();
    assert_eq!(by_reference.len(), components.len(), "each reference is of one component");
    for component in components {
        let (name, version) = (&component["name"], &component["version"]);
        assert_eq!(component["type"], "library", "{component}");
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        if name.as_str().is_some_and(|name| name.starts_with("sheaf-")) {
            continue;
        }
        let purl = format!(
            "pkg:cargo/{}@{}",
            name.as_str().unwrap_or_default(),
            version.as_str().unwrap_or_default()
        );
        assert_eq!(component["purl"], *purl);
        let hash = &component["hashes"][0];
        assert_eq!(hash["alg"], "SHA-256");
        assert_eq!(hash["content"].as_str().map(str::len), Some(64), "{component}");
    }
    for (name, said) in [("wasmtime", "wasmtime"), ("temporalio-sdk", "temporal_sdk")] {
        let version = locked(name);
        assert_eq!(about[said], *version);
        let component = by_reference.get(&*format!("{name}@{version}"));
        assert_eq!(component.map(|component| &component["version"]), Some(&about[said]), "{name}");
    }
    // What only tests, build scripts and macros need is not linked.
    for other in ["sheaf-tests", "insta", "serde_derive", "syn", "prost-build"] {
        assert!(!components.iter().any(|component| component["name"] == other), "{other}");
    }
    for entry in bill["dependencies"].as_array().expect("dependencies") {
        let on = entry["dependsOn"].as_array().expect("references").iter();
        let all = on.chain([&entry["ref"]]).map(|name| name.as_str().expect("a reference"));
        let known = |name: &str| {
            by_reference.contains_key(name) || bill["metadata"]["component"]["bom-ref"] == name
        };
        assert!(all.clone().all(known), "{entry}");
    }
}

#[test]
fn a_release_s_parts_agree_and_another_of_the_same_is_the_same() {
    let (first, second) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
    release(first.path());
    release(second.path());
    // The bytes of each file are those that its sum is of.
    for folder in [first.path(), second.path()] {
        said(
            Command::new("sha256sum")
                .args(["--check", "--strict", "SHA256SUMS"])
                .current_dir(folder),
        );
    }
    let sums = sums(first.path());
    assert_eq!(sums, self::sums(second.path()));
    assert_eq!(sums.lines().count(), 6, "an archive, a bill and four connectors: {sums}");

    let bill = std::fs::read(file(first.path(), ".cdx.json")).expect("a bill of materials");
    is_a_bill_of_materials(&serde_json::from_slice(&bill).expect("JSON"));

    let archive = file(first.path(), ".tar.gz");
    let name = archive.file_name().and_then(OsStr::to_str).expect("a name");
    let name = name.strip_suffix(".tar.gz").expect("an archive");
    let about = version();
    let of_build = [&about["version"], &about["target"]].map(|part| part.as_str().expect("a text"));
    assert_eq!(name, format!("sheaf-{}", of_build.join("-")));
    let listed = said(Command::new("tar").arg("-tzf").arg(&archive));
    for inside in [
        "sheaf",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "completions/sheaf.bash",
        "completions/_sheaf",
        "completions/sheaf.fish",
        "man/man1/sheaf.1",
        "man/man1/sheaf-sync.1",
    ] {
        assert!(
            listed.lines().any(|line| line == format!("{name}/{inside}")),
            "{inside}: {listed}"
        );
    }
}

#[test]
fn completions_are_what_their_shell_reads() {
    let folder = TempDir::new().expect("a folder");
    let script = folder.path().join("sheaf.bash");
    std::fs::write(&script, sheaf(&["completions", "bash"])).expect("written");
    said(Command::new("bash").arg("-n").arg(&script));
    // And bash completes with it.
    let complete = "source \"$1\"; COMP_WORDS=(sheaf ver); COMP_CWORD=1; _sheaf sheaf ver sheaf; echo \"${COMPREPLY[@]}\"";
    let completed = said(Command::new("bash").args(["-c", complete, "bash"]).arg(&script));
    assert_eq!(completed.trim(), "version");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = sheaf(&["completions", shell]);
        assert!(script.contains("quarantine"), "{shell}");
        assert!(!script.contains("publish-contract"), "{shell}: what is hidden is not offered");
    }
    let told: Value =
        serde_json::from_str(&sheaf(&["completions", "fish", "--json"])).expect("one object");
    assert_eq!(told["result"]["script"], sheaf(&["completions", "fish"]));
}
