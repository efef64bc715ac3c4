//! Which documents Glean would refuse: they are set aside with a reason, and the crawl goes on.
//! Glean: "Index documents", field rules.

use regex::Regex;
use serde_json::Value;

use crate::connector::model::Document;
use crate::failure::{Failure, Kind, Result};

/// Glean: ids "should not be more than 200 characters".
const MAX_ID_CHARS: usize = 200;

/// Quarantined documents stop a crawl when they are more than this share ...
const MAX_SHARE_PERCENT: u64 = 10;
/// ... of at least so many.
const MIN_DOCUMENTS: u64 = 100;

/// What a datasource asks of its documents.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    url: Option<Regex>,
}

impl Rules {
    /// From the datasource's registration.
    pub fn of(datasource: &Value) -> Self {
        let url = datasource["urlRegex"].as_str().and_then(|pattern| {
            // Glean's dialect knows more than ours: what we cannot read is left to Glean.
            Regex::new(&format!("^(?:{pattern})"))
                .inspect_err(
                    |error| tracing::debug!(pattern, %error, "urlRegex is not checked here"),
                )
                .ok()
        });
        Self { url }
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
            return Some(format!("its object type {kind:?} is empty or has a space or underscore"));
        }
        let url = &document.view_url;
        if url.is_empty() {
            return Some("it has no view URL".into());
        }
        match &self.url {
            Some(regex) if !regex.is_match(url) => {
                Some(format!("its view URL {url} does not match the datasource's urlRegex"))
            }
            _ => None,
        }
    }
}

/// Stops a crawl in which too much is set aside: then the connector is wrong, not the documents.
pub fn too_many(quarantined: u64, of: u64, sample: &str) -> Result<()> {
    if of < MIN_DOCUMENTS || quarantined * 100 <= of * MAX_SHARE_PERCENT {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Quarantine,
        format!("{quarantined} of {of} documents cannot be indexed; for example {sample}"),
    )
    .next("mend the connector or its settings; nothing was deleted"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::model::Access;
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
        ] {
            let reason = rules.broken(&found).expect(part);
            assert!(reason.contains(part), "{reason}");
        }
        assert_eq!(rules.broken(&document(&"ü".repeat(200), "Page", url)), None);
    }

    #[test]
    fn a_tenth_of_a_hundred_may_be_set_aside() {
        assert!(too_many(99, 99, "x").is_ok());
        assert!(too_many(10, 100, "x").is_ok());
        assert!(too_many(11, 100, "x").is_err());
    }
}
