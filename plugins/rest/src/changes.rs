//! How to ask for what changed since a time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{Error, Result};

use crate::expression::Expression;
use crate::template::Template;
use crate::time;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incremental {
    /// The path of the list of changes. Otherwise the endpoint's.
    pub path: Option<String>,
    /// Templates, in which `{since}` is the time; added to the endpoint's query where the path is the
    /// same.
    pub query: BTreeMap<String, String>,
    /// How times are written: "unix", "unix-ms", or such as "%Y-%m-%dT%H:%M:%SZ".
    #[serde(default = "rfc3339")]
    pub since_format: String,
    /// So many seconds before the last crawl began are asked for again.
    #[serde(default = "overlap")]
    pub overlap_seconds: i64,
    /// An expression: where the changes are in an answer. Otherwise the endpoint's `items`.
    pub items: Option<String>,
    /// Where the list names only what changed: how to ask for the items themselves.
    pub lookup: Option<Lookup>,
}

/// Asks for several items by their ids.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lookup {
    /// A template of a change: the id of what changed.
    pub id: String,
    pub path: String,
    /// Templates, in which `{ids}` is the ids.
    pub query: BTreeMap<String, String>,
    /// How many ids fit into one request.
    #[serde(default = "one")]
    pub size: usize,
    /// What stands between them.
    #[serde(default = "comma")]
    pub separator: String,
}

fn rfc3339() -> String {
    "%Y-%m-%dT%H:%M:%SZ".into()
}

fn overlap() -> i64 {
    60
}

fn one() -> usize {
    1
}

fn comma() -> String {
    ",".into()
}

/// The setting `incremental`, ready for use.
pub(crate) struct Changes {
    setting: Incremental,
    /// Where the changes are in an answer.
    pub items: Option<Expression>,
    pub lookups: Option<Lookups>,
}

/// The setting `lookup`, ready for use.
pub(crate) struct Lookups {
    setting: Lookup,
    id: Template,
}

/// A path, and the parameters to ask for it with.
type Request = (String, BTreeMap<String, String>);

impl Changes {
    pub(crate) fn new(setting: &Incremental) -> Result<Self> {
        Ok(Self {
            items: setting.items.as_deref().map(Expression::new).transpose()?,
            lookups: setting.lookup.as_ref().map(Lookups::new).transpose()?,
            setting: setting.clone(),
        })
    }

    /// The time since which changes are asked for, after a crawl that handed out this bookmark.
    pub(crate) fn since(&self, bookmark: &str) -> Result<i64> {
        let began: i64 =
            bookmark.parse().map_err(|_| Error::start_over("the bookmark cannot be read"))?;
        Ok(began - self.setting.overlap_seconds)
    }

    /// Whether the endpoint's total is theirs: they are no list of their own, but the endpoint's with other parameters,
    /// and none of it is left out.
    pub(crate) fn have_the_total(&self) -> bool {
        self.setting.path.is_none() && !self.items.as_ref().is_some_and(Expression::filters)
    }

    /// The request for the changes; `path` and `query` are those of the endpoint's list.
    pub(crate) fn request(
        &self,
        since: i64,
        path: &str,
        query: &BTreeMap<String, String>,
    ) -> Result<Request> {
        let (path, mut query) = match &self.setting.path {
            Some(own) => (own.clone(), BTreeMap::new()),
            None => (path.to_owned(), query.clone()),
        };
        let context = json!({ "since": time::format(since, &self.setting.since_format) });
        query.extend(filled(&self.setting.query, &context)?);
        Ok((path, query))
    }
}

impl Lookups {
    fn new(setting: &Lookup) -> Result<Self> {
        Ok(Self { id: Template::new(&setting.id)?, setting: setting.clone() })
    }

    /// The id of what changed.
    pub(crate) fn id(&self, change: &Value) -> Result<Option<String>> {
        self.id.text(change)
    }

    /// The requests for the items that these changes name.
    pub(crate) fn requests(&self, changes: &[Value]) -> Result<Vec<Request>> {
        let mut ids = BTreeSet::new();
        for change in changes {
            ids.extend(self.id(change)?);
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let request = |ids: &[String]| {
            let context = json!({ "ids": ids.join(&self.setting.separator) });
            Ok((self.setting.path.clone(), filled(&self.setting.query, &context)?))
        };
        ids.chunks(self.setting.size.max(1)).map(request).collect()
    }
}

fn filled(query: &BTreeMap<String, String>, context: &Value) -> Result<BTreeMap<String, String>> {
    let mut filled = BTreeMap::new();
    for (name, text) in query {
        filled.extend(Template::new(text)?.text(context)?.map(|text| (name.clone(), text)));
    }
    Ok(filled)
}
