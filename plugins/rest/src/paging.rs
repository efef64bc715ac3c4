//! How an API says where its next page is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sheaf_sdk::{Error, Result, schemars};

use crate::expression::{Expression, shown};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Paging {
    /// A `Link` header with `rel="next"`.
    LinkHeader,
    /// The answer has the next page's URL, at `value`.
    NextUrl { value: String },
    /// The answer has a token, at `value`, which the next request sends as `parameter`.
    Cursor { value: String, parameter: String },
    /// The answer has an object, at `value`, whose fields the next request sends.
    Parameters { value: String },
    /// The next request says how many items to leave out.
    Offset { parameter: String },
    /// The next request says the page's number, of which the first is `first`.
    PageNumber {
        parameter: String,
        #[serde(default = "first")]
        first: u64,
    },
}

fn first() -> u64 {
    1
}

/// Which page: a URL of its own, or the list's with more parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Items before it.
    #[serde(default)]
    pub items: u64,
    /// Pages before it.
    #[serde(default)]
    pub pages: u64,
}

impl Paging {
    /// The page after `place`, whose answer had so many items; nothing after the last.
    pub fn next(
        &self,
        place: &Place,
        answer: &Value,
        link: Option<&str>,
        items: usize,
    ) -> Result<Option<Place>> {
        let (items_before, pages) = (place.items + items as u64, place.pages + 1);
        let next = Place { items: items_before, pages, ..Place::default() };
        let with = |parameters| Some(Place { parameters, ..next.clone() });
        let at = |url| Some(Place { url: Some(url), ..next.clone() });
        let found = |text: &str| Expression::new(text)?.find(answer);
        let texts = |value: &Value| {
            let text = shown(value).filter(|text| !text.is_empty());
            text.filter(|_| !value.is_boolean())
        };
        let found = match self {
            // Some sources repeat their token until there are no more items.
            Self::Cursor { .. } | Self::Offset { .. } | Self::PageNumber { .. } if items == 0 => {
                None
            }
            Self::LinkHeader => link.and_then(next_link).and_then(at),
            Self::NextUrl { value } => texts(&found(value)?).and_then(at),
            Self::Cursor { value, parameter } => texts(&found(value)?)
                .and_then(|token| with(BTreeMap::from([(parameter.clone(), token)]))),
            Self::Parameters { value } => match found(value)? {
                Value::Object(fields) if !fields.is_empty() => with(
                    fields
                        .iter()
                        .filter_map(|(name, value)| Some((name.clone(), shown(value)?)))
                        .collect(),
                ),
                _ => None,
            },
            Self::Offset { parameter } => {
                with(BTreeMap::from([(parameter.clone(), items_before.to_string())]))
            }
            Self::PageNumber { parameter, first } => {
                with(BTreeMap::from([(parameter.clone(), (first + pages).to_string())]))
            }
        };
        let same = |next: &Place| match self {
            Self::Cursor { .. } => false,
            _ => (&next.url, &next.parameters) == (&place.url, &place.parameters),
        };
        // A list that ends in a circle was not read to its end.
        if found.as_ref().is_some_and(same) {
            return Err(Error::retry("the source names the same page as the next one"));
        }
        Ok(found)
    }
}

/// The URL of `rel="next"` in `Link` headers. A URL may have commas: it ends at its `>`.
fn next_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (url, after) = after.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter
                .strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|rel| rel == "next"))
        });
        if is_next {
            return Some(url.to_owned());
        }
        rest = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn next(paging: Value, answer: &Value, link: Option<&str>, items: usize) -> Option<Place> {
        let paging: Paging = serde_json::from_value(paging).expect("a kind of paging");
        paging.next(&Place::default(), answer, link, items).expect("found")
    }

    #[test]
    fn each_kind_of_paging_finds_the_next_page_and_the_end() {
        let header =
            r#"<https://a.example.com/1>; rel="prev", <https://a.example.com/3>; rel="next""#;
        let place =
            next(json!({ "kind": "link-header" }), &json!([]), Some(header), 2).expect("a page");
        assert_eq!(place.url.as_deref(), Some("https://a.example.com/3"));
        assert_eq!(next(json!({ "kind": "link-header" }), &json!([]), None, 2), None);
        let answer = json!({ "next": "x", "continue": { "a": 1, "b": "||" }, "none": null });
        for (paging, parameters) in [
            (json!({ "kind": "cursor", "value": "next", "parameter": "c" }), json!({ "c": "x" })),
            (json!({ "kind": "parameters", "value": "continue" }), json!({ "a": "1", "b": "||" })),
            (json!({ "kind": "offset", "parameter": "o" }), json!({ "o": "2" })),
            (json!({ "kind": "page-number", "parameter": "p" }), json!({ "p": "2" })),
            (json!({ "kind": "page-number", "parameter": "p", "first": 0 }), json!({ "p": "1" })),
        ] {
            let place = next(paging.clone(), &answer, None, 2).expect("a page");
            assert_eq!(json!(place.parameters), parameters, "{paging}");
        }
        for paging in [
            json!({ "kind": "cursor", "value": "none", "parameter": "c" }),
            json!({ "kind": "next-url", "value": "none" }),
            json!({ "kind": "parameters", "value": "none" }),
            json!({ "kind": "offset", "parameter": "o" }),
        ] {
            assert_eq!(next(paging, &answer, None, 0), None);
        }
    }

    #[test]
    fn a_source_that_names_the_same_page_again_is_not_at_its_end() {
        let paging = |json| -> Paging { serde_json::from_value(json).expect("paging") };
        let next_url = paging(json!({ "kind": "next-url", "value": "next" }));
        let place = Place { url: Some("https://a.example.com/2".into()), ..Place::default() };
        let answer = json!({ "next": "https://a.example.com/2" });
        assert!(next_url.next(&place, &answer, None, 2).is_err());
        // But a token may stay the same while items come.
        let cursor = paging(json!({ "kind": "cursor", "value": "next", "parameter": "c" }));
        let parameters = BTreeMap::from([("c".to_owned(), "x".to_owned())]);
        let place = Place { parameters, ..Place::default() };
        let answer = json!({ "next": "x" });
        assert!(cursor.next(&place, &answer, None, 2).expect("found").is_some());
        assert_eq!(cursor.next(&place, &answer, None, 0).expect("found"), None);
    }

    #[test]
    fn a_link_s_url_may_have_commas() {
        let header = r#"<https://a.example.com/x?fields=id,t&page=1>; rel="prev", </x?fields=id,t&page=3>; title="a"; rel="next""#;
        assert_eq!(next_link(header).as_deref(), Some("/x?fields=id,t&page=3"));
        assert_eq!(next_link(r#"<https://a.example.com/1>; rel="prev""#), None);
    }
}
