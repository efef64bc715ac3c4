//! A published connector as it comes: its manifest, its file, and what is attached to it, each believed by its digest.

use bytes::Bytes;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::oci::{
    Described, Descriptor, INDEX, MOST_ATTACHED, Manifest, Progress, Remote, Repository, described,
    version_of,
};
use super::refusal::Refusal;
use super::trust::BUNDLE;
use crate::connector::Digest;
use crate::failure::Result;
use crate::text::short_line;

/// What says that a version is taken back.
pub(super) const YANK: &str = "application/vnd.sheaf.yank.v1+json";
/// Why, in an annotation.
pub(super) const YANK_REASON: &str = "dev.sheaf.yank.reason";
const MAX_ATTACHED: u64 = 1 << 20;
/// The longest reason for taking a version back.
const MAX_REASON: usize = 300;

/// Where published connectors are read from.
pub enum Place {
    Registry(Box<Remote>),
    /// A tar that was written where there is a registry.
    Layout(Layout),
}

/// Something that is attached to a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    pub descriptor: Descriptor,
    #[serde(with = "text")]
    pub manifest: Vec<u8>,
    #[serde(with = "text")]
    pub content: Vec<u8>,
}

/// All of a published connector but its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub repository: Repository,
    #[serde(with = "text")]
    pub manifest: Vec<u8>,
    #[serde(with = "text")]
    pub config: Vec<u8>,
    pub attached: Vec<Attached>,
}

impl Place {
    /// A repository, to read from.
    pub async fn open(repository: &Repository) -> Result<Self> {
        Ok(Self::Registry(Box::new(Remote::open(repository, false).await?)))
    }

    async fn manifest(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Registry(remote) => remote.manifest(name).await,
            Self::Layout(layout) => layout.tagged(name),
        }
    }

    async fn manifest_of(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Registry(remote) => remote.manifest_of(digest).await,
            Self::Layout(layout) => layout.blob(digest),
        }
    }

    pub async fn blob(&self, of: &Descriptor, progress: &Progress) -> Result<Bytes> {
        match self {
            Self::Registry(remote) => remote.blob(of, progress).await,
            Self::Layout(layout) => layout.exactly(of).map(Bytes::from),
        }
    }

    async fn attached(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        match self {
            Self::Registry(remote) => remote.attached(digest).await,
            Self::Layout(layout) => Ok(layout.attached(digest)),
        }
    }

    pub async fn versions(&self) -> Result<Vec<Version>> {
        let tags = match self {
            Self::Registry(remote) => remote.tags().await?,
            Self::Layout(layout) => layout.tags(),
        };
        let mut versions: Vec<_> = tags.iter().filter_map(|tag| version_of(tag)).collect();
        versions.sort();
        Ok(versions)
    }

    fn repository(&self) -> &Repository {
        match self {
            Self::Registry(remote) => remote.repository(),
            Self::Layout(layout) => layout.repository(),
        }
    }

    /// Which manifest a tag names.
    pub async fn digest_of(&self, tag: &str) -> Result<Option<Digest>> {
        Ok(self.manifest(tag).await?.map(|manifest| Digest::of(&manifest)))
    }

    /// A version, by its tag; nothing where there is none. The tag is resolved once: all else is asked for by digests.
    pub async fn published(&self, tag: &str) -> Result<Option<Published>> {
        let Some(manifest) = self.manifest(tag).await? else { return Ok(None) };
        let digest = Digest::of(&manifest);
        let of = format!("{}:{tag}", self.repository());
        let Described { config, .. } = described(&manifest).map_err(|refusal| refusal.of(&of))?;
        if config.size > MAX_ATTACHED {
            return Err(Refusal::NoConnector("its configuration is too long".into()).of(&of));
        }
        let config = self.blob(&config, &|_| {}).await?.to_vec();
        if std::str::from_utf8(&config).is_err() {
            return Err(Refusal::NoConnector("its configuration is no text".into()).of(&of));
        }
        let mut attached = Vec::new();
        let all = self.attached(&digest).await?;
        if all.len() > MOST_ATTACHED {
            let many = format!("{} things are attached to it", all.len());
            return Err(Refusal::BundleUnread(many).of(&of));
        }
        for descriptor in all {
            attached.extend(self.one_attached(descriptor, &digest).await?);
        }
        Ok(Some(Published { repository: self.repository().clone(), manifest, config, attached }))
    }

    /// A signature or a yank; nothing where it is anything else.
    async fn one_attached(&self, descriptor: Descriptor, of: &Digest) -> Result<Option<Attached>> {
        let unread = |why: &str| {
            Refusal::BundleUnread(why.to_owned()).of(format!("{}@{of}", self.repository()))
        };
        let digest: Digest = descriptor.digest.parse()?;
        let manifest = self.manifest_of(&digest).await?;
        let manifest = manifest.ok_or_else(|| unread("it is not there"))?;
        let read: Manifest = match serde_json::from_slice(&manifest) {
            Ok(read) => read,
            // Another index, say, that somebody attached.
            Err(_) if descriptor.media_type == INDEX => return Ok(None),
            Err(_) => return Err(unread("its manifest cannot be read")),
        };
        let kind = |kind: &str| {
            let layer = read.layers.first().map(|layer| layer.media_type.as_str());
            read.artifact_type.as_deref() == Some(kind) || layer == Some(kind)
        };
        if !kind(BUNDLE) && !kind(YANK) {
            return Ok(None);
        }
        let subject = read.subject.as_ref().map(|subject| subject.digest.clone());
        if subject != Some(of.to_string()) {
            return Err(unread("it is attached to another manifest"));
        }
        let [layer] = read.layers.as_slice() else {
            return Err(unread("it has more than one part, or none"));
        };
        if layer.size > MAX_ATTACHED {
            return Err(unread("it is too long"));
        }
        let content = self.blob(layer, &|_| {}).await?.to_vec();
        if std::str::from_utf8(&content).is_err() {
            return Err(unread("it is no text"));
        }
        Ok(Some(Attached { descriptor, manifest, content }))
    }
}

impl Published {
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    pub fn described(&self) -> Result<Described> {
        described(&self.manifest).map_err(|refusal| refusal.of(self.name()))
    }

    /// Exactly this one.
    pub fn name(&self) -> String {
        format!("{}@{}", self.repository, self.digest())
    }

    /// What was signed of it.
    pub fn bundles(&self) -> Vec<Vec<u8>> {
        let bundles = self.attached.iter().filter(|one| one.is(BUNDLE));
        bundles.map(|one| one.content.clone()).collect()
    }

    /// Why it was taken back, if it was.
    pub fn yanked(&self) -> Option<String> {
        let yank = self.attached.iter().find(|one| one.is(YANK))?;
        let manifest = yank.read()?;
        let why = manifest.annotations.get(YANK_REASON);
        Some(why.map_or_else(String::new, |why| short_line(why, MAX_REASON)))
    }
}

impl Attached {
    pub(super) fn is_yank(&self) -> bool {
        self.is(YANK) && !self.is(BUNDLE)
    }

    fn read(&self) -> Option<Manifest> {
        serde_json::from_slice(&self.manifest).ok()
    }

    fn is(&self, kind: &str) -> bool {
        self.read().is_some_and(|manifest| {
            manifest.layers.iter().any(|layer| layer.media_type == kind)
                || manifest.artifact_type.as_deref() == Some(kind)
        })
    }
}

/// Manifests and bundles are JSON: bytes that are text.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de, ser};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(bytes).map_err(ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes).map_err(de::Error::custom)
    }
}
