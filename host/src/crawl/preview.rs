//! The first documents of a connection, judged as a crawl judges them, and how many users and groups it tells of. Nothing
//! is uploaded.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;

use super::connection::Connection;
use super::crawler::Crawler;
use super::identities::{Reading, Step};
use super::progress::Counts;
use crate::cell::Connector;
use crate::document::{Crawl, Mode, PageLimits, Unreadable};
use crate::failure::{Failure, Result};
use crate::intake::judge::Judged;
use crate::intake::loop_detector::DOUBLE;

/// What was read.
pub struct Preview {
    /// Name and version of the connector.
    pub connector: String,
    pub documents: Vec<Judged>,
    /// Documents that the connector could not read.
    pub unreadable: Vec<Unreadable>,
    /// Why a crawl would stop there, if so many are quarantined.
    pub too_many: Option<Failure>,
    /// Why no more was read.
    pub failure: Option<Failure>,
    /// Whom it tells of; nothing where it has no users and groups. It stops no document.
    pub identities: Result<Option<People>>,
}

/// How many users and groups a connection has, as far as that is read for a preview.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct People {
    pub users: u64,
    pub groups: u64,
    /// Whether there are more.
    pub more: bool,
}

/// Pages of users and groups that a preview reads, of so many users and members as a wish.
const PAGES: usize = 10;
const PAGE: u32 = 1_000;
/// It reads them for so long.
const LONG_ENOUGH: Duration = Duration::from_secs(20);

impl Preview {
    /// How many would be quarantined.
    pub fn quarantined(&self) -> usize {
        let broken = self.documents.iter().filter(|judged| judged.problem.is_some());
        broken.count() + self.unreadable.len()
    }
}

impl Crawler {
    /// Reads so many documents of a connection, or of one of its scopes.
    pub async fn preview(
        &self,
        connection: &Connection,
        scope: Option<String>,
        wanted: usize,
    ) -> Result<Preview> {
        let connector = self.registry.find(&connection.connector).await?;
        let mut guest = self.start(connection, &connector).await?;
        let registered = guest.datasource().await?;
        let mut scopes: Vec<_> = guest.scopes().await?.into_iter().map(|scope| scope.id).collect();
        // Its place is wanted for those that read.
        drop(guest);
        if let Some(wanted) = scope {
            if !scopes.contains(&wanted) {
                return Err(Failure::settings(format!("there is no scope `{wanted}`"))
                    .at(connection.name.clone())
                    .next(format!("it has: {}", scopes.join(", "))));
            }
            scopes = vec![wanted];
        }
        let mut reader = Reader {
            crawler: self,
            connection,
            connector: &connector,
            registered,
            ids: HashSet::new(),
            documents: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut failure = None;
        for scope in scopes {
            failure = reader.read(scope, wanted).await.err();
            if failure.is_some() || reader.documents.len() >= wanted {
                break;
            }
        }
        let Reader { documents, unreadable, .. } = reader;
        let manifest = &connector.manifest;
        let (read_by, connector) =
            (connector.clone(), format!("{} {}", manifest.name, manifest.version));
        let people = self.people(connection, &read_by);
        let identities = match tokio::time::timeout(LONG_ENOUGH, people).await {
            Ok(identities) => identities,
            // It has them, and they take long.
            Err(_) => Ok(Some(People { more: true, ..People::default() })),
        };
        let read =
            Preview { connector, documents, unreadable, too_many: None, failure, identities };
        let quarantined = read.quarantined();
        let counts = Counts {
            documents: read.documents.len().saturating_sub(quarantined) as u64,
            quarantined: quarantined as u64,
            ..Counts::default()
        };
        Ok(Preview { too_many: connection.quarantine.check(&counts).err(), ..read })
    }

    /// The first users and groups, counted.
    async fn people(
        &self,
        connection: &Connection,
        connector: &Connector,
    ) -> Result<Option<People>> {
        if !connector.inspection.has_identities() {
            return Ok(None);
        }
        let guest = self.start(connection, connector).await?;
        let Some(mut cursor) = guest.open_identities(None).await? else { return Ok(None) };
        let (mut reading, mut more) = (Reading::default(), true);
        for _ in 0..PAGES {
            if reading.take(cursor.next(PAGE).await?)? == Step::Ended {
                more = false;
                break;
            }
        }
        let read = reading.ended();
        let (users, groups) = (read.users.len() as u64, read.groups.len() as u64);
        Ok(Some(People { users, groups, more: more || read.partial.is_some() }))
    }
}

/// What was read so far.
struct Reader<'a> {
    crawler: &'a Crawler,
    connection: &'a Connection,
    connector: &'a Connector,
    /// Its datasource, as it registers it.
    registered: Value,
    /// A full crawl delivers an id once, over all its scopes.
    ids: HashSet<u128>,
    documents: Vec<Judged>,
    unreadable: Vec<Unreadable>,
}

impl Reader<'_> {
    /// Reads a scope until there are enough documents.
    async fn read(&mut self, scope: String, wanted: usize) -> Result<()> {
        let guest = self.crawler.start(self.connection, self.connector).await?;
        let mut opened =
            guest.open(Crawl { mode: Mode::Full, scope, resume: None }, &self.registered).await?;
        let datasource = &self.connection.datasource;
        let document_bytes = self.crawler.settings.uploads.document_bytes;
        while self.documents.len() < wanted {
            let left = wanted - self.documents.len();
            let of_page = self.connection.limits.page_documents;
            let limits = PageLimits {
                documents: u32::try_from(left).unwrap_or(u32::MAX).min(of_page),
                bytes: self.connection.limits.page_bytes,
            };
            let seen = opened.look(limits, datasource, document_bytes).await?;
            for mut judged in seen.documents.into_iter().take(left) {
                let is_double = judged.has_id && !self.ids.insert(judged.key);
                if is_double {
                    judged.problem.get_or_insert_with(|| DOUBLE.to_owned());
                }
                self.documents.push(judged);
            }
            self.unreadable.extend(seen.unreadable);
            if !seen.more {
                break;
            }
        }
        Ok(())
    }
}
