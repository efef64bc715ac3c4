//! Why the ledger cannot be read: whoever reads it decides by that.

use crate::failure::{Failure, Kind};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Clone, Debug)]
pub enum Error {
    /// Something that is not as it was written, or no longer there. What else there is can be read.
    Damaged {
        /// Its name in the store.
        name: String,
        /// The same for people.
        place: String,
        why: String,
    },
    Failed(Failure),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Failed(failure) => failure,
            Error::Damaged { place, why, .. } => Self::new(
                Kind::Damaged,
                format!("a part of Sheaf's state is damaged: {why}"),
            )
            .at(place)
            .next("run a full crawl: it moves the damaged part aside, and asks before it deletes"),
        }
    }
}
