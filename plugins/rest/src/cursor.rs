//! A crawl of one endpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sheaf_sdk::{Crawl, Cursor, Error, Limits, Page, Result, Unreadable};

use crate::api::{Api, clock};
use crate::expression::{Template, shown};
use crate::paging::Place;
use crate::settings::Ready;
use crate::time;

/// Where a crawl goes on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// The source's clock when the crawl began.
    began: Option<i64>,
    place: Place,
    /// The last item of that page that was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
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
    next: Next,
    incremental: bool,
}

/// The beginning of an endpoint's list, to see whether it answers.
pub fn first_page(api: &Api, endpoint: &Ready) -> Result<(Value, Vec<Value>)> {
    let url = api.url(&endpoint.config.path, &endpoint.config.query)?;
    let answer = answer(api, endpoint, &url)?.0;
    let items = items(endpoint.items.as_ref(), &answer, &endpoint.config.name)?;
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
    Ok((json, response.header("link").map(str::to_owned), clock(&response)))
}

fn items(
    expression: Option<&crate::expression::Expression>,
    answer: &Value,
    name: &str,
) -> Result<Vec<Value>> {
    let found = match expression {
        Some(expression) => expression.find(answer)?,
        None => answer.clone(),
    };
    match found {
        Value::Array(items) => Ok(items),
        // A map of items by their ids.
        Value::Object(items) => Ok(items.into_iter().map(|(_, item)| item).collect()),
        Value::Null if expression.is_some() => Ok(Vec::new()),
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
        Ok(Self { api, endpoint, since, checkpoint, items, next: Next::Unread, incremental })
    }

    /// The URL of the page that the crawl is at.
    fn url(&self) -> Result<sheaf_sdk::url::Url> {
        let config = &self.endpoint.config;
        let place = &self.checkpoint.place;
        if let Some(url) = &place.url {
            return self.api.url(url, &BTreeMap::new());
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
        let (answer, link, now) = answer(&self.api, &self.endpoint, &self.url()?)?;
        self.checkpoint.began.get_or_insert(now);
        let config = &self.endpoint.config;
        let changes = self.since.and(self.endpoint.changes.as_ref());
        let listed = items(changes.or(self.endpoint.items.as_ref()), &answer, &config.name)?;
        let count = listed.len();
        let next = match &config.paging {
            Some(paging) => paging.next(&self.checkpoint.place, &answer, link.as_deref(), count)?,
            None => None,
        };
        self.next = next.map_or(Next::End, Next::Page);
        let mut found: VecDeque<_> = match self.since.and(self.endpoint.lookup_id.as_ref()) {
            Some(id) => self.look_up(id, &listed)?.into(),
            None => listed.into(),
        };
        // Where the page is the same as before the interruption, it goes on after what was delivered.
        if let Some(after) = &self.checkpoint.after {
            let mut at = None;
            for (index, item) in found.iter().enumerate() {
                if self.endpoint.mapping.id(item)?.as_ref() == Some(after) {
                    at = Some(index);
                }
            }
            if let Some(at) = at {
                found.drain(..=at);
            }
        }
        self.items = found;
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
            let answer = answer(&self.api, &self.endpoint, &url)?.0;
            found.extend(items(self.endpoint.items.as_ref(), &answer, &self.endpoint.config.name)?);
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
            return Ok(0);
        }
        match self.detail(&item)? {
            None => {}
            Some(Ok(detail)) => {
                if let Some(fields) = item.as_object_mut() {
                    fields.insert("detail".into(), detail);
                }
            }
            Some(Err(reason)) => {
                page.unreadable.push(Unreadable { id, view_url: None, reason });
                return Ok(0);
            }
        }
        let bytes = item.to_string().len();
        match endpoint.mapping.document(&item)? {
            Ok(document) => page.documents.push(document),
            Err(unreadable) => page.unreadable.push(unreadable),
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
        while page.documents.len() < limits.documents as usize && bytes < limits.bytes as usize {
            let Some(item) = self.items.pop_front() else { break };
            self.checkpoint.after =
                self.endpoint.mapping.id(&item)?.or(self.checkpoint.after.take());
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
