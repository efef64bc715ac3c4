//! What is kept of a connection's documents, as a damaged disk may give it back.

use std::ops::Range;

use bytes::Bytes;
use sheaf::ledger::frame::{self, Head, Layout};
use sheaf::ledger::{Entry, Record};

/// Records, one after another: each says the same when it is written and read again.
pub fn record(bytes: &[u8]) -> bool {
    let mut rest = Bytes::copy_from_slice(bytes);
    let mut found = false;
    loop {
        let before = rest.clone();
        let Ok(record) = Record::take(&mut rest) else {
            assert_eq!(rest, before, "what cannot be read is left where it is");
            return found;
        };
        assert_eq!(before, [record.bytes(), &*rest].concat(), "nothing is lost");
        found = true;
        holds(&record);
    }
}

/// The most bytes that a record may have.
const MOST: usize = 2_000;

fn holds(record: &Record) {
    let entry = record.entry();
    assert_eq!((record.key(), record.content(), record.at()), (entry.key, entry.content, entry.at));
    assert_eq!((record.state(), record.generation()), (entry.state, entry.generation));
    assert_eq!(record.is_quarantined(), !entry.reason.is_empty());
    assert!(record.seen_at().to_string().len() < 40);
    let written = written(&entry);
    let again = Record::take(&mut Bytes::from(written.clone())).expect("it was just written");
    assert!(again.bytes().len() <= MOST);
    // Texts that nobody wrote so long are cut, once.
    let bounded = Entry {
        scope: cut(entry.scope, again.entry().scope),
        id: cut(entry.id, again.entry().id),
        object_type: cut(entry.object_type, again.entry().object_type),
        title: cut(entry.title, again.entry().title),
        reason: cut(entry.reason, again.entry().reason),
        ..entry
    };
    assert_eq!(again.entry(), bounded);
    assert_eq!(self::written(&again.entry()), written);
    if again.entry() == entry {
        // But for its length, the address and who may find it, which earlier versions did not write.
        let same = 4..written.len() - 16;
        assert_eq!(record.bytes().get(same.clone()), written.get(same));
    }
}

fn written(entry: &Entry<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry.write(&mut bytes);
    bytes
}

/// The beginning of a text that was too long; the whole, if it was not.
fn cut<'a>(text: &'a str, to: &str) -> &'a str {
    if text.len() > 100 { &text[..to.len().min(text.len())] } else { text }
}

/// A scope's journal: its frames lie one behind another, and what is written is read again.
pub fn frames(bytes: &[u8]) -> bool {
    let end = bytes.len() as u64;
    let (mut at, mut found) = (0, false);
    while let Some((layout, head)) = frame_at(bytes, at) {
        assert_eq!(layout.head.start, at + 16);
        assert_eq!(layout.head.end, layout.records.start);
        assert!(layout.records.start <= layout.end() && layout.end() <= end);
        let records = part(bytes, layout.records.clone());
        if layout.has_written(records)
            && let Ok(head) = head
        {
            found = true;
            is_read_again(&head, records);
            record(records);
        }
        at = layout.end();
    }
    // Whatever is said and whatever was read can be kept.
    let (said, records) = bytes.split_at(bytes.len() / 2);
    let progress = String::from_utf8_lossy(said).into_owned();
    is_read_again(&Head { progress, before: end }, records);
    found
}

fn frame_at(bytes: &[u8], at: u64) -> Option<(Layout, serde_json::Result<Head<String>>)> {
    let end = bytes.len() as u64;
    let start = Layout::start(at, end)?;
    let layout = Layout::read(part(bytes, start), at, end)?;
    let head = Head::read(part(bytes, layout.head.clone()));
    Some((layout, head))
}

fn is_read_again(head: &Head<String>, records: &[u8]) {
    let mut bytes = frame::written(head, records).expect("it is JSON");
    let (layout, again) = frame_at(&bytes, 0).expect("a whole frame");
    assert_eq!(again.expect("its head"), *head);
    assert_eq!(layout.end(), bytes.len() as u64);
    assert_eq!(part(&bytes, layout.records.clone()), records);
    assert!(layout.has_written(records));
    // A writer that is killed before its end leaves nothing that counts.
    bytes.pop();
    assert!(frame_at(&bytes, 0).is_none());
}

fn part(bytes: &[u8], range: Range<u64>) -> &[u8] {
    let place = |at| usize::try_from(at).expect("it lies in memory");
    &bytes[place(range.start)..place(range.end)]
}
