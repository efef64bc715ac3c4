//! Who may find one document, as its source delivers it now. A connector delivers scopes, and no single documents: so its
//! scope is read until the document has come. Nothing is uploaded.

use std::time::Duration;

use serde::Deserialize;

use super::connection::Connection;
use super::crawler::Crawler;
use super::explain::KnownDocument;
use crate::document::{Crawl, Mode, PageLimits, Unreadable, key};
use crate::failure::{Failure, Kind, Result};
use crate::intake::judge::Seen;
use crate::text::{count, one_line};
use crate::wire::permissions::Allowed;

/// What of a document that would be sent says who may find it.
#[derive(Deserialize)]
struct Sent {
    permissions: Allowed,
}

/// What the source says, and its connector.
pub(super) struct FromSource {
    /// Or why it is not known.
    pub(super) allowed: Result<Allowed, String>,
    /// Whether the datasource knows users by their e-mails; nothing where the connector could not be asked.
    pub(super) by_email: Option<bool>,
}

impl Crawler {
    /// Reads the document's scope for so long at most.
    pub(super) async fn source_access(
        &self,
        connection: &Connection,
        document: &KnownDocument,
        at_most: Duration,
    ) -> FromSource {
        let mut by_email = None;
        let read = Box::pin(self.read_access(connection, document, &mut by_email));
        let allowed = match tokio::time::timeout(at_most, read).await {
            Ok(Ok(said)) => said,
            Ok(Err(failure)) => Err(format!("the source cannot be read: {failure}")),
            Err(_) => Err(format!(
                "it did not come within {}; `--read-for 1h` reads for longer",
                humantime::format_duration(at_most)
            )),
        };
        FromSource { allowed, by_email }
    }

    async fn read_access(
        &self,
        connection: &Connection,
        document: &KnownDocument,
        by_email: &mut Option<bool>,
    ) -> Result<Result<Allowed, String>> {
        let connector = self.registry.find(&connection.connector).await?;
        let mut guest = self.start(connection, &connector).await?;
        let registered = guest.datasource().await?;
        *by_email = Some(registered["isUserReferencedByEmail"].as_bool().unwrap_or(false));
        let scope = document.scope.clone();
        let crawl = Crawl { mode: Mode::Full, scope, resume: None };
        let mut opened = guest.open(crawl, &registered).await?;
        let limits = PageLimits {
            documents: connection.limits.page_documents,
            bytes: connection.limits.page_bytes,
        };
        let (wanted, most) = (key(&document.id), self.settings.uploads.document_bytes);
        let mut nameless = 0;
        loop {
            let seen = opened.look(limits, &connection.datasource, most).await?;
            if let Some(said) = in_page(&seen, wanted)? {
                return Ok(said);
            }
            nameless += seen.unreadable.iter().filter(|found| is_nameless(found)).count() as u64;
            if !seen.more {
                return Ok(Err(not_delivered(&document.scope, seen.partial.as_deref(), nameless)));
            }
        }
    }
}

/// What a page says of the document; nothing where it is not in it.
fn in_page(seen: &Seen, wanted: u128) -> Result<Option<Result<Allowed, String>>> {
    let mut documents = seen.documents.iter();
    if let Some(judged) = documents.find(|judged| judged.has_id && judged.key == wanted) {
        if let Some(problem) = &judged.problem {
            let why = format!("as the source has it now, it would be quarantined: {problem}");
            return Ok(Some(Err(why)));
        }
        let sent: Sent = serde_json::from_str(&judged.json).map_err(|error| {
            Failure::new(Kind::Internal, format!("it cannot be read back: {error}"))
        })?;
        return Ok(Some(Ok(sent.permissions)));
    }
    let mut unreadable = seen.unreadable.iter().filter(|found| !is_nameless(found));
    let found = unreadable.find(|found| found.id.as_deref().is_some_and(|id| key(id) == wanted));
    Ok(found.map(|found| Err(format!("the source has it, and cannot read it: {}", found.reason))))
}

fn is_nameless(found: &Unreadable) -> bool {
    found.id.as_deref().is_none_or(str::is_empty)
}

/// Why a scope that has ended did not have it. `nameless`: documents that could not be read, and have no id.
fn not_delivered(scope: &str, partial: Option<&str>, nameless: u64) -> String {
    let scope = one_line(scope);
    match (partial, nameless) {
        (Some(why), _) => {
            format!("it had not come when scope `{scope}` broke off: {why}; it may be in the rest")
        }
        (None, 0) => format!("the source does not deliver it any more in scope `{scope}`"),
        (None, _) => format!(
            "the source does not deliver it in scope `{scope}` now, unless it is among {} that could not be read and \
             have no id",
            count(nameless, "document")
        ),
    }
}
