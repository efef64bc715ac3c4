//! One guest from outside.

use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::{ConnectionCell, Counted};
use crate::cell::protocol::{Answer, Ask, Order, Receiver, Sender, Told, Used};
use crate::connector::{sentence, unread};
use crate::document::{Crawl, MAX_CHECKPOINT_BYTES, PageLimits, Scope};
use crate::failure::{Failure, Kind, Result};
use crate::identities::{self, Progress};
use crate::intake::judge::Seen;
use crate::lists::List;
use crate::metrics::metrics;
use crate::sandbox::egress::{MOST_REQUESTED, Requested};
use crate::sandbox::limits::Usage;
use crate::traces;

/// A started connector. It ends when this is dropped.
pub struct Guest {
    pub(super) cell: Arc<ConnectionCell>,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    usage: Arc<Usage>,
    /// When it was started, and what was computed for its crawl before, in nanoseconds.
    since: Instant,
    before: u64,
    /// Held while it lives: its places among those that run at once.
    _places: Arc<Vec<OwnedSemaphorePermit>>,
    _counted: Counted,
}

/// A guest whose crawl is open.
pub struct Opened(pub(super) Guest);

impl Guest {
    /// Starts one in a cell. Its crawl, if it is one's: its name, and what was computed for it in all.
    pub async fn start(
        cell: &Arc<ConnectionCell>,
        crawl: Option<String>,
        usage: Arc<Usage>,
        places: Arc<Vec<OwnedSemaphorePermit>>,
    ) -> Result<Self> {
        let before = u64::try_from(usage.of_whole_crawl().as_nanos()).unwrap_or(u64::MAX);
        let order = Order::Guest { crawl: crawl.map(|crawl| (crawl, before)) };
        let (sender, receiver) = cell.order(order).await?;
        let mut guest = Self {
            sender,
            receiver,
            usage,
            since: Instant::now(),
            before,
            _places: places,
            _counted: cell.counted(),
            cell: cell.clone(),
        };
        guest.hear::<()>().await?;
        Ok(guest)
    }

    /// The JSON of the datasource to register, without its name.
    pub async fn datasource(&mut self) -> Result<Value> {
        let json: String = self.ask(&Ask::Datasource).await?;
        serde_json::from_str(&json).map_err(|error| {
            let what = format!("`datasource` returned text that is not JSON: {error}");
            Failure::new(Kind::Contract, what).at(self.cell.connection()).next("mend the connector")
        })
    }

    /// Whether the source answers; the connector's own sentence about it.
    pub async fn check(&mut self) -> Result<String> {
        let said: String = self.ask(&Ask::Check).await?;
        Ok(sentence(&said))
    }

    pub async fn scopes(&mut self) -> Result<Vec<Scope>> {
        let List(scopes) = self.ask(&Ask::Scopes).await?;
        Ok(crate::connector::with_short_titles(scopes))
    }

    /// `datasource`: what the connector said of it, which has rules for its documents.
    pub async fn open(mut self, crawl: Crawl, datasource: &Value) -> Result<Opened> {
        let datasource = datasource.to_string();
        self.ask::<()>(&Ask::Open { crawl, datasource }).await?;
        Ok(Opened(self))
    }

    async fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T> {
        if self.sender.send(ask, &[]).await.is_err() {
            return Err(self.cell.why().await);
        }
        self.hear().await
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let answered = tokio::time::timeout(self.cell.patience(), self.receiver.next()).await;
        let answer: Answer<T> = self.cell.believe(answered).await?;
        self.take(answer)
    }

    pub(super) fn take<T>(&self, answer: Answer<T>) -> Result<T> {
        let Answer { used, requests, said } = answer;
        self.tell(requests);
        let Used { memory, cpu, crawl } = self.possible(used);
        let before = self.usage.cpu();
        self.usage.was_told(memory, cpu, crawl);
        let computed = self.usage.cpu().saturating_sub(before).as_secs_f64();
        metrics().guest_cpu.with_label_values(&[self.cell.connection()]).inc_by(computed);
        said.map_err(|told: Told| told.of_a_guest().at_least(|| self.cell.connection().to_owned()))
    }

    /// What became of its requests is a part of the step that waits for its answer.
    fn tell(&self, requests: Vec<Requested>) {
        let lived = self.since.elapsed();
        for requested in requests.into_iter().take(MOST_REQUESTED).map(Requested::told) {
            let Requested { method, url, answer, ago, took } = requested;
            let ago = ago.min(lived);
            let mut says = vec![("method", method), ("url", url)];
            says.extend(answer.as_ref().ok().map(|status| ("status", status.to_string())));
            traces::told("request of the guest", ago, took.min(ago), says, answer.err());
        }
    }

    /// What it says that it used, as far as it can have: what is not so would count against its crawl for good.
    fn possible(&self, used: Used) -> Used {
        let limits = self.cell.limits();
        let lived = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // As long for each guest that runs beside it.
        let all = lived.saturating_mul(limits.guests as u64);
        Used {
            memory: used.memory.min(limits.memory as u64),
            cpu: used.cpu.min(lived),
            crawl: used.crawl.min(self.before.saturating_add(all)),
        }
    }
}

/// A guest that tells who is who.
pub struct Identities(Guest);

impl Guest {
    /// Nothing where its connection has none to tell of.
    pub async fn open_identities(mut self, resume: Option<String>) -> Result<Option<Identities>> {
        let has_any: bool = self.ask(&Ask::OpenIdentities { resume }).await?;
        Ok(has_any.then_some(Identities(self)))
    }
}

impl Identities {
    /// The next page, of about so many users and members.
    pub async fn next(&mut self, limit: u32) -> Result<identities::Page> {
        let mut page: identities::Page = self.0.ask(&Ask::Identities { limit }).await?;
        match &mut page.progress {
            Progress::More(kept) if kept.len() > MAX_CHECKPOINT_BYTES => {
                let lie = format!("a checkpoint of {} bytes", kept.len());
                return Err(self.0.cell.lied(&lie).await);
            }
            Progress::Partial(reason) => *reason = sentence(reason),
            Progress::More(_) | Progress::Complete => {}
        }
        page.unreadable = unread(page.unreadable);
        Ok(page)
    }
}

impl Opened {
    /// A page as a crawl would judge it.
    pub async fn look(
        &mut self,
        limits: PageLimits,
        datasource: &str,
        document_bytes: usize,
    ) -> Result<Seen> {
        let datasource = datasource.to_owned();
        let seen: Seen = self.0.ask(&Ask::Look { limits, datasource, document_bytes }).await?;
        Ok(seen.bounded())
    }
}
