//! More requests for each item.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sheaf_sdk::Result;
use sheaf_sdk::schemars::{self, JsonSchema};

use crate::api::{Api, keeps_to_itself};
use crate::expression::{Expression, shown};
use crate::request::{Gaps, Request};

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
    request: Request,
    each: Option<Expression>,
}

/// What the API answers, or why the item it was asked for cannot be read.
type Found = std::result::Result<Value, String>;

impl Details {
    pub(crate) fn new(detail: &Detail, gaps: Gaps) -> Result<Self> {
        Ok(Self {
            request: Request::new(&detail.path, &detail.query, gaps)?,
            each: detail.each.as_deref().map(Expression::new).transpose()?,
        })
    }

    /// The item with what is known of it besides the list, as `detail`.
    pub(crate) fn add(
        &self,
        api: &Api,
        error: Option<&Expression>,
        mut item: Value,
    ) -> Result<Found> {
        let detail = match self.ask(api, error, &item)? {
            Ok(detail) => detail,
            Err(why) => return Ok(Err(why)),
        };
        Ok(Ok(match item.as_object_mut() {
            Some(fields) => {
                fields.insert("detail".into(), detail);
                item
            }
            // A list of plain ids.
            None => json!({ "value": item, "detail": detail }),
        }))
    }

    /// Asks for what is known of an item besides the list. `error` finds what an answer says went wrong.
    fn ask(&self, api: &Api, error: Option<&Expression>, item: &Value) -> Result<Found> {
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
        let url = match self.request.url(api, element)? {
            Ok(url) => url,
            Err(part) => return Ok(Err(format!("{part} of `detail` finds nothing in the item"))),
        };
        let response = api.get(&url)?;
        if keeps_to_itself(response.status) {
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
