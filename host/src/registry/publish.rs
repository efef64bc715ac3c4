//! Puts a connector into a registry, signs it, and takes it back.

use std::sync::Arc;

use bytes::Bytes;

use super::oci::{
    About, Annotations, Artifact, Described, Descriptor, MANIFEST, Progress, Reference, Remote,
    described, tag_of,
};
use super::published::{Place, Published, YANK, YANK_REASON};
use super::refusal::Refusal;
use super::trust::{BUNDLE, KeyId, PREDICATE, PrivateKey, PublicKey, sign, signers};
use crate::cell::Connector;
use crate::connector::Digest;
use crate::failure::{Failure, Result};
use crate::text::short_line;

/// What is to be published.
pub struct Wish<'a> {
    /// With a tag, or without: then it is the connector's version.
    pub to: &'a Reference,
    pub connector: &'a Connector,
    pub wasm: Bytes,
    pub source: Option<&'a str>,
    pub license: Option<&'a str>,
    /// In RFC 3339.
    pub created: &'a str,
    pub key: Option<&'a PrivateKey>,
}

/// What became of it.
pub struct Done {
    pub reference: Reference,
    pub digest: Digest,
    /// Whether it was there before.
    pub existed: bool,
    /// What was said of it first, and stays, where it is said otherwise now.
    pub stays: Option<String>,
    /// Why it was taken back, if it was.
    pub yanked: Option<String>,
    /// Signatures that it had already, whosever they are.
    pub signatures: usize,
    pub signed_by: Option<KeyId>,
}

const CONTENT: &str = "dev.sigstore.bundle.content";
const CONTENT_IS: &str = "dsse-envelope";
const PREDICATE_IS: &str = "dev.sigstore.bundle.predicateType";
const CREATED: &str = "org.opencontainers.image.created";
/// The longest of what is there already.
const MOST: usize = 80;
/// What is attached is its own, whenever it is.
const NEVER: &str = "1970-01-01T00:00:00Z";

/// Publishes it; again where it is there already, and never over something else.
pub async fn publish(wish: &Wish<'_>, progress: Arc<Progress>) -> Result<Done> {
    let manifest = &wish.connector.manifest;
    let version = tag_of(&manifest.version);
    let repository = &wish.to.repository;
    if let Some(tag) = wish.to.tag.as_ref().filter(|tag| **tag != version) {
        let (tag, version) = (tag.clone(), manifest.version.clone());
        return Err(Refusal::OtherVersion { tag, version }.of(wish.to));
    }
    let reference = Reference { repository: repository.clone(), tag: Some(version.clone()) };
    let about = About {
        name: &manifest.name,
        version: &manifest.version,
        description: &manifest.description,
        source: wish.source,
        license: wish.license,
        imports: &wish.connector.inspection.imports,
        exports: &wish.connector.inspection.exports,
        created: wish.created,
    };
    let artifact = Artifact::new(&about, &wish.connector.digest, wish.wasm.len() as u64)?;
    put(reference, &artifact, wish.wasm.clone(), wish.key, progress).await
}

/// Puts an artifact under a tag, unless it is there, and signs it.
pub(super) async fn put(
    reference: Reference,
    artifact: &Artifact,
    wasm: Bytes,
    key: Option<&PrivateKey>,
    progress: Arc<Progress>,
) -> Result<Done> {
    let tag = reference.tag.clone().unwrap_or_default();
    let ours = described(&artifact.manifest).map_err(|refusal| refusal.of(&reference))?;
    let (mut manifest_there, mut stays) = (artifact.manifest.clone(), None);
    let remote = Remote::open(&reference.repository, true).await?;
    let there = remote.manifest(&tag).await?;
    let existed = there.is_some();
    if let Some(there) = there {
        // What else is said of it stays as it was said first; but a key stands only for what its owner says.
        match described(&there) {
            Ok(said) if said.wasm == ours.wasm => {
                stays = (there != artifact.manifest).then(|| other_words(&said, &ours));
                if let Some(words) = stays.clone().filter(|_| key.is_some()) {
                    return Err(Refusal::OtherManifest(words).of(&reference));
                }
            }
            _ => return Err(Refusal::Exists.of(&reference)),
        }
        manifest_there = there;
    } else {
        remote.put_known(&artifact.layer.digest, wasm, Some(progress)).await?;
        remote.put_blob(artifact.config.clone()).await?;
        remote.put_manifest(&tag, MANIFEST, artifact.manifest.clone()).await?;
    }
    let place = Place::Registry(Box::new(remote));
    let said = if existed { place.published(&tag).await? } else { None };
    let bundles = said.as_ref().map(Published::bundles).unwrap_or_default();
    let signed_by = match key {
        Some(key) => Some(attach_signature(&place, &bundles, &manifest_there, key).await?),
        None => None,
    };
    let signatures = bundles.len();
    let (digest, yanked) = (Digest::of(&manifest_there), said.and_then(|said| said.yanked()));
    Ok(Done { reference, digest, existed, stays, yanked, signatures, signed_by })
}

/// What is said otherwise of a file that is there already than now, as far as people say it.
fn other_words(there: &Described, now: &Described) -> String {
    let word = |text: Option<&str>| {
        text.map_or_else(|| "none".to_owned(), |text| format!("`{}`", short_line(text, MOST)))
    };
    let words = [
        ("licence", there.license.as_deref(), now.license.as_deref()),
        ("source", there.source.as_deref(), now.source.as_deref()),
    ];
    let other = words.into_iter().filter(|(_, there, now)| there != now);
    let texts = other.map(|(what, there, now)| {
        format!("its {what} there is {}, and {} now", word(there), word(now))
    });
    let texts: Vec<_> = texts.collect();
    if texts.is_empty() {
        "its time, or what wrote it, is another".to_owned()
    } else {
        texts.join("; ")
    }
}

/// Signs it, unless it has that signature.
async fn attach_signature(
    place: &Place,
    bundles: &[Vec<u8>],
    manifest: &[u8],
    key: &PrivateKey,
) -> Result<KeyId> {
    let (digest, public) = (Digest::of(manifest), key.public());
    let keys: [PublicKey; 1] = [public.clone()];
    if signers(bundles, &digest, &keys).is_ok() {
        return Ok(public.id());
    }
    let annotations = Annotations::from(
        [(CONTENT, CONTENT_IS), (PREDICATE_IS, PREDICATE), (CREATED, NEVER)]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let subject = Descriptor::of(MANIFEST, manifest);
    let Place::Registry(remote) = place else {
        return Err(Failure::internal("a bundle is not signed"));
    };
    remote.attach(subject, BUNDLE, sign(key, &digest)?, annotations).await?;
    Ok(public.id())
}

/// Says of a version that it is taken back. Where it was already, the reason that was given then stays.
pub async fn yank(reference: &Reference, tag: &str, reason: &str) -> Result<Option<String>> {
    let remote = Remote::open(&reference.repository, true).await?;
    let place = Place::Registry(Box::new(remote));
    let published: Option<Published> = place.published(tag).await?;
    let published = published.ok_or_else(|| no_version(reference))?;
    if let Some(before) = published.yanked() {
        return Ok(Some(before));
    }
    let annotations = Annotations::from([(YANK_REASON.to_owned(), reason.to_owned())]);
    let subject = Descriptor::of(MANIFEST, &published.manifest);
    let Place::Registry(remote) = place else { return Ok(None) };
    remote.attach(subject, YANK, b"{}".to_vec(), annotations).await?;
    Ok(None)
}

pub fn no_version(reference: &Reference) -> Failure {
    Failure::settings(format!("there is no {reference}"))
        .next("`sheaf publish` puts it there; see that name and version are right")
}
