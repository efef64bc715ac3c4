//! What a person reads of a failure, without what differs from run to run: for snapshots.

use std::sync::LazyLock;

use regex::Regex;

use crate::{Ended, root};

/// What differs, and what stands for it.
static DIFFERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let differs = [
        (r"/[^\s`'\x22,]*/\.tmp\w{6}", "[SITE]"),
        (r"\b(localhost|127\.0\.0\.1):\d{4,5}\b", "$1:[PORT]"),
        (r"\btried \d+ times in \S+", "tried [NUMBER] times in [TIME]"),
        (r"\bhas \d+\.\d MiB\b", "has [SIZE]"),
        (r"\bos error \d+", "os error [NUMBER]"),
        (r"\bsha256:[0-9a-f]+", "sha256:[DIGEST]"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "[TIME]"),
    ];
    differs.map(|(differs, instead)| (Regex::new(differs).expect("an expression"), instead)).into()
});

impl Ended {
    /// The failure as it was told on stderr, and the code that scripts see.
    pub fn told(&self) -> String {
        let at = self.stderr.find("error: ").unwrap_or(self.stderr.len());
        format!("exit code {}\n{}", self.code, stable(&self.stderr[at..]))
    }
}

/// A text without what differs.
pub(crate) fn stable(text: &str) -> String {
    let text = text.replace(&root().display().to_string(), "[ROOT]");
    DIFFERS
        .iter()
        .fold(text, |text, (differs, instead)| differs.replace_all(&text, *instead).into_owned())
}
