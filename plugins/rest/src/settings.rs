//! What the operator sets, put together from the sections of each feature.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sheaf_sdk::category;
use sheaf_sdk::schemars::{self, JsonSchema};

use crate::access::{AccessMap, AccessRule};
use crate::api::{Api, CredentialName};
use crate::changes::Incremental;
use crate::detail::Detail;
use crate::document::Mapping;
use crate::identities::IdentityEndpoint;
use crate::paging::Paging;

/// Settings of the rest connector. Expressions are JMESPath, or JSON Pointers where they begin with a
/// slash; templates are texts with expressions in braces.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The API's address. Paths are relative to it.
    pub(crate) base_url: String,
    /// Send the granted credential `api` with each request.
    pub(crate) credential: Option<CredentialName>,
    /// The header it is sent in. Otherwise "authorization".
    pub(crate) credential_header: Option<String>,
    /// Other headers of each request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// What is read. Each endpoint is crawled on its own.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Lists of users and of groups, where Glean shall know who is in which group of `access`.
    #[serde(default)]
    pub(crate) identities: Vec<IdentityEndpoint>,
    /// What Glean calls the datasource.
    pub(crate) display_name: Option<String>,
    /// Glean's category of the datasource and its documents, such as "TICKETS".
    #[serde(default = "usual_category")]
    pub(crate) category: String,
    /// What the documents' URLs match. Otherwise everything below `base_url`.
    pub(crate) url_regex: Option<String>,
}

fn usual_category() -> String {
    category::KNOWLEDGE_HUB.into()
}

/// A list of items.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
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

impl Settings {
    pub(crate) fn api(&self) -> Api {
        let header = self.credential_header.as_deref().unwrap_or("authorization");
        Api::new(&self.base_url, self.credential.map(|_| header), &self.headers)
    }

    pub(crate) fn object_types(&self) -> BTreeSet<&str> {
        self.endpoints.iter().map(|endpoint| endpoint.document.object_type.as_str()).collect()
    }

    /// The custom properties of an object type.
    pub(crate) fn properties(&self, object_type: &str) -> BTreeSet<&str> {
        let of_type = |endpoint: &&Endpoint| endpoint.document.object_type == object_type;
        let endpoints = self.endpoints.iter().filter(of_type);
        endpoints
            .flat_map(|endpoint| endpoint.document.properties.keys().map(String::as_str))
            .collect()
    }

    pub(crate) fn url_regex(&self) -> String {
        if let Some(regex) = &self.url_regex {
            return regex.clone();
        }
        let mut regex = String::new();
        for letter in self.base_url.trim_end_matches('/').chars() {
            if !letter.is_ascii_alphanumeric() && !"-_/:".contains(letter) {
                regex.push('\\');
            }
            regex.push(letter);
        }
        regex + "/.*"
    }
}
