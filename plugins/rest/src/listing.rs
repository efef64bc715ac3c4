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
        if pages.as_ref().is_some_and(Pages::counts)
            && list.items.is_some_and(|items| items.contains("[?"))
        {
            return Err(Error::fix_settings(format!(
                "{title} counts its items to find the next page, so `items` must not filter them: use `skip`"
            )));
        }
        Ok(Self {
            title,
            items: expression(list.items)?,
            items_optional: list.items_optional,
            maps: list.maps,
            pages,
            error: expression(list.error)?,
            whole: expression(list.whole)?,
            id,
        })
    }

    /// What tells an item from all others; nothing where it has none of it.
    pub(crate) fn id(&self, item: &Value) -> Result<Option<String>> {
        Ok(Some(all_texts(&self.id, item)?.join("\n")).filter(|id| !id.is_empty()))
    }
}

/// An expression, where the settings have one.
pub(crate) fn expression(text: Option<&String>) -> Result<Option<Expression>> {
    text.map(|text| Expression::new(text)).transpose()
}
