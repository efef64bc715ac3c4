//! The drawing of the house, held against the code: which room may use which.
//!
//! Each list goes from the ground up. A file, or a folder, uses only what stands before it in its list;
//! [`ROOMS`] is the whole, and each other list a room from inside. A new line is a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A folder below `src`, and what is in it. `mod` is the folder's own page.
type Room = (&'static str, &'static [&'static str]);

const ROOMS: &[Room] = &[
    (
        "",
        &[
            "clock",
            "name",
            "text",
            "lists",
            "redact",
            "metrics",
            "release",
            "failure",
            "project",
            "secret",
            "tls",
            "machine",
            "traces",
            "document",
            "audience",
            "identities",
            "pace",
            "store",
            "senders",
            "sandbox",
            "connector",
            "wire",
            "intake",
            "cell",
            "registry",
            "glean",
            "ledger",
            "crawl",
            "temporal",
            "observe",
            "config",
            "cli",
        ],
    ),
    ("senders", &["standing", "mod"]),
    ("traces", &["sender", "mod"]),
    ("project", &["name", "files", "language", "write", "mod"]),
    (
        "sandbox",
        &["policy", "credentials", "limits", "egress", "folders", "output", "grants", "mod"],
    ),
    (
        "sandbox/policy",
        &[
            "look_alike",
            "target",
            "pattern",
            "address",
            "networks",
            "methods",
            "denied",
            "reach",
            "mod",
        ],
    ),
    (
        "sandbox/credentials",
        &["failures", "oauth", "form", "credential", "held", "place", "stand_ins", "mod"],
    ),
    (
        "sandbox/egress",
        &[
            "incidents",
            "requested",
            "grant",
            "permit",
            "certificates",
            "outside",
            "manners",
            "pem",
            "resolve",
            "lookups",
            "dial",
            "broker",
            "substitutions",
            "hosts",
            "connect",
            "sender",
            "client",
            "error",
            "body",
            "guest",
            "request",
            "hooks",
            "mod",
        ],
    ),
    ("sandbox/folders", &["grant", "names", "roots", "wasi", "mod"]),
    ("sandbox/limits", &["keys", "priority", "meters", "mod"]),
    (
        "connector",
        &[
            "digest",
            "schema_rules",
            "schema",
            "manifest",
            "nesting",
            "outline",
            "inspect",
            "fault",
            "grants",
            "state",
            "v0_1_wit",
            "v0_1_identities",
            "v0_1",
            "engine",
            "delivered",
            "host_limit",
            "backtrace",
            "trap",
            "call",
            "guest",
            "runnable",
            "compiler",
            "mod",
        ],
    ),
    ("cell", &["walls", "protocol", "probe", "inside", "outside", "loader", "mod"]),
    ("cell/walls", &["limits", "files", "rights", "calls", "mod"]),
    ("cell/protocol", &["frames", "channel", "asked", "orders", "jobs", "mod"]),
    ("cell/inside", &["log", "world", "loading", "room", "pages", "guest", "serve", "mod"]),
    (
        "cell/outside",
        &[
            "blocking",
            "program",
            "death",
            "process",
            "lines",
            "connection",
            "guest",
            "tally",
            "cursor",
            "trial",
            "mod",
        ],
    ),
    ("cell/loader", &["limits", "file", "private", "cache", "candidate", "compile", "mod"]),
    (
        "registry",
        &[
            "refusal",
            "oci",
            "trust",
            "asks",
            "lock",
            "layout",
            "published",
            "newest",
            "kept",
            "rules",
            "publish",
            "contract",
            "find",
            "take",
            "locked",
            "mod",
        ],
    ),
    ("registry/oci", &["reference", "artifact", "login", "wire", "token", "remote", "mod"]),
    ("registry/trust", &["key", "statement", "policy", "mod"]),
    ("wire", &["identities", "document", "permissions", "size", "batch", "received", "mod"]),
    ("intake", &["rules", "loop_detector", "cutter", "check", "source", "judge", "mod"]),
    (
        "glean",
        &[
            "status",
            "error",
            "patience",
            "token",
            "client",
            "access",
            "sieve",
            "identities",
            "upload",
            "mod",
        ],
    ),
    ("ledger", &["error", "record", "frame", "journal", "sort", "run", "compare", "mod"]),
    (
        "crawl",
        &[
            "policy",
            "lease",
            "request",
            "undefined",
            "progress",
            "identity_progress",
            "census",
            "plan",
            "result",
            "view",
            "history",
            "identities",
            "blame",
            "quarantine",
            "guard",
            "bookmarks",
            "change",
            "pending_end",
            "form",
            "connection_state",
            "kept_changes",
            "kept_identities",
            "pipeline",
            "connection",
            "configured",
            "guests",
            "crawler",
            "agreement",
            "metered",
            "remembered_failure",
            "damage",
            "late_deletion",
            "retry_changes",
            "interrupted",
            "lost_identities",
            "configure",
            "send_identities",
            "told_identities",
            "tell_identities",
            "scope",
            "totals",
            "close",
            "approval",
            "complete",
            "local_identities",
            "forecast",
            "local",
            "local_forecast",
            "status",
            "explain",
            "in_glean",
            "elsewhere",
            "source_access",
            "beside",
            "access",
            "preview",
            "mod",
        ],
    ),
    (
        "crawl/identities",
        &[
            "roster",
            "reading",
            "refused",
            "known",
            "people",
            "shifts",
            "objections",
            "changes",
            "standing",
            "path",
            "differs",
            "mod",
        ],
    ),
    (
        "crawl/pipeline",
        &["window", "frontier", "delivery", "page_records", "keeper", "parts", "driver", "mod"],
    ),
    (
        "temporal",
        &[
            "settings",
            "ids",
            "schedule",
            "inputs",
            "attempt",
            "activities",
            "workflows",
            "found",
            "rollout",
            "queue",
            "api_key",
            "connect",
            "follow",
            "forecasts",
            "identities",
            "outcomes",
            "approvals",
            "cancel",
            "pause",
            "schedules",
            "under_way",
            "dev_server",
            "store_watch",
            "worker",
            "mod",
        ],
    ),
    (
        "temporal/workflows",
        &[
            "reported",
            "activity",
            "timer",
            "approval",
            "identities",
            "forecast",
            "claim",
            "share",
            "indexing",
            "scheduled",
            "all",
            "mod",
        ],
    ),
    (
        "observe",
        &[
            "settings",
            "session",
            "sdk",
            "schedules",
            "seen",
            "gauges",
            "look",
            "page",
            "served",
            "actions",
            "serve",
            "mod",
        ],
    ),
    (
        "config",
        &[
            "locate",
            "values",
            "connectors",
            "temporal",
            "glean",
            "limits",
            "grants",
            "schedules",
            "connection",
            "observe",
            "settings",
            "file",
            "load",
            "live",
            "crawler",
            "mod",
        ],
    ),
    (
        "cli",
        &[
            "logging",
            "signals",
            "output",
            "context",
            "live",
            "shifts",
            "identities",
            "all_identities",
            "sync",
            "local_glean",
            "transfer",
            "fetch",
            "inspect",
            "new",
            "keys",
            "publish",
            "add",
            "update",
            "audit",
            "bundle",
            "explain",
            "access",
            "preview",
            "plan",
            "approve",
            "quarantine",
            "cancel",
            "pause",
            "rollout",
            "check",
            "schedules",
            "status",
            "doctor",
            "version",
            "reload",
            "worker",
            "dev",
            "shells",
            "mod",
        ],
    ),
];

/// A module's path below the crate: `["crawl", "scope"]`. A folder's own page ends with `mod`.
type Module = Vec<String>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The source files, by their modules. Tests in files and folders of their own see whatever they like.
fn files() -> BTreeMap<Module, String> {
    fn walk(folder: &Path, above: &[String], found: &mut BTreeMap<Module, String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let module = [above, std::slice::from_ref(&stem)].concat();
            if ["lib", "main", "house", "tests"].contains(&stem.as_str()) {
                continue;
            }
            if path.is_dir() {
                walk(&path, &module, found);
            } else {
                found.insert(module, std::fs::read_to_string(&path).expect("a file"));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&source(), &[], &mut found);
    found
}

/// The code of a file without its comments, and without the tests at its end.
fn code(text: &str) -> String {
    let tests = text
        .find("#[cfg(test)]\nmod tests")
        .or_else(|| text.find("#[cfg(all(test, unix))]\nmod tests"));
    let text = &text[..tests.unwrap_or(text.len())];
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The paths that a piece of code names: `crate::a::b`, each branch of `use super::{a, b::c}`, and in a
/// folder's own page what it takes from below.
fn paths(code: &str, below: &BTreeSet<String>) -> Vec<Vec<String>> {
    let begins = |word: &str| matches!(word, "crate" | "super") || below.contains(word);
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("::") {
        let before = &rest[..at];
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        let word = &before[start..];
        let is_first = !before[..start].ends_with("::");
        rest = &rest[at + 2..];
        if is_first && begins(word) {
            let used = branches(&mut rest);
            found.extend(used.into_iter().map(|used| [vec![word.to_owned()], used].concat()));
        }
    }
    found
}

/// What follows a `::`: one path, or the branches of `{…}`.
fn branches(rest: &mut &str) -> Vec<Vec<String>> {
    let trimmed = rest.trim_start();
    if let Some(inner) = trimmed.strip_prefix('{') {
        let mut all = Vec::new();
        *rest = inner;
        while !rest.is_empty() {
            *rest = rest.trim_start_matches([' ', '\n', ',']);
            if let Some(after) = rest.strip_prefix('}') {
                *rest = after;
                break;
            }
            all.extend(branches(rest));
        }
        return all;
    }
    let end = trimmed.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(trimmed.len());
    let (word, after) = trimmed.split_at(end);
    if word.is_empty() {
        // Nothing of ours, such as `*`.
        *rest = after.get(1..).unwrap_or_default();
        return vec![Vec::new()];
    }
    if let Some(further) = after.strip_prefix("::") {
        *rest = further;
        let below = branches(rest).into_iter();
        return below.map(|path| [vec![word.to_owned()], path].concat()).collect();
    }
    let renamed = after.trim_start().strip_prefix("as ");
    *rest = renamed
        .map_or(after, |name| name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    vec![vec![word.to_owned()]]
}

/// What a path of a module means, from the crate's root.
fn resolved(module: &[String], path: &[String]) -> Vec<String> {
    let is_page = module.last().is_some_and(|last| last == "mod");
    let mut base = if is_page { &module[..module.len() - 1] } else { module };
    let mut path = path;
    match path.first().map(String::as_str) {
        Some("crate") => return path[1..].to_vec(),
        Some("super") => {}
        _ => return [base, path].concat(),
    }
    while path.first().is_some_and(|word| word == "super") {
        base = base.split_last().map_or(&[], |(_, above)| above);
        path = &path[1..];
    }
    [base, path].concat()
}

/// The part of a room that a module belongs to: a file, a folder, or the room's own page.
fn part<'a>(room: &str, module: &'a [String], modules: &BTreeSet<Module>) -> Option<&'a str> {
    let above: Vec<&str> = room.split('/').filter(|word| !word.is_empty()).collect();
    let begins = module.len() >= above.len() && module.iter().zip(&above).all(|(a, b)| a == b);
    let next = begins.then(|| module.get(above.len()))?;
    let is_module = |next: &str| {
        let path = [&module[..above.len()], &[next.to_owned()]].concat();
        modules.contains(&path) || modules.iter().any(|other| other.starts_with(&path))
    };
    match next {
        Some(next) if is_module(next) => Some(next),
        // Something that the room's own page defines or hands on.
        _ if !above.is_empty() => Some("mod"),
        _ => None,
    }
}

#[test]
fn every_arrow_goes_down() {
    let files = files();
    let modules: BTreeSet<Module> = files.keys().cloned().collect();
    let mut wrong = Vec::new();
    for (room, order) in ROOMS {
        let place = |part: &str| order.iter().position(|known| *known == part);
        for (module, text) in &files {
            let Some(from) = part(room, module, &modules) else { continue };
            let Some(at) = place(from) else {
                wrong.push(format!("src/{} has no place in `{room}`", module.join("/")));
                continue;
            };
            let below = match module.split_last() {
                Some((page, above)) if page == "mod" => modules
                    .iter()
                    .filter_map(|other| other.strip_prefix(above)?.first())
                    .filter(|name| *name != "mod")
                    .cloned()
                    .collect(),
                _ => BTreeSet::new(),
            };
            for path in paths(&code(text), &below) {
                let used = resolved(module, &path);
                let Some(to) = part(room, &used, &modules) else { continue };
                if to != from && place(to).is_none_or(|to| to >= at) {
                    wrong.push(format!(
                        "src/{}.rs uses `{}`, and in `{room}` `{to}` does not come before `{from}`",
                        module.join("/"),
                        path.join("::")
                    ));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "a new arrow is a decision:\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_is_drawn() {
    let folders: BTreeSet<String> = files()
        .keys()
        .filter_map(|module| module.split_last())
        .map(|(_, folder)| folder.join("/"))
        .collect();
    let drawn: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(folders, drawn);
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let text = "use crate::{glean, ledger::{self, run::Run}};\nuse super::lease::Who as Whose;\n\
                fn f() { crate::text::count(1); wasmtime::Store::new(super::engine()) }";
    let found: Vec<_> =
        paths(text, &BTreeSet::new()).into_iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::glean",
        "crate::ledger::self",
        "crate::ledger::run::Run",
        "super::lease::Who",
        "crate::text::count",
        "super::engine",
    ];
    assert_eq!(found, expected);
    let module: Module = ["crawl", "pipeline", "mod"].map(str::to_owned).to_vec();
    let path: Vec<String> = ["super", "blame"].map(str::to_owned).to_vec();
    assert_eq!(resolved(&module, &path), ["crawl", "blame"]);
}
