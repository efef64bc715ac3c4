//! Which documents Glean would refuse: they are quarantined with a reason, and hold up no others.
//! Glean: "Index documents", field rules.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::document::Document;
use crate::text::bounded_str;

/// Glean: ids "should not be more than 200 characters".
pub(crate) const MAX_ID_CHARS: usize = 200;
/// So much of what is wrong is quoted.
const MAX_SHOWN: usize = 300;
/// Longer ones are no addresses that a browser opens, and what a connector's pattern costs grows with them.
const MAX_URL_BYTES: usize = 2 << 10;
/// The longest pattern that is looked at.
const MAX_PATTERN_BYTES: usize = 16 << 10;
/// What it may take when it is compiled: matching costs as much as this times the URL.
const MAX_COMPILED_BYTES: usize = 128 << 10;

/// What a datasource asks of its documents.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    url: Option<Regex>,
    /// The object types that the datasource declares.
    objects: Vec<String>,
}

impl Rules {
    /// From the datasource's registration.
    pub fn of(datasource: &Value) -> Self {
        let url = datasource["urlRegex"].as_str().and_then(|pattern| {
            // Glean's dialect knows more than ours: what we cannot read, or not in bounds, is left to Glean.
            compiled(pattern)
                .inspect_err(|error| tracing::debug!(%error, "urlRegex is not checked here"))
                .ok()
        });
        let objects = datasource["objectDefinitions"].as_array().into_iter().flatten();
        let objects = objects.filter_map(|object| object["name"].as_str());
        Self { url, objects: objects.map(str::to_owned).collect() }
    }

    /// What is odd about a document that is uploaded all the same: Glean documents no rule for it.
    pub fn odd(&self, document: &Document) -> Option<String> {
        let kind = &document.object_type;
        (!self.objects.contains(kind)).then(|| match self.objects.join(", ") {
            none if none.is_empty() => "the datasource declares no object types".to_owned(),
            known => format!("its object type {kind} is not declared; the datasource has {known}"),
        })
    }

    /// Why a document cannot be indexed, if it cannot.
    pub fn broken(&self, document: &Document) -> Option<String> {
        if document.id.is_empty() {
            return Some("it has no id".into());
        }
        let characters = document.id.chars().count();
        if characters > MAX_ID_CHARS {
            return Some(format!("its id has {characters} characters, and 200 is the most"));
        }
        let kind = &document.object_type;
        if kind.is_empty() || kind.contains([' ', '_']) {
            let kind = bounded_str(kind, MAX_SHOWN);
            return Some(format!("its object type {kind:?} is empty or has a space or underscore"));
        }
        let url = &document.view_url;
        if url.is_empty() {
            return Some("it has no view URL".into());
        }
        if url.len() > MAX_URL_BYTES {
            let most = MAX_URL_BYTES;
            return Some(format!("its view URL has {} bytes, and {most} is the most", url.len()));
        }
        match &self.url {
            Some(regex) if !regex.is_match(url) => {
                let url = bounded_str(url, MAX_SHOWN);
                Some(format!("its view URL {url} does not match the datasource's urlRegex"))
            }
            _ => None,
        }
    }
}

/// A connector's pattern, which is matched in a time that grows with the URL alone.
fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(regex::Error::CompiledTooBig(MAX_PATTERN_BYTES));
    }
    RegexBuilder::new(&format!("^(?:{pattern})")).size_limit(MAX_COMPILED_BYTES).build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Access;
    use serde_json::json;

    fn document(id: &str, kind: &str, url: &str) -> Document {
        Document::new(id, kind, url, Access::Everyone)
    }

    #[test]
    fn documents_that_glean_would_refuse_are_named_with_the_rule() {
        let rules = Rules::of(&json!({ "urlRegex": "https://wiki\\.example\\.com/.*" }));
        let url = "https://wiki.example.com/a";
        assert_eq!(rules.broken(&document("a", "Page", url)), None);
        for (found, part) in [
            (document("", "Page", url), "no id"),
            (document(&"ü".repeat(201), "Page", url), "201 characters"),
            (document("a", "Wiki_Page", url), "object type"),
            (document("a", "Page", ""), "no view URL"),
            (document("a", "Page", "https://evil.example.com/a"), "urlRegex"),
            (document("a", "Page", &format!("{url}{}", "a".repeat(2_048))), "2048 is the most"),
        ] {
            let reason = rules.broken(&found).expect(part);
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(rules.broken(&document(&"ü".repeat(200), "Page", url)), None);
    }

    #[test]
    fn a_pattern_that_would_cost_too_much_is_left_to_glean() {
        let usual =
            (0..100).map(|n| format!(r"wiki-{n}\.example\.com")).collect::<Vec<_>>().join("|");
        for (pattern, is_checked) in [
            (r"https://wiki\.example\.com/.*".to_owned(), true),
            (r"https?://[\w.-]+\.example\.com/.*".to_owned(), true),
            (format!("https?://({usual})/.*"), true),
            ("(?:[a-z]{100}){100}{100}".to_owned(), false),
            ("a".repeat(20_000), false),
            ("(?=a)".to_owned(), false),
        ] {
            assert_eq!(compiled(&pattern).is_ok(), is_checked, "{pattern:.50}");
        }
    }
}
