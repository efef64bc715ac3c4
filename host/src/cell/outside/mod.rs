//! How the rest of the program has a cell do something.
//!
//! A [`Cell`] is the process. One that serves a connection is a [`ConnectionCell`], of which each [`Guest`] is
//! asked over a socket of its own; what a `cursor` takes of it is counted by its `tally`.

mod blocking;
mod connection;
mod cursor;
mod death;
mod guest;
mod lines;
mod process;
mod program;
mod tally;
mod trial;

pub(super) use blocking::blocking;
pub use connection::{ConnectionCell, regranted};
pub use cursor::Cursor;
pub(super) use death::Death;
pub use guest::{Guest, Identities, Opened};
pub(super) use process::Cell;
pub use program::{Program, is_asked_for};
pub use trial::{misdeeds, missing_walls};
