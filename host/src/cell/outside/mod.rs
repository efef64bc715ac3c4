//! How the rest of the program has a cell do something.

mod blocking;
mod death;
mod process;
mod program;
mod trial;

pub(super) use blocking::blocking;
pub(super) use death::Death;
pub(super) use process::Cell;
pub use program::{Program, is_asked_for};
pub use trial::misdeeds;
