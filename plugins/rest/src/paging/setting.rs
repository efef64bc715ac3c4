//! The setting `paging` of a list.

use serde::Deserialize;
use sheaf_sdk::Error;
use sheaf_sdk::schemars::{self, JsonSchema};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    /// How the next page is found.
    pub kind: Kind,
    /// An expression: where an answer has what the next page is asked for with. For `next-url`, `cursor`
    /// and `parameters`.
    pub value: Option<String>,
    /// The parameter that says which page. For `cursor`, `offset` and `page-number`.
    pub parameter: Option<String>,
    /// The first page's number, for `page-number`. Otherwise 1.
    pub first: Option<u64>,
    /// An expression: how many items the whole list has.
    pub total: Option<String>,
    /// A header that says how many items the whole list has, such as "X-Total-Count".
    pub total_header: Option<String>,
    /// An expression that holds in the list's last answer, and in no other.
    pub end: Option<String>,
    /// Whether one page may be all of the list where nothing says that no other follows.
    #[serde(default)]
    pub one_page: bool,
    /// Whether items move to other pages when others come or go. Otherwise that is so for pages that are
    /// counted, and the list is read twice.
    pub shifts: Option<bool>,
    /// Ask `base_url` for the next page, whichever host its URL names.
    #[serde(default)]
    pub keep_host: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A `Link` header with `rel="next"`.
    LinkHeader,
    /// The answer has the next page's URL.
    NextUrl,
    /// The answer has a token, which the next request sends.
    Cursor,
    /// The answer has an object, whose fields the next request sends.
    Parameters,
    /// The next request says how many items to leave out.
    Offset,
    /// The next request says the page's number.
    PageNumber,
}

impl Kind {
    /// As it is written in the settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LinkHeader => "link-header",
            Self::NextUrl => "next-url",
            Self::Cursor => "cursor",
            Self::Parameters => "parameters",
            Self::Offset => "offset",
            Self::PageNumber => "page-number",
        }
    }
}

/// What is wrong with the `paging` of a list.
pub(crate) fn wrong(list: &str, what: &str) -> Error {
    Error::fix_settings(format!("`paging` of {list} {what}"))
}
