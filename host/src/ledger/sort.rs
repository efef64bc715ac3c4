//! Sorts more records than fit into memory: full buffers are sorted and put into temporary files,
//! which are merged at the end.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use bytes::{Bytes, BytesMut};

use super::record::{Record, Unread};
use crate::failure::{Failure, Result};

/// What is held in memory before it goes to a file.
const BUFFER: usize = 4 << 20;
/// What is read of all files at once. Ten million documents are some 300 of them.
const READ: usize = 2 << 20;
const MOST_READ: usize = 64 << 10;
/// So many files are open at once; then they become one.
const FILES: usize = 512;

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
            if self.files.len() >= FILES {
                self.merge()?;
            }
        }
        let at = u32::try_from(self.buffer.len()).unwrap_or(u32::MAX);
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(record);
        self.index.push((key, at, length));
        Ok(())
    }

    /// Records of one key stay in the order in which they came.
    fn order(&mut self) {
        self.index.sort_unstable_by_key(|(key, at, _)| (*key, *at));
    }

    fn spill(&mut self) -> std::io::Result<()> {
        self.order();
        let mut file = self.file()?;
        for (_, at, length) in self.index.drain(..) {
            file.write_all(&self.buffer[at as usize..(at + length) as usize])?;
        }
        self.buffer.clear();
        self.files.push(written(file)?);
        Ok(())
    }

    /// Makes one file of all.
    fn merge(&mut self) -> Result<()> {
        let mut file = self.file().map_err(failed)?;
        let mut sorted = Sorted::merged(std::mem::take(&mut self.files))?;
        while let Some(record) = sorted.take_next()? {
            file.write_all(record.bytes()).map_err(failed)?;
        }
        self.files.push(written(file).map_err(failed)?);
        Ok(())
    }

    fn file(&self) -> std::io::Result<BufWriter<File>> {
        Ok(BufWriter::with_capacity(256 << 10, tempfile::tempfile_in(&self.folder)?))
    }

    /// The records in order of their keys; those of one key in the order in which they came.
    pub fn finish(mut self) -> Result<Sorted> {
        if self.files.is_empty() {
            self.order();
            let bytes = Bytes::from(self.buffer);
            return Ok(Sorted::Held { bytes, index: self.index.into_iter() });
        }
        self.spill().map_err(failed)?;
        Sorted::merged(self.files)
    }
}

/// From its beginning again.
fn written(file: BufWriter<File>) -> std::io::Result<File> {
    let mut file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

pub enum Sorted {
    Held { bytes: Bytes, index: std::vec::IntoIter<(u128, u32, u32)> },
    Merged { parts: Vec<Part>, heap: BinaryHeap<Reverse<Head>> },
}

impl Sorted {
    /// Sorted files; what is in the first came first.
    fn merged(files: Vec<File>) -> Result<Self> {
        let read = (READ / files.len().max(1)).clamp(4 << 10, MOST_READ);
        let part = |file| Part { file, read, buffer: Bytes::new() };
        let mut parts: Vec<_> = files.into_iter().map(part).collect();
        let mut heap = BinaryHeap::new();
        for (number, part) in parts.iter_mut().enumerate() {
            if let Some(record) = part.next()? {
                heap.push(Reverse(Head { key: record.key(), number, record }));
            }
        }
        Ok(Self::Merged { parts, heap })
    }

    pub fn take_next(&mut self) -> Result<Option<Record>> {
        match self {
            Self::Held { bytes, index } => {
                let Some((_, at, length)) = index.next() else { return Ok(None) };
                let mut record = bytes.slice(at as usize..(at + length) as usize);
                Record::take(&mut record).map(Some).map_err(|_| damaged())
            }
            Self::Merged { parts, heap } => {
                let Some(mut head) = heap.peek_mut() else { return Ok(None) };
                let number = head.0.number;
                let record = match parts[number].next()? {
                    // The place at the top is taken over: cheaper than leaving and entering.
                    Some(next) => {
                        head.0.key = next.key();
                        std::mem::replace(&mut head.0.record, next)
                    }
                    None => PeekMut::pop(head).0.record,
                };
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

/// A temporary file, read in parts.
pub struct Part {
    file: File,
    /// How much is read at once.
    read: usize,
    buffer: Bytes,
}

impl Part {
    fn next(&mut self) -> Result<Option<Record>> {
        loop {
            match Record::take(&mut self.buffer) {
                Ok(record) => return Ok(Some(record)),
                Err(Unread::Damaged) => return Err(damaged()),
                Err(Unread::Short) => {}
            }
            let mut more = BytesMut::zeroed(self.buffer.len() + self.read);
            more[..self.buffer.len()].copy_from_slice(&self.buffer);
            let read = self.file.read(&mut more[self.buffer.len()..]).map_err(failed)?;
            if read == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(damaged()) };
            }
            more.truncate(self.buffer.len() + read);
            self.buffer = more.freeze();
        }
    }
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
    use crate::audience::Audience;
    use crate::document::key;
    use crate::ledger::record::{Entry, State};

    #[test]
    fn more_than_fits_into_the_buffer_comes_out_in_order() {
        let mut sorter = Sorter::new(std::env::temp_dir());
        let count = 300_000;
        let half = count / 2;
        for number in 0..count {
            let id = format!("document-{}", number % half);
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
                url: 0,
                audience: Audience::NONE,
            };
            entry.write(&mut bytes);
            sorter.push(&bytes, entry.key).expect("pushed");
            // As if there were more files than may be open.
            if number == half || number == count - 1 {
                sorter.merge().expect("merged");
                assert_eq!(sorter.files.len(), 1);
            }
        }
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
