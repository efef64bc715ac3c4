//! Connectors by name: the folder that `.wasm` files are dropped into, and the store that keeps each
//! one that is in use by its digest.
//!
//! Putting another file into the folder changes what the next crawl uses; a crawl under way keeps to
//! the copy in the store.

pub mod oci;
pub mod refusal;
pub mod trust;

use std::cmp::Reverse;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;

use crate::cell::{Candidate, Connector, Loader};
use crate::connector::Digest;
use crate::failure::{Failure, Result};
use crate::store::Store;

#[derive(Clone)]
pub struct Registry {
    loader: Loader,
    folder: PathBuf,
    store: Store,
}

/// A file in the folder, and what it turned out to be.
pub struct Found {
    pub path: PathBuf,
    pub connector: Result<Arc<Connector>>,
}

impl Registry {
    /// Connectors of `folder`; copies of those in use are kept in `store`.
    pub fn new(loader: Loader, folder: impl Into<PathBuf>, store: Store) -> Self {
        Self { loader, folder: folder.into(), store }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The `.wasm` files of the folder, in order of their names.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let unreadable = |error: std::io::Error| {
            Failure::settings(format!("cannot read the folder of connectors: {error}"))
                .at(self.folder.display().to_string())
                .next("create it and put `.wasm` files there, or change `folder` in [connectors]")
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(unreadable)? {
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

    /// The connector that a connection names: a file, a manifest's name, or `sha256:…`.
    pub async fn find(&self, name: &str) -> Result<Arc<Connector>> {
        if name.starts_with("sha256:") {
            let digest: Digest = name.parse()?;
            return self.pinned(&digest).await;
        }
        if name.starts_with("oci://") {
            return Err(Failure::settings(
                "connectors cannot be pulled from a registry in this version",
            )
            .next("put the `.wasm` file into the folder of connectors and name it"));
        }
        let is_wasm = Path::new(name).extension().is_some_and(|extension| extension == "wasm");
        if is_wasm || name.contains('/') {
            return self.loader.load_file(&self.folder.join(name)).await;
        }
        self.by_name(name).await
    }

    /// The newest of the folder's connectors with this name.
    async fn by_name(&self, name: &str) -> Result<Arc<Connector>> {
        let mut broken = None;
        let mut refused = Vec::new();
        let mut matching = Vec::new();
        let mut others = Vec::new();
        for Found { path, connector } in self.all().await? {
            match connector {
                Ok(connector) if connector.manifest.name == name => {
                    let modified = path.metadata().and_then(|file| file.modified()).ok();
                    matching.push((
                        Version::parse(&connector.manifest.version).ok(),
                        modified,
                        connector,
                    ));
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
        matching.sort_by_key(|(version, modified, _)| Reverse((version.clone(), *modified)));
        let newest = matching.first().map(|(_, _, connector)| connector.digest.clone());
        if let Some(newest) = newest
            .filter(|newest| matching.iter().any(|(_, _, connector)| connector.digest != *newest))
        {
            tracing::warn!(
                "several files call themselves `{name}`, and the newest version of them is used ({}); to be sure of \
                 one, write `connector = \"{newest}\"`",
                newest.short()
            );
        }
        if let Some((_, _, connector)) = matching.into_iter().next() {
            return Ok(connector);
        }
        // What is alone in the folder and does not load is what was meant.
        let alone = refused.pop().filter(|_| refused.is_empty() && others.is_empty());
        Err(broken.or(alone).unwrap_or_else(|| {
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
        let source = self.file_of(digest).await?;
        self.store.put(&name, source.bytes().to_vec()).await
    }

    /// Exactly the connector that a crawl began with.
    pub async fn pinned(&self, digest: &Digest) -> Result<Arc<Connector>> {
        if let Some(connector) = self.loader.loaded(digest) {
            return Ok(connector);
        }
        let name = stored(digest);
        let kept = self.store.get(&name).await?;
        let kept = kept.map(|bytes| Candidate::of(self.store.place(&name).into(), &bytes));
        let candidate = match kept.filter(|candidate| candidate.digest == *digest) {
            Some(candidate) => candidate,
            None => self.file_of(digest).await?,
        };
        self.loader.load(candidate).await
    }

    async fn file_of(&self, digest: &Digest) -> Result<Candidate> {
        for path in self.files()? {
            match self.loader.read(&path).await {
                Ok(candidate) if candidate.digest == *digest => return Ok(candidate),
                _ => {}
            }
        }
        Err(Failure::settings(format!(
            "the connector this crawl began with ({}) is not on this worker",
            digest.short()
        ))
        .at(self.folder.display().to_string())
        .next("put that version's `.wasm` file back beside the new one, or cancel the crawl"))
    }
}

/// Where a copy is kept.
fn stored(digest: &Digest) -> String {
    format!("connectors/{}.wasm", digest.hex())
}
