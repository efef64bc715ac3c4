//! What an activity said of its failure.

use temporalio_common::error::IncomingError;

use crate::failure::Failure;

/// The failure that an activity reported, out of Temporal's wrapping.
pub fn reported(error: &IncomingError) -> Option<Failure> {
    let mut cause = Some(error);
    while let Some(found) = cause {
        if let IncomingError::Application(application) = found
            && let Ok(Some(failure)) = application.details::<Failure>()
        {
            return Some(failure);
        }
        cause = found.cause();
    }
    None
}
