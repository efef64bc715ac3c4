//! What the operator sets, and the same ready for use.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;
use sheaf_sdk::{Error, Result, category, schemars};

use crate::document::{AccessMap, Mapping};
use crate::expression::{Expression, Template};
use crate::paging::{Pages, Paging};

/// Settings of the rest connector. Expressions are JMESPath, or JSON Pointers where they begin with a
/// slash; templates are texts with expressions in braces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The API's address. Paths are relative to it.
    pub base_url: String,
    /// Send the granted credential `api` with each request.
    pub credential: Option<CredentialName>,
    /// The header it is sent in. Otherwise "authorization".
    pub credential_header: Option<String>,
    /// Other headers of each request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What is read. Each endpoint is crawled on its own.
    pub endpoints: Vec<Endpoint>,
    /// What Glean calls the datasource.
    pub display_name: Option<String>,
    /// Glean's category of the datasource and its documents, such as "TICKETS".
    #[serde(default = "usual_category")]
    pub category: String,
    /// What the documents' URLs match. Otherwise everything below `base_url`.
    pub url_regex: Option<String>,
}

fn usual_category() -> String {
    category::KNOWLEDGE_HUB.into()
}

/// The one that the manifest asks for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialName {
    Api,
}

/// A list of items.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The scope's id: it must not change from crawl to crawl.
    pub name: String,
    /// What people call it.
    pub title: Option<String>,
    /// The list's path below `base_url`.
    pub path: String,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// An expression: where the items are in an answer. Otherwise the answer is the list.
    pub items: Option<String>,
    /// Whether an answer in which `items` finds nothing is an empty list. Otherwise it is an error: it may
    /// be one that says so with status 200.
    #[serde(default)]
    pub items_optional: bool,
    /// An expression: where an answer may have only a part of what it says of its items, it holds when
    /// the items are whole. Answers are put together until then, by the items' ids.
    pub whole: Option<String>,
    /// How the next page is asked for. Otherwise there is one page.
    pub paging: Option<Paging>,
    /// An expression: what an answer says went wrong, where it says so with status 200.
    pub error: Option<String>,
    /// An expression: items for which it holds are not delivered.
    pub skip: Option<String>,
    /// An expression: items for which it holds are deleted at the source.
    pub deleted: Option<String>,
    /// Another request for each item, whose answer is `detail` in its templates.
    pub detail: Option<Detail>,
    /// Which parts of an item become the parts of a document.
    pub document: Mapping,
    /// Who may find the documents. Nothing said means that nobody may.
    pub access: Option<AccessMap>,
    /// Access of particular items: the first rule that holds decides.
    #[serde(default)]
    pub access_rules: Vec<AccessRule>,
    /// How to ask for what changed since a time. Otherwise incremental crawls read everything.
    pub incremental: Option<Incremental>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// A template: the path below `base_url`.
    pub path: String,
    /// Templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// An expression that finds a list: one request for each of its elements, from which the path is
    /// made, and `detail` is a list.
    pub each: Option<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// An expression.
    pub when: String,
    pub access: AccessMap,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
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
pub struct Lookup {
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

/// Settings whose expressions were understood.
pub struct Prepared {
    settings: Settings,
    pub endpoints: Vec<Ready>,
}

/// An endpoint, ready for use.
pub struct Ready {
    pub config: Endpoint,
    pub items: Option<Expression>,
    pub pages: Option<Pages>,
    pub error: Option<Expression>,
    pub whole: Option<Expression>,
    pub skip: Option<Expression>,
    pub deleted: Option<Expression>,
    pub each: Option<Expression>,
    pub detail: Option<(Template, Vec<(String, Template)>)>,
    pub mapping: crate::document::Ready,
    pub changes: Option<Expression>,
    pub lookup_id: Option<Template>,
}

impl Prepared {
    pub fn new(settings: Settings) -> Result<Self> {
        if settings.endpoints.is_empty() {
            return Err(Error::fix_settings("`endpoints` is empty: nothing would be read"));
        }
        let mut names = BTreeSet::new();
        let mut endpoints = Vec::new();
        for endpoint in &settings.endpoints {
            if !names.insert(endpoint.name.clone()) {
                return Err(Error::fix_settings(format!(
                    "two endpoints are named `{}`",
                    endpoint.name
                )));
            }
            endpoints.push(Ready::new(endpoint.clone())?);
        }
        Ok(Self { settings, endpoints })
    }

    pub fn object_types(&self) -> BTreeSet<&str> {
        self.settings
            .endpoints
            .iter()
            .map(|endpoint| endpoint.document.object_type.as_str())
            .collect()
    }

    /// The custom properties of an object type.
    pub fn properties(&self, object_type: &str) -> BTreeSet<&str> {
        let of_type = |endpoint: &&Endpoint| endpoint.document.object_type == object_type;
        let endpoints = self.settings.endpoints.iter().filter(of_type);
        endpoints
            .flat_map(|endpoint| endpoint.document.properties.keys().map(String::as_str))
            .collect()
    }

    pub fn url_regex(&self) -> String {
        if let Some(regex) = &self.settings.url_regex {
            return regex.clone();
        }
        let mut regex = String::new();
        for letter in self.settings.base_url.trim_end_matches('/').chars() {
            if !letter.is_ascii_alphanumeric() && !"-_/:".contains(letter) {
                regex.push('\\');
            }
            regex.push(letter);
        }
        regex + "/.*"
    }
}

impl Ready {
    fn new(config: Endpoint) -> Result<Self> {
        let pages = config.paging.as_ref().map(|paging| Pages::new(paging, &config.name));
        let pages = pages.transpose()?;
        if pages.as_ref().is_some_and(Pages::counts)
            && config.items.as_ref().is_some_and(|items| items.contains("[?"))
        {
            return Err(Error::fix_settings(format!(
                "the endpoint `{}` counts its items to find the next page, so `items` must not filter them: \
                 use `skip`",
                config.name
            )));
        }
        let expression = |text: &Option<String>| text.as_deref().map(Expression::new).transpose();
        let incremental = config.incremental.as_ref();
        let detail = match &config.detail {
            None => None,
            Some(detail) => {
                let query = detail.query.iter();
                let query = query.map(|(name, text)| Ok((name.clone(), Template::new(text)?)));
                Some((Template::new(&detail.path)?, query.collect::<Result<_>>()?))
            }
        };
        Ok(Self {
            items: expression(&config.items)?,
            pages,
            error: expression(&config.error)?,
            whole: expression(&config.whole)?,
            skip: expression(&config.skip)?,
            deleted: expression(&config.deleted)?,
            each: expression(&config.detail.as_ref().and_then(|detail| detail.each.clone()))?,
            detail,
            mapping: crate::document::Ready::new(
                &config.document,
                config.access.as_ref(),
                &config.access_rules,
            )?,
            changes: expression(&incremental.and_then(|changes| changes.items.clone()))?,
            lookup_id: incremental
                .and_then(|changes| changes.lookup.as_ref())
                .map(|lookup| Template::new(&lookup.id))
                .transpose()?,
            config,
        })
    }
}
