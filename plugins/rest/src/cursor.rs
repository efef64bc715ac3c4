//! A crawl of one endpoint.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sheaf_sdk::url::Url;
use sheaf_sdk::{Crawl, Cursor, Error, Limits, Page, Progress, Result, Unreadable, log};

use crate::api::Api;
use crate::changes::{Changes, Lookups};
use crate::checkpoint::Checkpoint;
use crate::coverage::{Coverage, Tallies, Verdict};
use crate::list::{List, Listed};
use crate::paging::{Next, Pages, Place};
use crate::prepared::Prepared;

/// A page that takes longer is handed over as it is: each detail is a request.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct RestCursor {
    api: Api,
    endpoint: Prepared,
    /// Incremental crawls: what changed since then.
    since: Option<i64>,
    checkpoint: Checkpoint,
    /// What is left of the page that was read last.
    items: VecDeque<Value>,
    /// How many of the page were taken before.
    taken: usize,
    /// What follows on that page; `None` before one was read.
    next: Option<Next>,
    coverage: Coverage,
    incremental: bool,
}

impl RestCursor {
    pub(crate) fn open(api: Api, endpoint: Prepared, crawl: &Crawl) -> Result<Self> {
        let checkpoint = Checkpoint::parse(crawl.resume.as_deref())?;
        let since = match (crawl.mode.bookmark(), &endpoint.changes) {
            (Some(bookmark), Some(changes)) => Some(changes.since(bookmark)?),
            _ => None,
        };
        Ok(Self {
            since,
            coverage: Coverage::new(checkpoint.is_the_beginning(), checkpoint.tallies),
            checkpoint,
            incremental: crawl.mode.bookmark().is_some(),
            ..Self::at_its_beginning(api, endpoint)
        })
    }

    pub(crate) fn at_its_beginning(api: Api, endpoint: Prepared) -> Self {
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
    pub(crate) fn look(mut self) -> Result<String> {
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

    /// How changes are asked for, where this crawl does.
    fn changes(&self) -> Option<&Changes> {
        self.since.and(self.endpoint.changes.as_ref())
    }

    /// How the items are asked for that a list of changes names.
    fn lookups(&self) -> Option<&Lookups> {
        self.changes()?.lookups.as_ref()
    }

    /// The URL of the page that the crawl is at.
    fn url(&self) -> Result<Url> {
        let Prepared { setting, changes, .. } = &self.endpoint;
        let place = &self.checkpoint.place;
        if let Some(url) = &place.url {
            return Ok(url.parse()?);
        }
        let (path, mut query) = match (self.since, changes) {
            (Some(since), Some(changes)) => {
                changes.request(since, &setting.path, &setting.query)?
            }
            _ => (setting.path.clone(), setting.query.clone()),
        };
        query.extend(place.parameters.clone());
        self.api.url(&path, &query)
    }

    /// The list that the crawl reads.
    fn list(&self) -> List<'_> {
        let changes = self.changes();
        List {
            api: &self.api,
            endpoint: &self.endpoint,
            items: changes
                .and_then(|changes| changes.items.as_ref())
                .or(self.endpoint.items.as_ref()),
            comes_in_parts: self.lookups().is_none(),
            has_total: !changes.is_some_and(Changes::are_a_list),
        }
    }

    /// Reads the page that the crawl is at.
    fn read(&mut self) -> Result<()> {
        let page = self.list().read(self.url()?, self.checkpoint.place.clone())?;
        self.checkpoint.began.get_or_insert(page.now);
        self.found_a_way_on(&page)?;
        // Whether pages are counted shows with the first or the second.
        let begins = self.checkpoint.place.pages < 2;
        self.checkpoint.shifts |= begins && page.shifts;
        let mut listed = page.items;
        if begins || self.checkpoint.shifts || !page.totals.is_empty() {
            listed = self.unseen(listed, &page.totals)?;
        }
        self.next = Some(page.next);
        let mut found: VecDeque<_> = match self.lookups() {
            Some(lookups) => self.look_up(lookups, &listed)?.into(),
            None => listed.into(),
        };
        // Where the page is the same as before the interruption, the crawl resumes after what was
        // delivered; otherwise all of the page is delivered again.
        if let Some((count, id)) = &self.checkpoint.after
            && let Some(last) = count.checked_sub(1).and_then(|last| found.get(last))
            && self.endpoint.mapper.id(last)?.as_ref() == Some(id)
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
    fn found_a_way_on(&self, page: &Listed) -> Result<()> {
        let Some(pages) = &self.endpoint.pages else { return Ok(()) };
        let only = self.checkpoint.place.pages == 0
            && page.next == Next::End { said: false }
            && !page.items.is_empty();
        // Changes may well fit on a page: the full crawl before them has found the way.
        if !only || self.incremental || pages.one_page || pages.counts() {
            return Ok(());
        }
        Err(Error::fix_settings(format!(
            "the first answer of the endpoint `{}` has {} items, and no next page where `paging` looks for it: correct \
             `paging`; if the list may have a single page, add `one_page = true` to it",
            self.endpoint.setting.name,
            page.items.len()
        )))
    }

    /// Notes a page of a list whose end proves nothing, and leaves out what an earlier reading of it has seen.
    fn unseen(&mut self, listed: Vec<Value>, totals: &[u64]) -> Result<Vec<Value>> {
        for total in totals {
            self.coverage.said(*total);
        }
        let lookups = self.lookups();
        let looks_up = lookups.is_some();
        let mut names = Vec::with_capacity(listed.len());
        for item in &listed {
            let name = match lookups {
                Some(lookups) => lookups.id(item)?,
                None => self.endpoint.mapper.id(item)?,
            };
            names.push(name.unwrap_or_else(|| item.to_string()));
        }
        let known = self.coverage.page(names.iter().map(String::as_str));
        let counts = self.endpoint.pages.as_ref().is_some_and(Pages::counts);
        // A list of changes may well name the same item twice.
        if counts && !looks_up && self.coverage.repeats() {
            return Err(Error::fix_settings(format!(
                "two pages of the endpoint `{}` are the same: does `parameter` of its `paging` name what turns the page?",
                self.endpoint.setting.name
            )));
        }
        let new = listed.into_iter().zip(known).filter(|(_, known)| !known);
        Ok(new.map(|(item, _)| item).collect())
    }

    /// The items that a list of changes names.
    fn look_up(&self, lookups: &Lookups, changes: &[Value]) -> Result<Vec<Value>> {
        let list =
            List { items: self.endpoint.items.as_ref(), comes_in_parts: true, ..self.list() };
        let mut found = Vec::new();
        for (path, query) in lookups.requests(changes)? {
            let Listed { items, next, .. } =
                list.read(self.api.url(&path, &query)?, Place::default())?;
            if matches!(next, Next::Page(_)) {
                return Err(Error::fix_settings(format!(
                    "`lookup` of the endpoint `{}` asks for more than fits on a page: lower its `size`",
                    self.endpoint.setting.name
                )));
            }
            found.extend(items);
        }
        Ok(found)
    }

    /// Adds an item to a page; how many bytes it is, roughly.
    fn take(&self, mut item: Value, page: &mut Page) -> Result<usize> {
        let endpoint = &self.endpoint;
        let id = endpoint.mapper.id(&item)?;
        for left_out in [&endpoint.deleted, &endpoint.skip].into_iter().flatten() {
            if left_out.holds(&item)? {
                // What is skipped now may have been delivered before.
                if self.incremental {
                    page.deleted.extend(id.map(|id| endpoint.mapper.reference(id)));
                }
                return Ok(0);
            }
        }
        let details = endpoint.details.as_ref();
        let details = details.map(|details| details.ask(&self.api, endpoint.error.as_ref(), &item));
        match details.transpose()? {
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
        match endpoint.mapper.document(&item) {
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
            let id = self.endpoint.mapper.id(&item)?;
            self.checkpoint.after = id.map(|id| (self.taken, id));
            bytes += self.take(item, &mut page)?;
        }
        page.progress = self.progress()?;
        Ok(page)
    }

    /// How the crawl stands. Where a page was taken to its end, the crawl turns to what follows on it.
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
                            self.endpoint.setting.name
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
        let began = self.checkpoint.began.filter(|_| self.endpoint.changes.is_some());
        began.map(|began| began.to_string())
    }
}

impl Cursor for RestCursor {
    fn next(&mut self, limits: Limits) -> Result<Page> {
        let since = Instant::now();
        loop {
            let page = self.step(limits, since)?;
            // The host ends a crawl that delivers one empty page after the other, as a second reading would.
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
