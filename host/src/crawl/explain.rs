//! What is known of single documents: in the ledger, in the journals, and in Glean.

use serde::Serialize;
use serde_json::Value;

use super::connection_state::ConnectionState;
use super::crawler::{Crawler, Journal};
use crate::document::{address, key};
use crate::failure::Result;
use crate::ledger::run::{Known, Merged, Run};
use crate::ledger::{Record, State, journals};

/// A document of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownDocument {
    pub id: String,
    pub object_type: String,
    pub title: String,
    /// In RFC 3339.
    pub seen: String,
    /// The crawl that saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    pub scope: String,
    pub page: u32,
    pub hash: String,
    pub state: Fate,
    /// Whether Glean has it, as far as Sheaf put it there.
    pub in_glean: bool,
    /// Why it is quarantined.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What became of a document when it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    Uploaded,
    Quarantined,
    Deleted,
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Uploaded => "uploaded",
            Self::Quarantined => "quarantined",
            Self::Deleted => "deleted",
        })
    }
}

impl KnownDocument {
    /// Nothing where no crawl has seen it itself, only a change of its access.
    fn of(record: &Record, in_glean: bool, upload_id: Option<String>) -> Option<Self> {
        let entry = record.entry();
        let state = match entry.state {
            State::Uploaded => Fate::Uploaded,
            State::Quarantined | State::Outdated => Fate::Quarantined,
            State::Deleted => Fate::Deleted,
            State::Access => return None,
        };
        Some(Self {
            id: entry.id.to_owned(),
            object_type: entry.object_type.to_owned(),
            title: entry.title.to_owned(),
            seen: record.seen_at().to_string(),
            upload_id,
            scope: entry.scope.to_owned(),
            page: entry.page,
            hash: format!("{:032x}", entry.content),
            state,
            in_glean,
            reason: entry.reason.to_owned(),
        })
    }
}

/// All that is known of a document.
pub struct Explanation {
    pub document: KnownDocument,
    /// What Glean says of it, or why it was not asked.
    pub glean: Result<Value, String>,
}

impl Crawler {
    /// What is known of a document, here and in Glean. Nothing, if no crawl has seen it.
    pub async fn explain(
        &self,
        connection: &str,
        datasource: &str,
        asked: &str,
    ) -> Result<Option<Explanation>> {
        let Some(document) = self.find(connection, asked).await? else { return Ok(None) };
        let glean = match self.client.server_url() {
            "" => Err("no Glean is configured".to_owned()),
            _ => self
                .client
                .document_status(datasource, &document.object_type, &document.id)
                .await
                .map_err(|failure| failure.to_string()),
        };
        Ok(Some(Explanation { document, glean }))
    }

    /// The documents of a connection that are quarantined, the first `most` of them, and how many
    /// there are.
    pub async fn quarantined(
        &self,
        connection: &str,
        most: usize,
    ) -> Result<(Vec<KnownDocument>, u64)> {
        let state = self.states.of(connection).await?;
        let mut known = Merged::open(&self.store, &state.runs).await?;
        let (mut documents, mut count) = (Vec::new(), 0);
        while let Some(Known { record, in_glean, .. }) = known.next().await? {
            if record.is_quarantined() {
                count += 1;
                if documents.len() < most {
                    documents.extend(KnownDocument::of(&record, in_glean, None));
                }
            }
        }
        Ok((documents, count))
    }

    /// What is known of a document, in a crawl under way, in the ledger, or among what was deleted.
    pub async fn find(&self, connection: &str, asked: &str) -> Result<Option<KnownDocument>> {
        let state = self.states.of(connection).await?;
        if let Some(found) = self.find_by(connection, &state, By::Id(key(asked))).await? {
            return Ok(Some(found));
        }
        if !asked.contains("://") {
            return Ok(None);
        }
        // What has no id of its own is listed by its address.
        let nameless = By::Id(key(&format!("\0{asked}")));
        if let Some(found) = self.find_by(connection, &state, nameless).await? {
            return Ok(Some(found));
        }
        self.find_by(connection, &state, By::Address(address(asked))).await
    }

    async fn find_by(
        &self,
        connection: &str,
        state: &ConnectionState,
        by: By,
    ) -> Result<Option<KnownDocument>> {
        let mut said = self.said(connection, state, by).await?;
        if let (By::Address(_), Some((record, _))) = (by, said.last()) {
            // Not all that is said of a document names its address.
            said = self.said(connection, state, By::Id(record.key())).await?;
        }
        let mut found: Option<(Known, Option<String>)> = None;
        for (record, upload) in said {
            let before = found.as_ref().map(|(known, _)| known);
            let seen_by = match &found {
                Some((_, by)) if record.state() == State::Access => by.clone(),
                _ => upload,
            };
            found = Some((Known::after(before, record), seen_by));
        }
        let found = found
            .and_then(|(known, upload)| KnownDocument::of(&known.record, known.in_glean, upload));
        if found.is_some() {
            return Ok(found);
        }
        for run in state.gone.iter().rev() {
            // It is only for people: one that cannot be read hides nothing else.
            if let Ok(Some(record)) = self.find_in(run, by).await {
                return Ok(KnownDocument::of(&record, false, None));
            }
        }
        Ok(None)
    }

    /// What the ledger and the journals say of a document, and by which crawl, the latest last.
    async fn said(
        &self,
        connection: &str,
        state: &ConnectionState,
        by: By,
    ) -> Result<Vec<(Record, Option<String>)>> {
        let mut said = Vec::new();
        for run in &state.runs {
            if let Some(record) = self.find_in(run, by).await? {
                said.push((record, run.name.rsplit('/').next().map(str::to_owned)));
            }
        }
        let place = self.states.place(connection);
        for upload in journals(&self.store, &place).await? {
            let journal = Journal::new(&self.store, &place, &upload);
            for scope in journal.scopes().await? {
                let mut frames = journal.frames(&scope).await?;
                while let Some(frame) = frames.next(true).await? {
                    for record in frames.records(frame) {
                        let record = record?;
                        if by.is(&record) {
                            said.push((record, Some(upload.clone())));
                        }
                    }
                }
            }
        }
        said.sort_by_key(|(record, _)| record.at());
        Ok(said)
    }

    async fn find_in(&self, run: &Run, by: By) -> Result<Option<Record>> {
        let mut records = Merged::open(&self.store, std::slice::from_ref(run)).await?;
        while let Some(Known { record, .. }) = records.next().await? {
            if by.is(&record) {
                return Ok(Some(record));
            }
            if let By::Id(key) = by
                && record.key() > key
            {
                break;
            }
        }
        Ok(None)
    }
}

/// What a document is looked for by.
#[derive(Clone, Copy)]
enum By {
    Id(u128),
    Address(u64),
}

impl By {
    fn is(self, record: &Record) -> bool {
        match self {
            Self::Id(key) => record.key() == key,
            Self::Address(address) => record.entry().url == address,
        }
    }
}
