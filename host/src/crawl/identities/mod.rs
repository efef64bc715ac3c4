//! Who is who in a source, told to Glean: users, then groups, then who is in them.
//!
//! `reading` puts a guest's pages together, `roster` is what Glean was told, `changes` holds one against the other,
//! `objections` says what of that waits for a person; `standing` is what is remembered of a crawl. `path` says who may
//! find a document by that, and `differs` why Glean may say something else.

mod changes;
mod differs;
mod objections;
mod path;
mod people;
mod reading;
mod roster;
mod standing;

pub use changes::{Changes, Counts, Terms, changes};
pub use differs::{Facts, Reason, changed, leading, reasons};
pub use objections::Objection;
pub use path::{Person, Verdict, verdict};
pub use reading::{LeftOut, Read, Reading, Step};
pub use roster::{Account, Doubt, Known, Member, Members, Roster, Waits};
pub use standing::{HeldIdentities, IdentityResult, Standing};
