//! Pages become checked documents, documents become batches, and acknowledged batches become
//! checkpoints.
//!
//! [`pipeline`] is the way through for one scope; [`check`] sets aside what Glean would refuse;
//! [`progress`] is what survives an interruption; [`steps`] are the parts of a whole crawl, which
//! [`local`] runs in one process and Temporal as activities; [`view`] shows it to people.

pub mod check;
pub mod local;
pub mod pipeline;
pub mod progress;
pub mod state;
pub mod steps;
pub mod view;

pub use check::Rules;
pub use pipeline::{Pipeline, Source, Window};
pub use progress::{Ending, Outcome, ScopeProgress};
pub use steps::{CrawlResult, Crawler, ModeName, Plan};
pub use view::CrawlView;
