//! Who may find one document, as its source delivers it now. A connector delivers scopes, and no single documents: so its
//! scope is read until the document has come. Nothing is uploaded.

use std::sync::atomic::{AtomicU64, Ordering};
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

/// How far the reading came.
#[derive(Default)]
struct Progress {
    pages: AtomicU64,
    documents: AtomicU64,
}

impl Progress {
    fn add(&self, seen: &Seen) {
        let documents = seen.documents.len() + seen.unreadable.len();
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.documents.fetch_add(documents as u64, Ordering::Relaxed);
    }

    /// It was not read for long enough.
    fn in_vain(&self, scope: &str, at_most: Duration) -> String {
        let (scope, took) = (one_line(scope), humantime::format_duration(at_most));
        let next = "a longer `--read-for`, such as `--read-for 1h`, reads on";
        match (self.pages.load(Ordering::Relaxed), self.documents.load(Ordering::Relaxed)) {
            (0, _) => format!("no page of scope `{scope}` came within {took}; {next}"),
            (pages, documents) => format!(
                "it was not among the first {} ({}) of scope `{scope}`, which is what came within {took}; {next}",
                count(documents, "document"),
                count(pages, "page"),
            ),
        }
    }
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
        let progress = Progress::default();
        let read = Box::pin(self.read_access(connection, document, &mut by_email, &progress));
        let allowed = match tokio::time::timeout(at_most, read).await {
            Ok(Ok(said)) => said,
            Ok(Err(failure)) => Err(format!("the source cannot be read: {failure}")),
            Err(_) => Err(progress.in_vain(&document.scope, at_most)),
        };
        FromSource { allowed, by_email }
    }

    async fn read_access(
        &self,
        connection: &Connection,
        document: &KnownDocument,
        by_email: &mut Option<bool>,
        progress: &Progress,
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
            progress.add(&seen);
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
        (None, 0) => format!(
            "the source does not deliver it any more in scope `{scope}`: Glean has it until a full crawl deletes it, unless another scope delivers it"
        ),
        (None, _) => format!(
            "the source does not deliver it in scope `{scope}` now, unless it is among {} that could not be read and \
             have no id",
            count(nameless, "document")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_not_given_enough_time_says_how_far_it_came_and_how_to_give_more() {
        let progress = Progress::default();
        let minute = Duration::from_secs(60);
        let said = progress.in_vain("all", minute);
        assert!(said.starts_with("no page of scope `all` came within 1m; "), "{said}");
        progress.pages.store(3, Ordering::Relaxed);
        progress.documents.store(1_500, Ordering::Relaxed);
        let said = progress.in_vain("all", minute);
        assert!(
            said.starts_with("it was not among the first 1,500 documents (3 pages) of"),
            "{said}"
        );
        assert!(said.contains("came within 1m") && said.contains("`--read-for 1h`"), "{said}");
    }
}
