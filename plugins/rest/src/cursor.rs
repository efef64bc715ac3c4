//! A crawl of one endpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sheaf_sdk::{Crawl, Cursor, Error, Limits, Page, Result, Unreadable};

use crate::api::{Api, clock, extended};
use crate::expression::{Expression, Template, shown};
use crate::paging::Place;
use crate::settings::Ready;
use crate::time;

/// A page that takes long is handed over as it is: details are requests of their own.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a crawl goes on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// The source's clock when the crawl began.
    began: Option<i64>,
    place: Place,
    /// How many items of that page were delivered, and the last one's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<(usize, String)>,
}

/// What follows on the items at hand.
enum Next {
    /// No page was read yet.
    Unread,
    Page(Place),
    End,
}

pub struct RestCursor {
    api: Api,
    endpoint: Ready,
    /// Incremental crawls: what changed since then.
    since: Option<i64>,
    checkpoint: Checkpoint,
    /// What is left of the page that was read last.
    items: VecDeque<Value>,
    /// How many of the page were taken before.
    taken: usize,
    next: Next,
    incremental: bool,
}

/// The beginning of an endpoint's list, to see whether it answers.
pub fn first_page(api: &Api, endpoint: &Ready) -> Result<(Value, Vec<Value>)> {
    let url = api.url(&endpoint.config.path, &endpoint.config.query)?;
    let answer = answer(api, endpoint, &url)?.0;
    let items = items(endpoint.items.as_ref(), &answer, endpoint)?;
    Ok((answer, items))
}

/// An answer's JSON, with the page that its header names, and the source's clock.
fn answer(
    api: &Api,
    endpoint: &Ready,
    url: &sheaf_sdk::url::Url,
) -> Result<(Value, Option<String>, i64)> {
    let response = api.get(url)?.success()?;
    let json: Value = response.json()?;
    if let Some(error) = &endpoint.error
        && error.holds(&json)?
    {
        let said = error.find(&json)?;
        let said = shown(&said).unwrap_or_else(|| said.to_string());
        return Err(Error::retry(format!("the endpoint `{}` says: {said}", endpoint.config.name)));
    }
    Ok((json, response.headers("link"), clock(&response)))
}

fn items(expression: Option<&Expression>, answer: &Value, endpoint: &Ready) -> Result<Vec<Value>> {
    let name = &endpoint.config.name;
    let found = match expression {
        Some(expression) => expression.find(answer)?,
        None => answer.clone(),
    };
    match found {
        Value::Array(items) => Ok(items),
        // A map of items by their ids.
        Value::Object(items) => Ok(items.into_iter().map(|(_, item)| item).collect()),
        Value::Null if endpoint.config.items_optional => Ok(Vec::new()),
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

impl RestCursor {
    pub fn open(api: Api, endpoint: Ready, crawl: &Crawl) -> Result<Self> {
        let checkpoint = match &crawl.resume {
            None => Checkpoint::default(),
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Error::start_over(format!("the checkpoint cannot be read: {error}"))
            })?,
        };
        let since = match (crawl.mode.bookmark(), &endpoint.config.incremental) {
            (Some(bookmark), Some(incremental)) => {
                let began: i64 = bookmark
                    .parse()
                    .map_err(|_| Error::start_over("the bookmark cannot be read"))?;
                Some(began - incremental.overlap_seconds)
            }
            _ => None,
        };
        let incremental = crawl.mode.bookmark().is_some();
        let items = VecDeque::new();
        let taken = 0;
        Ok(Self { api, endpoint, since, checkpoint, items, taken, next: Next::Unread, incremental })
    }

    /// The URL of the page that the crawl is at.
    fn url(&self) -> Result<sheaf_sdk::url::Url> {
        let config = &self.endpoint.config;
        let place = &self.checkpoint.place;
        if let Some(url) = &place.url {
            return Ok(url.parse()?);
        }
        let mut path = config.path.clone();
        let mut query = config.query.clone();
        if let (Some(since), Some(changes)) = (self.since, &config.incremental) {
            if let Some(other) = &changes.path {
                path.clone_from(other);
                query.clear();
            }
            let context = json!({ "since": time::format(since, &changes.since_format) });
            query.extend(filled(&changes.query, &context)?);
        }
        query.extend(place.parameters.clone());
        self.api.url(&path, &query)
    }

    /// Reads the page that the crawl is at.
    fn read(&mut self) -> Result<()> {
        let changes = self.since.and(self.endpoint.changes.as_ref());
        let looks_up = self.since.and(self.endpoint.lookup_id.as_ref());
        let expression = changes.or(self.endpoint.items.as_ref());
        let place = self.checkpoint.place.clone();
        let url = self.url()?;
        let (listed, next, now) = self.batch(url, place, expression, looks_up.is_none())?;
        self.checkpoint.began.get_or_insert(now);
        self.next = next.map_or(Next::End, Next::Page);
        let mut found: VecDeque<_> = match looks_up {
            Some(id) => self.look_up(id, &listed)?.into(),
            None => listed.into(),
        };
        // Where the page is the same as before the interruption, it goes on after what was delivered;
        // otherwise all of it is delivered again.
        if let Some((count, id)) = &self.checkpoint.after
            && let Some(last) = count.checked_sub(1).and_then(|last| found.get(last))
            && self.endpoint.mapping.id(last)?.as_ref() == Some(id)
        {
            self.taken = *count;
            found.drain(..*count);
        } else {
            self.taken = 0;
        }
        self.items = found;
        Ok(())
    }

    /// A page's items, whole, with the page after it and the source's clock.
    fn batch(
        &self,
        mut url: sheaf_sdk::url::Url,
        mut place: Place,
        expression: Option<&Expression>,
        merges: bool,
    ) -> Result<(Vec<Value>, Option<Place>, i64)> {
        let mut all: Vec<Value> = Vec::new();
        let mut began = None;
        loop {
            let (answer, link, now) = answer(&self.api, &self.endpoint, &url)?;
            let now = *began.get_or_insert(now);
            let some = items(expression, &answer, &self.endpoint)?;
            let count = some.len();
            let mut next = match &self.endpoint.config.paging {
                Some(paging) => paging.next(&place, &answer, link.as_deref(), count)?,
                None => None,
            };
            // What an API names is relative to what was asked.
            if let Some(named) = next.as_mut().and_then(|next| next.url.as_mut()) {
                *named = url.join(named)?.to_string();
                if *named == url.as_str() {
                    return Err(Error::retry("the source names the same page as the next one"));
                }
            }
            self.merge(&mut all, some)?;
            let whole = match &self.endpoint.whole {
                Some(whole) if merges => whole.holds(&answer)?,
                _ => true,
            };
            match next {
                Some(next) if !whole => {
                    url = match &next.url {
                        Some(named) => named.parse()?,
                        None => extended(url, &next.parameters),
                    };
                    place = next;
                }
                next => return Ok((all, next, now)),
            }
        }
    }

    /// Puts the parts of items together that came in several answers.
    fn merge(&self, all: &mut Vec<Value>, some: Vec<Value>) -> Result<()> {
        if self.endpoint.whole.is_none() || all.is_empty() {
            all.extend(some);
            return Ok(());
        }
        for item in some {
            let id = self.endpoint.mapping.id(&item)?;
            let mut known = None;
            for candidate in all.iter_mut() {
                if id.is_some() && self.endpoint.mapping.id(candidate)? == id {
                    known = Some(candidate);
                    break;
                }
            }
            match (known, item) {
                (Some(Value::Object(known)), Value::Object(fields)) => {
                    for (name, value) in fields {
                        match (known.get_mut(&name), value) {
                            (Some(Value::Array(known)), Value::Array(more)) => {
                                let new: Vec<_> =
                                    more.into_iter().filter(|one| !known.contains(one)).collect();
                                known.extend(new);
                            }
                            (_, value) => drop(known.insert(name, value)),
                        }
                    }
                }
                (_, item) => all.push(item),
            }
        }
        Ok(())
    }

    /// The items that a list of changes names.
    fn look_up(&self, id: &Template, changes: &[Value]) -> Result<Vec<Value>> {
        let incremental = self.endpoint.config.incremental.as_ref();
        let Some(lookup) = incremental.and_then(|changes| changes.lookup.as_ref()) else {
            return Ok(Vec::new());
        };
        let mut ids = BTreeSet::new();
        for change in changes {
            ids.extend(id.text(change)?);
        }
        let ids: Vec<_> = ids.into_iter().collect();
        let mut found = Vec::new();
        for some in ids.chunks(lookup.size.max(1)) {
            let context = json!({ "ids": some.join(&lookup.separator) });
            let url = self.api.url(&lookup.path, &filled(&lookup.query, &context)?)?;
            let items = self.endpoint.items.as_ref();
            let (items, next, _) = self.batch(url, Place::default(), items, true)?;
            if next.is_some() {
                return Err(Error::fix_settings(format!(
                    "`lookup` of the endpoint `{}` asks for more than fits on a page: lower its `size`",
                    self.endpoint.config.name
                )));
            }
            found.extend(items);
        }
        Ok(found)
    }

    /// What is known of an item besides the list, or why it cannot be read.
    fn detail(&self, item: &Value) -> Result<Option<std::result::Result<Value, String>>> {
        let Some((path, query)) = &self.endpoint.detail else { return Ok(None) };
        let one = |element: &Value| -> Result<std::result::Result<Value, String>> {
            let Some(path) = path.url(element)? else {
                return Ok(Err("the path of `detail` finds nothing in the item".into()));
            };
            let mut filled = BTreeMap::new();
            for (name, template) in query {
                filled.extend(template.text(element)?.map(|text| (name.clone(), text)));
            }
            let response = self.api.get(&self.api.url(&path, &filled)?)?;
            if matches!(response.status, 403 | 404 | 410) {
                return Ok(Err(format!("its details answer {}", response.status)));
            }
            let json: Value = response.success()?.json()?;
            if let Some(error) = &self.endpoint.error
                && error.holds(&json)?
            {
                return Ok(Err(
                    shown(&error.find(&json)?).unwrap_or_else(|| "its details are an error".into())
                ));
            }
            Ok(Ok(json))
        };
        let Some(each) = &self.endpoint.each else { return one(item).map(Some) };
        let mut all = Vec::new();
        for element in each.find(item)?.as_array().into_iter().flatten() {
            match one(element)? {
                Ok(json) => all.push(json),
                Err(why) => return Ok(Some(Err(why))),
            }
        }
        Ok(Some(Ok(Value::Array(all))))
    }

    /// Adds an item to a page; how many bytes it is, roughly.
    fn take(&self, mut item: Value, page: &mut Page) -> Result<usize> {
        let endpoint = &self.endpoint;
        let id = endpoint.mapping.id(&item)?;
        if let Some(deleted) = &endpoint.deleted
            && deleted.holds(&item)?
        {
            if self.incremental {
                page.deleted.extend(id.map(|id| endpoint.mapping.reference(id)));
            }
            return Ok(0);
        }
        if let Some(skip) = &endpoint.skip
            && skip.holds(&item)?
        {
            // What is left out now may have been delivered before.
            if self.incremental {
                page.deleted.extend(id.map(|id| endpoint.mapping.reference(id)));
            }
            return Ok(0);
        }
        match self.detail(&item)? {
            None => {}
            Some(Ok(detail)) => match item.as_object_mut() {
                Some(fields) => drop(fields.insert("detail".into(), detail)),
                // A list of plain ids.
                None => item = json!({ "value": item, "detail": detail }),
            },
            Some(Err(reason)) => {
                page.unreadable.push(Unreadable { id, view_url: None, reason });
                return Ok(0);
            }
        }
        let bytes = item.to_string().len();
        match endpoint.mapping.document(&item) {
            Ok(Ok(document)) => page.documents.push(document),
            Ok(Err(unreadable)) => page.unreadable.push(unreadable),
            // An expression that does not fit one item may fit all others.
            Err(error) => {
                page.unreadable.push(Unreadable { id, view_url: None, reason: error.to_string() });
            }
        }
        Ok(bytes)
    }
}

fn filled(query: &BTreeMap<String, String>, context: &Value) -> Result<BTreeMap<String, String>> {
    let mut filled = BTreeMap::new();
    for (name, text) in query {
        filled.extend(Template::new(text)?.text(context)?.map(|text| (name.clone(), text)));
    }
    Ok(filled)
}

impl Cursor for RestCursor {
    fn next(&mut self, limits: Limits) -> Result<Page> {
        let mut page = Page::more(Vec::new(), "");
        if self.items.is_empty() && matches!(self.next, Next::Unread) {
            self.read()?;
        }
        let mut bytes = 0;
        let since = Instant::now();
        while page.documents.len() < limits.documents as usize
            && bytes < limits.bytes as usize
            && since.elapsed() < PATIENCE
        {
            let Some(item) = self.items.pop_front() else { break };
            self.taken += 1;
            let id = self.endpoint.mapping.id(&item)?;
            self.checkpoint.after = id.map(|id| (self.taken, id));
            bytes += self.take(item, &mut page)?;
        }
        let Page { documents, deleted, unreadable, .. } = page;
        let mut page = if self.items.is_empty() && matches!(self.next, Next::End) {
            let began =
                self.checkpoint.began.filter(|_| self.endpoint.config.incremental.is_some());
            Page::complete(documents, began.map(|began| began.to_string()))
        } else {
            if self.items.is_empty()
                && let Next::Page(place) = std::mem::replace(&mut self.next, Next::Unread)
            {
                self.checkpoint.place = place;
                self.checkpoint.after = None;
            }
            Page::more(documents, serde_json::to_string(&self.checkpoint)?)
        };
        page.deleted = deleted;
        Ok(page.unreadable(unreadable))
    }
}
