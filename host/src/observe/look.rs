//! Looks at the connections now and then, and when somebody wants to see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use temporalio_client::Client;
use tokio::sync::{Mutex, RwLock};

use super::gauges;
use super::schedules::{Kind, Rhythms};
use super::sdk::{Sdk, pollers};
use super::seen::{Seen, SeenConnection, SeenConnector};
use crate::clock::Timestamp;
use crate::crawl::status::{Newest, State, Stored};
use crate::crawl::{Connection, CrawlView, Crawler};
use crate::failure::Result;
use crate::metrics::metrics;
use crate::store::Location;
use crate::temporal::settings::Settings;
use crate::temporal::{schedules, under_way};

/// Connections that are looked at together.
const AT_ONCE: usize = 8;
/// How old what is known may be before it is read again by itself.
const EVERY: Duration = Duration::from_secs(60);
/// The same where each look at a connection is some requests to a bucket.
const EVERY_IN_A_BUCKET: Duration = Duration::from_secs(300);
/// And for somebody who looks.
const FRESH: Duration = Duration::from_secs(10);
/// What changes seldom: schedules, and connectors.
const SELDOM: Duration = Duration::from_secs(120);
/// Scrapes within this get the same answer, however many come.
const SAME_SCRAPE: Duration = Duration::from_secs(1);
/// Crawls under way that were looked at a moment ago.
const LIVE: Duration = Duration::from_secs(2);
/// How long Temporal is waited for: its schedules and crawls are asked some at a time.
const SCHEDULES: Duration = Duration::from_secs(30);
const CRAWLS: Duration = Duration::from_secs(5);

/// Whoever looks at this worker.
pub struct Observer {
    pub(super) crawler: Crawler,
    pub(super) client: Client,
    pub(super) settings: Settings,
    sdk: Sdk,
    seen: RwLock<Arc<Seen>>,
    seldom: Mutex<Seldom>,
    /// One look at a time.
    looking: Mutex<()>,
    looked: Mutex<Option<Instant>>,
    scraped: Mutex<Option<(Instant, String)>>,
    live: Mutex<Option<(Instant, Arc<Live>)>>,
}

/// Crawls under way, or why they are not known.
pub(super) type Live = std::result::Result<Vec<CrawlView>, String>;

#[derive(Default)]
struct Seldom {
    /// When it is to be looked at again.
    due: Option<Instant>,
    rhythms: Rhythms,
    no_schedules: Option<String>,
    connectors: Vec<(String, SeenConnector)>,
}

impl Seldom {
    fn knows(&self, named: &str) -> bool {
        self.connectors.iter().any(|(known, _)| known == named)
    }
}

impl Observer {
    pub fn new(crawler: Crawler, client: Client, settings: Settings, sdk: Sdk) -> Self {
        Self {
            crawler,
            client,
            settings,
            sdk,
            seen: RwLock::default(),
            seldom: Mutex::default(),
            looking: Mutex::default(),
            looked: Mutex::default(),
            scraped: Mutex::default(),
            live: Mutex::default(),
        }
    }

    /// Looks for as long as it is polled.
    pub(super) async fn keep_looking(&self) {
        let every = match self.crawler.settings.store {
            Location::Bucket(_) => EVERY_IN_A_BUCKET,
            Location::Folder(_) => EVERY,
        };
        loop {
            self.look(FRESH).await;
            tokio::time::sleep(every).await;
        }
    }

    /// How connections stand, no older than whoever looks may expect.
    pub(super) async fn now(&self) -> Arc<Seen> {
        self.look(FRESH).await;
        self.seen.read().await.clone()
    }

    async fn look(&self, fresh: Duration) {
        let _one = self.looking.lock().await;
        if self.looked.lock().await.is_some_and(|looked| looked.elapsed() < fresh) {
            return;
        }
        let connections = self.crawler.connections.now().connections();
        let mut seldom = self.seldom.lock().await;
        let is_new = |one: &Arc<Connection>| !seldom.knows(&one.connector);
        let due = seldom.due.is_none_or(|due| due <= Instant::now());
        if due || connections.iter().any(is_new) {
            self.look_at_what_changes_seldom(&mut seldom, &connections).await;
        }
        let seldom = &*seldom;
        let looks =
            connections.iter().map(|connection| self.connection(connection, seldom).boxed());
        let looks: Vec<_> = looks.collect();
        let looked: Vec<SeenConnection> =
            futures::stream::iter(looks).buffered(AT_ONCE).collect().await;
        let before = self.seen.read().await.clone();
        let unread = |one: &SeenConnection| one.state == State::Unreadable;
        // A store that lets nothing be read was not read.
        let none = !looked.is_empty() && looked.iter().all(unread);
        let at = if none { before.at } else { Timestamp::now() };
        let connections = looked.into_iter().map(|one| one.or_as_it_was(&before)).collect();
        let no_schedules = seldom.no_schedules.clone();
        *self.seen.write().await = Arc::new(Seen { at, connections, no_schedules });
        *self.looked.lock().await = Some(Instant::now());
    }

    async fn look_at_what_changes_seldom(
        &self,
        seldom: &mut Seldom,
        connections: &[Arc<Connection>],
    ) {
        let listed = schedules::list(&self.client, &self.settings);
        match tokio::time::timeout(SCHEDULES, listed).await {
            Ok(Ok(found)) => (seldom.rhythms, seldom.no_schedules) = (Rhythms::of(found), None),
            // What was known before is better than nothing.
            Ok(Err(failure)) => seldom.no_schedules = Some(failure.what),
            Err(_) => seldom.no_schedules = Some("Temporal does not answer".into()),
        }
        seldom.connectors.clear();
        for connection in connections {
            let named = connection.connector.as_str();
            if seldom.knows(named) {
                continue;
            }
            let seen = match self.crawler.registry.find(named).await {
                Ok(connector) => {
                    let locked = self.crawler.registry.locked_as(named).ok().flatten();
                    SeenConnector::of(&connector, locked.as_ref())
                }
                Err(failure) => SeenConnector::failed(named, &failure),
            };
            seldom.connectors.push((named.to_owned(), seen));
        }
        let again = if seldom.no_schedules.is_none() { SELDOM } else { EVERY };
        seldom.due = Some(Instant::now() + again);
    }

    async fn connection(&self, connection: &Connection, seldom: &Seldom) -> SeenConnection {
        let Crawler { store, states, .. } = &self.crawler;
        let name = connection.name.as_str();
        let connector = seldom.connectors.iter().find(|(named, _)| *named == connection.connector);
        let connector = connector.map(|(_, connector)| connector.clone()).unwrap_or_default();
        let looked = async {
            let stored = Stored::read(store, states, None, name).await?;
            let ledger = store.list(&format!("{}/ledger", states.place(name))).await?;
            Ok((stored.with(Ok(Newest::Ended), None), ledger.iter().map(|kept| kept.bytes).sum()))
        };
        let rhythms = |kind: Kind| seldom.rhythms.of_connection(name, kind);
        match looked.await {
            Ok((status, bytes)) => {
                SeenConnection::of(connection, connector, &status, rhythms, bytes)
            }
            Err(failure) => SeenConnection::unreadable(connection, connector, &failure),
        }
    }

    /// What Prometheus reads.
    pub(super) async fn metrics(&self) -> Result<String> {
        let mut scraped = self.scraped.lock().await;
        if let Some((at, text)) = &*scraped
            && at.elapsed() < SAME_SCRAPE
        {
            return Ok(text.clone());
        }
        let seen = self.seen.read().await.clone();
        let mut text = self.sdk.text().await?;
        text.push_str(&gauges::encoded(&metrics().registry.gather())?);
        text.push_str(&gauges::encoded(&gauges::of_process())?);
        text.push_str(&gauges::text(&seen)?);
        *scraped = Some((Instant::now(), text.clone()));
        Ok(text)
    }

    /// Why this worker does not work, if so.
    pub(super) async fn not_ready(&self) -> Result<Option<&'static str>> {
        if pollers(&self.metrics().await?) < 1.0 {
            return Ok(Some("nothing asks Temporal for work"));
        }
        let seen = self.seen.read().await;
        let loaded = seen.connections.iter().any(|one| one.connector.is_loaded());
        Ok(if loaded { None } else { Some("no connector is loaded") })
    }

    /// Crawls under way on Temporal.
    pub(super) async fn live(&self) -> Arc<Live> {
        let mut live = self.live.lock().await;
        if let Some((at, known)) = &*live
            && at.elapsed() < LIVE
        {
            return known.clone();
        }
        let connections = self.crawler.connections.now().connections();
        let names: Vec<_> = connections.iter().map(|one| one.name.as_str()).collect();
        let asked = under_way::all(&self.client, self.settings.task_queue.as_str(), &names);
        let known = match tokio::time::timeout(CRAWLS, asked).await {
            Ok(Ok(views)) => Ok(views),
            Ok(Err(failure)) => Err(failure.what),
            Err(_) => Err("Temporal does not answer".to_owned()),
        };
        let known = Arc::new(known);
        *live = Some((Instant::now(), known.clone()));
        known
    }

    /// What is done to a crawl shows at once.
    pub(super) async fn forget_live(&self) {
        *self.live.lock().await = None;
    }
}
