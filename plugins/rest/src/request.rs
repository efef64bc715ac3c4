//! A request that is made from an item.

use std::collections::BTreeMap;

use serde_json::Value;
use sheaf_sdk::Result;
use sheaf_sdk::url::Url;

use crate::api::Api;
use crate::template::Template;

/// A path and its parameters, all of them templates.
pub(crate) struct Request {
    path: Template,
    query: Vec<(String, Template)>,
    gaps: Gaps,
}

/// What becomes of a request where a template of it finds nothing, or an empty text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// Such a parameter is left out.
    LeftOut,
    /// It is not made: without a parameter that narrows it, it would find others, too.
    Refused,
}

impl Request {
    pub(crate) fn new(path: &str, query: &BTreeMap<String, String>, gaps: Gaps) -> Result<Self> {
        let query = query.iter();
        let query = query.map(|(name, text)| Ok((name.clone(), Template::new(text)?)));
        Ok(Self { path: Template::new(path)?, query: query.collect::<Result<_>>()?, gaps })
    }

    /// The URL, or which part of it finds nothing in the item.
    pub(crate) fn url(&self, api: &Api, item: &Value) -> Result<std::result::Result<Url, String>> {
        let path = match self.path.url(item)? {
            Some(path) if self.accepts(&self.path, item)? => path,
            _ => return Ok(Err("the path".into())),
        };
        let mut query = BTreeMap::new();
        for (name, template) in &self.query {
            if !self.accepts(template, item)? {
                return Ok(Err(format!("`{name}` in the query")));
            }
            query.extend(template.text(item)?.map(|text| (name.clone(), text)));
        }
        api.url(&path, &query).map(Ok)
    }

    fn accepts(&self, template: &Template, item: &Value) -> Result<bool> {
        Ok(self.gaps == Gaps::LeftOut || template.is_filled(item)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_that_finds_nothing_is_left_out_or_no_request_is_made() {
        let query = [("group", "{slug}"), ("q", "in:{key}"), ("size", "50")];
        let query = query.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        let api = Api::new("https://a.example.com", None, &BTreeMap::new());
        let url = |gaps, item: &Value| {
            let request = Request::new("of/{id}", &query, gaps).expect("a request");
            request.url(&api, item).expect("found").map(String::from)
        };
        let whole = json!({ "id": 1, "slug": "hr", "key": "k" });
        let asked = "https://a.example.com/of/1?group=hr&q=in%3Ak&size=50";
        for gaps in [Gaps::LeftOut, Gaps::Refused] {
            assert_eq!(url(gaps, &whole).as_deref(), Ok(asked));
        }
        for (item, part, left_out) in [
            (json!({ "id": 1, "key": "k" }), "`group` in", "?q=in%3Ak&size=50"),
            (json!({ "id": 1, "slug": "", "key": "k" }), "`group` in", "?q=in%3Ak&size=50"),
            (json!({ "id": 1, "slug": [], "key": "k" }), "`group` in", "?q=in%3Ak&size=50"),
            (json!({ "id": 1, "slug": "hr", "key": "" }), "`q` in", "?group=hr&q=in%3A&size=50"),
            (json!({ "slug": "hr", "key": "k" }), "the path", "the path"),
            (json!({ "id": "", "slug": "hr", "key": "k" }), "the path", "of/?group=hr"),
        ] {
            let why = url(Gaps::Refused, &item).expect_err("no request");
            assert!(why.starts_with(part), "{item}: {why}");
            let found = url(Gaps::LeftOut, &item).unwrap_or_else(|why| why);
            assert!(found.contains(left_out), "{item}: {found}");
        }
    }
}
