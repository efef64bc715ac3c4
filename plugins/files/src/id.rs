//! Ids and URLs out of paths.

use crate::hash::hash;
use crate::names;

/// Glean: ids "should not be more than 200 characters".
const MAX_CHARS: usize = 200;
const HASH_CHARS: usize = 32;

/// The path itself; a long one is cut and ends in a hash of the whole.
pub(crate) fn of(path: &str) -> String {
    if path.chars().count() <= MAX_CHARS {
        return path.to_owned();
    }
    let prefix: String = path.chars().take(MAX_CHARS - HASH_CHARS - 1).collect();
    format!("{prefix}~{}", hash(path, HASH_CHARS))
}

/// The path as part of a URL.
pub(crate) fn url(base: &str, path: &str) -> String {
    let mut url = String::with_capacity(base.len() + path.len() + 1);
    url.push_str(base);
    url.push('/');
    for byte in names::bytes(path).iter().copied() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_keeps_a_readable_beginning_and_stays_unique() {
        let long = format!("handbook/{}", "ä".repeat(300));
        let other = format!("{long}x");
        assert_eq!(of("a/b.md"), "a/b.md");
        assert!(of(&long).starts_with("handbook/ä"));
        assert_eq!(of(&long).chars().count(), MAX_CHARS);
        assert_ne!(of(&long), of(&other));
    }

    #[test]
    fn a_url_is_escaped_and_keeps_its_slashes() {
        // What is not UTF-8, as the host hands it over.
        assert_eq!(url("https://x.com", "caf\u{efe9}.md"), "https://x.com/caf%E9.md");
        assert_eq!(url("https://x.com", "a b/ä#1?.md"), "https://x.com/a%20b/%C3%A4%231%3F.md");
    }
}
