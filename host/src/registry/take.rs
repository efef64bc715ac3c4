//! Takes connectors from elsewhere, and locks them once they are what was agreed to.

use std::path::Path;
use std::sync::Arc;

use semver::Version;

use super::asks::Asks;
use super::find::Registry;
use super::kept::keep;
use super::lock::{Locked, Source};
use super::newest::is_compatible;
use super::oci::{Descriptor, Progress, tag_of, version_of};
use super::published::{Place, Published};
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
    wasm: Vec<u8>,
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
        let source = Source::Published(published.repository.clone());
        let signer = self.signer(&published, &source)?;
        self.loader.limits().allow(described.size)?;
        let layer = Descriptor {
            digest: described.wasm.to_string(),
            size: described.size,
            ..Descriptor::of("application/wasm", &[])
        };
        let wasm = place.blob(&layer, progress).await?;
        let candidate = Candidate::of(name().into(), &wasm);
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
        Ok(Taken { connector, source, published: Some(published), signer, wasm })
    }

    /// A file, from wherever it lies.
    pub async fn take_file(&self, path: &Path) -> Result<Taken> {
        let candidate = self.loader.read(path).await?;
        self.rules.allow(&candidate.digest)?;
        let wasm = candidate.bytes().to_vec();
        let connector = self.loader.load(candidate).await?;
        let (source, published, signer) = (Source::of_file(path), None, None);
        Ok(Taken { connector, source, published, signer, wasm })
    }

    /// Who stands for it: of several, whoever stood for the one in the lock.
    fn signer(&self, published: &Published, source: &Source) -> Result<Option<KeyId>> {
        let signers = self.signers(published)?;
        let lock = self.rules.locked()?;
        let before = lock.from(source).and_then(|locked| locked.signer.clone());
        let same = before.filter(|signer| signers.contains(signer));
        Ok(same.or_else(|| signers.into_iter().next()))
    }

    /// Keeps what was taken in the store, and writes it into the lock. `accept`: also where its name is locked to
    /// another place.
    pub async fn lock(&self, taken: &Taken, accept: bool) -> Result<Placed> {
        let locked = taken.entry();
        self.put(&locked.wasm, taken.wasm.clone()).await?;
        if let Some(published) = &taken.published {
            keep(&self.store, published).await?;
        }
        // Of two at once, neither loses what the other writes.
        let _alone = alone(&self.rules.lock)?;
        let mut lock = self.rules.locked()?;
        let before = lock.put(locked.clone());
        if !accept && let Some(why) = before.iter().find_map(|one| misplaced(one, &locked)) {
            return Err(why.at(self.rules.lock.display().to_string()));
        }
        lock.write(&self.rules.lock)?;
        Ok(Placed { locked, before })
    }

    /// That what was taken is what was agreed to when the one in the lock was. Whoever named its version has looked at
    /// it; but one version is never two.
    pub fn is_agreed(&self, taken: &Taken, is_named: bool) -> Result<()> {
        let (lock, now) = (self.rules.locked()?, taken.entry());
        let locked = lock.from(&now.source).filter(|locked| locked.name == now.name);
        let Some(locked) = locked else { return Ok(()) };
        let Source::Published(_) = &now.source else {
            // Whoever builds a file gives it a version when it is done.
            return agreed(locked, &now, locked.unlike(&now));
        };
        if locked.version == now.version && locked.manifest != now.manifest {
            return Err(Refusal::Moved(now.version).of(&now.source));
        }
        if is_named {
            return Ok(());
        }
        let version = Version::parse(&now.version).ok();
        let older =
            |version: &Version| Version::parse(&locked.version).is_ok_and(|it| it > *version);
        if version.as_ref().is_some_and(older) {
            let (locked, found) = (locked.version.clone(), now.version);
            return Err(Refusal::Downgrade { locked, found }.of(&now.source));
        }
        let mut unlike = locked.unlike(&now);
        if !version.is_some_and(|version| is_compatible(&locked.version, &version)) {
            unlike.insert(0, "it is of another generation".to_owned());
        }
        agreed(locked, &now, unlike)
    }
}

fn agreed(locked: &Locked, now: &Locked, unlike: Vec<String>) -> Result<()> {
    if unlike.is_empty() {
        return Ok(());
    }
    let (locked, found) = (locked.version.clone(), now.version.clone());
    Err(Refusal::NotAgreed { locked, found, unlike }.of(&now.source))
}

/// Why one entry may not take the place of another unless a person says so.
fn misplaced(before: &Locked, now: &Locked) -> Option<Failure> {
    if before.name != now.name {
        let (source, name, before) = (&now.source, &now.name, &before.name);
        let what = format!("{source} is locked as `{before}`, and calls itself `{name}` now");
        let next = "if it is to be locked by that name instead, say `--accept`";
        return Some(Failure::settings(what).next(next));
    }
    (before.source != now.source).then(|| {
        let (name, before, now) = (&now.name, &before.source, &now.source);
        let what = format!("`{name}` is locked to {before}, and this one is from {now}");
        let next = "if it is to take the other's place, with its grants, say `--accept`";
        Failure::settings(what).next(next)
    })
}

/// What stands in the lock now.
pub struct Placed {
    pub locked: Locked,
    /// What stood there before, by its name or from its source.
    pub before: Vec<Locked>,
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
