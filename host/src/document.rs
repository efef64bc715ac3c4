//! What a connector delivers, in the host's own words: documents, pages and scopes. Each version of the
//! contract is converted into this.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRef {
    pub email: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restricted {
    #[serde(deserialize_with = "crate::lists::counted")]
    pub users: Vec<UserRef>,
    #[serde(deserialize_with = "crate::lists::counted")]
    pub groups: Vec<String>,
    #[serde(deserialize_with = "crate::lists::counted_twice")]
    pub group_intersections: Vec<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Everyone,
    SourceUsers,
    Restricted(Restricted),
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Text(String),
    Binary(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub mime_type: String,
    pub body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropertyValue {
    Text(String),
    Integer(i64),
    Texts(Vec<String>),
}

#[derive(Clone, Debug)]
pub struct Comment {
    pub id: String,
    pub author: Option<UserRef>,
    pub content: Content,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
}

#[derive(Clone, Debug)]
pub struct Container {
    pub name: String,
    pub id: Option<String>,
    pub object_type: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Interactions {
    pub views: Option<u64>,
    pub likes: Option<u64>,
    pub comments: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Document {
    pub id: String,
    pub object_type: String,
    pub view_url: String,
    pub access: Access,
    pub title: Option<String>,
    pub filename: Option<String>,
    pub body: Option<Content>,
    pub summary: Option<Content>,
    pub container: Option<Container>,
    pub author: Option<UserRef>,
    pub owner: Option<UserRef>,
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
    pub updated_by: Option<UserRef>,
    pub tags: Vec<String>,
    pub status: Option<String>,
    pub comments: Vec<Comment>,
    pub interactions: Option<Interactions>,
    pub additional_urls: Vec<String>,
    pub native_app_url: Option<String>,
    pub properties: Vec<(String, PropertyValue)>,
}

impl Document {
    /// A document with what none may lack; everything else is empty.
    pub fn new(id: &str, object_type: &str, view_url: &str, access: Access) -> Self {
        Self {
            id: id.to_owned(),
            object_type: object_type.to_owned(),
            view_url: view_url.to_owned(),
            access,
            title: None,
            filename: None,
            body: None,
            summary: None,
            container: None,
            author: None,
            owner: None,
            created_at: None,
            updated_at: None,
            updated_by: None,
            tags: Vec::new(),
            status: None,
            comments: Vec::new(),
            interactions: None,
            additional_urls: Vec::new(),
            native_app_url: None,
            properties: Vec::new(),
        }
    }

    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        self.title = Some(title.to_owned());
        self
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DocumentRef {
    pub id: String,
    pub object_type: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AccessChange {
    pub document: DocumentRef,
    pub access: Access,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unreadable {
    pub id: Option<String>,
    pub view_url: Option<String>,
    pub reason: String,
}

/// A checkpoint or bookmark larger than this is refused.
pub const MAX_CHECKPOINT_BYTES: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    More(String),
    Complete(Option<String>),
    Partial(String),
}

#[derive(Clone, Debug)]
pub struct Page {
    pub documents: Vec<Document>,
    pub deleted: Vec<DocumentRef>,
    pub access_changes: Vec<AccessChange>,
    pub unreadable: Vec<Unreadable>,
    pub progress: Progress,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PageLimits {
    pub documents: u32,
    pub bytes: u32,
}

/// A full crawl, or one from a bookmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Full,
    Incremental { bookmark: String },
}

impl Mode {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental { .. } => "incremental",
        }
    }
}

/// A part of the source that is crawled on its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scope {
    pub id: String,
    pub title: String,
    /// The connector's estimate, for progress only.
    pub documents: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Crawl {
    pub mode: Mode,
    pub scope: String,
    pub resume: Option<String>,
}

/// A document's key: Glean's ids do not distinguish case.
///
/// The object type is not in it. Glean takes it beside the id to delete a document, and does not say
/// whether two types may share an id. So an id is one document here: of two in a full crawl the second
/// is quarantined, whichever way Glean sees it. Where an incremental crawl brings one with another type,
/// Glean may keep the older until the next full crawl ends.
pub fn key(id: &str) -> u128 {
    if id.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        xxh3_128(id.as_bytes())
    } else {
        xxh3_128(id.to_lowercase().as_bytes())
    }
}

/// The hash by which a changed document is told from an unchanged one.
pub fn content(encoded: &[u8]) -> u128 {
    xxh3_128(encoded)
}

/// What an address is found by.
pub fn address(url: &str) -> u64 {
    if url.is_empty() { 0 } else { xxh3_64(url.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_differ_in_case_have_one_key() {
        assert_eq!(key("Straße/A"), key("straße/a"));
        assert_eq!(key("readme.md"), key("README.md"));
        assert_ne!(key("a"), key("b"));
    }
}
