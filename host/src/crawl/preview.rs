//! The first documents of a connection, judged as a crawl judges them. Nothing is uploaded.

use std::collections::HashSet;

use serde_json::Value;

use super::connection::Connection;
use super::crawler::Crawler;
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
}

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
        let connector = format!("{} {}", manifest.name, manifest.version);
        let read = Preview { connector, documents, unreadable, too_many: None, failure };
        let quarantined = read.quarantined();
        let counts = Counts {
            documents: read.documents.len().saturating_sub(quarantined) as u64,
            quarantined: quarantined as u64,
            ..Counts::default()
        };
        Ok(Preview { too_many: connection.quarantine.check(&counts).err(), ..read })
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
