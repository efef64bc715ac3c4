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
//! `sheaf_sdk::export!(Hello);`. The macros of the `log` crate reach the host's log, and `?` turns
//! any error into a fault that the host retries; see [`Error`] for the others. [`http`] reads a source
//! on the network.

mod adapter;
mod datasource;
mod document;
mod error;
pub mod http;
mod logging;

/// The contract's generated bindings, for what the rest of this crate does not cover.
#[allow(clippy::all, clippy::pedantic, unsafe_code, unused_qualifications)]
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
    type Cursor: Cursor;

    /// What this connector is and asks for. Runs without settings and grants.
    fn manifest() -> Manifest;

    /// The datasource to register with Glean.
    fn datasource(settings: &Self::Settings) -> Result<Datasource>;

    /// Whether the source answers, in one sentence. Cheap, and changes nothing.
    fn check(_settings: &Self::Settings) -> Result<String> {
        Ok("nothing to check".into())
    }

    /// The parts of the source that are crawled on their own. Usually one.
    fn scopes(_settings: &Self::Settings) -> Result<Vec<Scope>> {
        Ok(vec![Scope::new("all", "All documents")])
    }

    /// Begins a crawl, or goes on with one at `crawl.resume`.
    fn open(settings: Self::Settings, crawl: Crawl) -> Result<Self::Cursor>;
}

/// A crawl under way.
pub trait Cursor: 'static {
    /// The next page: about as many documents and bytes as `limits` says. An empty page is not the
    /// end; [`Page::complete`] is.
    fn next(&mut self, limits: Limits) -> Result<Page>;
}

/// For a connector without settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// What a connector says of itself.
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
    /// `name` is lower-case words joined by hyphens; `version` a semantic version.
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

    /// Asks for a host; `{setting}` stands for the host of the URL in that setting.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Asks for a credential, and says in the operator's words what for.
    #[must_use]
    pub fn credential(mut self, name: &str, purpose: &str) -> Self {
        self.credentials.push((name.into(), purpose.into()));
        self
    }

    /// Asks to read folders, and says what it looks for there.
    #[must_use]
    pub fn folders(mut self, purpose: &str) -> Self {
        self.folders = Some(purpose.into());
        self
    }

    /// It can crawl from a bookmark.
    #[must_use]
    pub fn incremental(mut self) -> Self {
        self.incremental = true;
        self
    }
}

/// Makes a type that implements [`Connector`] the connector of this component.
#[macro_export]
macro_rules! export {
    ($connector:ty) => {
        const _: () = {
            type Exported = $crate::Adapter<$connector>;
    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}
