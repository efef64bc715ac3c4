//! Sorts more records than fit into memory: full buffers are sorted and put into temporary files,
//! which are merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;

use super::record::{Record, length};
use crate::failure::{Failure, Result};

/// What is held in memory before it goes to a file.
const BUFFER: usize = 8 << 20;
const READ: usize = 32 << 10;

pub struct Sorter {
    folder: PathBuf,
    buffer: Vec<u8>,
    /// Each record's key, and where it is.
    index: Vec<(u128, u32, u32)>,
    files: Vec<File>,
}

impl Sorter {
    /// Temporary files go into `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, buffer: Vec::new(), index: Vec::new(), files: Vec::new() }
    }

    pub fn push(&mut self, record: &[u8], key: u128) -> Result<()> {
        if self.buffer.len() + record.len() > BUFFER && !self.index.is_empty() {
            self.spill().map_err(failed)?;
        }
        let at = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(record);
        self.index.push((key, at, length));
        Ok(())
    }

    fn spill(&mut self) -> std::io::Result<()> {
        self.index.sort_by_key(|(key, ..)| *key);
        let mut file = BufWriter::with_capacity(256 << 10, tempfile::tempfile_in(&self.folder)?);
        for (_, at, length) in self.index.drain(..) {
            file.write_all(&self.buffer[at as usize..(at + length) as usize])?;
        }
        self.buffer.clear();
        let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.files.push(file);
        Ok(())
    }

    /// The records in order of their keys; those of one key in the order in which they came.
    pub fn finish(mut self) -> Result<Sorted> {
        if self.files.is_empty() {
            self.index.sort_by_key(|(key, ..)| *key);
            let bytes = Bytes::from(self.buffer);
            return Ok(Sorted::Held { bytes, index: self.index.into_iter() });
        }
        self.spill().map_err(failed)?;
        let mut parts: Vec<_> =
            self.files.into_iter().map(|file| BufReader::with_capacity(READ, file)).collect();
        let mut heap = BinaryHeap::new();
        for (number, part) in parts.iter_mut().enumerate() {
            if let Some(record) = read(part)? {
                heap.push(Reverse(Head { key: record.key(), number, record }));
            }
        }
        Ok(Sorted::Merged { parts, heap })
    }
}

pub enum Sorted {
    Held { bytes: Bytes, index: std::vec::IntoIter<(u128, u32, u32)> },
    Merged { parts: Vec<BufReader<File>>, heap: BinaryHeap<Reverse<Head>> },
}

impl Sorted {
    pub fn take_next(&mut self) -> Result<Option<Record>> {
        match self {
            Self::Held { bytes, index } => {
                let Some((_, at, length)) = index.next() else { return Ok(None) };
                let mut record = bytes.slice(at as usize..(at + length) as usize);
                Record::take(&mut record).map(Some).map_err(|_| damaged())
            }
            Self::Merged { parts, heap } => {
                let Some(Reverse(Head { number, record, .. })) = heap.pop() else {
                    return Ok(None);
                };
                if let Some(next) = read(&mut parts[number])? {
                    heap.push(Reverse(Head { key: next.key(), number, record: next }));
                }
                Ok(Some(record))
            }
        }
    }
}

pub struct Head {
    key: u128,
    number: usize,
    record: Record,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        (self.key, self.number) == (other.key, other.number)
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.key, self.number).cmp(&(other.key, other.number))
    }
}

fn read(part: &mut BufReader<File>) -> Result<Option<Record>> {
    let mut head = [0; 4];
    match part.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let size = u32::from_be_bytes(head) as usize;
    let mut bytes = vec![0; size.clamp(4, 1 << 16)];
    bytes[..4].copy_from_slice(&head);
    part.read_exact(&mut bytes[4..]).map_err(failed)?;
    length(&bytes).map_err(|_| damaged())?;
    Record::take(&mut bytes.into()).map(Some).map_err(|_| damaged())
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: std::io::Error) -> Failure {
    Failure::internal(format!("the ledger cannot be sorted: {error}"))
        .next("see that the state folder's disk has room")
}

fn damaged() -> Failure {
    Failure::internal("a record of the ledger was damaged while it was sorted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::{Entry, State, key};

    #[test]
    fn more_than_fits_into_the_buffer_comes_out_in_order() {
        let mut sorter = Sorter::new(std::env::temp_dir());
        let count = 300_000;
        for number in 0..count {
            let id = format!("document-{}", number % (count / 2));
            let mut bytes = Vec::new();
            let entry = Entry {
                key: key(&id),
                content: number,
                at: 0,
                page: 0,
                state: State::Uploaded,
                generation: 0,
                scope: "",
                id: &id,
                object_type: "Page",
                title: "",
                reason: "",
            };
            entry.write(&mut bytes);
            sorter.push(&bytes, entry.key).expect("pushed");
        }
        assert!(sorter.files.len() > 1);
        let mut sorted = sorter.finish().expect("sorted");
        let mut last = (0, 0);
        let mut seen = 0;
        while let Some(record) = sorted.take_next().expect("a record") {
            let now = (record.key(), record.content());
            assert!(now > last, "in order, and the older of two first");
            last = now;
            seen += 1;
        }
        assert_eq!(seen, count);
    }
}
