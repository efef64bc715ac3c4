//! What the author of a connector implements.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::sheaf::connector::documents::{Crawl, Limits, Page, Scope};
use crate::datasource::Datasource;
use crate::error::Result;
use crate::manifest::Manifest;

/// A connector: one kind of source.
pub trait Connector: 'static {
    /// What the operator sets. The doc comments of its fields are what they read, and
    /// `#[serde(deny_unknown_fields)]` finds their typing errors.
    type Settings: DeserializeOwned + JsonSchema;
    /// A crawl of one scope under way.
    type Cursor: Cursor;

    /// What this connector is and asks for. It runs without settings and grants, within a small budget of time.
    fn manifest() -> Manifest;

    /// The datasource to register with Glean. An error here is one of the settings: see
    /// [`Error::fix_settings`](crate::Error::fix_settings).
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
    /// A checkpoint or bookmark that cannot be used any more is an
    /// [`Error::start_over`](crate::Error::start_over).
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
