//! Takes connectors from elsewhere, and locks them once they are what was agreed to.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use semver::Version;

use super::asks::Asks;
use super::find::{Found, Registry};
use super::kept::{keep, kept};
use super::lock::{Lock, Locked, Source};
use super::newest::{is_compatible, is_newer};
use super::oci::{Descriptor, Progress, tag_of, version_of};
use super::published::{Place, Published};
use super::refusal::Refusal;
use super::trust::KeyId;
use crate::cell::{Candidate, Connector};
use crate::failure::{Failure, Kind, Result};

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
        let source = Source::Published(published.repository.clone());
        let signer = self.signer(&published, &source)?;
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
        if tag_of(version) != tag {
            let (tag, version) = (tag.to_owned(), version.clone());
            return Err(match version_of(&tag) {
                Some(_) => Refusal::OtherVersion { tag, version }.of(name()),
                None => Refusal::NoVersion { tag, version }.of(name()),
            });
        }
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

    /// Who stands for it: of several, whoever stood for the one in the lock.
    fn signer(&self, published: &Published, source: &Source) -> Result<Option<KeyId>> {
        let signers = self.signers(published)?;
        let lock = self.rules.locked()?;
        let before = lock.from(source).and_then(|locked| locked.signer.clone());
        let same = before.filter(|signer| signers.contains(signer));
        Ok(same.or_else(|| signers.into_iter().next()))
    }

    /// Keeps what was taken in the store, and writes it into the lock: all of it, or nothing where one of it is not what
    /// somebody has agreed to.
    pub async fn lock(&self, taken: &[Taken], consent: Consent) -> Result<Vec<Placed>> {
        // Of two at once, neither loses what the other writes, nor goes behind it.
        let _alone = alone(&self.rules.lock)?;
        let mut lock = self.rules.locked()?;
        let mut all = Vec::new();
        for taken in taken {
            let locked = taken.entry();
            if consent != Consent::Accepted {
                if lock.named(&locked.name).is_none() {
                    self.is_not_in_folder(&locked).await?;
                }
                is_agreed(&lock, &locked, consent)?;
            }
            let before = lock.put(locked.clone());
            if consent != Consent::Accepted
                && let Some(why) = before.iter().find_map(|one| misplaced(one, &locked))
            {
                return Err(why.at(self.rules.lock.display().to_string()));
            }
            all.push(Placed { locked, before });
        }
        for taken in taken {
            self.store_taken(taken).await?;
        }
        lock.write(&self.rules.lock)?;
        Ok(all)
    }

    /// That no other file of the folder bears its name: that one may be what a connection means by it.
    async fn is_not_in_folder(&self, now: &Locked) -> Result<()> {
        let mut other = None;
        for Found { path, connector } in self.all().await? {
            match connector {
                Ok(connector) if connector.digest == now.wasm => return Ok(()),
                Ok(connector) if connector.manifest.name == now.name => other = Some(path),
                // It may be the one that bears the name.
                Err(failure) if failure.kind == Kind::TimedOut => return Err(failure),
                Err(_) if path.file_stem().is_some_and(|stem| stem == &*now.name) => {
                    other = Some(path);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let Some(path) = other else { return Ok(()) };
        let (name, source) = (&now.name, &now.source);
        let what =
            format!("a file of the folder is `{name}` already, and this one is from {source}");
        let next = "if it is to take the other's place, with its grants, say `--accept`";
        Err(Failure::settings(what).at(path.display().to_string()).next(next))
    }

    /// Fetches again what is locked and is not in the store, exactly as it was locked. The lock stays as it is.
    pub async fn restore(&self, locked: &Locked, place: &Place, progress: &Progress) -> Result<()> {
        let published = match &locked.manifest {
            Some(manifest) => place.published(&manifest.to_string()).await?,
            None => None,
        };
        let of = || format!("{}:{}", locked.source, tag_of(&locked.version));
        let published = published.ok_or_else(|| {
            Failure::settings(format!("`{}` is not where it was published any more", locked.name))
                .at(of())
                .next(
                    "take it from a store or a bundle that has it, or `sheaf add` another version",
                )
        })?;
        if locked.manifest.as_ref() != Some(&published.digest()) {
            return Err(Refusal::ManifestChanged.of(of()));
        }
        // Whoever runs what was taken back runs it on.
        let taken = self.take(place, published, &tag_of(&locked.version), true, progress).await?;
        self.store_taken(&taken).await?;
        self.load_locked(locked).await.map(drop)
    }

    async fn store_taken(&self, taken: &Taken) -> Result<()> {
        // Each is on the disk when it is done; neither waits for the other.
        let said = async {
            let Some(published) = &taken.published else { return Ok(()) };
            // What was heard of it before is not forgotten. What was changed in the store is written anew.
            let before = kept(&self.store, &published.repository, &published.digest()).await;
            let mut all = published.clone();
            if let Ok(Some(before)) = before {
                self.add_what_is_new(&mut all, before);
            }
            keep(&self.store, &all).await
        };
        tokio::try_join!(self.put(&taken.connector.digest, taken.wasm.clone()), said).map(drop)
    }
}

/// What somebody has agreed to who wants a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// No more than to what is locked.
    AsLocked,
    /// To a version, by its name: they have looked at it.
    Named,
    /// To whatever it is.
    Accepted,
}

/// That what was taken is what was agreed to when the one in the lock was.
fn is_agreed(lock: &Lock, now: &Locked, consent: Consent) -> Result<()> {
    let locked = lock.from(&now.source).filter(|locked| locked.name == now.name);
    let Some(locked) = locked else { return Ok(()) };
    let is_published = matches!(now.source, Source::Published(_));
    // One version is never two; but whoever builds a file gives it a version when it is done.
    if is_published && locked.version == now.version && locked.manifest != now.manifest {
        return Err(Refusal::Moved(now.version.clone()).of(&now.source));
    }
    if consent == Consent::Named {
        return Ok(());
    }
    let is_older = Version::parse(&locked.version).is_ok_and(|it| is_newer(&now.version, &it));
    let (before, found) = (locked.version.clone(), now.version.clone());
    if is_older {
        return Err(Refusal::Downgrade { locked: before, found }.of(&now.source));
    }
    let mut unlike = locked.unlike(now);
    let is_kin = |version| is_compatible(&locked.version, &version);
    if is_published && !Version::parse(&now.version).is_ok_and(is_kin) {
        unlike.insert(0, "it is of another generation".to_owned());
    }
    if unlike.is_empty() {
        return Ok(());
    }
    let failure = Refusal::NotAgreed { locked: before, found, unlike }.of(&now.source);
    // What is shown now is what they look at; what is newest may be another one then.
    let named = if is_published { format!("{}, or ", now.add_again()) } else { String::new() };
    Err(failure.next(format!("if that is right: {named}`--accept`")))
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

/// Holds the folder that the lock stands in, until it is dropped: nothing else does.
fn alone(lock: &Path) -> Result<std::fs::File> {
    let folder = match lock.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let held = std::fs::File::open(folder).and_then(|file| file.lock().map(|()| file));
    held.map_err(|error| {
        Failure::settings(format!("the lock of connectors cannot be written: {error}"))
            .at(folder.display().to_string())
            .next("see to the folder's permissions")
    })
}
