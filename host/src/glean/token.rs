//! An indexing token that can be sent at all.

use http::HeaderValue;

use crate::failure::{Failure, Result};
use crate::secret::Secret;

/// What no header can hold is never sent, and Glean would seem to be away.
pub(super) fn check(token: &Secret) -> Result<()> {
    if HeaderValue::try_from(&*token.reveal()).is_ok() {
        return Ok(());
    }
    let failure = Failure::settings("the indexing token has characters that no header can hold");
    Err(failure.next("see that it is a single line of text where `token` in [glean] takes it from"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    #[test]
    fn a_token_that_cannot_be_sent_is_no_outage() {
        for (token, is_sent) in [("a-token", true), ("to\nk", false), ("to\u{1}k", false)] {
            let checked = check(&Secret::fetched(token));
            assert_eq!(checked.is_ok(), is_sent, "{token:?}");
            assert!(checked.err().is_none_or(|failure| failure.kind == Kind::Settings));
        }
    }
}
