//! Write a connector for Sheaf in Rust: implement [`Connector`], and [`export!`] it.
//!
//! ```
//! use sheaf_sdk::{Access, Connector, Crawl, Cursor, Datasource, Document, Limits, Manifest, NoSettings, Page, Result, category};
//!
//! struct Hello;
//!
//! impl Connector for Hello {
//!     type Settings = NoSettings;
//!     type Cursor = Once;
//!
//!     fn manifest() -> Manifest {
//!         Manifest::new("hello", "0.1.0", "Greets.")
//!     }
//!
//!     fn datasource(_: &NoSettings) -> Result<Datasource> {
//!         Ok(Datasource::new("Hello", category::KNOWLEDGE_HUB, r"https://example\.com/.*")
//!             .object("Greeting", category::KNOWLEDGE_HUB))
//!     }
//!
//!     fn open(_: NoSettings, _: Crawl) -> Result<Once> {
//!         Ok(Once)
//!     }
//! }
//!
//! struct Once;
//!
//! impl Cursor for Once {
//!     fn next(&mut self, _: Limits) -> Result<Page> {
//!         let document = Document::new("1", "Greeting", "https://example.com/1", Access::Everyone)
//!             .title("Hello")
//!             .text("Hello, world");
//!         Ok(Page::complete(vec![document], None))
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! In a connector's own crate (`crate-type = ["cdylib"]`, built for `wasm32-wasip2`) follows
//! `sheaf_sdk::export!(Hello);`. The macros of the `log` crate reach the host's log, but for `trace!`, and `?`
//! turns any error into a fault that the host retries; see [`Error`] for the others. [`http`] reads a source
//! on the network.

#![warn(missing_docs, unreachable_pub)]

mod adapter;
mod datasource;
mod document;
mod error;
pub mod http;
mod logging;

/// The contract's generated bindings, for what the rest of this crate does not cover. Their documentation is that
/// of the WIT.
#[allow(clippy::all, clippy::pedantic, missing_docs, unsafe_code, unused_qualifications)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.1.0",
        world: "document-connector",
        pub_export_macro: true,
        default_bindings_module: "sheaf_sdk::bindings",
        additional_derives: [PartialEq, Clone],
    });
}

pub use adapter::Adapter;
pub use bindings::exports::sheaf::connector::documents::{
    AccessChange, Crawl, Limits, Mode, Page, Progress, Scope, Unreadable,
};
pub use bindings::sheaf::connector::document::{
    Access, Comment, Container, Content, Data, Document, DocumentRef, Interactions, Property,
    PropertyValue, Restricted, UserRef,
};
pub use datasource::{Datasource, category, property_type};
pub use error::{Context, Error, Result};
pub use log;
pub use schemars;
pub use url;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A connector: one kind of source.
pub trait Connector: 'static {
    /// What the operator sets. The doc comments of its fields are what they read, and
    /// `#[serde(deny_unknown_fields)]` finds their typing errors.
    type Settings: DeserializeOwned + JsonSchema;
    /// A crawl of one scope under way.
    type Cursor: Cursor;

    /// What this connector is and asks for. It runs without settings and grants, within a small budget of time.
    fn manifest() -> Manifest;

    /// The datasource to register with Glean. An error here is one of the settings: see [`Error::fix_settings`].
    fn datasource(settings: &Self::Settings) -> Result<Datasource>;

    /// Whether the source answers, in one sentence for the operator; an error says what to correct. It is cheap,
    /// and changes nothing at the source.
    fn check(_settings: &Self::Settings) -> Result<String> {
        Ok("nothing to check".into())
    }

    /// The parts of the source that are crawled on their own; unless implemented, one with the id `all`.
    ///
    /// A full crawl deletes what none of its scopes has delivered. So a source whose parts cannot be listed is an
    /// error, and never a shorter list.
    fn scopes(_settings: &Self::Settings) -> Result<Vec<Scope>> {
        Ok(vec![Scope::new("all", "All documents")])
    }

    /// Begins a crawl of the scope `crawl.scope`, or resumes one at the checkpoint `crawl.resume`.
    ///
    /// A checkpoint or bookmark that cannot be used any more is an [`Error::start_over`].
    fn open(settings: Self::Settings, crawl: Crawl) -> Result<Self::Cursor>;
}

/// A crawl under way.
pub trait Cursor: 'static {
    /// The next page, of about as many documents and bytes of content as `limits` says. An empty page is not the
    /// end; [`Page::complete`] and [`Page::partial`] are.
    ///
    /// After an error this cursor is not asked again: where the error can be retried, another one is opened at the
    /// last checkpoint whose documents Glean has.
    fn next(&mut self, limits: Limits) -> Result<Page>;
}

/// The settings of a connector without any: an empty table, in which anything is an error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// What a connector says of itself, and what it asks for. What it gets of that is the operator's to say.
#[derive(Debug, Clone)]
pub struct Manifest {
    name: String,
    version: String,
    description: String,
    hosts: Vec<String>,
    credentials: Vec<(String, String)>,
    incremental: bool,
    folders: Option<String>,
}

impl Manifest {
    /// `name` is lower-case words joined by hyphens; `version` a semantic version; `description` one sentence for
    /// the operator: what the connector reads.
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            hosts: Vec::new(),
            credentials: Vec::new(),
            incremental: false,
            folders: None,
        }
    }

    /// Asks to reach a host; `{setting}` stands for the host of the URL in that setting.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Asks for a credential by the name that it is granted under, and says in the operator's words what it is used
    /// for. See [`http::Request::credential`].
    #[must_use]
    pub fn credential(mut self, name: &str, purpose: &str) -> Self {
        self.credentials.push((name.into(), purpose.into()));
        self
    }

    /// Asks to read folders, and says what it looks for there. Granted ones are read with [`std::fs`].
    #[must_use]
    pub fn folders(mut self, purpose: &str) -> Self {
        self.folders = Some(purpose.into());
        self
    }

    /// It can crawl from a bookmark, what changed since then: see [`Mode`].
    #[must_use]
    pub fn incremental(mut self) -> Self {
        self.incremental = true;
        self
    }
}

/// Makes a type that implements [`Connector`] the connector of this component. It is called once, in a crate of
/// `crate-type = ["cdylib"]`.
#[macro_export]
macro_rules! export {
    ($connector:ty) => {
        const _: () = {
            type Exported = $crate::Adapter<$connector>;
    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
