//! Keys of publishers: P-256, in the forms that cosign and openssl read and write.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use serde::{Deserialize, Serialize};

use crate::connector::Digest;
use crate::failure::{Failure, Result};

/// What stands before the point in the `SubjectPublicKeyInfo` of each P-256 key (RFC 5480).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;
/// Letters in a line of PEM.
const LINE: usize = 64;

/// A key's hash: `sha256:` and that of its `SubjectPublicKeyInfo`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    fn of(spki: &[u8]) -> Self {
        Self(Digest::of(spki).to_string())
    }

    /// The beginning of it, for a line of text.
    pub fn short(&self) -> &str {
        let hex = self.0.strip_prefix("sha256:").unwrap_or(&self.0);
        hex.get(..12).unwrap_or(hex)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    spki: Vec<u8>,
}

impl PublicKey {
    /// Out of PEM, as `cosign public-key` and `openssl ec -pubout` write it.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let read = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes());
        let spki = read.map_err(|_| no_public_key())?.as_ref().to_vec();
        let point = spki.strip_prefix(&SPKI);
        let is_whole = |point: &&[u8]| point.len() == POINT && point.first() == Some(&4);
        point.filter(is_whole).map(|_| Self { spki: spki.clone() }).ok_or_else(no_public_key)
    }

    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.spki)
    }

    pub fn id(&self) -> KeyId {
        KeyId::of(&self.spki)
    }

    /// What a bundle names the key by.
    pub fn hint(&self) -> String {
        use sha2::Digest as _;
        STANDARD.encode(sha2::Sha256::digest(&self.spki))
    }

    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let point = self.spki.get(SPKI.len()..).unwrap_or_default();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
    }
}

/// The key that a publisher signs with.
pub struct PrivateKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl PrivateKey {
    pub fn from_pem(pem: &str) -> Result<Self> {
        if pem.contains("ENCRYPTED") {
            return Err(Failure::settings("the key is encrypted, and Sheaf takes none that is")
                .next("sign with cosign itself: `cosign sign --key …`; what it signs is trusted just so"));
        }
        let read = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        Self::from_pkcs8(read.map_err(|_| no_private_key())?.secret_pkcs8_der())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &random)
            .map_err(|_| no_private_key())?;
        let spki = [&SPKI, pair.public_key().as_ref()].concat();
        Ok(Self { pair, public: PublicKey { spki } })
    }

    /// A new one, and its PEM.
    pub fn generate() -> Result<(Self, String)> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| Failure::internal("the system gives no random numbers"))?;
        Ok((Self::from_pkcs8(made.as_ref())?, pem("PRIVATE KEY", made.as_ref())))
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signed = self.pair.sign(&SystemRandom::new(), message);
        let signed = signed.map_err(|_| Failure::internal("the key signs nothing"))?;
        Ok(signed.as_ref().to_vec())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(LINE) {
        // Base64 is ASCII.
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

fn no_public_key() -> Failure {
    Failure::settings("this is no public key of the kind P-256 in PEM")
        .next("give what `sheaf keys new`, `cosign public-key` or `openssl ec -pubout` wrote: it begins with `-----BEGIN PUBLIC KEY-----`")
}

fn no_private_key() -> Failure {
    Failure::settings("this is no private key of the kind P-256 in PKCS#8 and PEM")
        .next("give what `sheaf keys new` wrote: it begins with `-----BEGIN PRIVATE KEY-----`; openssl turns another into it with `pkcs8 -topk8 -nocrypt`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_when_it_was_written_and_read() {
        let (key, text) = PrivateKey::generate().expect("a key");
        let again = PrivateKey::from_pem(&text).expect("a key");
        assert_eq!(again.public(), key.public());
        let public = PublicKey::from_pem(&key.public().to_pem()).expect("a key");
        assert_eq!(public.id(), key.public().id());
        let signature = key.sign(b"a message").expect("signed");
        assert!(public.has_signed(b"a message", &signature));
        assert!(!public.has_signed(b"another", &signature));
        assert!(PublicKey::from_pem(&text).is_err() && PublicKey::from_pem("").is_err());
        let encrypted = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAA==\n";
        let failure = PrivateKey::from_pem(encrypted).err().expect("refused");
        assert!(failure.next.is_some_and(|next| next.contains("cosign sign")));
    }
}
