//! A connector for Sheaf. What it reads is in `source.rs`; here that becomes documents.

mod source;

use serde::{Deserialize, Serialize};
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::{
    Access, Connector, Crawl, Cursor, Datasource, Document, DocumentRef, Error, Limits, Manifest,
    Page, Result, UserRef, category, log,
};
use source::{FIRST_PAGE, Note, Source};

const OBJECT_TYPE: &str = "Note";

/// What the operator sets. The comments of its fields are what they read.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the notes are, such as `https://notes.example.com/api`. Left out, the folder `/sample` is read.
    url: Option<String>,
}

struct Notes;

impl Connector for Notes {
    type Settings = Settings;
    type Cursor = Reading;

    fn manifest() -> Manifest {
        Manifest::new("{{name}}", env!("CARGO_PKG_VERSION"), "Reads notes.")
            .host("{url}")
            .folders("The sample, as long as there is no `url`.")
            .incremental()
    }

    fn datasource(_: &Settings) -> Result<Datasource> {
        // Documents whose address does not match are quarantined.
        let urls = r"https://notes\.example\.com/.*";
        Ok(Datasource::new("{{title}}", category::KNOWLEDGE_HUB, urls)
            .object(OBJECT_TYPE, category::KNOWLEDGE_HUB))
    }

    fn check(settings: &Settings) -> Result<String> {
        let page = Source::new(settings.url.as_deref()).page(FIRST_PAGE)?;
        Ok(format!("Notes on the first page: {}.", page.notes.len()))
    }

    fn open(settings: Settings, crawl: Crawl) -> Result<Reading> {
        Reading::open(Source::new(settings.url.as_deref()), &crawl)
    }
}

/// A crawl under way.
struct Reading {
    source: Source,
    /// What changed since then is read; nothing said means everything.
    since: Option<i64>,
    place: Place,
}

/// Where a crawl is. Each page but the last hands it out as the checkpoint.
#[derive(Serialize, Deserialize)]
struct Place {
    page: String,
    /// When the newest note so far was changed: at the end, that is the bookmark.
    newest: i64,
}

impl Reading {
    fn open(source: Source, crawl: &Crawl) -> Result<Self> {
        // What an earlier version handed out may come back. Then this scope is read from its beginning.
        let strange = |_| Error::start_over("this is no checkpoint or bookmark of this version");
        let since: Option<i64> = match crawl.mode.bookmark() {
            Some(bookmark) => Some(serde_json::from_str(bookmark).map_err(strange)?),
            None => None,
        };
        let place = match &crawl.resume {
            Some(checkpoint) => serde_json::from_str(checkpoint).map_err(strange)?,
            None => Place {
                page: FIRST_PAGE.into(),
                newest: since.unwrap_or_default(),
            },
        };
        log::info!("reading from {}", place.page);
        Ok(Self {
            source,
            since,
            place,
        })
    }
}

impl Cursor for Reading {
    // A page of the source becomes a page here. A source that takes a page's size is given `limits`.
    fn next(&mut self, _limits: Limits) -> Result<Page> {
        let read = self.source.page(&self.place.page)?;
        let (mut documents, mut deleted) = (Vec::new(), Vec::new());
        for note in read.notes {
            // Several notes may have the time of the newest: that one is read again.
            if self.since.is_some_and(|since| note.updated < since) {
                continue;
            }
            self.place.newest = self.place.newest.max(note.updated);
            if !note.deleted {
                documents.push(document(note));
            } else if self.since.is_some() {
                // A full crawl deletes what it does not deliver. An incremental one has to say so.
                deleted.push(DocumentRef {
                    id: note.id,
                    object_type: OBJECT_TYPE.into(),
                });
            }
        }
        let mut page = match read.next {
            Some(next) => {
                self.place.page = next;
                Page::more(documents, serde_json::to_string(&self.place)?)
            }
            None => Page::complete(documents, Some(self.place.newest.to_string())),
        };
        page.deleted = deleted;
        Ok(page)
    }
}

fn document(note: Note) -> Document {
    // Everyone may find these. Where a source knows who may, say so: `Access::only(users, groups)`.
    let mut document = Document::new(note.id, OBJECT_TYPE, note.url, Access::Everyone)
        .title(note.title)
        .text(note.text)
        .updated_at(note.updated);
    document.author = note.author.map(UserRef::email);
    document
}

sheaf_sdk::export!(Notes);

#[cfg(test)]
mod tests;
