//! Fills batches with documents up to a size. Each document is encoded once, into the very buffer
//! that is sent. To whom it is sent is said when it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::document::DocumentDefinition;
use super::size;
use crate::document::Document;
use crate::failure::{Failure, Result};

/// Encoded documents, with a comma between each two. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    encoded: Bytes,
    /// Where each document ends.
    ends: Vec<usize>,
}

/// The datasource and the upload that a request belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    pub datasource: &'a str,
    pub upload_id: &'a str,
}

impl Address<'_> {
    fn opening(self) -> Bytes {
        let Self { datasource, upload_id } = self;
        let mut opening =
            json!({ "uploadId": upload_id, "datasource": datasource }).to_string().into_bytes();
        opening.pop();
        opening.extend_from_slice(b",\"documents\":[");
        opening.into()
    }
}

impl Batch {
    /// Documents that somebody else has encoded, and where each ends.
    pub(super) fn of(encoded: Bytes, ends: Vec<usize>) -> Self {
        Self { encoded, ends }
    }

    pub fn documents(&self) -> usize {
        self.ends.len()
    }

    /// All of them.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Where each document ends.
    pub fn ends(&self) -> &[usize] {
        &self.ends
    }

    /// Bytes of the encoded documents.
    pub fn bytes(&self) -> usize {
        self.encoded.len()
    }

    /// The whole request, closed with the flags of its page.
    pub fn request(&self, to: Address<'_>, flags: PageFlags) -> Vec<Bytes> {
        vec![to.opening(), self.encoded.clone(), flags.closing()]
    }

    /// Two halves, to find out which documents are refused.
    pub fn split(&self) -> Option<(Self, Self)> {
        let middle = self.ends.len() / 2;
        let cut = *self.ends.get(middle.checked_sub(1)?)?;
        let first = Self { encoded: self.encoded.slice(..cut), ends: self.ends[..middle].to_vec() };
        // The second half begins behind a comma.
        let begin = cut + 1;
        let ends = self.ends[middle..].iter().map(|end| end - begin).collect();
        Some((first, Self { encoded: self.encoded.slice(begin..), ends }))
    }

    /// The ids of the documents, read back from what would be sent.
    pub fn ids(&self) -> Vec<String> {
        let mut from = 0;
        let mut ids = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            let text = &self.encoded[from..*end];
            let document: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
            ids.push(document["id"].as_str().unwrap_or("?").to_owned());
            from = end + 1;
        }
        ids
    }
}

/// Where a page stands in its bulk session.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageFlags {
    pub first: bool,
    pub last: bool,
    /// Discard an unfinished session that is not ours. Only with `first`.
    pub restart: bool,
    /// Delete without the check for too many deletions. Only with `last`, and only when a person has
    /// looked at what goes.
    pub approved: bool,
}

impl PageFlags {
    fn closing(self) -> Bytes {
        let mut text = String::from("]");
        for (set, name) in [
            (self.first, "isFirstPage"),
            (self.last, "isLastPage"),
            (self.restart, "forceRestartUpload"),
            (self.approved, "disableStaleDocumentDeletionCheck"),
        ] {
            if set {
                text.push_str(&format!(",\"{name}\":true"));
            }
        }
        text.push('}');
        text.into()
    }
}

/// Collects documents until a batch is full.
#[derive(Debug)]
pub struct Batcher {
    datasource: String,
    most: Most,
    encoded: Vec<u8>,
    ends: Vec<usize>,
}

/// How large a batch may be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Most {
    /// Bytes of encoded documents. A larger document travels alone.
    pub bytes: usize,
    pub documents: usize,
    /// Bytes of one encoded document.
    pub document_bytes: usize,
}

/// What became of a document.
#[derive(Debug)]
pub enum Pushed {
    Fits,
    /// The batch before it is full; the document begins the next one.
    Filled(Batch),
    /// It is larger than any request may be; its encoded size.
    TooLarge(usize),
}

impl Batcher {
    pub fn new(datasource: &str, most: Most) -> Self {
        let datasource = datasource.to_owned();
        Self { datasource, most, encoded: Vec::new(), ends: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn push(&mut self, document: &Document) -> Result<Pushed> {
        let wire = DocumentDefinition::new(&self.datasource, document);
        let most = self.most.document_bytes;
        // One that may be too large is measured first, and written byte by byte: the quicker encoder makes room
        // for six times the text.
        let may_be_large = size::at_most(&self.datasource, document) > most;
        if may_be_large {
            let size = size::encoded(&wire);
            if size > most {
                return Ok(Pushed::TooLarge(size));
            }
            self.encoded.reserve(size + 1);
        }
        let before = self.encoded.len();
        if !self.ends.is_empty() {
            self.encoded.push(b',');
        }
        let start = self.encoded.len();
        let written = if may_be_large {
            serde_json::to_writer(&mut self.encoded, &wire).map_err(|error| error.to_string())
        } else {
            sonic_rs::to_writer(&mut self.encoded, &wire).map_err(|error| error.to_string())
        };
        if let Err(error) = written {
            // Half of it would spoil the whole batch.
            self.encoded.truncate(before);
            let what = format!("a document cannot be written as JSON: {error}");
            return Err(Failure::internal(what).at(document.id.clone()));
        }
        let full = self.encoded.len() > self.most.bytes || self.ends.len() >= self.most.documents;
        if !full || self.ends.is_empty() {
            self.ends.push(self.encoded.len());
            return Ok(Pushed::Fits);
        }
        let over = self.encoded.split_off(start);
        self.encoded.truncate(before);
        let batch = self.close(self.most.bytes.min(before) + over.len());
        self.encoded.extend_from_slice(&over);
        self.ends.push(self.encoded.len());
        Ok(Pushed::Filled(batch))
    }

    /// The document that was pushed last, as it is sent.
    pub fn last(&self) -> &[u8] {
        let Some((end, before)) = self.ends.split_last() else { return &[] };
        let start = before.last().map_or(0, |end| end + 1);
        self.encoded.get(start..*end).unwrap_or_default()
    }

    /// What is left, if anything.
    pub fn take(&mut self) -> Option<Batch> {
        (!self.ends.is_empty()).then(|| self.close(0))
    }

    fn close(&mut self, expected: usize) -> Batch {
        let encoded = std::mem::replace(&mut self.encoded, Vec::with_capacity(expected));
        let ends = Vec::with_capacity(self.most.documents.min(1024));
        Batch { encoded: encoded.into(), ends: std::mem::replace(&mut self.ends, ends) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Access;

    fn document(id: &str, title: &str) -> Document {
        Document::new(id, "Page", "https://example.com/", Access::Everyone).titled(title)
    }

    fn whole(batch: &Batch, flags: PageFlags) -> serde_json::Value {
        let to = Address { datasource: "ds", upload_id: "up" };
        let bytes = batch.request(to, flags).concat();
        serde_json::from_slice(&bytes).expect("a request is JSON")
    }

    fn filled(most_bytes: usize, most_documents: usize, count: usize) -> Vec<Batch> {
        let most = Most { bytes: most_bytes, documents: most_documents, document_bytes: 10_000 };
        let mut batcher = Batcher::new("ds", most);
        let mut batches = Vec::new();
        for number in 0..count {
            if let Pushed::Filled(batch) =
                batcher.push(&document(&format!("d{number}"), "t")).expect("encodes")
            {
                batches.push(batch);
            }
        }
        batches.extend(batcher.take());
        batches
    }

    #[test]
    fn batches_are_cut_by_bytes_and_by_count_and_lose_nothing() {
        for batches in [filled(400, 1000, 10), filled(1 << 20, 3, 10)] {
            assert!(batches.len() > 2);
            let ids: Vec<_> = batches.iter().flat_map(Batch::ids).collect();
            assert_eq!(ids, (0..10).map(|number| format!("d{number}")).collect::<Vec<_>>());
            for batch in &batches {
                assert_eq!(
                    whole(batch, PageFlags::default())["documents"].as_array().map(Vec::len),
                    Some(batch.documents())
                );
            }
        }
    }

    #[test]
    fn a_batch_splits_into_two_whole_requests() {
        let batch = filled(1 << 20, 100, 5).remove(0);
        let (first, second) = batch.split().expect("five documents split");
        assert_eq!(first.ids(), ["d0", "d1"]);
        assert_eq!(second.ids(), ["d2", "d3", "d4"]);
        let flags = PageFlags { first: true, ..PageFlags::default() };
        assert_eq!(whole(&second, flags)["isFirstPage"], true);
        assert!(filled(1 << 20, 100, 1)[0].split().is_none());
    }

    #[test]
    fn a_document_over_the_limit_is_reported_and_leaves_the_batch_whole() {
        let most = Most { bytes: 1 << 20, documents: 100, document_bytes: 300 };
        let mut batcher = Batcher::new("ds", most);
        batcher.push(&document("a", "t")).expect("encodes");
        let large = batcher.push(&document("b", &"x".repeat(400))).expect("encodes");
        assert!(matches!(large, Pushed::TooLarge(size) if size > 400));
        batcher.push(&document("c", "t")).expect("encodes");
        let batch = batcher.take().expect("two documents");
        assert_eq!(batch.ids(), ["a", "c"]);
        whole(&batch, PageFlags::default());
    }

    #[test]
    fn a_document_is_measured_before_it_is_written() {
        let most = Most { bytes: 1 << 20, documents: 100, document_bytes: 100 << 10 };
        let mut batcher = Batcher::new("ds", most);
        let large = batcher.push(&document("b", &"\u{1}".repeat(15 << 20))).expect("measured");
        assert!(matches!(large, Pushed::TooLarge(size) if size > 90 << 20));
        assert_eq!(batcher.encoded.capacity(), 0, "no room was made for it");
        // One that fits takes no more than it has.
        batcher.push(&document("a", &"x".repeat(90 << 10))).expect("encodes");
        assert!(batcher.encoded.capacity() < 100 << 10, "{}", batcher.encoded.capacity());
        let batch = batcher.take().expect("a document");
        assert_eq!(batch.ids(), ["a"]);
        whole(&batch, PageFlags::default());
    }
}
