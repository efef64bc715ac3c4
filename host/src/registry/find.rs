//! Finds the connector that a connection means.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::lock::{Locked, Source};
use super::oci::{Repository, SCHEME};
use super::rules::Rules;

use crate::cell::{Candidate, Connector, Loader};
use crate::connector::Digest;
use crate::failure::{Failure, Kind, Result};
use crate::store::Store;

#[derive(Clone)]
pub struct Registry {
    pub(super) loader: Loader,
    folder: PathBuf,
    pub(super) store: Store,
    pub(super) rules: Rules,
    /// Files that the rules were found to allow.
    pub(super) allowed: Arc<Mutex<HashSet<Digest>>>,
}

/// A file in the folder, and what it turned out to be.
pub struct Found {
    pub path: PathBuf,
    pub connector: Result<Arc<Connector>>,
}

impl Registry {
    /// Connectors of `folder`; copies of those in use are kept in `store`.
    pub fn new(loader: Loader, folder: impl Into<PathBuf>, store: Store, rules: Rules) -> Self {
        Self { loader, folder: folder.into(), store, rules, allowed: Arc::default() }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The `.wasm` files of the folder, in order of their names.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let unreadable = |error: std::io::Error| {
            Failure::settings(format!("cannot read the folder of connectors: {error}"))
                .at(self.folder.display().to_string())
                .next("see to its permissions, or change `folder` in [connectors]")
        };
        let mut files = Vec::new();
        let entries = match std::fs::read_dir(&self.folder) {
            // Where all that is run is published, nobody needs one.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
            entries => entries.map_err(unreadable)?,
        };
        for entry in entries {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "wasm") && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// The connector in one file.
    pub async fn load(&self, path: &Path) -> Result<Arc<Connector>> {
        self.loader.load_file(path).await
    }

    /// Every connector of the folder, each loaded or with the reason why it is not.
    pub async fn all(&self) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for path in self.files()? {
            let connector = self.loader.load_file(&path).await;
            found.push(Found { path, connector });
        }
        Ok(found)
    }

    /// The connector that a connection names: where it is published, a file, a manifest's name, or `sha256:…`.
    pub async fn find(&self, name: &str) -> Result<Arc<Connector>> {
        if name.starts_with("sha256:") {
            let digest: Digest = name.parse()?;
            return self.pinned(&digest).await;
        }
        let lock = self.rules.locked()?;
        if name.starts_with(SCHEME) {
            let repository: Repository = name.parse()?;
            let locked = lock.from(&Source::Published(repository));
            let locked = locked.ok_or_else(|| {
                Failure::settings(format!("{name} is not locked: nobody has agreed to a version"))
                    .at(self.rules.lock.display().to_string())
                    .next(format!("`sheaf add {name}` shows what it asks for, and locks it"))
            })?;
            return self.load_locked(locked).await;
        }
        let is_wasm = Path::new(name).extension().is_some_and(|extension| extension == "wasm");
        if is_wasm || name.contains('/') {
            return self.by_file(name, lock.from(&Source::of_file(Path::new(name)))).await;
        }
        match lock.named(name) {
            Some(locked) => self.load_locked(locked).await,
            None => self.by_name(name).await,
        }
    }

    /// A file of the folder: what it was when it was locked, where it is.
    async fn by_file(&self, name: &str, locked: Option<&Locked>) -> Result<Arc<Connector>> {
        let connector = self.loader.load_file(&self.folder.join(name)).await?;
        self.rules.allow(&connector.digest)?;
        match locked {
            Some(locked) if locked.wasm != connector.digest => Err(Failure::settings(format!(
                "`{name}` is another file than the one that is locked ({})",
                locked.wasm.short()
            ))
            .at(self.folder.display().to_string())
            .next(format!("`sheaf add {name}` shows what it asks for, and locks it"))),
            _ => Ok(connector),
        }
    }

    /// The folder's connector with this name. A name alone is taken only while one connector bears it: a stranger's
    /// file that calls itself so gets nobody's grants.
    async fn by_name(&self, name: &str) -> Result<Arc<Connector>> {
        let mut broken = None;
        let mut refused = Vec::new();
        let mut matching: Vec<(PathBuf, Arc<Connector>)> = Vec::new();
        let mut others = Vec::new();
        for Found { path, connector } in self.all().await? {
            match connector {
                Ok(connector) if connector.manifest.name == name => {
                    matching.push((path, connector));
                }
                Ok(connector) => others.push(connector.manifest.name.clone()),
                Err(failure) if path.file_stem().is_some_and(|stem| stem == name) => {
                    broken = Some(failure);
                }
                Err(failure) => {
                    tracing::warn!("{failure}");
                    refused.push(failure);
                }
            }
        }
        // What does not load may be what is meant: another is not taken for it.
        let not_now = |failure: &Failure| failure.kind == Kind::TimedOut;
        let unknown = refused.iter().position(not_now).map(|at| refused.swap_remove(at));
        if let Some(failure) = broken.take().or(unknown) {
            return Err(failure);
        }
        if let Some((_, connector)) = matching.first() {
            if matching.iter().all(|(_, other)| other.digest == connector.digest) {
                self.rules.allow(&connector.digest)?;
                return Ok(connector.clone());
            }
            let file =
                |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let files: Vec<_> = matching.iter().map(|(path, _)| file(path)).collect();
            return Err(Failure::settings(format!(
                "{} files call themselves `{name}`, and none of them is locked: {}",
                files.len(),
                files.join(", ")
            ))
            .at(self.folder.display().to_string())
            .next("lock the one that you know with `sheaf add FILE`, or take the others away"));
        }
        // What is alone in the folder and does not load is what was meant.
        let alone = refused.pop().filter(|_| refused.is_empty() && others.is_empty());
        Err(alone.unwrap_or_else(|| {
            let next = if others.is_empty() {
                "put its `.wasm` file there".to_owned()
            } else {
                format!("put its `.wasm` file there; the folder has: {}", others.join(", "))
            };
            Failure::settings(format!("there is no connector `{name}`"))
                .at(self.folder.display().to_string())
                .next(next)
        }))
    }

    /// Keeps a copy of a connector that a crawl begins with.
    pub async fn pin(&self, name: &str) -> Result<Arc<Connector>> {
        let connector = self.find(name).await?;
        self.keep(&connector.digest).await?;
        Ok(connector)
    }

    async fn keep(&self, digest: &Digest) -> Result<()> {
        let name = stored(digest);
        if self.store.size(&name).await?.is_some() {
            return Ok(());
        }
        let source = self.in_folder(digest).await?.ok_or_else(|| self.is_gone(digest))?;
        self.store.put(&name, source.bytes().clone()).await
    }

    pub(super) async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<()> {
        self.store.put(&stored(digest), bytes).await
    }

    /// The bytes of a connector that is in the store.
    pub(super) async fn stored(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        let kept = self.store.get(&stored(digest)).await?;
        Ok(kept.filter(|bytes| Digest::of(bytes) == *digest).map(|bytes| bytes.to_vec()))
    }

    /// Exactly the connector that a crawl began with.
    pub async fn pinned(&self, digest: &Digest) -> Result<Arc<Connector>> {
        self.allow_file(digest).await?;
        self.exactly(digest).await?.ok_or_else(|| self.is_gone(digest))
    }

    /// The connector of this digest, out of the store, or out of the folder if it is in no store yet.
    pub(super) async fn exactly(&self, digest: &Digest) -> Result<Option<Arc<Connector>>> {
        if let Some(connector) = self.loader.loaded(digest) {
            return Ok(Some(connector));
        }
        let kept = self.store.get(&stored(digest)).await?;
        let kept = kept.map(|bytes| Candidate::of(self.stored_at(digest).into(), bytes));
        let candidate = match kept.filter(|candidate| candidate.digest == *digest) {
            Some(candidate) => Some(candidate),
            None => self.in_folder(digest).await?,
        };
        match candidate {
            Some(candidate) => self.loader.load(candidate).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn stored_at(&self, digest: &Digest) -> String {
        self.store.place(&stored(digest))
    }

    async fn in_folder(&self, digest: &Digest) -> Result<Option<Candidate>> {
        for path in self.files()? {
            match self.loader.read(&path).await {
                Ok(candidate) if candidate.digest == *digest => return Ok(Some(candidate)),
                _ => {}
            }
        }
        Ok(None)
    }

    fn is_gone(&self, digest: &Digest) -> Failure {
        Failure::settings(format!(
            "the connector with this digest ({}) is not on this worker",
            digest.short()
        ))
        .at(self.folder.display().to_string())
        .next("put that version's `.wasm` file back beside the new one, or cancel the crawl")
    }
}

/// Where a copy is kept.
fn stored(digest: &Digest) -> String {
    format!("connectors/{}.wasm", digest.hex())
}
