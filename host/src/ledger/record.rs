//! One document of the ledger, as bytes.

use bytes::{Buf as _, Bytes};

use crate::audience::Audience;
use crate::clock::Timestamp;
use crate::text::bounded_str;

/// What became of a document when it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Uploaded,
    /// Set aside. It may be in Glean from before: then the older runs know.
    Quarantined,
    /// Set aside, and known to be in Glean from before.
    Outdated,
    Deleted,
    /// Only who may find it was changed: the rest is what the records before it say.
    Access,
}

impl State {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Uploaded,
            1 => Self::Quarantined,
            2 => Self::Outdated,
            3 => Self::Deleted,
            4 => Self::Access,
            _ => return None,
        })
    }

    /// Whether Glean has the document, where `before` says it of the older records.
    pub fn is_in_glean(self, before: bool) -> bool {
        match self {
            Self::Uploaded | Self::Outdated => true,
            Self::Quarantined | Self::Access => before,
            Self::Deleted => false,
        }
    }
}

/// A record before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: u128,
    pub content: u128,
    /// Seconds since 1970.
    pub at: u32,
    /// The number of the page in its scope, the first is 1.
    pub page: u32,
    pub state: State,
    /// How often the scope was restarted before.
    pub generation: u8,
    pub scope: &'a str,
    pub id: &'a str,
    pub object_type: &'a str,
    pub title: &'a str,
    /// Why it was quarantined; empty if it was not.
    pub reason: &'a str,
    /// The hash of its address, by which a person may ask for it; 0 where none is known.
    pub url: u64,
    /// Who may find the version that Glean has; nothing known in records of earlier versions.
    pub audience: Audience,
}

const HEAD: usize = 4 + 16 + 16 + 4 + 4 + 1 + 1;
const MAX_ID: usize = 1_000;
const MAX_NAME: usize = 200;
const MAX_TITLE: usize = 100;
const MAX_REASON: usize = 400;
const MAX_RECORD: usize = HEAD + 10 + 2 * MAX_NAME + MAX_ID + MAX_TITLE + MAX_REASON + 16;

impl Entry<'_> {
    pub const EMPTY: Self = Self {
        key: 0,
        content: 0,
        at: 0,
        page: 0,
        state: State::Uploaded,
        generation: 0,
        scope: "",
        id: "",
        object_type: "",
        title: "",
        reason: "",
        url: 0,
        audience: Audience::NONE,
    };

    pub fn write(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&[0; 4]);
        to.extend_from_slice(&self.key.to_be_bytes());
        to.extend_from_slice(&self.content.to_be_bytes());
        to.extend_from_slice(&self.at.to_be_bytes());
        to.extend_from_slice(&self.page.to_be_bytes());
        to.push(self.state as u8);
        to.push(self.generation);
        for (text, most) in [
            (self.scope, MAX_NAME),
            (self.id, MAX_ID),
            (self.object_type, MAX_NAME),
            (self.title, MAX_TITLE),
            (self.reason, MAX_REASON),
        ] {
            let text = bounded_str(text, most);
            // Bounded above: it fits.
            #[allow(clippy::cast_possible_truncation)]
            to.extend_from_slice(&(text.len() as u16).to_be_bytes());
            to.extend_from_slice(text.as_bytes());
        }
        to.extend_from_slice(&self.url.to_be_bytes());
        to.extend_from_slice(&self.audience.bits().to_be_bytes());
        let length = u32::try_from(to.len() - start).unwrap_or(u32::MAX);
        to[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// A written record. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Record(Bytes);

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// There are too few.
    Short,
    Damaged,
}

impl Record {
    /// The record at the beginning of `bytes`, which are moved behind it. Whatever it says can be read: one
    /// without its id would be another document.
    pub fn take(bytes: &mut Bytes) -> Result<Self, Unread> {
        let record = Self(bytes.slice(..length(bytes)?));
        if record.stated().is_none() || record.texts().is_none() {
            return Err(Unread::Damaged);
        }
        bytes.advance(record.0.len());
        Ok(record)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// When the document was seen last.
    pub fn seen_at(&self) -> Timestamp {
        Timestamp::from_seconds(self.entry().at.into())
    }

    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    pub fn key(&self) -> u128 {
        u128::from_be_bytes(self.number(4))
    }

    pub fn content(&self) -> u128 {
        u128::from_be_bytes(self.number(20))
    }

    /// When it was seen, in seconds since 1970.
    pub fn at(&self) -> u32 {
        u32::from_be_bytes(self.number(36))
    }

    fn stated(&self) -> Option<State> {
        State::of(self.number::<1>(44)[0])
    }

    pub fn state(&self) -> State {
        // It was there when the record was taken.
        self.stated().unwrap_or(State::Deleted)
    }

    pub fn generation(&self) -> u8 {
        self.number::<1>(45)[0]
    }

    /// The texts: scope, id, object type, title, reason; and where they end.
    fn texts(&self) -> Option<([&str; 5], usize)> {
        let mut texts = [""; 5];
        let mut at = HEAD;
        for text in &mut texts {
            let length = usize::from(u16::from_be_bytes(self.number(at)));
            let bytes = self.0.get(at + 2..at + 2 + length)?;
            *text = std::str::from_utf8(bytes).ok()?;
            at += 2 + length;
        }
        Some((texts, at))
    }

    /// The same for others.
    #[must_use]
    pub fn with_audience(&self, audience: Audience) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len());
        Entry { audience, ..self.entry() }.write(&mut bytes);
        Self(bytes.into())
    }

    pub fn entry(&self) -> Entry<'_> {
        let ([scope, id, object_type, title, reason], end) = self.texts().unwrap_or_default();
        Entry {
            key: self.key(),
            content: self.content(),
            at: self.at(),
            page: u32::from_be_bytes(self.number(40)),
            state: self.state(),
            generation: self.generation(),
            scope,
            id,
            object_type,
            title,
            reason,
            // Records of earlier versions end here, or behind it.
            url: u64::from_be_bytes(self.number(end)),
            audience: Audience::from_bits(u64::from_be_bytes(self.number(end + 8))),
        }
    }

    /// Whether it was quarantined, or shares its id with another.
    pub fn is_quarantined(&self) -> bool {
        !self.entry().reason.is_empty()
    }
}

/// How long the record at the beginning of `bytes` is.
fn length(bytes: &[u8]) -> Result<usize, Unread> {
    let head = bytes.get(..4).ok_or(Unread::Short)?;
    let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
    match length {
        _ if !(HEAD + 10..=MAX_RECORD).contains(&length) => Err(Unread::Damaged),
        _ if bytes.len() < length => Err(Unread::Short),
        _ => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Access, address, key};

    fn entry(id: &str) -> Entry<'_> {
        Entry {
            key: key(id),
            content: 7,
            at: 1,
            page: 2,
            state: State::Quarantined,
            generation: 1,
            scope: "s",
            id,
            object_type: "Page",
            title: "A title",
            reason: "it is locked",
            url: address("https://example.com/a"),
            audience: Audience::of(&Access::Everyone),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut written = Vec::new();
        entry("A").write(&mut written);
        entry(&"ü".repeat(900)).write(&mut written);
        let mut bytes = Bytes::from(written);
        let first = Record::take(&mut bytes).expect("a record");
        let read = first.entry();
        assert_eq!((read.id, read.title, read.reason), ("A", "A title", "it is locked"));
        assert_eq!((read.state, read.page, read.scope), (State::Quarantined, 2, "s"));
        assert!(first.is_quarantined());
        assert_eq!(read.url, address("https://example.com/a"));
        // A record of an earlier version has no address, or does not say who may find it.
        for (without, url) in [(16, 0), (8, read.url)] {
            let mut old = first.bytes()[..first.bytes().len() - without].to_vec();
            let length = u32::try_from(old.len()).expect("short");
            old[..4].copy_from_slice(&length.to_be_bytes());
            let old = Record::take(&mut Bytes::from(old)).expect("a record");
            assert_eq!((old.entry().url, old.entry().reason), (url, "it is locked"));
            assert!(!old.entry().audience.is_known() && read.audience.is_known());
        }
        let second = Record::take(&mut bytes).expect("a record");
        assert_eq!(second.entry().id.chars().count(), 500, "bounded at a character");
        assert_eq!(Record::take(&mut bytes).err(), Some(Unread::Short));
        let mut damaged = Bytes::from_static(&[0, 0, 0, 1, 9]);
        assert_eq!(Record::take(&mut damaged).err(), Some(Unread::Damaged));
    }

    #[test]
    fn a_record_that_does_not_say_all_of_itself_is_damaged() {
        let mut written = Vec::new();
        entry("A").write(&mut written);
        let id = HEAD + 2 + 1;
        for (at, byte, what) in [
            (44, 5, "no such state"),
            (HEAD, 0xff, "a scope that does not end"),
            (id + 1, 0xff, "an id that does not end"),
            (id + 2, 0xff, "an id of no letters"),
            (3, 60, "texts that do not fit"),
        ] {
            let mut changed = written.clone();
            changed[at] = byte;
            let mut bytes = Bytes::from(changed);
            let all = bytes.len();
            assert_eq!(Record::take(&mut bytes).err(), Some(Unread::Damaged), "{what}");
            assert_eq!(bytes.len(), all, "{what}");
        }
    }
}
