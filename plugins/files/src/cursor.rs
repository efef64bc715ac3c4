//! Pages of documents out of a walk.

use std::fs::{self, Metadata};
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sheaf_sdk::{Content, Crawl, Cursor, Document, Error, Limits, Page, Result, Unreadable, log};

use crate::id;
use crate::kind::Kind;
use crate::settings::{OBJECT_TYPE, Selection, Settings};
use crate::walk::{File, Found, Walk};
use crate::{names, text, title};

/// A page ends after this many files, also when all of them are left out: the host waits for each page.
const LOOKED_AT: usize = 5_000;

pub struct FilesCursor {
    settings: Settings,
    base_url: String,
    selection: Selection,
    walk: Walk,
    /// Seconds: older files are left out.
    since: Option<i64>,
    place: Place,
}

/// Where a crawl is: its checkpoint.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Place {
    /// The last file that was looked at.
    after: Option<String>,
    /// When the crawl began: the bookmark of the next.
    started: i64,
    /// The first folder that could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// Where an incremental crawl begins.
#[derive(Debug, Serialize, Deserialize)]
struct Bookmark {
    since: i64,
}

impl FilesCursor {
    pub(crate) fn open(settings: Settings, crawl: &Crawl) -> Result<Self> {
        let place = match &crawl.resume {
            None => Place { started: seconds(SystemTime::now()), ..Place::default() },
            Some(text) => serde_json::from_str(text).map_err(|error| {
                Error::start_over(format!("the checkpoint cannot be read: {error}"))
            })?,
        };
        let since = match crawl.mode.bookmark() {
            None => None,
            Some(text) => {
                let bookmark: Bookmark = serde_json::from_str(text).map_err(|error| {
                    Error::start_over(format!("the bookmark cannot be read: {error}"))
                })?;
                Some(bookmark.since)
            }
        };
        Ok(Self {
            base_url: settings.base_url()?.to_owned(),
            selection: Selection::new(&settings)?,
            walk: Walk::new(&settings, &crawl.scope, place.after.as_deref())?,
            settings,
            since,
            place,
        })
    }

    /// `None` for a file that is gone, or that something else has taken the place of.
    fn document(&self, file: &File, shown: &str, kind: Kind) -> Result<Option<Document>, String> {
        let Some(metadata) = look(&file.on_disk)? else { return Ok(None) };
        let modified = metadata.modified().ok().map(seconds);
        if let (Some(since), Some(modified)) = (self.since, modified)
            && modified < since
        {
            return Ok(None);
        }
        let most = self.settings.max_bytes;
        let too_large = |size: u64| Err(format!("it has {size} bytes, and `max_bytes` is {most}"));
        if metadata.len() > most {
            return too_large(metadata.len());
        }
        let bytes = match read(&file.on_disk, metadata.len(), most) {
            Ok(bytes) => bytes,
            // It was removed or replaced after it was listed.
            Err(_) if look(&file.on_disk)?.is_none() => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        if bytes.len() as u64 > most {
            return too_large(bytes.len() as u64);
        }
        let (folder, name) = match shown.rsplit_once('/') {
            Some((folder, name)) => (Some(folder), name),
            None => (None, shown),
        };
        let (found, body) = match kind {
            Kind::Binary(mime_type) => (None, Content::binary(mime_type, bytes)),
            Kind::Text(mime_type) => {
                let text = text::decode(bytes).ok_or("it is not text")?;
                (title::find(mime_type, &text), Content::text(mime_type, text))
            }
        };
        let mut document = Document::new(
            id::of(&file.id),
            OBJECT_TYPE,
            id::url(&self.base_url, &file.path),
            self.selection.access(shown),
        )
        .title(found.unwrap_or_else(|| name.to_owned()))
        .filename(name)
        .body(body);
        document.updated_at = modified;
        document.created_at = metadata.created().ok().map(seconds);
        Ok(Some(match folder {
            Some(folder) => document.container(folder),
            None => document,
        }))
    }
}

/// What is known of a file; `None` where there is none.
fn look(path: &Path) -> Result<Option<Metadata>, String> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.is_file().then_some(metadata)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A file's bytes, up to one more than `most`: that one shows that there are too many.
fn read(path: &Path, size: u64, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    fs::File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Cursor for FilesCursor {
    fn next(&mut self, limits: Limits) -> Result<Page> {
        let mut documents = Vec::new();
        let mut unreadable = Vec::new();
        let mut bytes = 0;
        let mut looked_at = 0;
        let more = loop {
            let full = documents.len() >= limits.documents as usize
                || bytes >= limits.bytes as usize
                || looked_at >= LOOKED_AT;
            if full {
                break true;
            }
            looked_at += 1;
            match self.walk.next() {
                None => break false,
                Some(Found::Unreadable { path, reason }) => {
                    let first = format!("the folder {path} cannot be read as a whole: {reason}");
                    log::warn!("{first}");
                    self.place.unreadable.get_or_insert(first);
                }
                Some(Found::File(file)) => {
                    let shown = names::shown(&file.path);
                    if let Some(kind) = self.selection.kind(&shown) {
                        match self.document(&file, &shown, kind) {
                            Ok(None) => {}
                            Ok(Some(document)) => {
                                bytes += size(&document);
                                documents.push(document);
                            }
                            Err(reason) => unreadable.push(Unreadable {
                                id: Some(id::of(&file.id)),
                                view_url: Some(id::url(&self.base_url, &file.path)),
                                reason,
                            }),
                        }
                    }
                    self.place.after = Some(file.path);
                }
            }
        };
        let page = if more {
            Page::more(documents, serde_json::to_string(&self.place)?)
        } else if let Some(reason) = self.place.unreadable.take() {
            Page::partial(documents, reason)
        } else {
            let bookmark = serde_json::to_string(&Bookmark { since: self.place.started })?;
            Page::complete(documents, Some(bookmark))
        };
        Ok(page.unreadable(unreadable))
    }
}

/// About how much a document adds to a page.
fn size(document: &Document) -> usize {
    use sheaf_sdk::Data;
    document.body.as_ref().map_or(0, |content| match &content.data {
        Data::Text(text) => text.len(),
        Data::Binary(bytes) => bytes.len(),
    }) + 500
}

fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}
