//! The drawing of this crate: which of its modules may know which others.

use std::fs;
use std::path::{Path, PathBuf};

/// A module knows only modules that come before it.
const ORDER: [&str; 30] = [
    "time",
    "expression",
    "template",
    "api",
    "access",
    "document",
    "paging/setting",
    "paging/place",
    "paging/way",
    "paging/pages",
    "paging/mod",
    "request",
    "detail",
    "changes",
    "coverage",
    "listing",
    "list",
    "checkpoint",
    "walk",
    "identities/setting",
    "identities/users",
    "identities/groups",
    "identities/roll",
    "identities/gathered",
    "identities/reading",
    "identities/mod",
    "settings",
    "prepared",
    "cursor",
    "lib",
];

#[test]
fn a_module_knows_only_modules_that_come_before_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files(&source);
    for file in &files {
        let name = file.strip_prefix(&source).expect("a source").with_extension("");
        let name = name.to_str().expect("UTF-8").replace('\\', "/");
        let Some(place) = ORDER.iter().position(|module| *module == name) else {
            panic!("src/{name}.rs has no place in `ORDER`: decide which modules it may know");
        };
        let text = fs::read_to_string(file).expect("a source");
        for path in paths(&text) {
            let known = module(&path).unwrap_or_else(|| {
                panic!("src/{name}.rs uses `{path}`: write `use crate::MODULE::…`, a line for each")
            });
            assert!(
                known < place,
                "src/{name}.rs uses `{path}`, and {} does not come before {name} in `ORDER`. A new arrow is a decision: \
                 move what is needed to where both may know it, or draw another order",
                ORDER[known]
            );
        }
    }
    assert_eq!(files.len(), ORDER.len(), "`ORDER` names a module that is gone");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The paths within the crate that a source has in its code.
fn paths(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let words = code.flat_map(|line| {
        line.split(|letter: char| !letter.is_alphanumeric() && !"_:".contains(letter))
    });
    let is_module = |rest: &str| rest.starts_with(char::is_lowercase);
    words
        .filter(|word| {
            word.starts_with("crate::") || word.strip_prefix("super::").is_some_and(is_module)
        })
        .map(str::to_owned)
        .collect()
}

/// The module of `crate::paging::way::Way`, as its place in the order.
fn module(path: &str) -> Option<usize> {
    let mut names = path.strip_prefix("crate::")?.split("::");
    let (first, second) = (names.next()?, names.next().unwrap_or_default());
    let place = |name: String| ORDER.iter().position(|module| *module == name);
    place(format!("{first}/{second}"))
        .or_else(|| place(format!("{first}/mod")))
        .or_else(|| place(first.to_owned()))
}
