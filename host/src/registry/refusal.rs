//! Why a published connector is not taken. Each has a name of its own, by which tests and people tell them apart.

use std::fmt;

use crate::connector::Digest;
use crate::failure::{Failure, Kind};
use crate::text::short_line;

/// From the least to the gravest, as far as signatures go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Only what is signed is taken, and no key is trusted for it.
    NoKey,
    /// It has to be signed, and has no signature.
    Unsigned,
    /// What is signed is a statement of this kind, which says nothing of who may be trusted.
    OtherPredicate(String),
    /// The signature is of another manifest.
    OtherDigest,
    /// It is signed, by the key of this id or hint, and by none that is trusted for it.
    WrongKey(String),
    /// Whoever it is locked with does not stand for it, by who is trusted now.
    OtherSigner(String),
    /// A signature's bundle that says nothing that can be read.
    BundleUnread(String),
    /// The registry gave another manifest than was asked for.
    ManifestChanged,
    /// What the store keeps of it is another than its digest says.
    StoreChanged,
    /// The manifest is none of a connector.
    NoConnector(String),
    /// The file is another than the manifest says.
    FileChanged,
    /// The file is longer, or shorter, than the manifest says.
    WrongSize { said: u64, came: u64 },
    /// A version exists, with other content.
    Exists,
    /// A version exists with the same file, and is to be signed; but its manifest is another than would be published.
    OtherManifest(String),
    /// The tag is that of no version: it may name another one tomorrow.
    NoVersion { tag: String, version: String },
    /// The tag is that of another version than the one that calls itself so.
    OtherVersion { tag: String, version: String },
    /// The version is locked, with another manifest than its tag has now.
    Moved(String),
    /// An older version than the one that is locked.
    Downgrade { locked: String, found: String },
    /// It is not what was agreed to when the one in the lock was.
    NotAgreed { locked: String, found: String, unlike: Vec<String> },
    /// Its publisher took it back.
    Yanked(String),
    /// `deny` in `[connectors]` names it.
    Denied,
    /// The registry sends us to another host where our credentials or our trust would go along.
    Elsewhere(String),
}

/// The longest of a stranger's words.
const MOST: usize = 300;
/// So many differences are shown, each of so many bytes at most.
const SHOWN: usize = 10;
const MOST_OF_ONE: usize = 120;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &String| short_line(text, MOST);
        match self {
            Self::NoKey => f.write_str("no key is trusted for it, and what is unsigned is refused"),
            Self::Unsigned => f.write_str("it is not signed"),
            Self::OtherPredicate(kind) => {
                write!(
                    f,
                    "it is not signed: what its publisher attached is of another kind ({})",
                    short(kind)
                )
            }
            Self::OtherDigest => f.write_str("its signature is that of another manifest"),
            Self::WrongKey(hint) if hint.is_empty() => {
                f.write_str("it is signed by a key that is not trusted for it")
            }
            Self::WrongKey(hint) => {
                write!(f, "it is signed by a key that is not trusted for it ({})", short(hint))
            }
            Self::OtherSigner(locked) => {
                write!(
                    f,
                    "the key that it is locked with is not trusted for it ({})",
                    short(locked)
                )
            }
            Self::BundleUnread(why) => {
                write!(f, "a signature of it cannot be read: {}", short(why))
            }
            Self::ManifestChanged => {
                f.write_str("the registry gave another manifest than was asked for")
            }
            Self::StoreChanged => f.write_str("what the store keeps of it was changed there"),
            Self::NoConnector(why) => write!(f, "it is no connector: {}", short(why)),
            Self::FileChanged => f.write_str("its file is another than its manifest says"),
            Self::WrongSize { said, came } => {
                write!(f, "its file has {came} bytes or more, and its manifest says {said}")
            }
            Self::Exists => f.write_str("that version exists with other content"),
            Self::OtherManifest(how) => write!(
                f,
                "that version exists with the same file and another manifest than would be signed: {}",
                short(how)
            ),
            Self::NoVersion { .. }
            | Self::OtherVersion { .. }
            | Self::Moved(_)
            | Self::Downgrade { .. }
            | Self::NotAgreed { .. } => self.of_versions(f),
            Self::Yanked(why) if why.is_empty() => f.write_str("its publisher took it back"),
            Self::Yanked(why) => write!(f, "its publisher took it back: {}", short(why)),
            Self::Denied => f.write_str("`deny` in [connectors] names it"),
            Self::Elsewhere(host) => {
                write!(f, "the registry sends us to another host, {}", short(host))
            }
        }
    }
}

impl Refusal {
    /// Those that say which version it is, and which it should be.
    fn of_versions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &String| short_line(text, MOST);
        match self {
            Self::NoVersion { tag, version } => {
                let (tag, version) = (short(tag), short(version));
                write!(
                    f,
                    "its tag `{tag}` is no version, and may name another one tomorrow; it is {version} now"
                )
            }
            Self::OtherVersion { tag, version } => {
                write!(f, "its tag is `{}`, and it calls itself {}", short(tag), short(version))
            }
            Self::Moved(version) => {
                write!(f, "{} is locked, and its tag names another manifest now", short(version))
            }
            Self::Downgrade { locked, found } => {
                write!(f, "it is version {}, and {} is locked", short(found), short(locked))
            }
            Self::NotAgreed { locked, found, unlike } => {
                let (found, locked) = (short(found), short(locked));
                write!(
                    f,
                    "version {found} is not what was agreed to with {locked}, which is locked: "
                )?;
                let shown: Vec<_> =
                    unlike.iter().take(SHOWN).map(|one| short_line(one, MOST_OF_ONE)).collect();
                f.write_str(&shown.join("; "))?;
                match unlike.len().saturating_sub(SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; and {more} more"),
                }
            }
            _ => Ok(()),
        }
    }

    /// As a failure about `what`, a reference or a digest.
    pub fn of(self, what: impl fmt::Display) -> Failure {
        let failure = Failure::new(Kind::Untrusted, self.to_string()).at(what.to_string());
        match self.next() {
            Some(next) => failure.next(next),
            None => failure,
        }
    }

    fn next(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoKey => {
                "put its publisher's key into [connectors.trust], or set `unsigned = \"warn\"` there"
            }
            Self::Unsigned | Self::OtherPredicate(_) => {
                "ask its publisher to sign it with `sheaf publish --sign`, or take the key for it out of [connectors.trust]"
            }
            Self::OtherDigest | Self::WrongKey(_) | Self::BundleUnread(_) => {
                "ask its publisher, by another way than the registry, which key is theirs; if it has changed, put the \
                 new one into [connectors.trust]"
            }
            Self::OtherSigner(_) => {
                "if its publisher has another key now, `sheaf add` it again, with its version"
            }
            Self::StoreChanged => "`sheaf add`, with nothing behind it, fetches what is locked",
            Self::Moved(_) => {
                "ask its publisher why one version has two contents; `--accept` takes the new one"
            }
            Self::ManifestChanged | Self::FileChanged | Self::WrongSize { .. } => {
                "the registry, or somebody between, changes what it gives: ask whoever runs it"
            }
            Self::Exists => "give the new content another version",
            Self::OtherManifest(_) => {
                "say what was said when it was published (`--license`, `--source`, SOURCE_DATE_EPOCH), or give it another \
                 version"
            }
            Self::OtherVersion { .. } => "ask its publisher to tag it with its own version",
            Self::Downgrade { .. } => {
                "with the version in its name, or with `--accept`, `sheaf add` takes an older one"
            }
            Self::NotAgreed { .. } => "if that is right, name its version, or say `--accept`",
            Self::NoVersion { .. } => "name its version, behind a `:`",
            Self::Yanked(_) => "take another version, or with `--yanked` this one all the same",
            Self::NoConnector(_) | Self::Denied | Self::Elsewhere(_) => return None,
        })
    }
}

/// That a digest is what it should be.
pub fn expect(found: &Digest, wanted: &Digest, refusal: Refusal) -> Result<(), Refusal> {
    if found == wanted { Ok(()) } else { Err(refusal) }
}
