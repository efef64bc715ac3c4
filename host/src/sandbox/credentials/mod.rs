//! Credentials of a connection. The guest gets a stand-in for each; the real value takes its place in
//! a header of a request that has passed every other check, and for the hosts of that grant only.

mod credential;
mod failures;
mod form;
mod held;
mod oauth;
mod place;
mod stand_ins;

pub use credential::Refused;
pub use form::{Form, Grant};
pub(super) use held::Credentials;
pub use oauth::{ClientAuth, OAuth};
pub use place::Place;
pub(super) use stand_ins::StandIns;
