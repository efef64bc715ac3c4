//! What is made of a connector's pages before anything leaves: they are checked, encoded and cut into batches.
//!
//! [`rules`] are Glean's for one document, [`loop_detector`] asks whether pages lead anywhere, `check` puts both
//! to a page, `cutter` fills batches that know which pages they hold. A [`Source`] hands over what comes of
//! that; nothing here knows how it is sent, or what is kept of it. [`judge`] does the same for people.

mod check;
mod cutter;
pub mod judge;
pub mod loop_detector;
pub mod rules;
mod source;

pub use check::{Broken, Checked, CheckedPage, Intake, Position, Reading, Row, Whose};
pub use cutter::{Cut, PageEnd};
pub use rules::Rules;
pub use source::{Announced, Checking, Ended, Pages, Source};
