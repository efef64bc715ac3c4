//! Names that may be taken for others: with letters that look like those of another alphabet.

use std::sync::LazyLock;

use regex::Regex;
use url::quirks::domain_to_unicode;

use crate::text::one_line;

/// What begins a label that is ASCII on its way, and other letters for its reader.
const ENCODED: &str = "xn--";

/// A letter that is not of the alphabet that `a` to `z` are of.
static FOREIGN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{L}--\p{Latin}]").ok());

/// What a person has to know of a name before they grant it; nothing of one that is as it looks.
pub(super) fn note(name: &str) -> Option<String> {
    let is_encoded = |label: &str| label.starts_with(ENCODED);
    if !name.split('.').any(is_encoded) {
        return None;
    }
    let read = domain_to_unicode(name);
    let mixes = |label: &str| {
        let latin = label.bytes().any(|byte| byte.is_ascii_alphabetic());
        latin && FOREIGN.as_ref().is_some_and(|foreign| foreign.is_match(label))
    };
    let why = if read.split('.').any(mixes) { "mixes alphabets, " } else { "" };
    Some(format!("reads `{}`, {why}and may be taken for another name", one_line(&read)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_taken_for_others_are_told_from_those_that_may_not() {
        for (name, told) in [
            ("wiki.example.com", None),
            ("xn.example.com", None),
            ("xn--bcher-kva.example", Some("reads `bücher.example`, and may")),
            // A Cyrillic letter before Latin ones, and a name that is all Cyrillic.
            ("xn--pple-43d.com", Some("reads `\u{430}pple.com`, mixes alphabets, and may")),
            (
                "xn--80ak6aa92e.com",
                Some("reads `\u{430}\u{440}\u{440}\u{4cf}\u{435}.com`, and may"),
            ),
        ] {
            let note = note(name);
            assert_eq!(note.is_some(), told.is_some(), "{name}: {note:?}");
            assert!(note.unwrap_or_default().starts_with(told.unwrap_or_default()), "{name}");
        }
    }
}
