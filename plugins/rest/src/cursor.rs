//! A crawl of one endpoint.

use std::time::Instant;

use serde_json::Value;
use sheaf_sdk::url::Url;
use sheaf_sdk::{Crawl, Cursor, Limits, Page, Progress, Result, Unreadable};

use crate::api::Api;
use crate::changes::Changes;
use crate::checkpoint::Checkpoint;
use crate::list::List;
use crate::prepared::Prepared;
use crate::walk::{PATIENCE, Stands, Walk};

pub struct RestCursor {
    crawled: Crawled,
    walk: Walk,
}

/// What is crawled, and how.
struct Crawled {
    api: Api,
    endpoint: Prepared,
    /// Incremental crawls: what changed since then.
    since: Option<i64>,
    incremental: bool,
}

impl Crawled {
    /// How changes are asked for, where this crawl does.
    fn changes(&self) -> Option<&Changes> {
        self.since.and(self.endpoint.changes.as_ref())
    }

    /// The URL of the list that the crawl reads.
    fn url(&self) -> Result<Url> {
        let Prepared { setting, changes, .. } = &self.endpoint;
        let (path, query) = match (self.since, changes) {
            (Some(since), Some(changes)) => {
                changes.request(since, &setting.path, &setting.query)?
            }
            _ => (setting.path.clone(), setting.query.clone()),
        };
        self.api.url(&path, &query)
    }

    /// The list that the crawl reads.
    fn list(&self) -> List<'_> {
        let list = List::new(&self.api, &self.endpoint.listing);
        let changes = self.changes();
        List {
            items: changes.and_then(|changes| changes.items.as_ref()).or(list.items),
            lookups: changes.and_then(|changes| changes.lookups.as_ref()),
            has_total: changes.is_none_or(Changes::have_the_total),
            // Changes may well fit on a page: the full crawl before them has found the way.
            one_page: self.incremental || list.one_page,
            ..list
        }
    }

    /// Adds an item to a page; how many bytes it is, roughly.
    fn take(&self, mut item: Value, page: &mut Page) -> Result<usize> {
        let endpoint = &self.endpoint;
        let id = endpoint.mapper.id(&item);
        for left_out in [&endpoint.deleted, &endpoint.skip].into_iter().flatten() {
            if left_out.holds(&item)? {
                // What is skipped now may have been delivered before.
                if self.incremental {
                    let id = id.ok().flatten();
                    page.deleted.extend(id.map(|id| endpoint.mapper.reference(id)));
                }
                return Ok(0);
            }
        }
        let id = id?;
        if let Some(details) = &endpoint.details {
            match details.add(&self.api, endpoint.listing.error.as_ref(), item)? {
                Ok(whole) => item = whole,
                Err(reason) => {
                    page.unreadable.push(Unreadable { id, view_url: None, reason });
                    return Ok(0);
                }
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
    pub(crate) fn open(api: Api, endpoint: Prepared, crawl: &Crawl) -> Result<Self> {
        let checkpoint = Checkpoint::parse(crawl.resume.as_deref())?;
        let since = match (crawl.mode.bookmark(), &endpoint.changes) {
            (Some(bookmark), Some(changes)) => Some(changes.since(bookmark)?),
            _ => None,
        };
        let incremental = crawl.mode.bookmark().is_some();
        let crawled = Crawled { api, endpoint, since, incremental };
        Ok(Self { crawled, walk: Walk::new(checkpoint) })
    }

    pub(crate) fn at_its_beginning(api: Api, endpoint: Prepared) -> Self {
        let crawled = Crawled { api, endpoint, since: None, incremental: false };
        Self { crawled, walk: Walk::new(Checkpoint::default()) }
    }

    /// Reads the first page, and says what is there.
    pub(crate) fn look(mut self) -> Result<String> {
        self.read()?;
        Ok(self.walk.shown(&self.crawled.list()))
    }

    /// Reads the page that the crawl is at.
    fn read(&mut self) -> Result<()> {
        let crawled = &self.crawled;
        self.walk.read(&crawled.list(), || crawled.url())?.map_err(|refusal| refusal.error)
    }

    /// The next items, or the next page of the list.
    fn step(&mut self, limits: Limits, since: Instant) -> Result<Page> {
        let mut page = Page::more(Vec::new(), "");
        self.read()?;
        let mut bytes = 0;
        while page.documents.len() < limits.documents as usize
            && bytes < limits.bytes as usize
            && since.elapsed() < PATIENCE
        {
            let Some(item) = self.walk.take(&self.crawled.list()) else { break };
            bytes += self.crawled.take(item, &mut page)?;
        }
        page.progress = self.progress()?;
        Ok(page)
    }

    /// How the crawl stands.
    fn progress(&mut self) -> Result<Progress> {
        Ok(match self.walk.turn() {
            Stands::More => Progress::More(serde_json::to_string(&self.walk.checkpoint)?),
            Stands::Whole => Progress::Complete(self.bookmark()),
            Stands::Doubtful => Progress::Partial(self.walk.doubt(&self.crawled.list())),
        })
    }

    fn bookmark(&self) -> Option<String> {
        let changes = self.crawled.endpoint.changes.as_ref();
        changes.and(self.walk.checkpoint.began).map(|began| began.to_string())
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
            if !empty || self.walk.checkpoint.readings == 0 || since.elapsed() >= PATIENCE {
                return Ok(page);
            }
        }
    }
}
