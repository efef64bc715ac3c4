//! Takes secrets out of whatever this process says, whichever way they got there.
//!
//! Whoever reads a secret registers it here; [`redact`] is on the way of every log line, failure and
//! output.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";
/// Shorter texts would be found where they are none.
const SHORTEST: usize = 8;
/// Fetched tokens pile up in a process that runs for months: the oldest are forgotten. What the operator
/// configured is not.
const MOST_FETCHED: usize = 1_000;
const MOST_CONFIGURED: usize = 100_000;

type Secrets = RwLock<Vec<Arc<str>>>;

static CONFIGURED: Secrets = RwLock::new(Vec::new());
static FETCHED: Secrets = RwLock::new(Vec::new());

/// Takes a text that the operator configured out of everything this process says from now on.
pub fn register(secret: &Arc<str>) {
    register_in(&CONFIGURED, secret, MOST_CONFIGURED);
}

/// The same for one that somebody else gave, and may give again and again.
pub fn register_fetched(secret: &Arc<str>) {
    register_in(&FETCHED, secret, MOST_FETCHED);
}

fn register_in(secrets: &Secrets, secret: &Arc<str>, most: usize) {
    if secret.len() < SHORTEST {
        return;
    }
    let mut secrets = secrets.write().unwrap_or_else(PoisonError::into_inner);
    if !secrets.contains(secret) {
        if secrets.len() >= most {
            secrets.remove(0);
        }
        secrets.push(secret.clone());
    }
}

/// A text without the secrets that this process has read.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut found = Vec::new();
    for secrets in [&CONFIGURED, &FETCHED] {
        let secrets = secrets.read().unwrap_or_else(PoisonError::into_inner);
        found.extend(secrets.iter().filter(|secret| text.contains(&***secret)).cloned());
    }
    // The longest first: one may be a part of another.
    found.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut clean = Cow::Borrowed(text);
    for secret in found {
        clean = Cow::Owned(clean.replace(&*secret, REDACTED));
    }
    clean
}
