//! Documents and pages, built step by step.

use crate::{
    Access, Comment, Container, Content, Data, Document, Mode, Page, Progress, Property,
    PropertyValue, Restricted, Scope, Unreadable, UserRef,
};

impl Document {
    /// A document with what none may lack. `id` is unique in the source without regard to case, at
    /// most 200 characters; `object_type` has neither spaces nor underscores.
    pub fn new(
        id: impl Into<String>,
        object_type: impl Into<String>,
        view_url: impl Into<String>,
        access: Access,
    ) -> Self {
        Self {
            id: id.into(),
            object_type: object_type.into(),
            view_url: view_url.into(),
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
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    #[must_use]
    pub fn filename(mut self, filename: impl Into<String>) -> Self {
        self.filename = Some(filename.into());
        self
    }

    /// A body of plain text.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.body(Content::text("text/plain", text))
    }

    #[must_use]
    pub fn html(self, text: impl Into<String>) -> Self {
        self.body(Content::text("text/html", text))
    }

    #[must_use]
    pub fn markdown(self, text: impl Into<String>) -> Self {
        self.body(Content::text("text/markdown", text))
    }

    #[must_use]
    pub fn body(mut self, body: Content) -> Self {
        self.body = Some(body);
        self
    }

    #[must_use]
    pub fn summary(mut self, summary: Content) -> Self {
        self.summary = Some(summary);
        self
    }

    /// What the document lies in: a space, a folder, a project.
    #[must_use]
    pub fn container(mut self, name: impl Into<String>) -> Self {
        self.container = Some(Container { name: name.into(), id: None, object_type: None });
        self
    }

    #[must_use]
    pub fn author(mut self, author: UserRef) -> Self {
        self.author = Some(author);
        self
    }

    #[must_use]
    pub fn owner(mut self, owner: UserRef) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created_at = Some(seconds);
        self
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub fn updated_at(mut self, seconds: i64) -> Self {
        self.updated_at = Some(seconds);
        self
    }

    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = Some(status.into());
        self
    }

    #[must_use]
    pub fn comment(mut self, comment: Comment) -> Self {
        self.comments.push(comment);
        self
    }

    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<PropertyValue>) -> Self {
        self.properties.push(Property { name: name.into(), value: value.into() });
        self
    }
}

impl Content {
    pub fn text(mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self { mime_type: mime_type.into(), data: Data::Text(text.into()) }
    }

    pub fn binary(mime_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { mime_type: mime_type.into(), data: Data::Binary(bytes) }
    }
}

impl UserRef {
    pub fn email(email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), id: None, name: None }
    }

    /// By the source's own id.
    pub fn id(id: impl Into<String>) -> Self {
        Self { email: None, id: Some(id.into()), name: None }
    }

    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl Access {
    /// Only these people, by e-mail, and the members of these groups.
    pub fn only<U, G>(
        users: impl IntoIterator<Item = U>,
        groups: impl IntoIterator<Item = G>,
    ) -> Self
    where
        U: Into<String>,
        G: Into<String>,
    {
        Self::Restricted(Restricted {
            users: users.into_iter().map(UserRef::email).collect(),
            groups: groups.into_iter().map(Into::into).collect(),
            group_intersections: Vec::new(),
        })
    }
}

impl From<&str> for PropertyValue {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for PropertyValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for PropertyValue {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Vec<String>> for PropertyValue {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl Scope {
    pub fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), documents: None }
    }

    /// About how many documents it has, for progress.
    #[must_use]
    pub fn about(mut self, documents: u64) -> Self {
        self.documents = Some(documents);
        self
    }
}

impl Mode {
    /// Where an incremental crawl begins; nothing for a full one.
    pub fn bookmark(&self) -> Option<&str> {
        match self {
            Self::Full => None,
            Self::Incremental(bookmark) => Some(bookmark),
        }
    }
}

impl Page {
    fn new(documents: Vec<Document>, progress: Progress) -> Self {
        Self {
            documents,
            deleted: Vec::new(),
            access_changes: Vec::new(),
            unreadable: Vec::new(),
            progress,
        }
    }

    /// More follows. The crawl goes on at `checkpoint` once this page is safe in Glean.
    pub fn more(documents: Vec<Document>, checkpoint: impl Into<String>) -> Self {
        Self::new(documents, Progress::More(checkpoint.into()))
    }

    /// The scope was read to its end. `bookmark` is where the next incremental crawl begins.
    pub fn complete(documents: Vec<Document>, bookmark: Option<String>) -> Self {
        Self::new(documents, Progress::Complete(bookmark))
    }

    /// The source will not give the rest: nothing missing may be deleted.
    pub fn partial(documents: Vec<Document>, reason: impl Into<String>) -> Self {
        Self::new(documents, Progress::Partial(reason.into()))
    }

    /// Documents that were met and could not be read.
    #[must_use]
    pub fn unreadable(mut self, unreadable: Vec<Unreadable>) -> Self {
        self.unreadable = unreadable;
        self
    }
}
