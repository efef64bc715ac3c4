//! Endpoints that Glean removed: the host calls none of them, and the local Glean has none of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sheaf_local_glean::{LocalGlean, Options, REMOVED};
use sheaf_tests::{http, root};

/// Where Glean's description is, by the rule of `.ci/run`.
fn openapi() -> Option<String> {
    let file = std::env::var_os("GLEAN_OPENAPI").map_or_else(
        || root().join("../shared/reference/glean-indexing-openapi.yaml"),
        PathBuf::from,
    );
    std::fs::read_to_string(file).ok()
}

/// The endpoints that the text marks, each with the day of its removal.
fn marked(openapi: &str) -> BTreeSet<(String, String)> {
    let mut marked = BTreeSet::new();
    let mut endpoint = String::new();
    // A mark of an endpoint stands among the fields of its `post`; others are of fields.
    let mut is_marked = false;
    for line in openapi.lines() {
        let indent = line.len() - line.trim_start().len();
        let text = line.trim();
        if indent == 2 && text.starts_with('/') {
            text.trim_end_matches(':').clone_into(&mut endpoint);
        }
        if indent <= 6 {
            is_marked = indent == 6 && text == "x-glean-deprecated:";
        }
        if let Some(day) = text.strip_prefix("removal:").filter(|_| is_marked) {
            marked.insert((endpoint.clone(), day.trim().trim_matches('\'').to_owned()));
        }
    }
    marked
}

/// Every file of Rust in a folder.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn the_host_calls_no_endpoint_that_glean_removes() {
    let mut endpoints: BTreeSet<String> =
        REMOVED.iter().map(|&(path, _)| path.to_owned()).collect();
    if let Some(openapi) = openapi() {
        let marked = marked(&openapi);
        let removed =
            REMOVED.iter().map(|&(path, day)| (path.to_owned(), day.to_owned())).collect();
        assert_eq!(marked, removed, "local Glean's list of removed endpoints is not Glean's");
        endpoints.extend(marked.into_iter().map(|(path, _)| path));
    } else {
        eprintln!(
            "SKIPPED: Glean's OpenAPI text is not there (GLEAN_OPENAPI names it); \
             the list in local-glean was checked alone"
        );
    }
    let mut files = Vec::new();
    sources(&root().join("host/src"), &mut files);
    let texts = files.iter().map(|file| (file, std::fs::read_to_string(file).expect("a text")));
    let texts: Vec<_> = texts.collect();
    let calls = |endpoint: &str| {
        let literal = format!("\"{endpoint}\"");
        texts.iter().filter(move |(_, text)| text.contains(&literal)).map(|(file, _)| *file)
    };
    assert!(calls("/bulkindexdocuments").next().is_some(), "the host's endpoints are not found");
    for endpoint in &endpoints {
        let callers: Vec<_> = calls(endpoint).collect();
        assert!(callers.is_empty(), "{endpoint} is removed and called in {callers:?}");
    }
}

#[test]
fn marks_of_endpoints_are_told_from_marks_of_fields() {
    let text = "paths:\n  /gone:\n    post:\n      x-glean-deprecated:\n        removal: '2026-10-15'\n  \
                /there:\n    post:\n      deprecated: true\ncomponents:\n          \
                x-glean-deprecated:\n            removal: '2026-10-15'\n";
    let gone = ("/gone".to_owned(), "2026-10-15".to_owned());
    assert_eq!(marked(text), BTreeSet::from([gone]));
}

#[tokio::test]
async fn local_glean_has_no_endpoint_that_glean_removed() {
    let glean = LocalGlean::start(Options::default()).await.expect("a local Glean");
    for (path, _) in REMOVED {
        let url = format!("{}/api/index/v1{path}", glean.url());
        let post = http().post(url).header("content-type", "application/json");
        let answer = post.body("{}").send().await.expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.text().await.expect("a body"), "Not Found", "{path}");
    }
}
