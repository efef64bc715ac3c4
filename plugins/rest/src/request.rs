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
}

impl Request {
    pub(crate) fn new(path: &str, query: &BTreeMap<String, String>) -> Result<Self> {
        let query = query.iter();
        let query = query.map(|(name, text)| Ok((name.clone(), Template::new(text)?)));
        Ok(Self { path: Template::new(path)?, query: query.collect::<Result<_>>()? })
    }

    /// Nothing where the path finds nothing in the item.
    pub(crate) fn url(&self, api: &Api, item: &Value) -> Result<Option<Url>> {
        let Some(path) = self.path.url(item)? else { return Ok(None) };
        let mut query = BTreeMap::new();
        for (name, template) in &self.query {
            query.extend(template.text(item)?.map(|text| (name.clone(), text)));
        }
        api.url(&path, &query).map(Some)
    }
}
