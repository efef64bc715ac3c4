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
mod connector;
mod datasource;
mod document;
mod error;
pub mod http;
pub mod identities;
mod link;
mod logging;
mod manifest;
mod retry_after;

/// The contract's generated bindings, for what the rest of this crate does not cover. Their documentation is that
/// of the WIT.
#[allow(clippy::all, clippy::pedantic, missing_docs, unsafe_code, unused_qualifications)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
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
pub use connector::{Connector, Cursor, NoSettings};
pub use datasource::{Datasource, category, property_type};
pub use error::{Context, Error, Result};
pub use log;
pub use manifest::Manifest;
pub use schemars;
pub use url;

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

/// The same, beside it, of what implements [`Identities`](identities::Identities).
#[macro_export]
macro_rules! export_identities {
    ($connector:ty) => {
        const _: () = {
            type Exported = $crate::Adapter<$connector>;
    $crate::identities::bindings::export_identities!(Exported with_types_in $crate::identities::bindings);
        };
    };
}
