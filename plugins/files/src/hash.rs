//! Short names for long ones.

use sha2::{Digest as _, Sha256};

/// The beginning of a SHA-256, in hexadecimal.
pub(crate) fn hash(text: &str, characters: usize) -> String {
    let mut hex = format!("{:x}", Sha256::digest(text.as_bytes()));
    hex.truncate(characters);
    hex
}
