//! Documents and pages, built step by step.

use crate::bindings::exports::sheaf::connector::documents::{
    Mode, Page, Progress, Scope, Unreadable,
};
use crate::bindings::sheaf::connector::document::{
    Access, Comment, Container, Content, Data, Document, Property, PropertyValue, Restricted,
    UserRef,
};

impl Document {
    /// A document with what none may lack.
    ///
    /// - `id` is unique in the source without regard to case, has at most 200 characters, and is the same from crawl
    ///   to crawl.
    /// - `object_type` is one of those that the [`Datasource`](crate::Datasource) registers, and has neither spaces
    ///   nor underscores.
    /// - `view_url` is where a reader opens it, and matches the datasource's `urlRegex`.
    ///
    /// The host quarantines a document that is otherwise, with the reason, and the crawl continues. Glean:
    /// `DocumentDefinition`.
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

    /// What results show first, in plain text. Without one Glean takes it from the content, or else from
    /// [`filename`](Self::filename).
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The name of the file it is, with its extension.
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

    /// A body of HTML.
    #[must_use]
    pub fn html(self, text: impl Into<String>) -> Self {
        self.body(Content::text("text/html", text))
    }

    /// A body of Markdown.
    #[must_use]
    pub fn markdown(self, text: impl Into<String>) -> Self {
        self.body(Content::text("text/markdown", text))
    }

    /// What is searched. The last body counts: [`text`](Self::text), [`html`](Self::html) and
    /// [`markdown`](Self::markdown) are bodies, too.
    #[must_use]
    pub fn body(mut self, body: Content) -> Self {
        self.body = Some(body);
        self
    }

    /// A short form of the body, where the source has one.
    #[must_use]
    pub fn summary(mut self, summary: Content) -> Self {
        self.summary = Some(summary);
        self
    }

    /// What the document lies in, by name: a space, a folder, a project.
    #[must_use]
    pub fn container(mut self, name: impl Into<String>) -> Self {
        self.container = Some(Container { name: name.into(), id: None, object_type: None });
        self
    }

    /// Who wrote it.
    #[must_use]
    pub fn author(mut self, author: UserRef) -> Self {
        self.author = Some(author);
        self
    }

    /// Who answers for it now.
    #[must_use]
    pub fn owner(mut self, owner: UserRef) -> Self {
        self.owner = Some(owner);
        self
    }

    /// When it was made, in seconds since the Unix epoch.
    #[must_use]
    pub fn created_at(mut self, seconds: i64) -> Self {
        self.created_at = Some(seconds);
        self
    }

    /// When it was last changed, in seconds since the Unix epoch.
    #[must_use]
    pub fn updated_at(mut self, seconds: i64) -> Self {
        self.updated_at = Some(seconds);
        self
    }

    /// One more label of the source.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Where it stands in the source, such as `open` or `draft`.
    #[must_use]
    pub fn status(mut self, status: impl Into<String>) -> Self {
        self.status = Some(status.into());
        self
    }

    /// One more of the things that were said about it.
    #[must_use]
    pub fn comment(mut self, comment: Comment) -> Self {
        self.comments.push(comment);
        self
    }

    /// One more custom property. Its name is one that the object type was registered with:
    /// [`Datasource::property`](crate::Datasource::property).
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<PropertyValue>) -> Self {
        self.properties.push(Property { name: name.into(), value: value.into() });
        self
    }
}

impl Content {
    /// Text in Unicode. Its type is such as `text/plain`, `text/html` or `text/markdown`.
    pub fn text(mime_type: impl Into<String>, text: impl Into<String>) -> Self {
        Self { mime_type: mime_type.into(), data: Data::Text(text.into()) }
    }

    /// A file that Glean takes apart itself, such as `application/pdf`. The host encodes it in base64, which makes it
    /// a third larger: that counts against the largest document (`document_bytes`, 4.9 MiB unless the operator says
    /// otherwise).
    pub fn binary(mime_type: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { mime_type: mime_type.into(), data: Data::Binary(bytes) }
    }
}

impl UserRef {
    /// By their e-mail address in the company.
    pub fn email(email: impl Into<String>) -> Self {
        Self { email: Some(email.into()), id: None, name: None }
    }

    /// By their id in the source, where that is not the e-mail.
    pub fn id(id: impl Into<String>) -> Self {
        Self { email: None, id: Some(id.into()), name: None }
    }

    /// With what they are called, for display.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl Access {
    /// Only these people, by e-mail, and the members of these groups, by their names in the source. Nobody, where
    /// both are empty.
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
    /// A part of the source. `id` is unique among the scopes, and the same from crawl to crawl; `title` is what
    /// people call it.
    pub fn new(id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { id: id.into(), title: title.into(), documents: None }
    }

    /// About how many documents it has. Only the display of progress uses it.
    #[must_use]
    pub fn about(mut self, documents: u64) -> Self {
        self.documents = Some(documents);
        self
    }
}

impl Mode {
    /// What an incremental crawl begins from, which [`Page::complete`] of an earlier crawl handed out; `None` for a
    /// full crawl.
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

    /// More follows. Once Glean has this page, an interrupted crawl resumes at `checkpoint`: any text of at most
    /// 64 KiB, which the host hands to [`Connector::open`](crate::Connector::open) as it is.
    pub fn more(documents: Vec<Document>, checkpoint: impl Into<String>) -> Self {
        Self::new(documents, Progress::More(checkpoint.into()))
    }

    /// The scope was read to its end: what a full crawl has not delivered of it is deleted in Glean (Glean: "Bulk
    /// upload model"). `bookmark` is what the next incremental crawl begins from, any text of at most 64 KiB.
    pub fn complete(documents: Vec<Document>, bookmark: Option<String>) -> Self {
        Self::new(documents, Progress::Complete(bookmark))
    }

    /// The source will not give the rest: nothing that is missing may be deleted. `reason` is one sentence for the
    /// operator.
    pub fn partial(documents: Vec<Document>, reason: impl Into<String>) -> Self {
        Self::new(documents, Progress::Partial(reason.into()))
    }

    /// Documents that were met and could not be read. They are quarantined with their reasons, and not deleted.
    #[must_use]
    pub fn unreadable(mut self, unreadable: Vec<Unreadable>) -> Self {
        self.unreadable = unreadable;
        self
    }
}
