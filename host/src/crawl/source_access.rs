//! Who may find one document, as its source delivers it now. A connector delivers scopes, and no single documents: so its
//! scope is read until the document has come. Nothing is uploaded.

use std::time::Duration;

use serde::Deserialize;

use super::connection::Connection;
use super::crawler::Crawler;
use super::explain::KnownDocument;
use crate::document::{Crawl, Mode, PageLimits, key};
use crate::failure::{Failure, Kind, Result};
use crate::text::one_line;
use crate::wire::permissions::Allowed;

/// What of a document that would be sent says who may find it.
#[derive(Deserialize)]
struct Sent {
    permissions: Allowed,
}

impl Crawler {
    /// Reads the document's scope for so long at most. Why it is not known, if so.
    pub(super) async fn source_access(
        &self,
        connection: &Connection,
        document: &KnownDocument,
        at_most: Duration,
    ) -> Result<Allowed, String> {
        let read = Box::pin(self.read_access(connection, document));
        match tokio::time::timeout(at_most, read).await {
            Ok(Ok(Some(allowed))) => Ok(allowed),
            Ok(Ok(None)) => {
                let scope = one_line(&document.scope);
                Err(format!("the source does not deliver it any more in scope `{scope}`"))
            }
            Ok(Err(failure)) => Err(format!("the source cannot be read: {failure}")),
            Err(_) => Err(format!(
                "it did not come within {}; `--read-for 1h` reads for longer",
                humantime::format_duration(at_most)
            )),
        }
    }

    async fn read_access(
        &self,
        connection: &Connection,
        document: &KnownDocument,
    ) -> Result<Option<Allowed>> {
        let connector = self.registry.find(&connection.connector).await?;
        let mut guest = self.start(connection, &connector).await?;
        let registered = guest.datasource().await?;
        let scope = document.scope.clone();
        let crawl = Crawl { mode: Mode::Full, scope, resume: None };
        let mut opened = guest.open(crawl, &registered).await?;
        let limits = PageLimits {
            documents: connection.limits.page_documents,
            bytes: connection.limits.page_bytes,
        };
        let (wanted, most) = (key(&document.id), self.settings.uploads.document_bytes);
        loop {
            let seen = opened.look(limits, &connection.datasource, most).await?;
            let mut found = seen.documents.iter();
            if let Some(judged) = found.find(|judged| judged.has_id && judged.key == wanted) {
                let sent: Sent = serde_json::from_str(&judged.json).map_err(|error| {
                    Failure::new(Kind::Internal, format!("it cannot be read back: {error}"))
                })?;
                return Ok(Some(sent.permissions));
            }
            if !seen.more {
                return Ok(None);
            }
        }
    }
}
