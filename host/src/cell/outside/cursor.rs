//! A scope's pages as a cell hands them over: what it says of them is held against what can be counted here,
//! and each batch is read back before it is sent.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::AsFd as _;

use tokio::time::Instant;

use super::guest::{Guest, Opened};
use super::tally::Tally;
use crate::audience::Named;
use crate::cell::protocol::{Answer, Ask, CutWords, Handed};
use crate::clock::Timestamp;
use crate::connector::sentence;
use crate::document;
use crate::document::Progress;
use crate::failure::Result;
use crate::intake::loop_detector::LoopDetector;
use crate::intake::rules::MAX_ID_CHARS;
use crate::intake::{Announced, CheckedPage, Cut, Ended, Reading, Row, Source, Whose};
use crate::redact::redacted;
use crate::text::bounded;
use crate::wire::received;

/// The longest that is kept of a text of a row.
const MAX_TEXT: usize = 1_100;
/// The most groups and users that one document is the first to name.
const MAX_NAMED: usize = 100_000;
/// A file that has grown larger than this is made small again.
const USUAL_FILE: u64 = 16 << 20;

pub struct Cursor {
    guest: Guest,
    /// Nothing once it was given back.
    file: Option<File>,
    reading: Reading,
    pages: u64,
    tally: Tally,
    /// A cell looks for loops, too; this is for one that does not.
    loops: LoopDetector,
    /// Batches that were announced, and where the next one's bytes are.
    cuts: VecDeque<Vec<usize>>,
    at: u64,
    /// Whether the last of them comes after the page's end.
    has_aged: bool,
    /// When the page that is waited for was asked for, and the one that is read ahead meanwhile.
    asked: Option<(Instant, Timestamp)>,
    since: Timestamp,
}

impl Opened {
    /// Checked pages, from now on.
    pub async fn read(self, reading: Reading) -> Result<Cursor> {
        let Self(guest) = self;
        let file = guest.cell.file()?;
        let ask = Ask::Read(Box::new(reading.clone()));
        if guest.sender.send(&ask, &[file.as_fd()]).await.is_err() {
            return Err(guest.cell.why().await);
        }
        Ok(Cursor::new(guest, file, reading))
    }
}

type Next = std::result::Result<Announced, Ended>;

impl Cursor {
    fn new(guest: Guest, file: File, reading: Reading) -> Self {
        Self {
            guest,
            file: Some(file),
            pages: reading.at.pages,
            reading,
            tally: Tally::default(),
            // What comes twice is no lie, as long as it comes with another checkpoint.
            loops: LoopDetector::new(false),
            cuts: VecDeque::new(),
            at: 0,
            has_aged: false,
            asked: None,
            since: Timestamp::now(),
        }
    }

    /// What is handed over next. Whoever gives up waiting for it finds it when they ask again.
    async fn handed(&mut self) -> Result<(Handed, Timestamp)> {
        let (until, asked) = if let Some(asked) = self.asked {
            asked
        } else {
            self.make_room();
            // The page before was taken, so that there is nothing in its way.
            if self.guest.sender.send_at_once(&Ask::Next).is_err() {
                return Err(self.guest.cell.why().await);
            }
            let until = Instant::now() + self.guest.cell.patience();
            *self.asked.insert((until, Timestamp::now()))
        };
        let answered = tokio::time::timeout_at(until, self.guest.receiver.next()).await;
        let answer: Answer<Handed> = self.guest.cell.believe(answered).await?;
        self.asked = None;
        // The page was read since the one before was asked for.
        let since = std::mem::replace(&mut self.since, asked);
        self.guest.take(answer).map(|handed| (handed, since))
    }

    fn make_room(&self) {
        let Some(file) = &self.file else { return };
        let size = file.metadata().map_or(0, |file| file.len());
        if size > USUAL_FILE {
            // It is only larger than it must be otherwise.
            let _ = file.set_len(0);
        }
    }

    fn announce(&mut self, handed: Handed, since: Timestamp) -> Result<Next, String> {
        (self.at, self.has_aged) = (0, false);
        let (read_at, rows, deleted, access_changes, progress, cuts, aged) = match handed {
            Handed::Page { read_at, rows, deleted, access_changes, progress, cuts, aged } => {
                (read_at, rows, deleted, access_changes, progress, cuts, aged)
            }
            Handed::Broken { ids, cuts, failure, whose } => {
                let cuts = self.expect(cuts);
                // The end of them no page has told of.
                let untold = ids.into_iter().skip(self.tally.waiting());
                self.tally.page(untold, &cuts, 0)?;
                let at = || self.guest.cell.connection().to_owned();
                let failure = failure.of_a_guest().at_least(at);
                return Ok(Err(Ended { cuts: cuts.len(), failure, whose }));
            }
        };
        let has_changes = !deleted.is_empty() || !access_changes.is_empty();
        if self.reading.at.full && has_changes {
            return Err("deletions or changes of access in a full crawl".into());
        }
        let progress = progress_of(progress)?;
        let is_last = !matches!(progress, Progress::More(_));
        let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        for row in &rows {
            self.loops.document(row.key);
        }
        let first = rows.first().map(|row| row.id.as_str());
        let looked = self.loops.page(first, deleted.len() + access_changes.len(), &progress);
        looked.map_err(|failure| failure.what)?;
        let ids = rows.iter().filter(|row| row.quarantined.is_none()).map(|row| row.id.clone());
        let cuts = self.expect(cuts);
        let most = if is_last || has_changes { 0 } else { self.reading.most.documents };
        let (end, left) = self.tally.page(ids, &cuts, most)?;
        let aged = self.expect(aged);
        if aged.first().is_some_and(|aged| *aged != left) {
            return Err("a batch of other documents than those that wait".into());
        }
        self.has_aged = !aged.is_empty();
        self.pages += 1;
        let read_at = read_at.clamp(since, Timestamp::now().max(since));
        let number = self.pages;
        let page = CheckedPage { number, read_at, rows, deleted, access_changes, progress, end };
        Ok(Ok(Announced { cuts: cuts.len(), page, aged: self.has_aged }))
    }

    /// How many documents are in each of these batches, which are taken next.
    fn expect(&mut self, cuts: impl IntoIterator<Item = CutWords>) -> Vec<usize> {
        let ends = |cut: CutWords| cut.ends.into_iter().map(|end| end as usize).collect();
        let cuts: Vec<Vec<usize>> = cuts.into_iter().map(ends).collect();
        let documents = cuts.iter().map(Vec::len).collect();
        self.cuts.extend(cuts);
        documents
    }

    fn take(&mut self) -> Result<Cut, String> {
        if self.has_aged && self.cuts.len() == 1 {
            self.tally.page_ended();
        }
        let ends = self.cuts.pop_front().ok_or("more batches than it has told of")?;
        let length = ends.last().copied().unwrap_or_default();
        let Reading { datasource, most, .. } = &self.reading;
        if length > most.bytes.max(most.document_bytes) {
            return Err(format!("a batch of {length} bytes"));
        }
        let encoded = self.copy(length).map_err(|error| format!("no batch: {error}"))?;
        self.at += length as u64;
        let (ids, number, ends_page) = self.tally.cut(ends.len());
        let ids = ids.iter().map(String::as_str);
        let batch = received(encoded.into(), ends, datasource, *most, ids)?;
        Ok(Cut { number, batch, ends_page })
    }

    /// So many bytes of the file, which nobody else writes to any more.
    fn copy(&self, length: usize) -> std::io::Result<Vec<u8>> {
        let file = self.file.as_ref().ok_or(std::io::ErrorKind::NotFound)?;
        let mut copied = Vec::with_capacity(length);
        while copied.len() < length {
            let at = self.at + copied.len() as u64;
            let room = rustix::buffer::spare_capacity(&mut copied);
            if rustix::io::pread(file.as_fd(), room, at)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        copied.truncate(length);
        Ok(copied)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        // Where a page was asked for and did not come, the guest may still write to it.
        if self.asked.is_none()
            && let Some(file) = self.file.take()
        {
            self.guest.cell.has_used(file);
        }
    }
}

impl Source for Cursor {
    async fn next(&mut self) -> Next {
        let ended = |failure| Ended { cuts: 0, failure, whose: Whose::Source };
        let (handed, since) = self.handed().await.map_err(ended)?;
        match self.announce(handed, since) {
            Ok(next) => next,
            Err(lie) => Err(ended(self.guest.cell.lied(&lie).await)),
        }
    }

    async fn cut(&mut self) -> Result<Cut> {
        match self.take() {
            Ok(cut) => Ok(cut),
            Err(lie) => Err(self.guest.cell.lied(&lie).await),
        }
    }
}

/// A row as it could have been made here, without anybody's secret: it is for people, and for the state.
fn row(row: Row) -> Result<Row, String> {
    let quarantined = row.quarantined.map(|reason| sentence(&reason));
    let is_in = quarantined.is_none();
    let characters = row.id.chars().take(MAX_ID_CHARS + 1).count();
    if is_in && (row.is_nameless || characters == 0 || characters > MAX_ID_CHARS) {
        return Err("a document without an id that Glean takes".into());
    }
    let id = if is_in { row.id } else { bounded(redacted(row.id), MAX_TEXT) };
    let key = if is_in { document::key(&id) } else { row.key };
    Ok(Row {
        key,
        content: if is_in { row.content } else { 0 },
        object_type: bounded(redacted(row.object_type), MAX_TEXT),
        title: bounded(redacted(row.title), MAX_TEXT),
        id,
        quarantined,
        named: row.named.into_iter().take(MAX_NAMED).map(named).collect(),
        ..row
    })
}

/// A name, as long as one of Glean's.
fn named(named: Named) -> Named {
    let text = |text: String| bounded(redacted(text), MAX_TEXT);
    match named {
        Named::Group(name) => Named::Group(text(name)),
        Named::User { email, id } => Named::User { email: email.map(text), id: id.map(text) },
    }
}

fn progress_of(progress: Progress) -> Result<Progress, String> {
    let kept = match &progress {
        Progress::More(kept) | Progress::Complete(Some(kept)) => kept,
        Progress::Complete(None) => return Ok(progress),
        Progress::Partial(reason) => return Ok(Progress::Partial(sentence(reason))),
    };
    if kept.len() > document::MAX_CHECKPOINT_BYTES {
        return Err(format!("a checkpoint of {} bytes", kept.len()));
    }
    Ok(progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_made_again_of_what_a_cell_says() {
        let told = |id: &str| Row { key: 7, content: 9, id: id.into(), ..Row::default() };
        let good = row(told("A")).expect("a row");
        assert_eq!((good.key, good.content), (document::key("a"), 9));
        for id in [String::new(), "x".repeat(201)] {
            assert!(row(told(&id)).is_err(), "{id}");
        }
        assert!(row(Row { is_nameless: true, ..told("a") }).is_err());
        let quarantined = Row { quarantined: Some("r".repeat(1 << 20)), ..told(&"x".repeat(9000)) };
        let quarantined = row(quarantined).expect("a row");
        assert_eq!((quarantined.key, quarantined.content), (7, 0));
        assert!(
            quarantined.id.len() < 2000 && quarantined.quarantined.is_some_and(|r| r.len() < 2000)
        );
        let long = "x".repeat(document::MAX_CHECKPOINT_BYTES + 1);
        assert!(progress_of(Progress::Complete(Some(long))).is_err());
    }
}
