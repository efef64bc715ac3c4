//! What a connector delivers, in the host's own words: documents, pages and scopes. Each version of the
//! contract is converted into this.

use serde::{Deserialize, Serialize};

pub type Timestamp = i64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserRef {
    pub email: Option<String>,
    pub id: Option<String>,
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restricted {
    pub users: Vec<UserRef>,
    pub groups: Vec<String>,
    pub group_intersections: Vec<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
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
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
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
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
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

#[derive(Clone, Debug)]
pub struct AccessChange {
    pub document: DocumentRef,
    pub access: Access,
}

#[derive(Clone, Debug)]
pub struct Unreadable {
    pub id: Option<String>,
    pub view_url: Option<String>,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
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

#[derive(Clone, Copy, Debug)]
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

#[derive(Clone, Debug)]
pub struct Crawl {
    pub mode: Mode,
    pub scope: String,
    pub resume: Option<String>,
}
