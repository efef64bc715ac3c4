//! Pages become checked documents, documents become batches, and acknowledged batches become
//! checkpoints.
//!
//! From the ground up: what is asked for ([`request`]), who runs it ([`lease`]), what it is to do
//! ([`plan`]), how far it is ([`progress`], [`view`]) and how it ended ([`result`], [`history`]) are the
//! words that travel and are kept. [`quarantine`] and [`guard`] decide, and a [`census`] counts what
//! others have in Glean. [`connection_state`] is what one crawl leaves to the next. [`pipeline`] is a
//! scope's way into Glean. A [`crawler`] takes the steps: [`configure`], [`scope`], [`complete`],
//! [`approval`]. [`local`] takes them in one process, and Temporal as activities. [`status`], [`explain`],
//! [`access`] and [`preview`] answer what people ask.

pub mod access;
pub mod agreement;
pub mod approval;
mod beside;
pub mod blame;
mod bookmarks;
pub mod census;
pub mod change;
mod close;
pub mod complete;
pub mod configure;
pub mod configured;
pub mod connection;
pub mod connection_state;
pub mod crawler;
mod damage;
pub mod elsewhere;
pub mod explain;
pub mod forecast;
mod form;
pub mod guard;
pub mod guests;
pub mod history;
pub mod identities;
pub mod identity_progress;
pub mod in_glean;
mod interrupted;
pub mod kept_changes;
pub mod kept_identities;
pub mod late_deletion;
pub mod lease;
pub mod local;
pub mod local_forecast;
pub mod local_identities;
mod lost_identities;
mod metered;
pub mod pending_end;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod progress;
pub mod quarantine;
mod remembered_failure;
pub mod request;
pub mod result;
mod retry_changes;
pub mod scope;
mod send_identities;
mod source_access;
pub mod status;
pub mod tell_identities;
mod told_identities;
mod totals;
pub mod undefined;
pub mod view;

pub use connection::Connection;
pub use crawler::Crawler;
pub use guard::Deletions;
pub use pipeline::{Delivery, Pipeline, UploadLimits};
pub use plan::{CrawlRef, Plan};
pub use policy::CrawlPolicy;
pub use progress::{Attempts, Counts, Ending, ScopeHead};
pub use quarantine::Tolerance;
pub use request::{CrawlRequest, Decision, ModeName};
pub use result::{CrawlResult, Outcome};
pub use view::{CrawlView, RangeProgress};
