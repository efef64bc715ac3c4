//! Users and groups, out of lists that the settings describe like those of documents.

mod gathered;
mod groups;
mod reading;
mod roll;
mod setting;
mod users;

pub use reading::RestReading;
pub(crate) use roll::rolls;
pub(crate) use setting::IdentityEndpoint;
