//! Which page of a list, and what its answer says of the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sheaf_sdk::Result;
use sheaf_sdk::url::Url;

use crate::api::extended;

/// Which page: a URL of its own, or the list's with more parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
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

impl Place {
    /// The URL of this page, where the list's is `first`.
    pub(crate) fn url(&self, first: Url) -> Result<Url> {
        Ok(match &self.url {
            Some(named) => named.parse()?,
            None => extended(first, &self.parameters),
        })
    }
}

/// What follows on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Page(Place),
    /// Nothing; and whether the answer says so, rather than just naming no other page.
    End {
        said: bool,
    },
}

/// What an answer says besides its items.
pub(crate) struct Said<'a> {
    pub answer: &'a Value,
    /// Its headers, by name.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// How many items it has.
    pub items: usize,
}
