//! Who is who in a source, told to Glean: users, then groups, then who is in them.
//!
//! `reading` puts a guest's pages together, `roster` and `known` are what Glean was told, `refused` what it does not take,
//! `changes` holds one against the other,
//! `shifts` says who comes into which group and who goes, `objections` what of that waits for a person; `standing` is what is remembered of a crawl. `path` says who may
//! find a document by that, and `differs` why Glean may say something else.

mod changes;
mod differs;
mod known;
mod objections;
mod path;
mod people;
mod reading;
mod refused;
mod roster;
mod shifts;
mod standing;

pub use changes::{Changes, Counts, Terms, changes};
pub use differs::{Facts, Reason, changed, leading, reasons};
pub use known::Known;
pub use objections::Objection;
pub use path::{Person, Verdict, verdict};
pub use people::Names;
pub use reading::{LeftOut, Read, Reading, Step};
pub use refused::{Refusal, Refused, Whole};
pub use roster::{Account, Doubt, Member, Members, Roster, Waits};
pub use shifts::{Few, GroupShift, GroupShifts, GroupsShifted};
pub use standing::{Done, HeldIdentities, IdentityResult, Standing};
