//! More requests for each item.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use sheaf_sdk::Result;
use sheaf_sdk::schemars::{self, JsonSchema};

use crate::api::Api;
use crate::expression::{Expression, shown};
use crate::template::Template;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Detail {
    /// A template: the path below `base_url`.
    pub path: String,
    /// Templates.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// An expression that finds a list: one request for each of its elements, from which the path is
    /// made, and `detail` is a list.
    pub each: Option<String>,
}

/// The setting `detail`, ready for use.
pub(crate) struct Details {
    path: Template,
    query: Vec<(String, Template)>,
    each: Option<Expression>,
}

/// What the API answers, or why the item it was asked for cannot be read.
type Found = std::result::Result<Value, String>;

impl Details {
    pub(crate) fn new(detail: &Detail) -> Result<Self> {
        let query = detail.query.iter();
        let query = query.map(|(name, text)| Ok((name.clone(), Template::new(text)?)));
        Ok(Self {
            path: Template::new(&detail.path)?,
            query: query.collect::<Result<_>>()?,
            each: detail.each.as_deref().map(Expression::new).transpose()?,
        })
    }

    /// Asks for what is known of an item besides the list. `error` finds what an answer says went wrong.
    pub(crate) fn ask(&self, api: &Api, error: Option<&Expression>, item: &Value) -> Result<Found> {
        let Some(each) = &self.each else { return self.ask_once(api, error, item) };
        let mut all = Vec::new();
        for element in each.find(item)?.as_array().into_iter().flatten() {
            match self.ask_once(api, error, element)? {
                Ok(json) => all.push(json),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(Ok(Value::Array(all)))
    }

    fn ask_once(&self, api: &Api, error: Option<&Expression>, element: &Value) -> Result<Found> {
        let Some(path) = self.path.url(element)? else {
            return Ok(Err("the path of `detail` finds nothing in the item".into()));
        };
        let mut query = BTreeMap::new();
        for (name, template) in &self.query {
            query.extend(template.text(element)?.map(|text| (name.clone(), text)));
        }
        let response = api.get(&api.url(&path, &query)?)?;
        if matches!(response.status, 403 | 404 | 410) {
            return Ok(Err(format!("its details answer {}", response.status)));
        }
        let json: Value = response.success()?.json()?;
        if let Some(error) = error
            && error.holds(&json)?
        {
            let said = shown(&error.find(&json)?);
            return Ok(Err(said.unwrap_or_else(|| "its details are an error".into())));
        }
        Ok(Ok(json))
    }
}
