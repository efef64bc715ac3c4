//! The pages that it hands over: two honest ones, of which the lie changes the last.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use serde_json::json;
use sheaf::cell::protocol::{CutWords, Handed, Told};
use sheaf::clock::Timestamp;
use sheaf::document::{Access, AccessChange, DocumentRef, Progress};
use sheaf::failure::{Failure, Kind};
use sheaf::intake::{Reading, Row, Whose};

use crate::control;
use crate::serve::Cell;

pub(crate) struct Pages<'a> {
    cell: &'a Cell,
    reading: Reading,
    file: File,
    /// Pages that were handed over.
    number: usize,
}

/// What is handed over, with what is in the file.
struct Page {
    bytes: Vec<u8>,
    rows: Vec<Row>,
    deleted: Vec<DocumentRef>,
    access_changes: Vec<AccessChange>,
    progress: Progress,
    cuts: Vec<CutWords>,
    aged: Option<CutWords>,
    read_at: Timestamp,
    /// Instead of a page: why there is none.
    broken: Option<(Vec<String>, Failure, Whose)>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(
        cell: &'a Cell,
        reading: Reading,
        resume: Option<String>,
        file: File,
    ) -> Self {
        let number = resume.and_then(|checkpoint| checkpoint.parse().ok()).unwrap_or_default();
        Self { cell, reading, file, number }
    }

    /// The next page, and what the step is called.
    pub(crate) fn next(&mut self) -> io::Result<(&'static str, Handed)> {
        let mut page = match (self.number, self.cell.lie.as_str()) {
            (0, "swapped") => self.honest(4..7, Progress::Complete(None)),
            (0, "all-early") => self.honest(0..1, Progress::Complete(None)),
            (0, _) => self.honest(0..4, Progress::More("1".into())),
            _ => self.honest(4..7, Progress::Complete(None)),
        };
        let is_last = self.number > 0;
        if is_last {
            self.lie(&mut page)?;
        }
        self.number += 1;
        self.file.write_all_at(&page.bytes, 0)?;
        if is_last && self.cell.lie == "emptied" {
            self.file.set_len(0)?;
        }
        let Page { bytes: _, rows, deleted, access_changes, progress, cuts, aged, read_at, broken } =
            page;
        let handed = match broken {
            Some((ids, failure, whose)) => {
                Handed::Broken { ids, cuts, failure: Told::from(failure), whose }
            }
            None => Handed::Page { read_at, rows, deleted, access_changes, progress, cuts, aged },
        };
        Ok((if is_last { "last-page" } else { "first-page" }, handed))
    }

    fn honest(&self, documents: std::ops::Range<usize>, progress: Progress) -> Page {
        let ids: Vec<_> = documents.map(|number| format!("odd-{number}")).collect();
        let texts: Vec<_> = ids.iter().map(|id| self.document(id)).collect();
        let mut page = Page {
            bytes: Vec::new(),
            rows: ids.into_iter().map(row).collect(),
            deleted: Vec::new(),
            access_changes: Vec::new(),
            progress,
            cuts: Vec::new(),
            aged: None,
            read_at: Timestamp::now(),
            broken: None,
        };
        page.holds(&texts);
        page
    }

    fn document(&self, id: &str) -> String {
        document(&self.reading.datasource, id, "An odd page.")
    }

    /// One thing is different from an honest page with `odd-4`, `odd-5` and `odd-6`.
    #[allow(clippy::too_many_lines)] // A line or two for each lie.
    fn lie(&self, page: &mut Page) -> io::Result<()> {
        let ids = ["odd-4", "odd-5", "odd-6"];
        let three = ids.map(|id| self.document(id));
        let with = |middle: String| [three[0].clone(), middle, three[2].clone()];
        let most = self.reading.most;
        let ends = page.cuts[0].ends.clone();
        let reference = || DocumentRef { id: "odd-0".into(), object_type: "Page".into() };
        let gone = |kind, what: &str| Failure { what: what.into(), ..Failure::new(kind, "") };
        match self.cell.lie.split(':').next().unwrap_or_default() {
            "ends-overlap" => page.cuts[0].ends = vec![ends[0], ends[0], ends[2]],
            "ends-go-down" => page.cuts[0].ends = vec![ends[1], ends[0], ends[2]],
            "ends-swapped" => page.cuts[0].ends = vec![ends[0], ends[2], ends[1]],
            "ends-past-file" => page.cuts[0].ends[2] += 4_000,
            "ends-huge" => page.cuts[0].ends[2] = u32::MAX,
            "ends-of-one" => page.cuts[0].ends = vec![ends[2]],
            "empty-batch" => page.cuts.insert(0, CutWords { ends: Vec::new() }),
            // Each takes a byte on its way, and much more where it arrives.
            "wide-cuts" => {
                page.cuts = (0..5 << 20).map(|_| CutWords { ends: Vec::new() }).collect();
            }
            "wide-rows" => page.rows = (0..2 << 20).map(|_| Row::default()).collect(),
            "empty-documents" => page.cuts[0].ends = vec![0, 0, 0],
            "no-comma" => page.bytes[ends[0] as usize] = b' ',
            "other-datasource" => page.holds(&with(document("other", ids[1], "Moved."))),
            "other-id" => page.holds(&with(self.document("odd-0"))),
            "id-twice" => page.holds(&with(three[1].replacen('{', r#"{"id":"odd-0","#, 1))),
            "id-hidden" => page.holds(&with(three[1].replacen('{', r#"{"\u0069d":"odd-0","#, 1))),
            "closes-request" => {
                page.holds(&with(format!(r#"{}],"isLastPage":true,"documents":[{{}}"#, three[1])));
            }
            "two-in-one" => page.holds(&with(format!("{},{}", three[1], self.document("odd-0")))),
            "no-json" => page.holds(&with("no JSON".into())),
            "deep-json" => {
                let deep = "[".repeat(1 << 20);
                page.holds(&with(three[1].replacen('{', &format!(r#"{{"x":{deep},"#), 1)));
            }
            "not-unicode" => {
                let at = page.bytes.iter().position(|byte| *byte == b'A').unwrap_or_default();
                page.bytes[at] = 0xff;
            }
            "large-document" => {
                let text = "x".repeat(most.document_bytes);
                page.holds(&with(document(&self.reading.datasource, ids[1], &text)));
            }
            "large-batch" => {
                let text = "x".repeat(most.bytes.max(most.document_bytes) / 2);
                page.holds(&ids.map(|id| document(&self.reading.datasource, id, &text)));
            }
            "many-documents" => {
                let ids: Vec<_> = (0..=most.documents).map(|at| format!("more-{at}")).collect();
                page.holds(&ids.iter().map(|id| self.document(id)).collect::<Vec<_>>());
                page.rows = ids.into_iter().map(row).collect();
            }
            "untold" => drop(page.rows.pop()),
            "kept-back" => page.cuts.clear(),
            "kept-back-one" => page.cuts[0].ends.truncate(2),
            "told-twice" => page.rows[1].id = ids[0].into(),
            "delivered-twice" => {
                page.rows[1].id = "odd-0".into();
                page.holds(&with(self.document("odd-0")));
            }
            "long-id" => page.rows[1].id = "x".repeat(201),
            "no-id" => page.rows[1].id.clear(),
            "nameless" => page.rows[1].is_nameless = true,
            "other-key" => page.rows[1].key = 0,
            "quarantines" => {
                page.rows[1] = quarantined(&"\u{1b}[2J".repeat(1 << 20));
                page.holds(&[three[0].clone(), three[2].clone()]);
            }
            "deletes" => page.deleted = vec![reference()],
            "changes-access" => {
                let access = Access::Everyone;
                page.access_changes = vec![AccessChange { document: reference(), access }];
            }
            "large-checkpoint" => page.progress = Progress::More("x".repeat(1 << 20)),
            "large-bookmark" => page.progress = Progress::Complete(Some("x".repeat(1 << 20))),
            "partial" => page.progress = Progress::Partial("\u{1b}[2J\nit is away".repeat(1 << 16)),
            "endless-nothing" => page.has_nothing("1"),
            "endless-empty" => page.has_nothing(&self.number.to_string()),
            "endless-quarantine" => {
                page.has_nothing("1");
                page.rows = vec![quarantined("it is odd")];
            }
            "endless-same" => page.progress = Progress::More("1".into()),
            "aged-other" => {
                // What waits is three, and the batch has two.
                let late = CutWords { ends: ends[..2].to_vec() };
                (page.progress, page.aged) = (Progress::More("2".into()), Some(late));
                page.cuts.clear();
            }
            "read-at-never" => page.read_at = Timestamp::from_seconds(u64::MAX),
            "read-at-first" => page.read_at = Timestamp::from_seconds(0),
            "broken" => {
                let names = ids.iter().map(|&id| id.to_owned()).collect();
                page.broken =
                    Some((names, gone(Kind::Source, "\u{1b}[2J\nit is gone"), Whose::Source));
            }
            // One document more than it names, and one less.
            "broken-untold" => {
                let names = ids[..2].iter().map(|&id| id.to_owned()).collect();
                page.broken = Some((names, gone(Kind::Source, "it is gone"), Whose::Source));
            }
            "broken-kept-back" => page.breaks(&ids[..1], gone(Kind::Source, "it is gone")),
            "broken-for-hours" => {
                let failure = gone(Kind::Source, "it is gone");
                page.breaks(&[], Failure { retry_after: Some(Duration::MAX), ..failure });
            }
            // Whatever it says, it decides about none of these.
            "broken-session" => page.breaks(&[], gone(Kind::SessionLost, "it says so")),
            "broken-interrupted" => page.breaks(&[], gone(Kind::Interrupted, "it says so")),
            "broken-damaged" => page.breaks(&[], gone(Kind::Damaged, "it says so")),
            "broken-start-over" => page.breaks(&[], gone(Kind::StartOver, "it says so")),
            "call" => {
                let (_, what) = self.cell.lie.split_once(':').unwrap_or_default();
                page.breaks(&[], gone(Kind::SourceGaveUp, &control::called(self.cell, what)?));
            }
            _ => {}
        }
        Ok(())
    }
}

impl Page {
    /// One batch of these documents.
    fn holds(&mut self, texts: &[String]) {
        self.bytes = texts.join(",").into_bytes();
        let mut end = 0;
        let ends = texts.iter().enumerate().map(|(at, text)| {
            end += text.len() + usize::from(at > 0);
            u32::try_from(end).unwrap_or(u32::MAX)
        });
        self.cuts = vec![CutWords { ends: ends.collect() }];
    }

    /// Nothing but why there is no other page, and documents that were in a batch.
    fn breaks(&mut self, ids: &[&str], failure: Failure) {
        self.cuts.clear();
        let ids = ids.iter().map(|&id| id.to_owned()).collect();
        self.broken = Some((ids, failure, Whose::Source));
    }

    fn has_nothing(&mut self, checkpoint: &str) {
        self.rows.clear();
        self.cuts.clear();
        self.progress = Progress::More(checkpoint.into());
    }
}

fn row(id: String) -> Row {
    let content = id.bytes().map(u128::from).sum();
    let key = sheaf::document::key(&id);
    Row { key, content, id, object_type: "Page".into(), title: "Odd".into(), ..Row::default() }
}

fn quarantined(reason: &str) -> Row {
    Row { quarantined: Some(reason.into()), ..row("odd-5".into()) }
}

fn document(datasource: &str, id: &str, text: &str) -> String {
    let document = json!({
        "datasource": datasource,
        "objectType": "Page",
        "id": id,
        "viewURL": format!("https://odd.example.com/{id}"),
        "title": "Odd",
        "body": { "mimeType": "text/plain", "textContent": text },
        "permissions": { "allowAnonymousAccess": true },
    });
    document.to_string()
}
