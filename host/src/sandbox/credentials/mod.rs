//! Credentials of a connection. The guest gets a stand-in for each; the real value takes its place in
//! a header of a request that has passed every other check, and for the hosts of that grant only.

mod credential;
mod failures;
mod form;
mod oauth;
mod stand_ins;

pub(super) use credential::Refused;
pub use form::{Form, Grant};
pub use oauth::{ClientAuth, OAuth};
pub(super) use stand_ins::{Credentials, StandIns, Substitutions};
