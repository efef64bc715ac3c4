//! What a publisher signs, as cosign 3 writes and reads it: an in-toto statement about a manifest's digest, in a DSSE
//! envelope, in a Sigstore bundle. Nothing else is a signature here.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::super::refusal::Refusal;
use super::key::{KeyId, PrivateKey, PublicKey};
use crate::connector::Digest;
use crate::failure::{Failure, Result};

pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub const PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

/// Where the key comes from is another's business: it is only named.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<Hint>,
}

#[derive(Serialize, Deserialize)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
    #[serde(default)]
    predicate: serde_json::Value,
}

#[derive(Serialize, Deserialize)]
struct Subject {
    digest: Sha256,
}

#[derive(Serialize, Deserialize)]
struct Sha256 {
    sha256: String,
}

/// What is signed of a payload (DSSE's pre-authentication encoding).
fn signed_text(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let (kind, length) = (payload_type.len(), payload.len());
    let mut text = format!("DSSEv1 {kind} {payload_type} {length} ").into_bytes();
    text.extend_from_slice(payload);
    text
}

/// A bundle that says that the key's owner stands for a manifest.
pub fn sign(key: &PrivateKey, manifest: &Digest) -> Result<Vec<u8>> {
    let statement = Statement {
        kind: STATEMENT.to_owned(),
        subject: vec![Subject { digest: Sha256 { sha256: manifest.hex().to_owned() } }],
        predicate_type: PREDICATE.to_owned(),
        predicate: serde_json::json!({}),
    };
    let json = |error| Failure::internal(format!("a signature is no JSON: {error}"));
    let payload = serde_json::to_vec(&statement).map_err(json)?;
    let signature = key.sign(&signed_text(PAYLOAD, &payload))?;
    let bundle = Bundle {
        media_type: BUNDLE.to_owned(),
        verification_material: Material { public_key: Some(Hint { hint: key.public().hint() }) },
        dsse_envelope: Envelope {
            payload: STANDARD.encode(payload),
            payload_type: PAYLOAD.to_owned(),
            signatures: vec![Signature { sig: STANDARD.encode(signature) }],
        },
    };
    serde_json::to_vec(&bundle).map_err(json)
}

/// All of these that stand for a manifest, by its bundles; at least one. A bundle that cannot be read is an error,
/// whatever stands beside it: what it says may be what matters.
pub fn signers(
    bundles: &[Vec<u8>],
    manifest: &Digest,
    keys: &[PublicKey],
) -> Result<BTreeSet<KeyId>, Refusal> {
    let mut found = BTreeSet::new();
    let mut why = Refusal::Unsigned;
    for bundle in bundles {
        match one(bundle, manifest, keys) {
            Ok(signers) => found.extend(signers),
            Err(unread @ Refusal::BundleUnread(_)) => return Err(unread),
            // The gravest is told.
            Err(refusal) => why = why.max(refusal),
        }
    }
    if found.is_empty() { Err(why) } else { Ok(found) }
}

fn one(bundle: &[u8], manifest: &Digest, keys: &[PublicKey]) -> Result<Vec<KeyId>, Refusal> {
    let unread = |why: &str| Refusal::BundleUnread(why.to_owned());
    let Bundle { media_type, verification_material, dsse_envelope } =
        serde_json::from_slice(bundle).map_err(|error| Refusal::BundleUnread(error.to_string()))?;
    if media_type != BUNDLE {
        return Err(unread("it is of another kind than cosign 3 writes"));
    }
    let Envelope { payload, payload_type, signatures } = dsse_envelope;
    if payload_type != PAYLOAD {
        return Err(unread("its payload is no in-toto statement"));
    }
    let payload = STANDARD.decode(payload).map_err(|_| unread("its payload is no base64"))?;
    let statement: Statement = serde_json::from_slice(&payload)
        .map_err(|error| Refusal::BundleUnread(format!("its statement cannot be read: {error}")))?;
    if statement.kind != STATEMENT {
        return Err(unread("its statement is of another version"));
    }
    if statement.predicate_type != PREDICATE {
        return Err(Refusal::OtherPredicate(statement.predicate_type));
    }
    let signed = signed_text(&payload_type, &payload);
    let mut by = Vec::new();
    for Signature { sig } in signatures {
        let sig = STANDARD.decode(sig).map_err(|_| unread("its signature is no base64"))?;
        by.extend(keys.iter().filter(|key| key.has_signed(&signed, &sig)).map(PublicKey::id));
    }
    if by.is_empty() {
        let hint = verification_material.public_key.map(|key| key.hint);
        return Err(Refusal::WrongKey(named(&hint.unwrap_or_default())));
    }
    match statement.subject.as_slice() {
        [subject] if subject.digest.sha256 == manifest.hex() => Ok(by),
        _ => Err(Refusal::OtherDigest),
    }
}

/// The key of a hint as we name keys, where it is a hash of one.
fn named(hint: &str) -> String {
    match STANDARD.decode(hint) {
        Ok(hash) if hash.len() == 32 => {
            let hex: Vec<_> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("sha256:{}", hex.concat())
        }
        _ => hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by cosign 3.1.3.
    const COSIGN: &str = include_str!("../../../vectors/cosign-bundle.json");
    const COSIGN_KEY: &str = include_str!("../../../vectors/cosign-key.pub");
    const SIGNED: &str = "sha256:3390e18fcfa7829675a8040ffec21ef84b683e1b97de0cf000e5aa562de6f8b9";

    fn refused(bundles: &[Vec<u8>], manifest: &Digest, keys: &[PublicKey]) -> Refusal {
        signers(bundles, manifest, keys).expect_err("refused")
    }

    #[test]
    fn what_cosign_signed_is_signed_and_only_that() {
        let key = PublicKey::from_pem(COSIGN_KEY).expect("a key");
        let (manifest, other) = (SIGNED.parse().expect("a digest"), Digest::of(b"another"));
        let bundle = COSIGN.trim().as_bytes().to_vec();
        let keys = [key.clone()];
        let signed_by = signers(std::slice::from_ref(&bundle), &manifest, &keys);
        assert_eq!(signed_by, Ok(BTreeSet::from([key.id()])));
        assert_eq!(refused(&[], &manifest, &keys), Refusal::Unsigned);
        assert_eq!(refused(std::slice::from_ref(&bundle), &other, &keys), Refusal::OtherDigest);
        let stranger = PrivateKey::generate().expect("a key").0;
        let strangers = [stranger.public().clone()];
        let wrong = refused(std::slice::from_ref(&bundle), &manifest, &strangers);
        assert_eq!(wrong, Refusal::WrongKey(key.id().to_string()));
        // Each byte of it counts.
        let text = String::from_utf8(bundle.clone()).expect("text");
        let changed = text.replace("\"payload\":\"eyJ", "\"payload\":\"eyK");
        assert_ne!(text, changed);
        let changed = signers(&[changed.into_bytes()], &manifest, &keys);
        assert!(changed.is_err(), "{changed:?}");
    }

    #[test]
    fn garbage_beside_a_good_signature_is_an_error_and_another_statement_is_none() {
        let (key, _) = PrivateKey::generate().expect("a key");
        let (manifest, keys) = (Digest::of(b"a manifest"), [key.public().clone()]);
        let good = sign(&key, &manifest).expect("signed");
        let by = |bundles: &[Vec<u8>], keys: &[PublicKey]| signers(bundles, &manifest, keys);
        let mine = BTreeSet::from([key.public().id()]);
        assert_eq!(by(std::slice::from_ref(&good), &keys), Ok(mine));
        // Who signed it is no question of which key is named first.
        let (next, _) = PrivateKey::generate().expect("a key");
        let (both, all) = (
            [good.clone(), sign(&next, &manifest).expect("signed")],
            BTreeSet::from([key.public().id(), next.public().id()]),
        );
        let keys_of_both = [next.public().clone(), key.public().clone()];
        assert_eq!(by(&both, &keys_of_both), Ok(all));
        for garbage in ["{}", "", "null", "{\"mediaType\":\"x\"}"] {
            let bundles = [good.clone(), garbage.into()];
            let refusal = refused(&bundles, &manifest, &keys);
            assert!(matches!(refusal, Refusal::BundleUnread(_)), "{garbage}: {refusal:?}");
        }
        // A list of parts, say, that the same key has signed.
        let text = String::from_utf8(good.clone()).expect("text");
        let envelope: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let payload = envelope["dsseEnvelope"]["payload"].as_str().expect("a payload");
        let payload = String::from_utf8(STANDARD.decode(payload).expect("base64")).expect("text");
        let payload = payload.replace(PREDICATE, "https://spdx.dev/Document");
        let signature = key.sign(&signed_text(PAYLOAD, payload.as_bytes())).expect("signed");
        let mut other = envelope.clone();
        other["dsseEnvelope"]["payload"] = STANDARD.encode(payload).into();
        other["dsseEnvelope"]["signatures"][0]["sig"] = STANDARD.encode(signature).into();
        let other = other.to_string().into_bytes();
        let refusal = refused(std::slice::from_ref(&other), &manifest, &keys);
        assert_eq!(refusal, Refusal::OtherPredicate("https://spdx.dev/Document".into()));
        assert!(signers(&[other, good], &manifest, &keys).is_ok());
    }
}
