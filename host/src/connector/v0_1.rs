//! Contract 0.1.0: its bindings, and their conversion into the host's own words. Frozen once released:
//! it decides nothing, and what a guest delivers is checked elsewhere.

use std::sync::PoisonError;
use std::time::Duration;

use tracing::Level;
use wasmtime::Store;
use wasmtime::component::{HasSelf, InstancePre, Linker, ResourceAny};

use super::fault::{Fault, Faulty, Remedy};
use super::manifest::{CredentialRequest, Description};
use super::state::State;
use super::v0_1_identities;
use super::v0_1_wit as wit;
use crate::document as model;

use wit::exports::sheaf::connector::{connector, documents};
use wit::sheaf::connector::{base, document, host};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl host::Host for State {
    fn settings(&mut self) -> String {
        self.grants.settings.clone()
    }

    fn credential(&mut self, name: String) -> Result<String, String> {
        self.stand_in(&name)
    }

    fn log(&mut self, level: host::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            host::Level::Trace => Level::TRACE,
            host::Level::Debug => Level::DEBUG,
            host::Level::Info => Level::INFO,
            host::Level::Warn => Level::WARN,
            host::Level::Error => Level::ERROR,
        };
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.line(level, &message, &fields);
    }
}

/// A component whose types were checked, ready to be instantiated.
pub(super) struct Pre {
    pre: InstancePre<State>,
    documents: wit::DocumentConnectorIndices,
    identities: Option<v0_1_identities::Indices>,
}

impl Pre {
    pub(super) fn new(pre: InstancePre<State>) -> wasmtime::Result<Self> {
        let documents = wit::DocumentConnectorIndices::new(&pre)?;
        let identities = v0_1_identities::Indices::find(&pre)?;
        Ok(Self { pre, documents, identities })
    }

    pub(super) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Bindings> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let documents = self.documents.load(&mut *store, &instance)?;
        let load = |found: &v0_1_identities::Indices| found.load(store, &instance);
        let identities = self.identities.as_ref().map(load).transpose()?;
        Ok(Bindings(documents, identities))
    }
}

/// A guest's exports; those of identities where it has them.
pub(super) struct Bindings(wit::DocumentConnector, Option<v0_1_identities::Bindings>);

impl Bindings {
    pub(super) fn identities(&self) -> Option<&v0_1_identities::Bindings> {
        self.1.as_ref()
    }

    pub(super) async fn describe(&self, store: &mut Store<State>) -> wasmtime::Result<Description> {
        let manifest = self.0.sheaf_connector_connector().call_describe(store).await?;
        Ok(manifest.into())
    }

    pub(super) async fn datasource(&self, store: &mut Store<State>) -> Faulty<String> {
        let answer = self.0.sheaf_connector_connector().call_datasource(store).await?;
        Ok(answer.map_err(Into::into))
    }

    pub(super) async fn check(&self, store: &mut Store<State>) -> Faulty<String> {
        let answer = self.0.sheaf_connector_connector().call_check(store).await?;
        Ok(answer.map_err(Into::into))
    }

    pub(super) async fn scopes(&self, store: &mut Store<State>) -> Faulty<Vec<model::Scope>> {
        let answer = self.0.sheaf_connector_documents().call_scopes(store).await?;
        Ok(answer.map(|scopes| scopes.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    pub(super) async fn open(
        &self,
        store: &mut Store<State>,
        crawl: model::Crawl,
    ) -> Faulty<ResourceAny> {
        let crawl = documents::Crawl {
            mode: convert_mode(&crawl.mode),
            scope: crawl.scope,
            resume: crawl.resume,
        };
        let answer = self.0.sheaf_connector_documents().call_open(store, &crawl).await?;
        Ok(answer.map_err(Into::into))
    }

    pub(super) async fn next(
        &self,
        store: &mut Store<State>,
        cursor: ResourceAny,
        limits: model::PageLimits,
    ) -> Faulty<model::Page> {
        let limits = documents::Limits { documents: limits.documents, bytes: limits.bytes };
        let answer =
            self.0.sheaf_connector_documents().cursor().call_next(store, cursor, limits).await?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

fn convert_mode(mode: &model::Mode) -> documents::Mode {
    match mode {
        model::Mode::Full => documents::Mode::Full,
        model::Mode::Incremental { bookmark } => documents::Mode::Incremental(bookmark.clone()),
    }
}

impl From<connector::Manifest> for Description {
    fn from(manifest: connector::Manifest) -> Self {
        let credential = |asked: connector::CredentialRequest| CredentialRequest {
            name: asked.name,
            purpose: asked.purpose,
        };
        Self {
            name: manifest.name,
            version: manifest.version,
            description: manifest.description,
            settings_schema: manifest.settings_schema,
            hosts: manifest.hosts,
            credentials: manifest.credentials.into_iter().map(credential).collect(),
            incremental: manifest.incremental,
            folders: manifest.folders,
        }
    }
}

impl From<documents::Progress> for model::Progress {
    fn from(progress: documents::Progress) -> Self {
        match progress {
            documents::Progress::More(checkpoint) => Self::More(checkpoint),
            documents::Progress::Complete(bookmark) => Self::Complete(bookmark),
            documents::Progress::Partial(reason) => Self::Partial(reason),
        }
    }
}

impl From<documents::Page> for model::Page {
    fn from(page: documents::Page) -> Self {
        let access_change = |change: documents::AccessChange| model::AccessChange {
            document: change.target.into(),
            access: change.access.into(),
        };
        let unreadable = |found: documents::Unreadable| model::Unreadable {
            id: found.id,
            view_url: found.view_url,
            reason: found.reason,
        };
        Self {
            progress: page.progress.into(),
            documents: page.documents.into_iter().map(Into::into).collect(),
            deleted: page.deleted.into_iter().map(Into::into).collect(),
            access_changes: page.access_changes.into_iter().map(access_change).collect(),
            unreadable: page.unreadable.into_iter().map(unreadable).collect(),
        }
    }
}

impl From<base::Fault> for Fault {
    fn from(fault: base::Fault) -> Self {
        Self {
            remedy: match fault.remedy {
                base::Remedy::FixSettings => Remedy::FixSettings,
                base::Remedy::Reauthenticate => Remedy::Reauthenticate,
                base::Remedy::Retry => Remedy::Retry,
                base::Remedy::StartOver => Remedy::StartOver,
                base::Remedy::GiveUp => Remedy::GiveUp,
            },
            message: fault.message,
            retry_after: fault.retry_after.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

impl From<documents::Scope> for model::Scope {
    fn from(scope: documents::Scope) -> Self {
        Self { id: scope.id, title: scope.title, documents: scope.documents }
    }
}

impl From<document::DocumentRef> for model::DocumentRef {
    fn from(found: document::DocumentRef) -> Self {
        Self { id: found.id, object_type: found.object_type }
    }
}

impl From<document::UserRef> for model::UserRef {
    fn from(user: document::UserRef) -> Self {
        Self { email: user.email, id: user.id, name: user.name }
    }
}

impl From<document::Access> for model::Access {
    fn from(access: document::Access) -> Self {
        match access {
            document::Access::Everyone => Self::Everyone,
            document::Access::SourceUsers => Self::SourceUsers,
            document::Access::Restricted(to) => Self::Restricted(model::Restricted {
                users: to.users.into_iter().map(Into::into).collect(),
                groups: to.groups,
                group_intersections: to.group_intersections,
            }),
            document::Access::Unknown => Self::Unknown,
        }
    }
}

impl From<document::Content> for model::Content {
    fn from(content: document::Content) -> Self {
        Self {
            mime_type: content.mime_type,
            body: match content.data {
                document::Data::Text(text) => model::Body::Text(text),
                document::Data::Binary(bytes) => model::Body::Binary(bytes),
            },
        }
    }
}

impl From<document::Property> for (String, model::PropertyValue) {
    fn from(property: document::Property) -> Self {
        let value = match property.value {
            document::PropertyValue::Text(text) => model::PropertyValue::Text(text),
            document::PropertyValue::Integer(number) => model::PropertyValue::Integer(number),
            document::PropertyValue::Texts(texts) => model::PropertyValue::Texts(texts),
        };
        (property.name, value)
    }
}

impl From<document::Comment> for model::Comment {
    fn from(comment: document::Comment) -> Self {
        Self {
            id: comment.id,
            author: comment.author.map(Into::into),
            content: comment.content.into(),
            created_at: comment.created_at,
            updated_at: comment.updated_at,
        }
    }
}

impl From<document::Document> for model::Document {
    fn from(document: document::Document) -> Self {
        Self {
            id: document.id,
            object_type: document.object_type,
            view_url: document.view_url,
            access: document.access.into(),
            title: document.title,
            filename: document.filename,
            body: document.body.map(Into::into),
            summary: document.summary.map(Into::into),
            container: document.container.map(|container| model::Container {
                name: container.name,
                id: container.id,
                object_type: container.object_type,
            }),
            author: document.author.map(Into::into),
            owner: document.owner.map(Into::into),
            created_at: document.created_at,
            updated_at: document.updated_at,
            updated_by: document.updated_by.map(Into::into),
            tags: document.tags,
            status: document.status,
            comments: document.comments.into_iter().map(Into::into).collect(),
            interactions: document.interactions.map(|seen| model::Interactions {
                views: seen.views,
                likes: seen.likes,
                comments: seen.comments,
            }),
            additional_urls: document.additional_urls,
            native_app_url: document.native_app_url,
            properties: document.properties.into_iter().map(Into::into).collect(),
        }
    }
}
