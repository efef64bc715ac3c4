//! Where Sheaf keeps what must outlive a process: a folder, or a bucket that several workers share.
//!
//! Whatever is written is written whole or not at all. There is one way to agree among several
//! writers, which every kind of store has: a name can be created only once.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use url::Url;

use crate::failure::{Failure, Kind, Result};

/// Which store is meant: `state_store` in `sheaf.toml`, or the folder of local state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    Folder(PathBuf),
    /// `s3://bucket/prefix`, `gs://…` or `az://…`. Keys and regions come from the environment, as the
    /// cloud's own tools read them.
    Bucket(Url),
}

#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    /// For people.
    place: Arc<str>,
    /// The folder, if it is one.
    folder: Option<Arc<FilePath>>,
    /// When things were written, by a clock that a test has stopped.
    #[cfg(test)]
    stamps: stopped::Stamps,
}

/// Something in a folder that grows.
#[derive(Clone, Debug)]
pub struct Log {
    file: Arc<std::fs::File>,
    place: String,
}

impl Log {
    /// Adds to the end, and returns when it is on the disk.
    pub async fn append(&self, bytes: Vec<u8>) -> Result<()> {
        use std::io::Write as _;
        let file = self.file.clone();
        let written = tokio::task::spawn_blocking(move || {
            (&*file).write_all(&bytes)?;
            file.sync_data()
        });
        let written = written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        written.map_err(|error| {
            Failure::internal(format!("Sheaf's state cannot be written: {error}"))
                .at(self.place.clone())
                .next("see that its disk has room")
        })
    }
}

/// One thing that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name below the store's root.
    pub name: String,
    pub bytes: u64,
    pub modified: SystemTime,
}

/// Large things are written in parts of this size; S3 takes no smaller ones.
const PART: usize = 5 << 20;

impl Store {
    pub fn open(location: &Location) -> Result<Self> {
        match location {
            Location::Folder(folder) => Self::folder(folder),
            Location::Bucket(url) => Self::bucket(url),
        }
    }

    fn folder(folder: &FilePath) -> Result<Self> {
        let place = folder.display().to_string();
        let unusable = |error: &dyn std::fmt::Display| {
            Failure::settings(format!("the folder of Sheaf's state cannot be used: {error}"))
                .at(place.clone())
                .next("correct its permissions, or change `state_folder`")
        };
        std::fs::create_dir_all(folder).map_err(|error| unusable(&error))?;
        let objects = LocalFileSystem::new_with_prefix(folder).map_err(|error| unusable(&error))?;
        // A power cut must not leave half of what was said to be kept.
        let objects = objects.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self {
            objects: Arc::new(objects),
            root: Path::default(),
            place: place.into(),
            folder: Some(folder.into()),
            #[cfg(test)]
            stamps: stopped::Stamps::default(),
        })
    }

    fn bucket(url: &Url) -> Result<Self> {
        crate::tls::choose_provider();
        let unusable = |error: Error| {
            Failure::settings(format!("the store of Sheaf's state cannot be used: {error}"))
                .at(url.to_string())
                .next("correct `state_store`, and the environment's variables for it")
        };
        let environment = std::env::vars().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let meant = ["aws_", "google_", "azure_"].iter().any(|start| name.starts_with(start));
            meant.then_some((name, value))
        });
        let (objects, root) = object_store::parse_url_opts(url, environment).map_err(unusable)?;
        Ok(Self {
            objects: objects.into(),
            root,
            place: url.to_string().into(),
            folder: None,
            #[cfg(test)]
            stamps: stopped::Stamps::default(),
        })
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), Path::join)
    }

    fn failed(&self, name: &str, did: &str, error: &Error) -> Failure {
        // Whether it may pass is not said by each store: the crawl's policy decides when to stop.
        Failure::new(Kind::Internal, format!("Sheaf's state cannot be {did}: {error}"))
            .at(format!("{}/{name}", self.place))
            .next(
                "see that the store can be reached and has room, and that its permissions allow it",
            )
    }

    /// Writes something, reads it and removes it again: whether a crawl could work here.
    pub async fn probe(&self) -> Result<()> {
        let name = format!("probes/{:016x}", rand::random::<u64>());
        let created = self.create(&name, "probe").await?;
        let found = self.get(&name).await;
        self.remove(&name).await?;
        if created && found?.as_deref() == Some(b"probe") {
            return Ok(());
        }
        Err(Failure::internal("what was just written to the store is not there")
            .at(self.place(&name))
            .next("use a store that shows what is written at once"))
    }

    pub fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.place)
    }

    pub async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let got = match self.objects.get(&self.path(name)).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name, "read", &error)),
        }
    }

    /// A part of something large. `from` and `to` must lie in it.
    pub async fn part(&self, name: &str, from: u64, to: u64) -> Result<Bytes> {
        let got = self.objects.get_range(&self.path(name), from..to).await;
        got.map_err(|error| self.failed(name, "read", &error))
    }

    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        match self.objects.head(&self.path(name)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(name, "read", &error)),
        }
    }

    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<()> {
        #[cfg(test)]
        self.stamps.set(name);
        let put = self.objects.put(&self.path(name), bytes.into().into()).await;
        put.map(drop).map_err(|error| self.failed(name, "written", &error))
    }

    /// Writes what is not there yet. `false`: somebody else was first.
    pub async fn create(&self, name: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        let options = PutOptions::from(PutMode::Create);
        match self.objects.put_opts(&self.path(name), bytes.into().into(), options).await {
            Ok(_) => {
                #[cfg(test)]
                self.stamps.set(name);
                Ok(true)
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed(name, "written", &error)),
        }
    }

    /// What is there already, to be added to. A bucket has no such thing.
    pub fn log(&self, name: &str) -> Result<Option<Log>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let path = folder.join(name);
        let file = std::fs::File::options().append(true).open(&path).map_err(|error| {
            Failure::internal(format!("Sheaf's state cannot be written: {error}"))
                .at(path.display().to_string())
        })?;
        Ok(Some(Log { file: Arc::new(file), place: path.display().to_string() }))
    }

    /// For something too large to be held at once; it is there when the writer is shut down.
    pub fn writer(&self, name: &str) -> BufWriter {
        BufWriter::with_capacity(self.objects.clone(), self.path(name), PART)
    }

    /// What is kept below a name, in order.
    pub async fn list(&self, below: &str) -> Result<Vec<Kept>> {
        let prefix = self.path(below);
        let listed = self.objects.list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let listed = listed.map_err(|error| self.failed(below, "listed", &error))?;
        let root = self.root.as_ref();
        let mut kept: Vec<_> = listed
            .into_iter()
            .map(|found| {
                let name = found.location.as_ref();
                let name = name.strip_prefix(root).unwrap_or(name).trim_start_matches('/');
                Kept {
                    name: name.to_owned(),
                    bytes: found.size,
                    modified: found.last_modified.into(),
                }
            })
            .collect();
        #[cfg(test)]
        self.stamps.apply(&mut kept);
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(kept)
    }

    /// The store's own time, which stamps whatever is written: machines need not agree about theirs.
    pub async fn now(&self, probe: &str) -> Result<SystemTime> {
        self.put(probe, Bytes::new()).await?;
        #[cfg(test)]
        if let Some(now) = crate::clock::stopped::now() {
            return Ok(now.into());
        }
        match self.objects.head(&self.path(probe)).await {
            Ok(found) => Ok(found.last_modified.into()),
            Err(error) => Err(self.failed(probe, "read", &error)),
        }
    }

    pub async fn remove(&self, name: &str) -> Result<()> {
        match self.objects.delete(&self.path(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(name, "removed", &error)),
        }
    }

    /// Puts whatever is kept below a name, or is the thing itself, below another.
    pub async fn move_all(&self, from: &str, to: &str) -> Result<()> {
        let mut names: Vec<String> =
            self.list(from).await?.into_iter().map(|kept| kept.name).collect();
        if names.is_empty() && self.size(from).await?.is_some() {
            names.push(from.to_owned());
        }
        for name in names {
            let target = format!("{to}{}", name.strip_prefix(from).unwrap_or(&name));
            let moved = self.objects.rename(&self.path(&name), &self.path(&target)).await;
            moved.map_err(|error| self.failed(&name, "moved aside", &error))?;
        }
        Ok(())
    }

    pub async fn remove_all(&self, below: &str) -> Result<()> {
        for kept in self.list(below).await? {
            self.remove(&kept.name).await?;
        }
        Ok(())
    }
}

/// A store's clock that a test has stopped.
#[cfg(test)]
mod stopped {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::Kept;
    use crate::clock::{Timestamp, stopped};

    #[derive(Clone, Debug, Default)]
    pub(super) struct Stamps(Arc<Mutex<HashMap<String, Timestamp>>>);

    impl Stamps {
        pub(super) fn set(&self, name: &str) {
            if let Some(now) = stopped::now() {
                let mut stamps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                stamps.insert(name.to_owned(), now);
            }
        }

        pub(super) fn apply(&self, kept: &mut [Kept]) {
            let stamps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for kept in kept {
                if let Some(stamp) = stamps.get(&kept.name) {
                    kept.modified = (*stamp).into();
                }
            }
        }
    }
}
