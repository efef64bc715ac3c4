//! Which keys stand for which places. Once a key is set for a place, only what is signed with it comes from there.

use std::collections::BTreeSet;

use super::super::refusal::Refusal;
use super::key::{KeyId, PublicKey};
use super::statement::signers;
use crate::connector::Digest;
use crate::registry::oci::Repository;

/// What becomes of what nobody has to sign and nobody has signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsigned {
    Refuse,
    #[default]
    Warn,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Patterns and the keys that stand for what they match.
    pub keys: Vec<(Pattern, Vec<PublicKey>)>,
    /// For places for which no key is set.
    pub unsigned: Unsigned,
}

/// `oci://registry/name`, or with `/*` at its end everything below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Nothing where it is no pattern.
    pub fn new(text: &str) -> Option<Self> {
        let below = text.strip_suffix("/*");
        let place = below.map_or_else(|| text.to_owned(), |below| format!("{below}/x"));
        place.parse::<Repository>().ok().map(|_| Self(text.to_owned()))
    }

    fn matches(&self, repository: &Repository) -> bool {
        let place = repository.to_string();
        match self.0.strip_suffix('*') {
            Some(prefix) => place.starts_with(prefix),
            None => place == self.0,
        }
    }
}

impl Trust {
    /// The keys that stand for a place; nothing where none has to.
    pub fn keys_of(&self, repository: &Repository) -> Option<Vec<PublicKey>> {
        let matching = self.keys.iter().filter(|(pattern, _)| pattern.matches(repository));
        let keys: Vec<_> = matching.flat_map(|(_, keys)| keys.iter().cloned()).collect();
        (!keys.is_empty()).then_some(keys)
    }

    /// Who stands for a manifest; nobody where nobody has to.
    pub fn signers(
        &self,
        repository: &Repository,
        manifest: &Digest,
        bundles: &[Vec<u8>],
    ) -> Result<BTreeSet<KeyId>, Refusal> {
        match (self.keys_of(repository), self.unsigned) {
            (Some(keys), _) => signers(bundles, manifest, &keys),
            // Without a key nobody knows whose signature it is.
            (None, Unsigned::Refuse) => Err(Refusal::NoKey),
            // Nobody's signature counts; but what cannot be read is never nothing.
            (None, Unsigned::Warn) => match signers(bundles, manifest, &[]) {
                Err(unread @ Refusal::BundleUnread(_)) => Err(unread),
                _ => Ok(BTreeSet::new()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::PrivateKey;
    use super::super::statement::sign;
    use super::*;

    #[test]
    fn once_a_key_is_set_for_a_place_only_what_it_signed_comes_from_there() {
        let (key, _) = PrivateKey::generate().expect("a key");
        let pattern = |text: &str| Pattern::new(text).expect("a pattern");
        let trust = Trust {
            keys: vec![(pattern("oci://a.example.com/team/*"), vec![key.public().clone()])],
            unsigned: Unsigned::Warn,
        };
        let place = |text: &str| text.parse::<Repository>().expect("a place");
        let (ours, others) =
            (place("oci://a.example.com/team/wiki"), place("oci://b.example.com/wiki"));
        let manifest = Digest::of(b"a manifest");
        let signed = [sign(&key, &manifest).expect("signed")];
        let by = BTreeSet::from([key.public().id()]);
        assert_eq!(trust.signers(&ours, &manifest, &signed), Ok(by));
        assert_eq!(trust.signers(&ours, &manifest, &[]), Err(Refusal::Unsigned));
        assert_eq!(trust.signers(&others, &manifest, &[]), Ok(BTreeSet::new()));
        let strict = Trust { unsigned: Unsigned::Refuse, ..trust };
        assert_eq!(strict.signers(&others, &manifest, &signed), Err(Refusal::NoKey));
        for text in [
            "oci://a.example.com/team*",
            "oci://a.example.com/*/x",
            "*",
            "oci://*/x",
            "a.example.com/x",
        ] {
            assert_eq!(Pattern::new(text), None, "{text}");
        }
        assert!(pattern("oci://a.example.com/*").matches(&ours));
        assert!(
            !pattern("oci://a.example.com/*").matches(&place("oci://a.example.com.evil.org/x"))
        );
        assert!(
            !pattern("oci://a.example.com/team/*").matches(&place("oci://a.example.com/team2/x"))
        );
    }
}
