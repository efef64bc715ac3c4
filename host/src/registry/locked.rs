//! Connectors that are taken from elsewhere and locked, and what is checked at each load of one.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use semver::Version;

use super::asks::Asks;
use super::find::Registry;
use super::kept::{keep, kept};
use super::lock::{Lock, Locked, Source};
use super::oci::{Descriptor, Progress};
use super::published::{Place, Published, tag_of, version_of};
use super::refusal::Refusal;
use super::trust::KeyId;
use crate::cell::{Candidate, Connector};
use crate::failure::{Failure, Result};

/// A connector that may be locked. Nothing of it is kept yet.
pub struct Taken {
    pub connector: Arc<Connector>,
    pub source: Source,
    /// With which manifest it was published.
    pub published: Option<Published>,
    pub signer: Option<KeyId>,
    wasm: Bytes,
}

impl Registry {
    /// What was published under a tag, checked from its signature to its contract. The tag is not asked for again: it
    /// may have been moved since.
    pub async fn take(
        &self,
        place: &Place,
        published: Published,
        tag: &str,
        yanked_too: bool,
        progress: &Progress,
    ) -> Result<Taken> {
        let described = published.described()?;
        self.rules.allow(&published.digest())?;
        self.rules.allow(&described.wasm)?;
        let name = || published.name();
        if let Some(why) = published.yanked().filter(|_| !yanked_too) {
            return Err(Refusal::Yanked(why).of(name()));
        }
        let signer = self.signer(&published)?;
        self.loader.limits().allow(described.size)?;
        let layer = Descriptor {
            digest: described.wasm.to_string(),
            size: described.size,
            ..Descriptor::of("application/wasm", &[])
        };
        let wasm = place.blob(&layer, progress).await?;
        let candidate = Candidate::known(name().into(), described.wasm, wasm.clone());
        let connector = self.loader.load(candidate).await.map_err(|it| it.at_least(name))?;
        let version = &connector.manifest.version;
        if Version::parse(version).is_err() {
            let why = format!("its version, `{version}`, is none of semantic versioning");
            return Err(Refusal::NoConnector(why).of(name()));
        }
        if version_of(tag).is_some() && tag_of(version) != tag {
            let (tag, version) = (tag.to_owned(), version.clone());
            return Err(Refusal::OtherVersion { tag, version }.of(name()));
        }
        let source = Source::Published(published.repository.clone());
        Ok(Taken { connector, source, published: Some(published), signer, wasm })
    }

    /// A file, from wherever it lies.
    pub async fn take_file(&self, path: &Path) -> Result<Taken> {
        let candidate = self.loader.read(path).await?;
        self.rules.allow(&candidate.digest)?;
        let wasm = candidate.bytes().clone();
        let connector = self.loader.load(candidate).await?;
        let (source, published, signer) = (Source::of_file(path), None, None);
        Ok(Taken { connector, source, published, signer, wasm })
    }

    fn signer(&self, published: &Published) -> Result<Option<KeyId>> {
        let bundles = published.bundles();
        let repository = &published.repository;
        let signer = self.rules.trust.signer(repository, &published.digest(), &bundles);
        signer.map_err(|refusal| refusal.of(published.name()))
    }

    /// Keeps what was taken in the store, and writes it into the lock. `accept`: also where its name is locked to
    /// another place.
    pub async fn lock(&self, taken: &Taken, accept: bool) -> Result<Locked> {
        let locked = taken.entry();
        // Each is on the disk when it is done; neither waits for the other.
        let kept = async {
            match &taken.published {
                Some(published) => keep(&self.store, published).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(self.put(&locked.wasm, taken.wasm.clone()), kept)?;
        // Of two at once, neither loses what the other writes.
        let _alone = alone(&self.rules.lock)?;
        let mut lock = self.rules.locked()?;
        let renamed = lock.from(&locked.source).filter(|one| one.name != locked.name);
        if let Some(other) = renamed.filter(|_| !accept) {
            return Err(Failure::settings(format!(
                "{} is locked as `{}`, and calls itself `{}` now",
                locked.source, other.name, locked.name
            ))
            .at(self.rules.lock.display().to_string())
            .next("if it is to be locked by that name instead, say `--accept`"));
        }
        if let Some(other) = lock.named(&locked.name).filter(|one| one.source != locked.source)
            && !accept
        {
            return Err(Failure::settings(format!(
                "`{}` is locked to {}, and this one is from {}",
                locked.name, other.source, locked.source
            ))
            .at(self.rules.lock.display().to_string())
            .next("if it is to take the other's place, with its grants, say `--accept`"));
        }
        lock.put(locked.clone());
        lock.write(&self.rules.lock)?;
        Ok(locked)
    }

    /// The connector of an entry, once both its digests and its signature are what they were.
    pub(super) async fn load_locked(&self, locked: &Locked) -> Result<Arc<Connector>> {
        self.check_locked(locked).await?;
        let connector = self.pinned(&locked.wasm).await.map_err(|failure| {
            failure.next(format!("`sheaf add {}` fetches it again", locked.source))
        })?;
        let changed = |what: &str| {
            Failure::settings(format!(
                "`{}` is locked with {what} that it does not have",
                locked.name
            ))
            .at(self.rules.lock.display().to_string())
            .next("take the lock from where it is kept, or add the connector again")
        };
        if connector.manifest.name != locked.name {
            return Err(changed("a name"));
        }
        if connector.manifest.version != locked.version {
            return Err(changed("a version"));
        }
        if connector.inspection.contract != locked.contract {
            return Err(changed("a contract"));
        }
        if Asks::of(&connector) != locked.asks {
            return Err(changed("asks"));
        }
        Ok(connector)
    }

    async fn check_locked(&self, locked: &Locked) -> Result<()> {
        let (Some(manifest), Source::Published(repository)) = (&locked.manifest, &locked.source)
        else {
            return Ok(());
        };
        self.rules.allow(manifest)?;
        let published = kept(&self.store, repository, manifest).await?.ok_or_else(|| {
            Failure::settings(format!(
                "`{}` is locked, and the store does not have it",
                locked.name
            ))
            .at(self.store.place("connectors"))
            .next(format!(
                "`sheaf add {}:{}` fetches it again",
                locked.source,
                tag_of(&locked.version)
            ))
        })?;
        if published.described()?.wasm != locked.wasm {
            return Err(Refusal::FileChanged.of(published.name()));
        }
        if Source::Published(published.repository.clone()) != locked.source {
            return Err(Refusal::ManifestChanged.of(published.name()));
        }
        let signer = self.signer(&published)?;
        if locked.signer.is_some() && locked.signer != signer {
            return Err(Refusal::WrongKey(String::new()).of(published.name()));
        }
        Ok(())
    }

    /// Whoever names no version means no older one than is locked.
    pub fn is_no_downgrade(&self, taken: &Taken) -> Result<()> {
        let lock = self.rules.locked()?;
        let found = &taken.connector.manifest.version;
        let Some(locked) = lock.from(&taken.source).map(|locked| &locked.version) else {
            return Ok(());
        };
        let versions = (Version::parse(found), Version::parse(locked));
        if matches!(&versions, (Ok(found), Ok(locked)) if found < locked) {
            let (locked, found) = (locked.clone(), found.clone());
            return Err(Refusal::Downgrade { locked, found }.of(&taken.source));
        }
        Ok(())
    }

    /// What a locked connector was published as.
    pub async fn published(&self, locked: &Locked) -> Result<Option<Published>> {
        match (&locked.manifest, &locked.source) {
            (Some(manifest), Source::Published(from)) => kept(&self.store, from, manifest).await,
            _ => Ok(None),
        }
    }

    pub fn locked(&self) -> Result<Lock> {
        self.rules.locked()
    }

    /// What a connection's `connector` is locked to, if it is.
    pub fn locked_as(&self, named: &str) -> Result<Option<Locked>> {
        let lock = self.rules.locked()?;
        let found = lock.meant(named).or_else(|| lock.from(&Source::of_file(Path::new(named))));
        Ok(found.cloned())
    }
}

impl Taken {
    /// What stands of it in the lock.
    pub fn entry(&self) -> Locked {
        let manifest = &self.connector.manifest;
        let asks = Asks::of(&self.connector);
        Locked {
            name: manifest.name.clone(),
            source: self.source.clone(),
            version: manifest.version.clone(),
            manifest: self.published.as_ref().map(Published::digest),
            wasm: self.connector.digest.clone(),
            signer: self.signer.clone(),
            contract: self.connector.inspection.contract.clone(),
            asks_hash: asks.digest(),
            asks,
        }
    }
}

/// Holds a file beside the lock, until it is dropped.
fn alone(lock: &Path) -> Result<std::fs::File> {
    let path = lock.with_extension("lock.guard");
    let held = std::fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    held.map_err(|error| {
        Failure::settings(format!("the lock of connectors cannot be written: {error}"))
            .at(path.display().to_string())
            .next("see to its folder's permissions")
    })
}
