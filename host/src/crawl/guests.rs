//! Starts guests with what their connection grants, and keeps them from being in each other's way.
//!
//! All guests of a connection run in one cell, and share its way out, and so its pool and its pace, until
//! its grants change. So many run at once, of one connection and of all; the others wait for a place. Where
//! none runs there is no cell.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

use super::configured::{Configured, Connections};
use super::connection::Connection;
use crate::cell::{ConnectionCell, Connector, Guest, regranted};
use crate::connector::{Digest, Grants, Manifest, schema};
use crate::failure::{Failure, Kind, Result};
use crate::pace::Wait;
use crate::sandbox::Granted;
use crate::sandbox::egress::{self, Broker};
use crate::sandbox::folders::FolderGrant;
use crate::sandbox::limits::Usage;
use crate::sandbox::policy::{Pattern, Policy};

/// What the guests of this process share.
pub struct Guests {
    configured: Arc<dyn Connections>,
    places: Arc<Semaphore>,
    connections: Mutex<HashMap<String, Shared>>,
    /// What each crawl has computed here, by upload id; of the last crawls, over all their scopes.
    crawls: Mutex<VecDeque<(String, Arc<AtomicU64>)>>,
}

/// Crawls whose computing is remembered: more than run at once.
const CRAWLS: usize = 1_000;

#[derive(Clone)]
struct Shared {
    broker: Arc<Broker>,
    granted: Granted,
    places: Arc<Semaphore>,
    most: usize,
    cell: Arc<Cell>,
}

/// The cell of a connection, where it has one.
#[derive(Default)]
struct Cell {
    /// Held while one is looked for or started, so that there is one.
    starting: AsyncMutex<()>,
    running: Mutex<Option<Running>>,
}

impl Cell {
    /// The one that runs, if it was started with what is wanted.
    fn running(&self, is_wanted: impl Fn(&What) -> bool) -> Option<Arc<ConnectionCell>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { what, cell } = running.as_ref()?;
        if is_wanted(what) { cell.upgrade() } else { None }
    }
}

struct Running {
    what: What,
    cell: Weak<ConnectionCell>,
}

/// What a cell was started with: whatever of it changes, another one is started.
#[derive(PartialEq)]
struct What {
    digest: Digest,
    grants: Grants,
    /// Device and inode of each folder, where it is there: a cell reads no other.
    folders: Vec<Option<(u64, u64)>>,
}

/// What a crawl has computed, counted by its name.
#[derive(Clone, Default)]
pub struct Computed {
    crawl: Option<String>,
    pub usage: Arc<Usage>,
}

impl Guests {
    /// `most` of them run at once.
    pub fn new(configured: Arc<dyn Connections>, most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            configured,
            connections: Mutex::default(),
            crawls: Mutex::default(),
        }
    }

    /// A connection's connector, started with its grants after its settings were checked.
    pub async fn start(
        &self,
        connection: &Connection,
        connector: &Connector,
        computed: Computed,
    ) -> Result<Guest> {
        // What checks the settings runs the guest afterwards.
        let _cell = self.check(connection, connector).await?;
        self.start_checked(connection, connector, computed).await
    }

    /// Whether a connection's settings and grants are such that its connector can be started. The cell that has
    /// looked at them runs for as long as what is returned is kept.
    pub async fn check(
        &self,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Arc<ConnectionCell>> {
        let config = self.configured.now();
        let shared = match self.shared(connection, connector) {
            Ok(shared) => shared,
            // What a setting is wrong for its schema says best.
            Err(failure) => {
                let settings = connection.settings.to_string();
                let none = Grants::none(&connection.name, connection.limits.clone());
                let cell = connector.serve(Grants { settings, ..none }, None).await?;
                check_settings(&*config, connection, connector, &cell).await?;
                return Err(failure);
            }
        };
        let mut cell = self.cell(&shared, connection, connector).await?;
        let mut checked = check_settings(&*config, connection, connector, &cell).await;
        if checked.is_err() && !cell.is_alive() {
            // A guest may have ended it meanwhile.
            cell = self.cell(&shared, connection, connector).await?;
            checked = check_settings(&*config, connection, connector, &cell).await;
        }
        checked?;
        shared.broker.check().await.map_err(|failure| {
            let grants = ["connections", &connection.name, "grants"];
            let at = failure.at.clone().unwrap_or_default();
            failure.at(format!("{}: {at}", config.place(&grants)))
        })?;
        Ok(cell)
    }

    /// The same as [`Self::start`] where it was checked a moment ago.
    pub async fn start_checked(
        &self,
        connection: &Connection,
        connector: &Connector,
        computed: Computed,
    ) -> Result<Guest> {
        let shared = self.shared(connection, connector)?;
        // One connection whose guests hang takes its own places before it takes everybody's.
        let mut places = Vec::new();
        for semaphore in [shared.places.clone(), self.places.clone()] {
            if let Ok(place) = semaphore.acquire_owned().await {
                places.push(place);
            }
        }
        let Computed { crawl, usage } = computed;
        let places = Arc::new(places);
        let mut may_repeat = true;
        loop {
            let cell = self.cell(&shared, connection, connector).await?;
            let started = Guest::start(&cell, crawl.clone(), usage.clone(), places.clone()).await;
            // Another guest may have ended the cell, just before this one came.
            if started.is_err() && !cell.is_alive() && std::mem::take(&mut may_repeat) {
                continue;
            }
            return started;
        }
    }

    /// A connection's cell, while its grants are those of the file.
    async fn cell(
        &self,
        shared: &Shared,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Arc<ConnectionCell>> {
        self.check_granted(connection)?;
        let cell = shared.cell(connection, connector).await?;
        // Whoever takes grants away ends the cells that run: this one may have begun just then.
        self.check_granted(connection).inspect_err(|_| cell.end_of_grants())?;
        Ok(cell)
    }

    /// What a crawl began with counts to its end, but for what it is granted.
    fn check_granted(&self, connection: &Connection) -> Result<()> {
        let now = self.configured.now().connection(&connection.name);
        if now.is_ok_and(|now| now.grants == connection.grants) {
            return Ok(());
        }
        Err(regranted().at(connection.name.clone()))
    }

    /// What a connection has of the world, as it is granted now.
    pub fn broker(&self, connection: &Connection, connector: &Connector) -> Result<Arc<Broker>> {
        self.shared(connection, connector).map(|shared| shared.broker)
    }

    /// What a connection's requests wait for now.
    pub fn waiting(&self, connection: &str) -> Option<Wait> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.get(connection)?.cell.running(|_| true)?.waiting()
    }

    /// Counts what a guest uses, as a part of its crawl: which has used so much already.
    pub fn usage(&self, upload_id: &str, before: Duration) -> Computed {
        let mut crawls = self.crawls.lock().unwrap_or_else(PoisonError::into_inner);
        let known = crawls.iter().find(|(known, _)| known == upload_id);
        let crawl = if let Some((_, crawl)) = known {
            crawl.clone()
        } else {
            if crawls.len() >= CRAWLS {
                crawls.pop_front();
            }
            let crawl = Arc::<AtomicU64>::default();
            crawls.push_back((upload_id.to_owned(), crawl.clone()));
            crawl
        };
        Computed { crawl: Some(upload_id.to_owned()), usage: Usage::of_crawl(crawl, before) }
    }

    /// Connections whose guests have other grants than these: their guests end now. Which they are.
    pub fn take_grants(&self, config: &dyn Configured) -> Vec<String> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Vec::new();
        connections.retain(|name, shared| {
            let now = config.connection(name);
            let same = now.is_ok_and(|now| now.grants == shared.granted);
            if !same {
                if let Some(cell) = shared.cell.running(|_| true) {
                    cell.end_of_grants();
                }
                changed.push(name.clone());
            }
            same
        });
        changed
    }

    fn shared(&self, connection: &Connection, connector: &Connector) -> Result<Shared> {
        let granted = &connection.grants;
        let grant = egress::Grant {
            policy: Policy {
                granted: granted.hosts.clone(),
                asked: asked(&connector.manifest, &connection.settings)?,
                networks: granted.networks.clone(),
                methods: granted.methods.clone(),
            },
            limits: connection.limits.http.clone(),
            tls: granted.tls.clone(),
            credentials: granted.credentials.clone(),
        };
        let most = connection.limits.guests;
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = connections.get(&*connection.name)
            && *shared.broker.grant() == grant
            && shared.granted == *granted
            && shared.most == most
        {
            return Ok(shared.clone());
        }
        // What was granted before ends with its cell, when its last guest does.
        let broker = Arc::new(Broker::new(&connection.name, grant));
        let (places, cell) = (Arc::new(Semaphore::new(most)), Arc::default());
        let shared = Shared { broker, granted: granted.clone(), places, most, cell };
        let before = connections.insert(connection.name.to_string(), shared.clone());
        if let Some(before) = before.filter(|before| before.granted != shared.granted)
            && let Some(cell) = before.cell.running(|_| true)
        {
            cell.end_of_grants();
        }
        Ok(shared)
    }
}

impl Shared {
    /// The connection's cell, which is started unless it runs.
    async fn cell(
        &self,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Arc<ConnectionCell>> {
        let asked = connector.manifest.credentials.iter().map(|asked| asked.name.clone());
        let grants = Grants {
            connection: connection.name.to_string(),
            settings: connection.settings.to_string(),
            folders: connection.grants.folders.clone(),
            limits: connection.limits.clone(),
            permit: Some(self.broker.grant().permit()),
            credentials: asked.collect(),
        };
        let folders = identities(&grants.folders).await;
        let what = What { digest: connector.digest.clone(), folders, grants };
        let _starting = self.cell.starting.lock().await;
        if let Some(cell) = self.cell.running(|same| *same == what)
            && cell.is_alive()
        {
            return Ok(cell);
        }
        let cell = connector.serve(what.grants.clone(), Some(self.broker.clone())).await?;
        let cell = Arc::new(cell);
        let running = Running { what, cell: Arc::downgrade(&cell) };
        *self.cell.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(cell)
    }
}

/// Which folders these are now.
async fn identities(folders: &[FolderGrant]) -> Vec<Option<(u64, u64)>> {
    let mut identities = Vec::with_capacity(folders.len());
    for folder in folders {
        let found = tokio::fs::metadata(&folder.host).await.ok();
        identities.push(found.map(|found| (found.dev(), found.ino())));
    }
    identities
}

/// The hosts that a connector asks for, with these settings.
pub fn asked(manifest: &Manifest, settings: &Value) -> Result<Vec<Pattern>> {
    let mut asked = Vec::new();
    for text in &manifest.hosts {
        let setting = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(setting) = setting else {
            asked.push(text.parse().map_err(|why| {
                Failure::new(
                    Kind::Contract,
                    format!("the connector asks for the host `{text}`: {why}"),
                )
                .at(manifest.name.clone())
                .next("mend `hosts` in its manifest")
            })?);
            continue;
        };
        let value = setting.split('.').fold(settings, |value, key| &value[key]);
        let urls: Vec<&str> = match value {
            Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
            value => value.as_str().into_iter().collect(),
        };
        for url in urls {
            let pattern = Pattern::of_url(url).map_err(|why| {
                Failure::settings(format!("the setting `{setting}` names no host: {why}"))
                    .next("write a whole URL, such as https://wiki.example.com/")
            })?;
            if !asked.contains(&pattern) {
                asked.push(pattern);
            }
        }
    }
    Ok(asked)
}

/// Settings must be valid by the connector's own schema before it sees them.
async fn check_settings(
    config: &dyn Configured,
    connection: &Connection,
    connector: &Connector,
    cell: &ConnectionCell,
) -> Result<()> {
    let manifest = &connector.manifest;
    let misfits = cell.fit(&manifest.settings_schema).await?.map_err(|error| {
        Failure::new(
            Kind::Contract,
            format!("the connector's settings schema is not valid: {error}"),
        )
        .at(manifest.name.clone())
        .next("mend `describe` in the connector")
    })?;
    let place = |keys: &[&str]| {
        config.place(&[&["connections", connection.name.as_str(), "settings"], keys].concat())
    };
    schema::failure(&manifest.name, &misfits, place).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_in_braces_stands_for_the_host_of_its_url() {
        let manifest = |hosts: &[&str]| Manifest {
            name: "x".into(),
            version: String::new(),
            description: String::new(),
            settings_schema: Value::Null,
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
            credentials: Vec::new(),
            incremental: false,
            folders: None,
        };
        let settings = serde_json::json!({
            "base_url": "http://wiki.example.com:8080/w/",
            "feeds": ["https://a.example.com/x", "https://a.example.com/y", "https://b.example.com"],
            "deep": { "url": "https://deep.example.com" },
            "wrong": "no url",
        });
        let hosts = |asked_for: &[&str]| -> Vec<String> {
            let asked = asked(&manifest(asked_for), &settings).expect("patterns");
            asked.iter().map(ToString::to_string).collect()
        };
        assert_eq!(hosts(&["{base_url}"]), ["http://wiki.example.com:8080"]);
        assert_eq!(hosts(&["{feeds}"]), ["a.example.com", "b.example.com"]);
        assert_eq!(
            hosts(&["{deep.url}", "{missing}", "*.example.com"]),
            ["deep.example.com", "*.example.com"]
        );
        assert!(asked(&manifest(&["{wrong}"]), &settings).is_err());
        assert!(asked(&manifest(&["*"]), &settings).is_err());
    }
}
