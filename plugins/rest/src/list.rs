//! A page of a list, whole: what an answer lacks of its items is in the next.

use serde_json::{Map, Value};
use sheaf_sdk::http::Response;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result};

use crate::api::{Api, clock, extended, keeps_to_itself};
use crate::changes::Lookups;
use crate::expression::{Expression, shown};
use crate::listing::Listing;
use crate::paging::{Next, Pages, Place, Said};

/// How a list is read: as its settings describe it, or that of its changes, or the answers to a lookup.
pub(crate) struct List<'a> {
    pub api: &'a Api,
    pub listing: &'a Listing,
    /// Where the items are in an answer.
    pub items: Option<&'a Expression>,
    /// Where the list only names its items: how they are asked for.
    pub lookups: Option<&'a Lookups>,
    /// Whether the setting `total` is about this list.
    pub has_total: bool,
    /// Whether the first page may be all of it, without a word about a next one.
    pub one_page: bool,
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

/// The source answers, and not with this list: for a list of many that is a reason to leave this one out.
pub(crate) struct Refusal {
    pub why: String,
    /// The same for a list that must be read.
    pub error: Error,
}

type Answered<T> = Result<std::result::Result<T, Refusal>>;

impl<'a> List<'a> {
    /// The list as its settings describe it.
    pub(crate) fn new(api: &'a Api, listing: &'a Listing) -> Self {
        Self {
            api,
            listing,
            items: listing.items.as_ref(),
            lookups: None,
            has_total: true,
            one_page: listing.pages.as_ref().is_none_or(|pages| pages.one_page),
        }
    }

    /// What tells an item of this list from all others.
    pub(crate) fn id(&self, item: &Value) -> Option<String> {
        match self.lookups {
            Some(lookups) => lookups.id(item).ok()?,
            None => self.listing.id(item),
        }
    }

    /// Whether it says how many items it has.
    pub(crate) fn tells_total(&self) -> bool {
        self.has_total && self.listing.pages.as_ref().is_some_and(Pages::tells_total)
    }

    /// The page at `url`, with what follows on it.
    pub(crate) fn read(&self, mut url: Url, mut place: Place) -> Answered<Listed> {
        let mut items: Vec<Value> = Vec::new();
        let (mut began, mut totals, mut shifts) = (None, Vec::new(), false);
        loop {
            let (answer, response) = match self.answer(&url)? {
                Ok(answer) => answer,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let now = *began.get_or_insert(clock(&response));
            let some = match self.items(&answer)? {
                Ok(some) => some,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let header = |name: &str| response.headers(name);
            let said = Said { answer: &answer, header: &header, items: some.len() };
            let mut next = match &self.listing.pages {
                Some(pages) => pages.next(&place, &said)?,
                None => Next::End { said: true },
            };
            if let Some(pages) = &self.listing.pages {
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
            self.merge(&mut items, some);
            let whole = match &self.listing.whole {
                Some(whole) if self.lookups.is_none() => whole.holds(&answer)?,
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
                Next::End { .. } if !whole => {
                    return Err(Error::retry(format!(
                        "{} ends with an answer in which `whole` does not hold",
                        self.listing
                    )));
                }
                next => return Ok(Ok(Listed { items, next, totals, shifts, now })),
            }
        }
    }

    /// An answer's JSON, and the answer.
    fn answer(&self, url: &Url) -> Answered<(Value, Response)> {
        let response = self.api.get(url)?;
        let status = response.status;
        let response = match response.success() {
            Ok(response) => response,
            Err(error) if keeps_to_itself(status) => {
                return Ok(Err(Refusal { why: format!("the source answers {status}"), error }));
            }
            Err(error) => return Err(error),
        };
        let json: Value = response.json()?;
        if let Some(error) = &self.listing.error
            && error.holds(&json)?
        {
            let said = error.find(&json)?;
            let said = shown(&said).unwrap_or_else(|| said.to_string());
            let error = Error::retry(format!("{} says: {said}", self.listing));
            return Ok(Err(Refusal { why: format!("the source says: {said}"), error }));
        }
        Ok(Ok((json, response)))
    }

    fn items(&self, answer: &Value) -> Answered<Vec<Value>> {
        let list = self.listing;
        let found = match self.items {
            Some(expression) => expression.find(answer)?,
            // Otherwise an error that comes with status 200 would be a list of its texts.
            None if !list.maps && !answer.is_array() => {
                let answer: String = answer.to_string().chars().take(100).collect();
                let why = format!("an answer is no list: {answer}");
                let error = Error::retry(format!(
                    "an answer of {list} is no list, and `items` says of none in it: {answer}"
                ));
                return Ok(Err(Refusal { why, error }));
            }
            None => answer.clone(),
        };
        match found {
            Value::Array(items) => Ok(Ok(items)),
            // A map of items by their ids.
            Value::Object(items) => Ok(Ok(items.into_iter().map(|(_, item)| item).collect())),
            Value::Null if list.items_optional => Ok(Ok(Vec::new())),
            Value::Null => Err(Error::retry(format!(
                "an answer of {list} has no items where `items` looks for them: {}",
                answer.to_string().chars().take(100).collect::<String>()
            ))),
            other => Err(Error::fix_settings(format!(
                "`items` of {list} finds no list, but {}",
                other.to_string().chars().take(60).collect::<String>()
            ))),
        }
    }

    /// Puts the parts of items together that came in several answers.
    fn merge(&self, all: &mut Vec<Value>, some: Vec<Value>) {
        if self.listing.whole.is_none() || all.is_empty() {
            all.extend(some);
            return;
        }
        for item in some {
            let id = self.listing.id(&item);
            let mut known = None;
            if id.is_some() {
                known = all.iter_mut().find(|candidate| self.listing.id(candidate) == id);
            }
            match (known, item) {
                (Some(Value::Object(known)), Value::Object(fields)) => add(known, fields),
                (_, item) => all.push(item),
            }
        }
    }

    /// The items themselves, where the list only names them.
    pub(crate) fn looked_up(&self, listed: Vec<Value>) -> Result<Vec<Value>> {
        let Some(lookups) = self.lookups else { return Ok(listed) };
        let list = List { items: self.listing.items.as_ref(), lookups: None, ..*self };
        let mut found = Vec::new();
        for (path, query) in lookups.requests(&listed)? {
            let page = list.read(self.api.url(&path, &query)?, Place::default())?;
            let Listed { items, next, .. } = page.map_err(|refusal| refusal.error)?;
            if matches!(next, Next::Page(_)) {
                return Err(Error::fix_settings(format!(
                    "`lookup` of {} asks for more than fits on a page: lower its `size`",
                    self.listing
                )));
            }
            found.extend(items);
        }
        Ok(found)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use crate::listing::ListSettings;

    use super::*;

    #[test]
    fn where_no_map_is_a_list_an_answer_that_is_one_is_an_error_to_try_again() {
        let api = Api::new("https://a.example.com", None, &BTreeMap::new());
        let items = |maps, items: Option<&str>, answer: &Value| {
            let items = items.map(str::to_owned);
            let list = ListSettings {
                items: items.as_ref(),
                items_optional: true,
                maps,
                whole: None,
                paging: None,
                error: None,
            };
            let listing = Listing::new("the list".into(), &list, Vec::new()).expect("a listing");
            List::new(&api, &listing).items(answer).expect("an answer")
        };
        let error = json!({ "error": "backend timeout" });
        assert_eq!(items(true, None, &error).ok().map(|items| items.len()), Some(1));
        for answer in [&error, &json!({}), &json!(null), &json!("not now")] {
            let refusal = items(false, None, answer).expect_err("refused");
            assert!(refusal.why.contains(&answer.to_string()), "{}", refusal.why);
            assert!(format!("{:?}", refusal.error).contains("Retry"), "{:?}", refusal.error);
        }
        for maps in [true, false] {
            assert_eq!(items(maps, None, &json!([1, 2])).ok().map(|items| items.len()), Some(2));
            let by_id = json!({ "all": { "1": {}, "2": {} } });
            assert_eq!(items(maps, Some("all"), &by_id).ok().map(|items| items.len()), Some(2));
        }
    }
}
