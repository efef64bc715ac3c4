//! Credentials take the places of their stand-ins in one request.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::outside::Outside;
use crate::failure::Result;
use crate::redact;
use crate::sandbox::credentials::Refused;

/// The headers of a request in which stand-ins are, and the names of what goes there.
pub(super) struct Substitutions {
    found: Vec<(HeaderName, String)>,
    outside: Arc<dyn Outside>,
}

impl Substitutions {
    pub(super) fn new(found: Vec<(HeaderName, String)>, outside: &Arc<dyn Outside>) -> Self {
        Self { found, outside: outside.clone() }
    }

    /// Puts the real values in.
    pub(super) async fn apply(&self, headers: &mut HeaderMap) -> Result<()> {
        for (header, name) in &self.found {
            let mut value = self.outside.credential(name).await?;
            value.set_sensitive(true);
            register(&value);
            headers.insert(header.clone(), value);
        }
        Ok(())
    }

    /// The source refused what was sent. Whether another value may be had.
    pub(super) async fn forget(&self, sent: &HeaderMap, refused: Refused) -> bool {
        let mut renewed = false;
        for (header, name) in &self.found {
            if let Some(value) = sent.get(header) {
                renewed |= self.outside.forget(name, value, refused).await;
            }
        }
        renewed
    }

    /// What was sent after a 403 was taken.
    pub(super) async fn helped(&self) {
        for (_, name) in &self.found {
            self.outside.helped(name).await;
        }
    }
}

/// Whoever read the secret may be another process, which keeps it out of what it says itself.
fn register(value: &HeaderValue) {
    let text = String::from_utf8_lossy(value.as_bytes());
    if let Some(encoded) = text.strip_prefix("Basic ") {
        redact::register(&encoded.into());
        let decoded =
            BASE64_STANDARD.decode(encoded).ok().and_then(|it| String::from_utf8(it).ok());
        let password = decoded.as_deref().and_then(|pair| pair.split_once(':'));
        if let Some((_, password)) = password {
            redact::register(&password.into());
        }
        return;
    }
    redact::register(&text.strip_prefix("Bearer ").unwrap_or(&text).into());
}
