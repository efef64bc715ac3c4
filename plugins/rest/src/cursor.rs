//! A crawl of one endpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sheaf_sdk::http::Response;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Crawl, Cursor, Error, Limits, Page, Progress, Result, Unreadable};

use crate::api::{Api, clock, extended};
use crate::coverage::{Coverage, Tallies, Verdict};
use crate::expression::{Expression, Template, shown};
use crate::paging::{Next, Pages, Place, Said};
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
    /// Whether items of the list move to other pages when some come or go.
    #[serde(default, skip_serializing_if = "is_false")]
    shifts: bool,
    /// How often it was read before, and what was seen of it, up to this page.
    #[serde(default, skip_serializing_if = "is_zero")]
    readings: u32,
    #[serde(default, skip_serializing_if = "is_new")]
    tallies: Tallies,
    /// How many items of that page were delivered, and the last one's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<(usize, String)>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

fn is_new(tallies: &Tallies) -> bool {
    *tallies == Tallies::default()
}

/// A page of a list, whole.
struct Batch {
    items: Vec<Value>,
    next: Next,
    /// How many items the list has, as each answer said.
    totals: Vec<u64>,
    /// Whether items move to other pages.
    shifts: bool,
    /// The source's clock.
    now: i64,
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
    /// What follows on it; nothing before it was read.
    next: Option<Next>,
    coverage: Coverage,
    incremental: bool,
}

/// An answer's JSON, and the answer.
fn answer(api: &Api, endpoint: &Ready, url: &Url) -> Result<(Value, Response)> {
    let response = api.get(url)?.success()?;
    let json: Value = response.json()?;
    if let Some(error) = &endpoint.error
        && error.holds(&json)?
    {
        let said = error.find(&json)?;
        let said = shown(&said).unwrap_or_else(|| said.to_string());
        return Err(Error::retry(format!("the endpoint `{}` says: {said}", endpoint.config.name)));
    }
    Ok((json, response))
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
        let begins = checkpoint.place == Place::default()
            && checkpoint.after.is_none()
            && checkpoint.readings == 0;
        let coverage = Coverage::new(begins, checkpoint.tallies);
        Ok(Self {
            since,
            checkpoint,
            coverage,
            incremental,
            ..Self::at_its_beginning(api, endpoint)
        })
    }

    pub fn at_its_beginning(api: Api, endpoint: Ready) -> Self {
        Self {
            api,
            endpoint,
            since: None,
            checkpoint: Checkpoint::default(),
            items: VecDeque::new(),
            taken: 0,
            next: None,
            coverage: Coverage::new(true, Tallies::default()),
            incremental: false,
        }
    }

    /// Reads the first page, and says what is there.
    pub fn look(mut self) -> Result<String> {
        self.read()?;
        let names_pages = self.endpoint.pages.as_ref().is_some_and(|pages| !pages.counts());
        let page = match &self.next {
            Some(Next::Page(_)) if names_pages => ", and names a next page",
            Some(Next::End { said: true }) if names_pages => ", and says that no other follows",
            Some(Next::End { said: false }) if names_pages => ", and names no next page",
            _ => "",
        };
        Ok(format!("has {} items on its first page{page}", self.items.len()))
    }

    /// The URL of the page that the crawl is at.
    fn url(&self) -> Result<Url> {
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
        let batch = self.batch(url, place, expression, looks_up.is_none())?;
        self.checkpoint.began.get_or_insert(batch.now);
        self.found_a_way_on(&batch)?;
        // Whether pages are counted shows with the first or the second.
        let begins = self.checkpoint.place.pages < 2;
        self.checkpoint.shifts |= begins && batch.shifts;
        let mut listed = batch.items;
        if begins || self.checkpoint.shifts || !batch.totals.is_empty() {
            listed = self.unseen(listed, &batch.totals)?;
        }
        self.next = Some(batch.next);
        let mut found: VecDeque<_> = match self.since.and(self.endpoint.lookup_id.as_ref()) {
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

    /// A list that should have pages, and whose first one names no other, may be read by a wrong setting.
    fn found_a_way_on(&self, batch: &Batch) -> Result<()> {
        let Some(pages) = &self.endpoint.pages else { return Ok(()) };
        let only = self.checkpoint.place.pages == 0
            && batch.next == Next::End { said: false }
            && !batch.items.is_empty();
        // Changes may well fit on a page: the full crawl before them has found the way.
        if !only || self.incremental || pages.one_page || pages.counts() {
            return Ok(());
        }
        Err(Error::fix_settings(format!(
            "the first answer of the endpoint `{}` has {} items, and no next page where `paging` looks for it: correct \
             `paging`; if the list may have a single page, add `one_page = true` to it",
            self.endpoint.config.name,
            batch.items.len()
        )))
    }

    /// Notes a page of a list whose end proves nothing, and leaves out what an earlier reading of it has seen.
    fn unseen(&mut self, listed: Vec<Value>, totals: &[u64]) -> Result<Vec<Value>> {
        for total in totals {
            self.coverage.said(*total);
        }
        let id = self.since.and(self.endpoint.lookup_id.as_ref());
        let mut names = Vec::with_capacity(listed.len());
        for item in &listed {
            let name = match id {
                Some(id) => id.text(item)?,
                None => self.endpoint.mapping.id(item)?,
            };
            names.push(name.unwrap_or_else(|| item.to_string()));
        }
        let known = self.coverage.page(names.iter().map(String::as_str));
        let counts = self.endpoint.pages.as_ref().is_some_and(Pages::counts);
        // A list of changes may well name the same item twice.
        if counts && id.is_none() && self.coverage.repeats() {
            return Err(Error::fix_settings(format!(
                "two pages of the endpoint `{}` are the same: does `parameter` of its `paging` name what turns the page?",
                self.endpoint.config.name
            )));
        }
        let new = listed.into_iter().zip(known).filter(|(_, known)| !known);
        Ok(new.map(|(item, _)| item).collect())
    }

    /// A page's items, whole, with what follows on it.
    fn batch(
        &self,
        mut url: Url,
        mut place: Place,
        expression: Option<&Expression>,
        merges: bool,
    ) -> Result<Batch> {
        let mut items_of_all: Vec<Value> = Vec::new();
        let (mut began, mut totals, mut shifts) = (None, Vec::new(), false);
        // A list of changes that is one of its own says nothing of how many items there are.
        let changes = self.endpoint.config.incremental.as_ref().filter(|_| self.since.is_some());
        let elsewhere = changes.is_some_and(|changes| changes.path.is_some());
        loop {
            let (answer, response) = answer(&self.api, &self.endpoint, &url)?;
            let now = *began.get_or_insert(clock(&response));
            let some = items(expression, &answer, &self.endpoint)?;
            let header = |name: &str| response.headers(name);
            let said = Said { answer: &answer, header: &header, items: some.len() };
            let mut next = match &self.endpoint.pages {
                Some(pages) => pages.next(&place, &said)?,
                None => Next::End { said: true },
            };
            if let Some(pages) = &self.endpoint.pages {
                if !elsewhere {
                    totals.extend(pages.total(&said)?);
                }
                shifts |= pages.shifts(&url, &place, &next);
                if let Next::Page(next) = &mut next
                    && let Some(named) = &next.url
                {
                    next.url = Some(self.api.next(&url, named, pages.keep_host)?.into());
                }
            }
            self.merge(&mut items_of_all, some)?;
            let whole = match &self.endpoint.whole {
                Some(whole) if merges => whole.holds(&answer)?,
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
                next => return Ok(Batch { items: items_of_all, next, totals, shifts, now }),
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
            let Batch { items, next, .. } = self.batch(url, Place::default(), items, true)?;
            if matches!(next, Next::Page(_)) {
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

impl RestCursor {
    /// The next items, or the next page of the list.
    fn step(&mut self, limits: Limits, since: Instant) -> Result<Page> {
        let mut page = Page::more(Vec::new(), "");
        if self.next.is_none() {
            self.read()?;
        }
        let mut bytes = 0;
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
        page.progress = self.progress()?;
        Ok(page)
    }

    /// How the crawl stands. Where a page was taken to its end, it goes on with what follows on it.
    fn progress(&mut self) -> Result<Progress> {
        if self.items.is_empty() {
            match self.next.take() {
                Some(Next::Page(place)) => self.turn_to(place),
                None => {}
                Some(Next::End { .. }) => match self.verdict() {
                    Verdict::Whole => return Ok(Progress::Complete(self.bookmark())),
                    Verdict::ReadAgain => {
                        log::info!(
                            "items of the list may have moved while it was read: reading it again"
                        );
                        self.coverage.read_again();
                        self.checkpoint.readings += 1;
                        self.turn_to(Place::default());
                    }
                    Verdict::Unknown => {
                        return Ok(Progress::Partial(format!(
                            "the list of the endpoint `{}` changed while it was read, and some of it may have been missed: \
                             let `total` or `total_header` in its `paging` say how many items there are, or sort it by \
                             what does not change",
                            self.endpoint.config.name
                        )));
                    }
                },
            }
        }
        Ok(Progress::More(serde_json::to_string(&self.checkpoint)?))
    }

    fn turn_to(&mut self, place: Place) {
        self.checkpoint.tallies = self.coverage.tallies();
        self.checkpoint.place = place;
        self.checkpoint.after = None;
    }

    /// Whether the list's end proves that all of it was seen.
    fn verdict(&self) -> Verdict {
        let proves = self.checkpoint.shifts || self.coverage.is_told();
        if proves { self.coverage.end() } else { Verdict::Whole }
    }

    fn bookmark(&self) -> Option<String> {
        let began = self.checkpoint.began.filter(|_| self.endpoint.config.incremental.is_some());
        began.map(|began| began.to_string())
    }
}

impl Cursor for RestCursor {
    fn next(&mut self, limits: Limits) -> Result<Page> {
        let since = Instant::now();
        loop {
            let page = self.step(limits, since)?;
            // The host stops who delivers one empty page after the other, as a list that is read again would.
            let empty = page.documents.is_empty()
                && page.deleted.is_empty()
                && page.unreadable.is_empty()
                && matches!(page.progress, Progress::More(_));
            if !empty || self.checkpoint.readings == 0 || since.elapsed() >= PATIENCE {
                return Ok(page);
            }
        }
    }
}
