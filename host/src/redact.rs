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
/// The same of what a server gave, which knows better than people how long a secret is.
const SHORTEST_FETCHED: usize = 16;
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

/// The same for one that a server gave, and may give again and again. What does not look like a token is not
/// looked for: it could be a piece of anybody's text.
pub fn register_fetched(secret: &Arc<str>) {
    if secret.len() >= SHORTEST_FETCHED && secret.bytes().all(is_of_a_token) {
        register_in(&FETCHED, secret, MOST_FETCHED);
    }
}

/// RFC 6750, section 2.1; and what some servers put between the parts of theirs.
fn is_of_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=:|!*%".contains(&byte)
}

/// As it is, and as it stands in texts that were escaped.
fn register_in(secrets: &Secrets, secret: &Arc<str>, most: usize) {
    if secret.len() < SHORTEST {
        return;
    }
    let json = serde_json::Value::from(&**secret).to_string();
    let debug = format!("{secret:?}");
    let escaped = [json, debug].into_iter().filter_map(|text| {
        let text = text.strip_prefix('"')?.strip_suffix('"')?;
        (text != &**secret).then(|| text.into())
    });
    let mut secrets = secrets.write().unwrap_or_else(PoisonError::into_inner);
    for secret in std::iter::once(secret.clone()).chain(escaped) {
        if secrets.contains(&secret) {
            continue;
        }
        if secrets.len() >= most {
            secrets.remove(0);
        }
        secrets.push(secret);
    }
}

/// The same of a text that need not be copied where there are none.
pub fn redacted(text: String) -> String {
    match redact(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(clean) => clean,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_where_it_was_escaped() {
        register(&"escaped \"secret\" \\ with\ta tab".into());
        let said = serde_json::json!({ "said": "an escaped \"secret\" \\ with\ta tab." });
        assert_eq!(redact(&said.to_string()), r#"{"said":"an [redacted]."}"#);
        let said = format!("{:?}", "an escaped \"secret\" \\ with\ta tab.");
        assert_eq!(redact(&said), r#""an [redacted].""#);
    }

    #[test]
    fn what_a_server_gives_as_a_token_is_looked_for_if_it_looks_like_one() {
        for (fetched, is_one) in [
            ("fetched-token-of-redact", true),
            ("ya29.a0/fetched+of~redact==", true),
            (r#"{"fetched":"page-of-redact"#, false),
            ("fetched of redact, a sentence", false),
            ("fetched-short", false),
        ] {
            register_fetched(&fetched.into());
            assert_eq!(matches!(redact(fetched), Cow::Owned(_)), is_one, "{fetched}");
        }
    }
}
