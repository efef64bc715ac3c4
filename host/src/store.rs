//! Where Sheaf keeps what must outlive a process: a folder, or a bucket that several workers share.
//!
//! Whatever is written is written whole or not at all. There is one way to agree among several
//! writers, which every kind of store has: a name can be created only once.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};
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

/// Large things are written into a bucket in parts of this size; S3 takes no smaller ones.
const PART: usize = 5 << 20;
/// The same into a folder.
const FOLDER_PART: usize = 1 << 20;
/// So many of these are on their way at once; they are held in memory.
const PARTS: usize = 2;

/// So many requests to a bucket go out at once where many are needed.
const AT_ONCE: usize = 16;

/// What a bucket keeps beside a name that was created: who created it, by a number of this one creation.
const WRITER: &str = "writer";
/// How long to wait before a creation of which nothing is known is tried again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
];

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
        Failure::new(Kind::Store, format!("Sheaf's state cannot be {did}: {error}"))
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
        let bytes = bytes.into();
        let created = match self.folder {
            Some(_) => self.create_once(name, bytes, Attributes::new()).await,
            None => self.create_in_bucket(name, bytes).await,
        };
        match created {
            Ok(()) => {
                #[cfg(test)]
                self.stamps.set(name);
                Ok(true)
            }
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(self.failed(name, "written", &error)),
        }
    }

    async fn create_once(
        &self,
        name: &str,
        bytes: Bytes,
        attributes: Attributes,
    ) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
        self.objects.put_opts(&self.path(name), bytes.into(), options).await.map(drop)
    }

    /// A bucket may carry out what it answers with an error, or with nothing; and whoever asks again, here or
    /// on the way, is told that the name is taken. So a creation that failed looks who has the name: if
    /// nobody has it, it tries again, because "conflict" means no more than that another was under way.
    async fn create_in_bucket(&self, name: &str, bytes: Bytes) -> object_store::Result<()> {
        let ours = format!("{:032x}", rand::random::<u128>());
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(WRITER.into()), ours.clone().into());
        let mut pauses = PAUSES.into_iter();
        loop {
            let created = self.create_once(name, bytes.clone(), attributes.clone()).await;
            let Err(error) = created else { return Ok(()) };
            if !may_be_done(&error) {
                return Err(error);
            }
            let path = self.path(name);
            let options = GetOptions { head: true, ..GetOptions::default() };
            match self.objects.get_opts(&path, options).await {
                Ok(found) => {
                    let writer = found.attributes.get(&Attribute::Metadata(WRITER.into()));
                    if writer.is_some_and(|writer| writer.as_ref() == ours) {
                        return Ok(());
                    }
                    let (path, source) = (path.to_string(), Box::new(error));
                    return Err(Error::AlreadyExists { path, source });
                }
                Err(Error::NotFound { .. }) => {}
                Err(_) => return Err(error),
            }
            let Some(pause) = pauses.next() else { return Err(unknown(error)) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether each request takes its time and costs money.
    pub fn is_bucket(&self) -> bool {
        self.folder.is_none()
    }

    /// So much is asked for at once where much is needed.
    pub fn at_once(&self) -> usize {
        if self.is_bucket() { AT_ONCE } else { 1 }
    }

    /// What many requests are answered with, in their order. A bucket is asked for several at once.
    pub async fn each<T, E>(&self, asked: Vec<BoxFuture<'_, Result<T, E>>>) -> Result<Vec<T>, E> {
        stream::iter(asked).buffered(self.at_once()).try_collect().await
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
        let part = if self.is_bucket() { PART } else { FOLDER_PART };
        let writer = BufWriter::with_capacity(self.objects.clone(), self.path(name), part);
        writer.with_max_concurrency(PARTS)
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
        let kept = self.list(below).await?;
        if self.folder.is_some() {
            for kept in kept {
                self.remove(&kept.name).await?;
            }
            return Ok(());
        }
        let paths = kept.into_iter().map(|kept| Ok(self.path(&kept.name)));
        let mut removed =
            self.objects.delete_stream(stream::iter(paths.collect::<Vec<_>>()).boxed());
        while let Some(removed) = removed.next().await {
            match removed {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed(below, "removed", &error)),
            }
        }
        Ok(())
    }
}

/// Whether something may have been created that was answered so.
fn may_be_done(error: &Error) -> bool {
    matches!(
        error,
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::Generic { .. }
    )
}

/// A creation that was refused again and again, while nobody has the name.
fn unknown(error: Error) -> Error {
    match error {
        Error::AlreadyExists { source, .. } | Error::Precondition { source, .. } => {
            Error::Generic { store: "bucket", source }
        }
        error => error,
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
