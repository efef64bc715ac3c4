//! What went wrong with a guest's requests, for the operator.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::failure::Failure;

/// What went wrong with a call's requests: it is what a fault follows from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Incidents(Arc<Mutex<Call>>);

#[derive(Debug, Default)]
struct Call {
    /// The first that was refused.
    first: Option<Failure>,
    /// What may help where it was merely slow.
    hint: Option<String>,
    told: u32,
}

/// A guest that tries again and again fills no log.
const TOLD: u32 = 5;

impl Incidents {
    pub(crate) fn record(&self, failure: Failure) {
        let mut call = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        call.told += 1;
        if call.told <= TOLD {
            tracing::warn!("{failure}; {}", failure.next.as_deref().unwrap_or_default());
        }
        call.first.get_or_insert(failure);
    }

    /// A timeout: the limit's key, and what it is.
    pub(crate) fn slow(&self, key: &str, limit: Duration) {
        let mut call = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        call.hint = Some(format!("`{key}` in the connection's limits is {limit:?}"));
    }

    pub(crate) fn take(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first.take()
    }

    pub(crate) fn take_hint(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hint.take()
    }

    /// A new call begins.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Call::default();
    }
}
