//! `sheaf.lock`: which connectors are meant, to the byte. It stands beside `sheaf.toml` and is kept with it.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::asks::Asks;
use super::oci::{Repository, SCHEME, tag_of};
use super::trust::KeyId;
use crate::connector::Digest;
use crate::failure::{Failure, Result};

pub const FILE_NAME: &str = "sheaf.lock";
const VERSION: u32 = 1;
const HEAD: &str = "# Which connectors are meant, to the byte. `sheaf add` and `sheaf update` write this file: keep \
                    it with sheaf.toml.\n";

/// Where a locked connector came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Published(Repository),
    /// A file of this name.
    File(String),
}

/// One connector that is locked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// What it calls itself; no two entries share one.
    pub name: String,
    pub source: Source,
    pub version: String,
    /// Of the manifest that it was published with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub manifest: Option<Digest>,
    pub wasm: Digest,
    /// Whose signature it had, where somebody is trusted for it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signer: Option<KeyId>,
    pub contract: String,
    /// A hash of `asks`, which tells whether somebody changed them here.
    pub asks_hash: Digest,
    pub asks: Asks,
}

/// The file, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    pub connectors: Vec<Locked>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    #[serde(default)]
    connector: Vec<Locked>,
}

impl Locked {
    /// What a person has to agree to before `now` takes this one's place.
    pub fn unlike(&self, now: &Self) -> Vec<String> {
        let mut unlike = Vec::new();
        // That somebody who is trusted signs what nobody signed before takes nothing away.
        if let Some(before) = self.signer.as_ref().filter(|_| self.signer != now.signer) {
            let by = now
                .signer
                .as_ref()
                .map_or_else(|| "nobody who is trusted".to_owned(), ToString::to_string);
            unlike.push(format!("it is signed by {by}, and was by {before}"));
        }
        if self.contract != now.contract {
            let (now, before) = (&now.contract, &self.contract);
            unlike.push(format!("it speaks contract {now}, and spoke {before}"));
        }
        let more = now.asks.beyond(&self.asks);
        unlike.extend(more.iter().map(|one| format!("it asks for {one}")));
        unlike
    }

    /// What fetches exactly this one again.
    pub fn add_again(&self) -> String {
        match &self.source {
            Source::Published(repository) => {
                format!("`sheaf add {repository}:{}`", tag_of(&self.version))
            }
            Source::File(name) => format!("`sheaf add {name}`, where that file lies,"),
        }
    }
}

impl Lock {
    /// An empty one where there is no file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(wrong(path, &format!("it cannot be read: {error}"))
                    .next("see to its permissions"));
            }
        };
        let table: toml::Table = toml::from_str(&text)
            .map_err(|error| wrong(path, &format!("it is no TOML: {}", error.message())))?;
        match table.get("version").and_then(toml::Value::as_integer) {
            Some(version) if version == i64::from(VERSION) => {}
            Some(version) => {
                return Err(wrong(
                    path,
                    &format!("it is of version {version}, and this Sheaf writes {VERSION}"),
                )
                .next("use the Sheaf that wrote it, or a later one"));
            }
            None => return Err(wrong(path, "it says no version")),
        }
        let Form { connector, .. } = table.try_into().map_err(|error: toml::de::Error| {
            wrong(path, &format!("an entry is not as Sheaf writes it: {}", error.message()))
        })?;
        for (number, one) in connector.iter().enumerate() {
            let wrong = |why: &str| wrong(path, &format!("the entry of `{}` {why}", one.name));
            if connector.iter().take(number).any(|other| other.name == one.name) {
                return Err(wrong("stands there twice"));
            }
            if connector.iter().take(number).any(|other| other.source == one.source) {
                return Err(wrong("has the source of another"));
            }
            if one.asks.digest() != one.asks_hash {
                return Err(wrong("asks for something else than what was agreed to"));
            }
            if matches!(one.source, Source::Published(_)) != one.manifest.is_some() {
                return Err(wrong("does not say of which manifest it is"));
            }
            // They are names of files.
            one.wasm.to_string().parse::<Digest>().map_err(|_| wrong("has no digest"))?;
            if let Some(manifest) = &one.manifest {
                manifest.to_string().parse::<Digest>().map_err(|_| wrong("has no digest"))?;
            }
        }
        Ok(Self { connectors: connector })
    }

    /// Whoever reads it while it is written reads the one before.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut connector = self.connectors.clone();
        connector.sort_by(|one, other| one.name.cmp(&other.name));
        let text = toml::to_string(&Form { version: VERSION, connector })
            .map_err(|error| Failure::internal(format!("a lock is no TOML: {error}")))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(format!("{HEAD}\n{text}").as_bytes())?;
            file.as_file().sync_all()?;
            readable(file.path())?;
            file.persist(path).map_err(|error| error.error).map(drop)
        });
        written.map_err(|error| {
            wrong(path, &format!("it cannot be written: {error}"))
                .next("see to its folder's permissions")
        })
    }

    pub fn named(&self, name: &str) -> Option<&Locked> {
        self.connectors.iter().find(|one| one.name == name)
    }

    pub fn from(&self, source: &Source) -> Option<&Locked> {
        self.connectors.iter().find(|one| one.source == *source)
    }

    /// The one that is meant by its name, or by where it came from.
    pub fn meant(&self, named: &str) -> Option<&Locked> {
        self.connectors.iter().find(|one| one.name == named || one.source.to_string() == named)
    }

    /// Puts one in, in the place of those of its name or its source, which are given back.
    pub fn put(&mut self, locked: Locked) -> Vec<Locked> {
        let is_replaced = |one: &mut Locked| one.name == locked.name || one.source == locked.source;
        let replaced = self.connectors.extract_if(.., is_replaced).collect();
        self.connectors.push(locked);
        replaced
    }
}

/// As other files of the folder are: a temporary one is its owner's alone.
#[cfg(unix)]
pub(super) fn readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(super) fn readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn wrong(path: &Path, why: &str) -> Failure {
    Failure::settings(format!("the lock of connectors is not right: {why}"))
        .at(path.display().to_string())
        .next("take it from where it is kept; or delete it, and add its connectors again with `sheaf add`")
}

/// Where the lock of a `sheaf.toml` is.
pub fn beside(config: &Path) -> PathBuf {
    config.with_file_name(FILE_NAME)
}

impl Source {
    /// A file is known by its own name, wherever it lies.
    pub fn of_file(path: &Path) -> Self {
        Self::File(path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published(repository) => repository.fmt(f),
            Self::File(name) => write!(f, "file:{name}"),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with(SCHEME) {
            let repository = text.parse();
            return repository
                .map(Self::Published)
                .map_err(|failure: Failure| serde::de::Error::custom(failure.what));
        }
        match text.strip_prefix("file:") {
            Some(name) => Ok(Self::File(name.to_owned())),
            None => Err(serde::de::Error::custom("a source is oci://… or file:…")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, source: Source) -> Locked {
        let asks = Asks::default();
        let manifest = matches!(source, Source::Published(_)).then(|| Digest::of(b"a manifest"));
        Locked {
            name: name.to_owned(),
            source,
            version: "1.2.0".to_owned(),
            manifest,
            wasm: Digest::of(name.as_bytes()),
            signer: None,
            contract: "0.1.0".to_owned(),
            asks_hash: asks.digest(),
            asks,
        }
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_and_one_that_was_changed_by_hand_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = beside(&folder.path().join("sheaf.toml"));
        assert_eq!(Lock::read(&path).expect("none"), Lock::default());
        let place = Source::Published("oci://a.example.com/wiki".parse().expect("a place"));
        let mut lock = Lock::default();
        lock.put(locked("wiki", place.clone()));
        lock.put(locked("files", Source::File("files.wasm".to_owned())));
        lock.write(&path).expect("written");
        let read = Lock::read(&path).expect("a lock");
        assert_eq!(read.from(&place).map(|one| one.name.as_str()), Some("wiki"));
        assert_eq!(read.named("files").map(|one| &one.wasm), Some(&Digest::of(b"files")));
        let text = std::fs::read_to_string(&path).expect("text");
        for (from, to, why) in [
            ("version = 1\n", "version = 2\n", "of version 2"),
            ("name = \"files\"", "name = \"wiki\"", "twice"),
            ("hosts = []", "hosts = [\"evil.example.com\"]", "something else"),
            ("manifest = \"sha256:", "manifesto = \"sha256:", "not as Sheaf writes it"),
            ("wasm = \"sha256:", "wasm = \"../../", "no digest"),
            ("source = \"file:", "source = \"http:", "oci://"),
        ] {
            assert!(text.contains(from), "{from}: {text}");
            std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
            let failure = Lock::read(&path).expect_err(why);
            assert!(failure.what.contains(why), "{why}: {failure}");
        }
    }
}
