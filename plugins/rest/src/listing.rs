//! What the settings say of a list, ready for use.

use std::fmt;

use serde_json::Value;
use sheaf_sdk::{Error, Result};

use crate::expression::Expression;
use crate::paging::{Pages, Paging};
use crate::template::{Template, all_texts};

/// The settings that each list has, whatever its items become.
pub(crate) struct ListSettings<'a> {
    pub items: Option<&'a String>,
    pub items_optional: bool,
    /// Whether an answer that is an object may be the list where there is no `items`.
    pub maps: bool,
    pub whole: Option<&'a String>,
    pub paging: Option<&'a Paging>,
    pub error: Option<&'a String>,
}

/// A list, ready to be read.
pub(crate) struct Listing {
    /// What people call it, such as "the endpoint `pages`".
    title: String,
    /// Where the items are in an answer.
    pub items: Option<Expression>,
    pub items_optional: bool,
    /// Whether an answer that is an object may be the list where there is no `items`.
    pub maps: bool,
    pub pages: Option<Pages>,
    pub error: Option<Expression>,
    pub whole: Option<Expression>,
    /// What tells an item from all others.
    id: Vec<Template>,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl Listing {
    pub(crate) fn new(title: String, list: &ListSettings<'_>, id: Vec<Template>) -> Result<Self> {
        let pages = list.paging.map(|paging| Pages::new(paging, &title)).transpose()?;
        let items = expression(list.items)?;
        if let Some(pages) = &pages
            && items.as_ref().is_some_and(Expression::filters)
        {
            let why = if pages.counts() {
                "counts its items to find the next page"
            } else {
                "compares how many came with its total"
            };
            if pages.counts() || pages.tells_total() {
                return Err(Error::fix_settings(format!(
                    "{title} {why}, so `items` must not filter them: use `skip`"
                )));
            }
        }
        Ok(Self {
            title,
            items,
            items_optional: list.items_optional,
            maps: list.maps,
            pages,
            error: expression(list.error)?,
            whole: expression(list.whole)?,
            id,
        })
    }

    /// What tells an item from all others; nothing where it has none of it, or where an expression for it fails: the
    /// item may be one that is to be left out, and otherwise whoever takes it tells of that.
    pub(crate) fn id(&self, item: &Value) -> Option<String> {
        let texts = all_texts(&self.id, item).ok()?;
        Some(texts.join("\n")).filter(|id| !id.is_empty())
    }
}

/// An expression, where the settings have one.
pub(crate) fn expression(text: Option<&String>) -> Result<Option<Expression>> {
    text.map(|text| Expression::new(text)).transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn items_that_are_filtered_are_not_counted() {
        let listing = |items: &str, paging: Value| {
            let (items, paging) =
                (items.to_owned(), serde_json::from_value(paging).expect("paging"));
            let list = ListSettings {
                items: Some(&items),
                items_optional: false,
                maps: true,
                whole: None,
                paging: Some(&paging),
                error: None,
            };
            Listing::new("the list".into(), &list, Vec::new()).map(|_| ())
        };
        let cursor = json!({ "kind": "cursor", "value": "next", "parameter": "c" });
        let with = |name: &str| {
            let mut paging = cursor.clone();
            paging[name] = "total".into();
            paging
        };
        let offset = json!({ "kind": "offset", "parameter": "o" });
        let filtered = "results[?kind == 'user']";
        for (paging, why) in [
            (offset.clone(), "to find the next page"),
            (with("total"), "with its total"),
            (with("total_header"), "with its total"),
        ] {
            let error = listing(filtered, paging).expect_err("refused").to_string();
            assert!(error.contains(why) && error.contains("use `skip`"), "{error}");
        }
        assert!(listing(filtered, cursor.clone()).is_ok());
        for paging in [offset, with("total")] {
            assert!(listing("results.\"[?\"", paging).is_ok());
        }
    }
}
