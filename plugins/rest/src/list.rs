//! A page of a list, whole: what an answer lacks of its items is in the next.

use serde_json::{Map, Value};
use sheaf_sdk::http::Response;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result};

use crate::api::{Api, clock, extended};
use crate::expression::{Expression, shown};
use crate::paging::{Next, Place, Said};
use crate::prepared::Prepared;

/// How a list is read: the endpoint's own, that of its changes, or the answers to a lookup.
pub(crate) struct List<'a> {
    pub api: &'a Api,
    pub endpoint: &'a Prepared,
    /// Where the items are in an answer.
    pub items: Option<&'a Expression>,
    /// Whether an answer may have only a part of its items, as the setting `whole` says.
    pub comes_in_parts: bool,
    /// Whether the setting `total` is about this list.
    pub has_total: bool,
}

/// A page that was read.
pub(crate) struct Listed {
    pub items: Vec<Value>,
    pub next: Next,
    /// How many items the list has, as each answer said.
    pub totals: Vec<u64>,
    /// Whether items move to other pages.
    pub shifts: bool,
    /// The source's clock.
    pub now: i64,
}

impl List<'_> {
    /// The page at `url`, with what follows on it.
    pub(crate) fn read(&self, mut url: Url, mut place: Place) -> Result<Listed> {
        let mut items: Vec<Value> = Vec::new();
        let (mut began, mut totals, mut shifts) = (None, Vec::new(), false);
        loop {
            let (answer, response) = self.answer(&url)?;
            let now = *began.get_or_insert(clock(&response));
            let some = self.items(&answer)?;
            let header = |name: &str| response.headers(name);
            let said = Said { answer: &answer, header: &header, items: some.len() };
            let mut next = match &self.endpoint.pages {
                Some(pages) => pages.next(&place, &said)?,
                None => Next::End { said: true },
            };
            if let Some(pages) = &self.endpoint.pages {
                if self.has_total {
                    totals.extend(pages.total(&said)?);
                }
                shifts |= pages.shifts(&url, &place, &next);
                if let Next::Page(next) = &mut next
                    && let Some(named) = &next.url
                {
                    next.url = Some(self.api.next(&url, named, pages.keep_host)?.into());
                }
            }
            self.merge(&mut items, some)?;
            let whole = match &self.endpoint.whole {
                Some(whole) if self.comes_in_parts => whole.holds(&answer)?,
                _ => true,
            };
            match next {
                Next::Page(next) if !whole => {
                    url = match &next.url {
                        Some(named) => named.parse()?,
                        None => extended(url, &next.parameters),
                    };
                    place = next;
                }
                next => return Ok(Listed { items, next, totals, shifts, now }),
            }
        }
    }

    /// An answer's JSON, and the answer.
    fn answer(&self, url: &Url) -> Result<(Value, Response)> {
        let response = self.api.get(url)?.success()?;
        let json: Value = response.json()?;
        if let Some(error) = &self.endpoint.error
            && error.holds(&json)?
        {
            let said = error.find(&json)?;
            let said = shown(&said).unwrap_or_else(|| said.to_string());
            let name = &self.endpoint.setting.name;
            return Err(Error::retry(format!("the endpoint `{name}` says: {said}")));
        }
        Ok((json, response))
    }

    fn items(&self, answer: &Value) -> Result<Vec<Value>> {
        let name = &self.endpoint.setting.name;
        let found = match self.items {
            Some(expression) => expression.find(answer)?,
            None => answer.clone(),
        };
        match found {
            Value::Array(items) => Ok(items),
            // A map of items by their ids.
            Value::Object(items) => Ok(items.into_iter().map(|(_, item)| item).collect()),
            Value::Null if self.endpoint.setting.items_optional => Ok(Vec::new()),
            Value::Null => Err(Error::retry(format!(
                "an answer of the endpoint `{name}` has no items where `items` looks for them: {}",
                answer.to_string().chars().take(100).collect::<String>()
            ))),
            other => Err(Error::fix_settings(format!(
                "`items` of the endpoint `{name}` finds no list, but {}",
                other.to_string().chars().take(60).collect::<String>()
            ))),
        }
    }

    /// Puts the parts of items together that came in several answers.
    fn merge(&self, all: &mut Vec<Value>, some: Vec<Value>) -> Result<()> {
        if self.endpoint.whole.is_none() || all.is_empty() {
            all.extend(some);
            return Ok(());
        }
        for item in some {
            let id = self.endpoint.mapper.id(&item)?;
            let mut known = None;
            for candidate in all.iter_mut() {
                if id.is_some() && self.endpoint.mapper.id(candidate)? == id {
                    known = Some(candidate);
                    break;
                }
            }
            match (known, item) {
                (Some(Value::Object(known)), Value::Object(fields)) => add(known, fields),
                (_, item) => all.push(item),
            }
        }
        Ok(())
    }
}

/// Adds fields to those of a known part; lists of both are joined.
fn add(known: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (name, value) in fields {
        match (known.get_mut(&name), value) {
            (Some(Value::Array(known)), Value::Array(more)) => {
                let new: Vec<_> = more.into_iter().filter(|one| !known.contains(one)).collect();
                known.extend(new);
            }
            (_, value) => drop(known.insert(name, value)),
        }
    }
}
