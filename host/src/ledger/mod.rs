//! What a connection has in Glean, as far as Sheaf put it there: each document's id, the hash of its
//! content, when and in which page it was seen, and why it was quarantined if it was.
//!
//! A crawl under way writes a [`journal`]: for each scope a row of frames, each of which holds the
//! documents of pages that Glean acknowledged, and the checkpoint behind them. Neither is ever there
//! without the other. At the crawl's end the journal is sorted
//! ([`sort`]) into a run; the ledger is a list of [`run`]s, the newer ones over the older, and
//! [`compare`] finds what a full crawl would delete. Memory is bounded by the sorter's buffer and one
//! read buffer a run, whatever the number of documents; each costs about 100 bytes of the store.

pub mod compare;
pub mod error;
pub mod frame;
pub mod journal;
pub mod record;
pub mod run;
pub mod sort;

pub use compare::{AccessShifts, Difference, Sample, Shifted};
pub use error::Error;
pub use journal::{Journal, ScopeJournal, journals};
pub use record::{Entry, Record, State};
