//! Fills requests with documents up to a size. Each document is encoded once, into the very buffer
//! that is sent.

use bytes::Bytes;
use serde_json::json;

use super::wire::DocumentDefinition;
use crate::document::Document;
use crate::failure::{Failure, Result};

/// A request body without its closing: `{…,"documents":[…`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Batch {
    body: Bytes,
    /// Where the first document begins.
    start: usize,
    /// Where each document ends.
    ends: Vec<usize>,
}

impl Batch {
    pub fn documents(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of the encoded documents.
    pub fn bytes(&self) -> usize {
        self.body.len() - self.start
    }

    /// The whole request, closed with the flags of its page.
    pub fn request(&self, flags: PageFlags) -> Vec<Bytes> {
        vec![self.body.clone(), flags.closing()]
    }

    /// Two halves, to find out which documents are refused.
    pub fn split(&self) -> Option<(Self, Self)> {
        let middle = self.ends.len() / 2;
        let cut = *self.ends.get(middle.checked_sub(1)?)?;
        let first = Self {
            body: self.body.slice(..cut),
            start: self.start,
            ends: self.ends[..middle].to_vec(),
        };
        // The second half begins behind a comma, and needs the opening again.
        let mut body = self.body[..self.start].to_vec();
        body.extend_from_slice(&self.body[cut + 1..]);
        let moved = cut + 1 - self.start;
        let ends = self.ends[middle..].iter().map(|end| end - moved).collect();
        Some((first, Self { body: body.into(), start: self.start, ends }))
    }

    /// The same documents for another upload of the same datasource.
    #[must_use]
    pub fn readdressed(&self, datasource: &str, upload_id: &str) -> Self {
        let mut body = opening(datasource, upload_id);
        let start = body.len();
        body.extend_from_slice(&self.body[self.start..]);
        let ends = self.ends.iter().map(|end| end - self.start + start).collect();
        Self { body: body.into(), start, ends }
    }

    /// The ids of the documents, read back from what would be sent.
    pub fn ids(&self) -> Vec<String> {
        let mut from = self.start;
        let mut ids = Vec::with_capacity(self.ends.len());
        for end in &self.ends {
            let text = &self.body[from..*end];
            let document: serde_json::Value = serde_json::from_slice(text).unwrap_or_default();
            ids.push(document["id"].as_str().unwrap_or("?").to_owned());
            from = end + 1;
        }
        ids
    }
}

fn opening(datasource: &str, upload_id: &str) -> Vec<u8> {
    let mut opening =
        json!({ "uploadId": upload_id, "datasource": datasource }).to_string().into_bytes();
    opening.pop();
    opening.extend_from_slice(b",\"documents\":[");
    opening
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
    opening: Vec<u8>,
    datasource: String,
    most_bytes: usize,
    most_documents: usize,
    most_document_bytes: usize,
    body: Vec<u8>,
    ends: Vec<usize>,
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
    /// Batches of at most so many encoded bytes and documents. A larger document, up to
    /// `most_document_bytes`, travels alone.
    pub fn new(
        datasource: &str,
        upload_id: &str,
        most_bytes: usize,
        most_documents: usize,
        most_document_bytes: usize,
    ) -> Self {
        let opening = opening(datasource, upload_id);
        let mut batcher = Self {
            opening,
            datasource: datasource.to_owned(),
            most_bytes,
            most_documents,
            most_document_bytes,
            body: Vec::new(),
            ends: Vec::new(),
        };
        batcher.begin(0);
        batcher
    }

    fn begin(&mut self, expected: usize) {
        self.body = Vec::with_capacity(expected);
        self.body.extend_from_slice(&self.opening);
        self.ends = Vec::with_capacity(self.most_documents.min(1024));
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn push(&mut self, document: &Document) -> Result<Pushed> {
        let before = self.body.len();
        if !self.ends.is_empty() {
            self.body.push(b',');
        }
        let start = self.body.len();
        let wire = DocumentDefinition::new(&self.datasource, document);
        serde_json::to_writer(&mut self.body, &wire).map_err(|error| {
            Failure::internal(format!("a document cannot be written as JSON: {error}"))
                .at(document.id.clone())
        })?;
        let size = self.body.len() - start;
        if size > self.most_document_bytes {
            self.body.truncate(before);
            return Ok(Pushed::TooLarge(size));
        }
        let full = self.body.len() - self.opening.len() > self.most_bytes
            || self.ends.len() >= self.most_documents;
        if !full || self.ends.is_empty() {
            self.ends.push(self.body.len());
            return Ok(Pushed::Fits);
        }
        let over = self.body.split_off(start);
        self.body.truncate(before);
        let batch = self.close(self.most_bytes.min(before) + size);
        self.body.extend_from_slice(&over);
        self.ends.push(self.body.len());
        Ok(Pushed::Filled(batch))
    }

    /// The document that was pushed last, as it is sent.
    pub fn last(&self) -> &[u8] {
        let Some((end, before)) = self.ends.split_last() else { return &[] };
        let start = before.last().map_or(self.opening.len(), |end| end + 1);
        self.body.get(start..*end).unwrap_or_default()
    }

    /// What is left, if anything.
    pub fn take(&mut self) -> Option<Batch> {
        (!self.ends.is_empty()).then(|| self.close(0))
    }

    /// A page without documents, to open or close a session with.
    pub fn empty(&mut self) -> Batch {
        self.close(0)
    }

    fn close(&mut self, expected: usize) -> Batch {
        let body = std::mem::take(&mut self.body);
        let ends = std::mem::take(&mut self.ends);
        self.begin(expected);
        Batch { body: body.into(), start: self.opening.len(), ends }
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
        let bytes = batch.request(flags).concat();
        serde_json::from_slice(&bytes).expect("a request is JSON")
    }

    fn filled(most_bytes: usize, most_documents: usize, count: usize) -> Vec<Batch> {
        let mut batcher = Batcher::new("ds", "up", most_bytes, most_documents, 10_000);
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
        let mut batcher = Batcher::new("ds", "up", 1 << 20, 100, 300);
        batcher.push(&document("a", "t")).expect("encodes");
        let large = batcher.push(&document("b", &"x".repeat(400))).expect("encodes");
        assert!(matches!(large, Pushed::TooLarge(size) if size > 400));
        batcher.push(&document("c", "t")).expect("encodes");
        let batch = batcher.take().expect("two documents");
        assert_eq!(batch.ids(), ["a", "c"]);
        whole(&batch, PageFlags::default());
    }
}
