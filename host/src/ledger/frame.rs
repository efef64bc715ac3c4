//! A frame of a journal, as bytes: what is said of a scope at one moment, and the records before it.
//!
//! It begins with the lengths of its head and of its records, and the hash of the records; then come the
//! head as JSON, and the records. Nothing here knows where the bytes are kept.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// How many bytes the lengths and the hash take.
const START: u64 = 16;

/// What a frame says.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head<H> {
    pub progress: H,
    /// How many bytes of the object before this one count.
    pub before: u64,
}

impl<H: DeserializeOwned> Head<H> {
    pub fn read(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }
}

/// Where the parts of a frame lie in its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub head: Range<u64>,
    pub records: Range<u64>,
    hash: u64,
}

impl Layout {
    /// Where the bytes lie that tell the layout of the frame at `at`; nothing where they are not whole.
    pub fn start(at: u64, end: u64) -> Option<Range<u64>> {
        (end.checked_sub(at)? >= START).then(|| at..at + START)
    }

    /// The layout as those bytes tell it; nothing where the frame does not end before `end`, because its
    /// writer was killed.
    pub fn read(start: &[u8], at: u64, end: u64) -> Option<Self> {
        let number = |from: usize| {
            let bytes = start.get(from..from + 4)?.try_into().ok()?;
            Some(u64::from(u32::from_be_bytes(bytes)))
        };
        let (head, records) = (number(0)?, number(4)?);
        let hash = (number(8)? << 32) | number(12)?;
        let room = end.checked_sub(at)?.checked_sub(START + head + records)?;
        let (from, to) = (at + START, end - room);
        Some(Self { head: from..from + head, records: from + head..to, hash })
    }

    /// Where the next frame begins.
    pub fn end(&self) -> u64 {
        self.records.end
    }

    /// Whether these are the records that were written.
    pub fn has_written(&self, records: &[u8]) -> bool {
        xxh3_64(records) == self.hash
    }
}

/// A frame's bytes.
pub fn written(head: &Head<impl Serialize>, records: &[u8]) -> serde_json::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let mut frame = Vec::with_capacity(16 + head.len() + records.len());
    for length in [head.len(), records.len()] {
        frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
    frame.extend_from_slice(&xxh3_64(records).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(records);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_bytes_that_it_always_had() {
        let frame = written(&Head { progress: "1", before: 7 }, b"abc").expect("written");
        let mut expected = vec![0, 0, 0, 27, 0, 0, 0, 3];
        expected.extend([0x78, 0xaf, 0x5f, 0x94, 0x89, 0x2f, 0x39, 0x50]);
        expected.extend(br#"{"progress":"1","before":7}abc"#);
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_frame_is_read_where_it_is_whole() {
        let frame =
            written(&Head { progress: "1".to_owned(), before: 7 }, b"abc").expect("written");
        let length = frame.len() as u64;
        let at = 100;
        let start = Layout::start(at, at + length).expect("whole");
        assert_eq!(start, 100..116);
        let layout = Layout::read(&frame[..16], at, at + length + 5).expect("whole");
        assert_eq!((layout.head.clone(), layout.records.clone()), (116..143, 143..146));
        assert_eq!(
            Head::read(&frame[16..43]).ok(),
            Some(Head { progress: "1".to_owned(), before: 7 })
        );
        assert!(layout.has_written(b"abc") && !layout.has_written(b"abd"));
        // Not whole, or not even there.
        assert_eq!(Layout::read(&frame[..16], at, at + length - 1), None);
        assert_eq!(Layout::read(&frame[..15], at, at + length), None);
        assert_eq!((Layout::start(at, at + 15), Layout::start(at, at - 1)), (None, None));
    }
}
