//! The way from a page to the next, which each kind of paging has of its own.

use std::collections::BTreeMap;

use serde_json::Value;
use sheaf_sdk::http::next_link;
use sheaf_sdk::{Error, Result};

use crate::expression::{Expression, shown};
use crate::paging::place::{Next, Place, Said};
use crate::paging::setting::{Kind, Paging, wrong};

pub(crate) enum Way {
    LinkHeader,
    NextUrl(Expression),
    Cursor(Expression, String),
    Parameters(Expression),
    Offset(String),
    PageNumber(String, u64),
}

impl Way {
    pub(crate) fn new(paging: &Paging, list: &str) -> Result<Self> {
        let kind = paging.kind;
        let name = kind.name();
        let value = || match &paging.value {
            Some(value) => Expression::new(value),
            None => Err(wrong(list, &format!("lacks `value`, which `{name}` needs"))),
        };
        let parameter = || match &paging.parameter {
            Some(parameter) => Ok(parameter.clone()),
            None => Err(wrong(list, &format!("lacks `parameter`, which `{name}` needs"))),
        };
        let way = match kind {
            Kind::LinkHeader => Self::LinkHeader,
            Kind::NextUrl => Self::NextUrl(value()?),
            Kind::Cursor => Self::Cursor(value()?, parameter()?),
            Kind::Parameters => Self::Parameters(value()?),
            Kind::Offset => Self::Offset(parameter()?),
            Kind::PageNumber => Self::PageNumber(parameter()?, paging.first.unwrap_or(1)),
        };
        let takes_value = matches!(kind, Kind::NextUrl | Kind::Cursor | Kind::Parameters);
        let takes_parameter = matches!(kind, Kind::Cursor | Kind::Offset | Kind::PageNumber);
        for (key, given, taken) in [
            ("value", paging.value.is_some(), takes_value),
            ("parameter", paging.parameter.is_some(), takes_parameter),
            ("first", paging.first.is_some(), kind == Kind::PageNumber),
        ] {
            if given && !taken {
                return Err(wrong(list, &format!("has `{key}`, for which `{name}` has no use")));
            }
        }
        Ok(way)
    }

    /// Whether the next page is asked for by a number that this connector counts itself.
    pub(crate) fn counts(&self) -> bool {
        matches!(self, Self::Offset(_) | Self::PageNumber(..))
    }

    /// What follows on `place`, whose answer this is.
    pub(crate) fn next(&self, place: &Place, said: &Said<'_>) -> Result<Next> {
        let items = place.items + said.items as u64;
        let next = Place { items, pages: place.pages + 1, ..Place::default() };
        let with = |parameters| Next::Page(Place { parameters, ..next.clone() });
        let at = |url| Next::Page(Place { url: Some(url), ..next.clone() });
        let one = |name: &String, value: String| with(BTreeMap::from([(name.clone(), value)]));
        Ok(match self {
            Self::Offset(_) | Self::PageNumber(..) if said.items == 0 => Next::End { said: false },
            Self::Offset(parameter) => one(parameter, items.to_string()),
            Self::PageNumber(parameter, first) => one(parameter, (first + next.pages).to_string()),
            Self::LinkHeader => match (said.header)("link") {
                Some(header) => match next_link(&header) {
                    Some(url) => at(url),
                    // It names other pages, so that it would name the next one, too.
                    None => Next::End { said: header.contains("rel=") },
                },
                None => Next::End { said: false },
            },
            Self::NextUrl(value) => match text(value, said.answer)? {
                Some(url) => at(url),
                None => Next::End { said: value.is_there(said.answer) },
            },
            Self::Cursor(value, parameter) => match text(value, said.answer)? {
                // Some sources repeat their token until there are no more items.
                Some(token)
                    if said.items == 0 && place.parameters.get(parameter) == Some(&token) =>
                {
                    Next::End { said: true }
                }
                Some(token) => one(parameter, token),
                None => Next::End { said: value.is_there(said.answer) },
            },
            Self::Parameters(value) => match value.find(said.answer)? {
                Value::Object(fields) if !fields.is_empty() => {
                    let text =
                        |(name, value): (&String, &Value)| Some((name.clone(), shown(value)?));
                    with(fields.iter().filter_map(text).collect())
                }
                Value::Null | Value::Bool(false) | Value::Object(_) => {
                    Next::End { said: value.is_there(said.answer) }
                }
                other => return Err(unusable(value, &other, "no object")),
            },
        })
    }
}

/// The text or number that an expression finds; nothing where there is none.
fn text(value: &Expression, answer: &Value) -> Result<Option<String>> {
    Ok(match value.find(answer)? {
        Value::Null | Value::Bool(false) => None,
        Value::Array(values) if values.is_empty() => None,
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        other => return Err(unusable(value, &other, "no text")),
    })
}

fn unusable(value: &Expression, found: &Value, why: &str) -> Error {
    let found: String = found.to_string().chars().take(60).collect();
    Error::fix_settings(format!("`value` of `paging`, `{value}`, finds {found}, which is {why}"))
}
