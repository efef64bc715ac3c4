//! What a connector is, to the byte.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::failure::{Failure, Result};

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_hash(&Sha256::digest(bytes))
    }

    fn of_hash(hash: &sha2::digest::Output<Sha256>) -> Self {
        Self(format!("sha256:{hash:x}"))
    }

    /// Without the algorithm's name: fit for a file name.
    pub fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// Enough to tell one from another in a line of text.
    pub fn short(&self) -> &str {
        let hex = self.hex();
        hex.get(..12).unwrap_or(hex)
    }
}

/// Takes the digest of bytes as they come.
#[derive(Default)]
pub struct Digesting(Sha256);

impl Digesting {
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn digest(self) -> Digest {
        Digest::of_hash(&self.0.finalize())
    }
}

impl FromStr for Digest {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(lower) {
            return Ok(Self(text.to_owned()));
        }
        Err(Failure::settings(format!("`{text}` is not a connector's digest"))
            .next("write `sha256:` and 64 hexadecimal digits, as `sheaf inspect` prints them"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_digest_in_lower_case_is_one() {
        let digest = Digest::of(b"a component");
        assert_eq!(digest.to_string().parse::<Digest>().ok(), Some(digest.clone()));
        assert_eq!((digest.hex().len(), digest.short().len()), (64, 12));
        for text in [
            "",
            "sha256:",
            digest.hex(),
            &digest.to_string().to_uppercase(),
            &digest.to_string()[..70],
            &format!("{digest}0"),
            &format!("sha256:{}", "../".repeat(21) + "x"),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
