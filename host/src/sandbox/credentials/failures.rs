//! Why there is no credential to send.

use crate::failure::{Failure, Kind};

/// A secret that cannot be had from where it is kept.
pub(super) fn not_had(failure: Failure) -> Failure {
    Failure { kind: Kind::Secret, ..failure }
}

/// A credential that could not be had: the operator's to mend.
pub(super) fn unauthorized(what: String) -> Failure {
    Failure::new(Kind::SourceUnauthorized, what)
        .next("renew it, or correct `credentials` in the connection's grants")
}
