//! Pages become checked documents, documents become batches, and acknowledged batches become
//! checkpoints.
//!
//! [`pipeline`] is the way through for one scope; [`check`] sets aside what Glean would refuse;
//! [`recorder`] writes what goes into the ledger; [`progress`] is what survives an interruption.
//! [`begin`], [`scopes`] and [`finish`] are the parts of a whole crawl, the last one behind the [`guard`]
//! of deletions, for which a [`census`] is kept of what others have in Glean; a crawl that it stops waits
//! for an [`approval`]; what Glean has not done yet
//! when a crawl ends is in [`changes`] and [`closing`]; [`connections`] says which settings a crawl has;
//! [`fault`] tells a scope's failures from the crawl's.
//! [`local`] runs them in one process and Temporal as activities. [`memory`] is what one crawl leaves
//! to the next, and [`history`] how they ended; [`view`] shows a crawl to people. The command line asks
//! [`status`], [`preview`] and [`explain`].

pub mod approval;
pub mod begin;
mod bookmarks;
pub mod census;
pub mod changes;
pub mod check;
pub mod closing;
pub mod connections;
mod damage;
pub mod explain;
pub mod fault;
pub mod finish;
pub mod guard;
pub mod guests;
pub mod history;
pub mod lease;
pub mod local;
pub mod memory;
mod others;
pub mod pipeline;
pub mod plan;
pub mod policy;
pub mod preview;
pub mod progress;
mod quarantine;
pub mod recorder;
pub mod scopes;
pub mod status;
pub mod steps;
pub mod view;

pub use check::{Rules, Tolerance};
pub use guard::Deletions;
pub use pipeline::{Pipeline, Source, Window};
pub use plan::{CrawlRef, CrawlResult, Decision, ModeName, Plan};
pub use policy::Policy;
pub use progress::{Attempts, Ending, Outcome, ScopeProgress};
pub use steps::Crawler;
pub use view::{CrawlView, RangeProgress};
