//! An OCI layout in a tar: published connectors and their signatures for where no registry can be reached. `oras` and
//! `skopeo` read it, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::oci::{
    Annotations, Descriptor, Index, MANIFEST, Manifest, Reference, Repository, SCHEME,
};
use super::refusal::{Refusal, expect};
use crate::connector::Digest;
use crate::failure::{Failure, Result};

const MARK: &str = "oci-layout";
const MARK_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
const BLOBS: &str = "blobs/sha256/";
const NAME: &str = "org.opencontainers.image.ref.name";
const MAX_INDEX: u64 = 16 << 20;
const MOST_FILES: usize = 100_000;

/// A tar that was opened.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

/// Where each blob stands in the file, and how long it is.
type Blobs = BTreeMap<String, (u64, u64)>;

struct Inner {
    path: PathBuf,
    blobs: Blobs,
    /// In the order in which they stand there.
    references: Vec<Reference>,
    /// What each repository has, by tag.
    tagged: BTreeMap<Repository, BTreeMap<String, Descriptor>>,
    /// The manifests that are attached to another, by its digest.
    attached: BTreeMap<String, Vec<Descriptor>>,
}

/// One repository of it.
pub struct Layout {
    archive: Archive,
    repository: Repository,
}

impl Archive {
    pub fn open(path: &Path) -> Result<Self> {
        let unread = |why: String| {
            Failure::settings(format!("the bundle cannot be read: {why}"))
                .at(path.display().to_string())
                .next("give a tar that `sheaf bundle` wrote")
        };
        let io = |error: std::io::Error| unread(error.to_string());
        let mut tar = tar::Archive::new(File::open(path).map_err(io)?);
        let (mut blobs, mut index, mut marked) = (BTreeMap::new(), None, false);
        for (entry, number) in tar.entries_with_seek().map_err(io)?.zip(1..) {
            let mut entry = entry.map_err(io)?;
            if number > MOST_FILES {
                return Err(unread(format!("it has more than {MOST_FILES} files")));
            }
            let name = entry.path().map_err(io)?.to_string_lossy().into_owned();
            // As `tar` writes what is in a folder.
            let name = name.strip_prefix("./").map(str::to_owned).unwrap_or(name);
            if !entry.header().entry_type().is_file() {
                continue;
            }
            if let Some(hex) = name.strip_prefix(BLOBS) {
                blobs.insert(hex.to_owned(), (entry.raw_file_position(), entry.size()));
            } else if name == INDEX_FILE {
                let mut bytes = Vec::new();
                entry.by_ref().take(MAX_INDEX).read_to_end(&mut bytes).map_err(io)?;
                let read = serde_json::from_slice::<Index>(&bytes);
                index = Some(read.map_err(|error| unread(format!("its index: {error}")))?);
            }
            marked |= name == MARK;
        }
        let index = index.filter(|_| marked).ok_or_else(|| unread("it is no OCI layout".into()))?;
        let mut inner = Inner {
            path: path.to_owned(),
            blobs,
            references: Vec::new(),
            tagged: BTreeMap::new(),
            attached: BTreeMap::new(),
        };
        inner.sort(index)?;
        Ok(Self(Arc::new(inner)))
    }

    /// What is in it, by name and version.
    pub fn references(&self) -> Vec<Reference> {
        self.0.references.clone()
    }

    pub fn of(&self, repository: Repository) -> Layout {
        Layout { archive: self.clone(), repository }
    }

    fn blob(&self, digest: &Digest, most: u64) -> Result<Option<Vec<u8>>> {
        self.0.blob(digest, most)
    }
}

impl Inner {
    /// Reads each manifest once: which are called something, and which are attached to another.
    fn sort(&mut self, index: Index) -> Result<()> {
        let mut seen = BTreeSet::new();
        for one in index.manifests {
            let name = one.annotations.get(NAME);
            let name: Option<Reference> =
                name.and_then(|name| format!("{SCHEME}{name}").parse().ok());
            if let Some(reference) = name {
                self.references.push(reference.clone());
                let tagged = self.tagged.entry(reference.repository).or_default();
                reference.tag.map(|tag| tagged.entry(tag).or_insert_with(|| one.clone()));
            }
            if !seen.insert(one.digest.clone()) {
                continue;
            }
            let digest: Digest = one.digest.parse()?;
            let bytes = self.blob(&digest, MAX_INDEX)?.ok_or_else(|| {
                Refusal::BundleUnread(format!("{digest} is not in the bundle"))
                    .of(self.path.display())
            })?;
            let read = serde_json::from_slice::<Manifest>(&bytes).ok();
            if let Some(subject) = read.and_then(|manifest| manifest.subject) {
                self.attached.entry(subject.digest).or_default().push(one);
            }
        }
        Ok(())
    }

    fn blob(&self, digest: &Digest, most: u64) -> Result<Option<Vec<u8>>> {
        let Some(&(at, size)) = self.blobs.get(digest.hex()) else { return Ok(None) };
        let of = || format!("{} in {}", digest, self.path.display());
        if size > most {
            return Err(Refusal::WrongSize { said: most, came: size }.of(of()));
        }
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            file.take(size).read_to_end(&mut bytes)
        });
        read.map_err(|error| {
            Failure::settings(format!("the bundle cannot be read: {error}")).at(of())
        })?;
        expect(&Digest::of(&bytes), digest, Refusal::FileChanged).map_err(|it| it.of(of()))?;
        Ok(Some(bytes))
    }
}

impl Layout {
    pub(super) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(super) fn tags(&self) -> Vec<String> {
        let tagged = self.archive.0.tagged.get(&self.repository);
        tagged.map_or_else(Vec::new, |tagged| tagged.keys().cloned().collect())
    }

    pub(super) fn tagged(&self, tag: &str) -> Result<Option<Vec<u8>>> {
        let tagged = self.archive.0.tagged.get(&self.repository);
        match tagged.and_then(|tagged| tagged.get(tag)) {
            Some(one) => self.blob(&one.digest.parse()?),
            None => Ok(None),
        }
    }

    pub(super) fn blob(&self, digest: &Digest) -> Result<Option<Vec<u8>>> {
        self.archive.blob(digest, MAX_INDEX)
    }

    pub(super) fn exactly(&self, of: &Descriptor) -> Result<Vec<u8>> {
        let digest: Digest = of.digest.parse()?;
        let bytes = self.archive.blob(&digest, of.size)?;
        let bytes = bytes.ok_or_else(|| {
            Failure::settings(format!("{digest} is not in the bundle"))
                .at(self.archive.0.path.display().to_string())
                .next("write it again with `sheaf bundle`")
        })?;
        if bytes.len() as u64 != of.size {
            let came = bytes.len() as u64;
            return Err(Refusal::WrongSize { said: of.size, came }.of(digest));
        }
        Ok(bytes)
    }

    /// The manifests whose subject this one is.
    pub(super) fn attached(&self, digest: &Digest) -> Vec<Descriptor> {
        self.archive.0.attached.get(&digest.to_string()).cloned().unwrap_or_default()
    }
}

/// Writes an archive, of which nothing is there until all is.
pub struct ArchiveWriter {
    tar: tar::Builder<BufWriter<tempfile::NamedTempFile>>,
    path: PathBuf,
    manifests: Vec<Descriptor>,
    written: BTreeSet<String>,
}

impl ArchiveWriter {
    pub fn create(path: &Path) -> Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file =
            tempfile::NamedTempFile::new_in(folder).map_err(|error| unwritten(path, &error))?;
        let tar = tar::Builder::new(BufWriter::new(file));
        let (manifests, written) = (Vec::new(), BTreeSet::new());
        let mut writer = Self { tar, path: path.to_owned(), manifests, written };
        writer.file(MARK, MARK_TEXT.as_bytes())?;
        Ok(writer)
    }

    /// A manifest, which people find by `name` if it has one.
    pub fn manifest(
        &mut self,
        mut of: Descriptor,
        name: Option<&Reference>,
        bytes: &[u8],
    ) -> Result<()> {
        self.blob(bytes)?;
        if let Some(name) = name {
            let text = name.to_string();
            let text = text.strip_prefix(SCHEME).unwrap_or(&text).to_owned();
            of.annotations = Annotations::from([(NAME.to_owned(), text)]);
        }
        MANIFEST.clone_into(&mut of.media_type);
        self.manifests.push(of);
        Ok(())
    }

    pub fn blob(&mut self, bytes: &[u8]) -> Result<()> {
        let digest = Digest::of(bytes);
        if !self.written.insert(digest.hex().to_owned()) {
            return Ok(());
        }
        self.file(&format!("{BLOBS}{}", digest.hex()), bytes)
    }

    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        let written = self.tar.append_data(&mut header, name, bytes);
        written.map_err(|error| unwritten(&self.path, &error))
    }

    pub fn finish(mut self) -> Result<()> {
        let index = Index::new(std::mem::take(&mut self.manifests));
        let json = |error| Failure::internal(format!("an index is no JSON: {error}"));
        self.file(INDEX_FILE, &serde_json::to_vec(&index).map_err(json)?)?;
        let Self { tar, path, .. } = self;
        let kept = tar.into_inner().and_then(|mut buffer| {
            buffer.flush()?;
            let file = buffer.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            super::lock::readable(file.path())?;
            file.persist(&path).map_err(|error| error.error).map(drop)
        });
        kept.map_err(|error| unwritten(&path, &error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::settings(format!("the bundle cannot be written: {error}"))
        .at(path.display().to_string())
        .next("see that its folder is there, and has room")
}
