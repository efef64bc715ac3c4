//! What a new connector may be called.

use crate::failure::{Failure, Result};
use crate::text::short_line;

/// As much as a manifest may say.
const MAX_BYTES: usize = 64;

/// Words that mean something else where the name goes: to cargo and in Rust, to Python, to npm, or to the project
/// itself.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "class",
    "const",
    "continue",
    "core",
    "crate",
    "def",
    "del",
    "deps",
    "do",
    "dyn",
    "elif",
    "else",
    "enum",
    "except",
    "extern",
    "false",
    "final",
    "finally",
    "fn",
    "for",
    "from",
    "gen",
    "global",
    "if",
    "impl",
    "import",
    "in",
    "is",
    "lambda",
    "let",
    "log",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "nonlocal",
    "not",
    "or",
    "override",
    "pass",
    "priv",
    "proc-macro",
    "pub",
    "raise",
    "ref",
    "return",
    "schemars",
    "self",
    "serde",
    "serde-json",
    "sheaf-sdk",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "url",
    "use",
    "virtual",
    "wasip2",
    "where",
    "while",
    "wit-bindgen",
    "with",
    "yield",
];

/// A connector's name: lower-case words joined by hyphens, that every language takes for a name, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn of(said: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let what = format!("`{}` cannot be a connector's name: {why}", short_line(said, 80));
            Err(Failure::settings(what).next(match suggestion(said) {
                Some(better) => format!("call it `{better}`"),
                None => "give it a name such as `team-wiki`".into(),
            }))
        };
        let is_word = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if said.len() > MAX_BYTES {
            return wrong(&format!("it is longer than {MAX_BYTES} letters"));
        }
        if !said.split('-').all(is_word) {
            return wrong("it must be lower-case words joined by hyphens");
        }
        if !said.starts_with(|first: char| first.is_ascii_lowercase()) {
            return wrong("it must begin with a letter");
        }
        if TAKEN.contains(&said) {
            return wrong("that word means something else where the name goes");
        }
        Ok(Self(said.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As Rust and Python name a module: `team_wiki`.
    pub(super) fn module(&self) -> String {
        self.0.replace('-', "_")
    }

    /// As Glean names a datasource: `teamwiki`.
    pub(super) fn datasource(&self) -> String {
        self.0.replace('-', "")
    }

    /// As people read it: `Team wiki`.
    pub(super) fn title(&self) -> String {
        let mut letters = self.0.chars();
        let first = letters.next().unwrap_or_default().to_ascii_uppercase();
        format!("{first}{}", letters.as_str().replace('-', " "))
    }
}

/// A name that is near, if there is one that may be.
fn suggestion(said: &str) -> Option<String> {
    let lower = said.to_ascii_lowercase();
    let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    let first = joined.chars().next()?;
    let better = match joined.as_str() {
        taken if TAKEN.contains(&taken) => format!("{taken}-connector"),
        _ if first.is_ascii_digit() => format!("connector-{joined}"),
        _ => joined,
    };
    (better.len() <= MAX_BYTES && better != said).then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> (String, String) {
        let failure = Name::of(name).expect_err(name);
        (failure.what, failure.next.unwrap_or_default())
    }

    #[test]
    fn lower_case_words_joined_by_hyphens_are_a_name() {
        for name in ["a", "wiki", "team-wiki", "wiki2", "a-1-b", &"a".repeat(64)] {
            assert_eq!(Name::of(name).expect(name).as_str(), name);
        }
        let name = Name::of("team-wiki").expect("a name");
        assert_eq!(
            [name.module(), name.datasource(), name.title()],
            ["team_wiki", "teamwiki", "Team wiki"]
        );
    }

    #[test]
    fn what_is_no_name_is_refused_with_one_that_is_near() {
        for (said, why, next) in [
            ("Team Wiki", "lower-case words", "call it `team-wiki`"),
            ("team_wiki", "lower-case words", "call it `team-wiki`"),
            ("../wiki", "lower-case words", "call it `wiki`"),
            ("/etc/wiki", "lower-case words", "call it `etc-wiki`"),
            ("wiki--", "lower-case words", "call it `wiki`"),
            ("7wiki", "begin with a letter", "call it `connector-7wiki`"),
            ("fn", "means something else", "call it `fn-connector`"),
            ("sheaf-sdk", "means something else", "call it `sheaf-sdk-connector`"),
            ("", "lower-case words", "such as `team-wiki`"),
            ("ü", "lower-case words", "such as `team-wiki`"),
            (".", "lower-case words", "such as `team-wiki`"),
            (&"a".repeat(65), "longer than 64", "such as `team-wiki`"),
        ] {
            let (what, then) = refused(said);
            assert!(what.contains(why), "{said}: {what}");
            assert!(then.contains(next), "{said}: {then}");
        }
    }

    #[test]
    fn whatever_is_said_is_shown_as_one_line() {
        let (what, _) = refused("a\nb\u{1b}[2J\u{202e}");
        assert!(
            !what.contains('\n') && !what.contains('\u{1b}') && !what.contains('\u{202e}'),
            "{what}"
        );
    }

    #[test]
    fn every_name_that_is_suggested_is_one() {
        for word in TAKEN.iter().copied().chain(["1", "X Y", "--a"]) {
            if let Some(better) = suggestion(word) {
                Name::of(&better).expect("a name");
            }
        }
    }
}
