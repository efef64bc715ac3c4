//! A scope's pages: checked and cut while the program outside still sends those before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use crate::cell::protocol::{CutWords, Handed};
use crate::clock::Timestamp;
use crate::connector::Cursor;
use crate::document::{PageLimits, Progress};
use crate::intake::{Broken, Checked, CheckedPage, Cut, Intake, Reading, Rules, Whose};
use crate::wire::Batch;

pub(super) struct Pages {
    cursor: Cursor,
    limits: PageLimits,
    intake: Intake,
    /// Where batches are handed over.
    file: File,
    /// What was read ahead.
    ready: Option<Ready>,
    has_ended: bool,
}

struct Ready {
    handed: Handed,
    batches: Vec<Batch>,
}

impl Pages {
    pub(super) fn new(cursor: Cursor, reading: &Reading, rules: Rules, file: File) -> Self {
        let (limits, intake) = (reading.limits, Intake::new(rules, reading));
        Self { cursor, limits, intake, file, ready: None, has_ended: false }
    }

    /// Reads a page ahead, unless there is one, or no other.
    pub(super) async fn read_ahead(&mut self) {
        if self.ready.is_some() || self.has_ended {
            return;
        }
        let read_at = Timestamp::now();
        let checked = match self.cursor.next(self.limits).await {
            Ok(page) => self.intake.take(page, read_at),
            // What was read before is not lost: it moves the checkpoint.
            Err(failure) => Err(self.intake.broken(Vec::new(), failure, Whose::Source)),
        };
        self.has_ended = !checked
            .as_ref()
            .is_ok_and(|checked| matches!(checked.page.progress, Progress::More(_)));
        self.ready = Some(match checked {
            Ok(checked) => page(checked),
            Err(broken) => ended(*broken),
        });
    }

    /// Hands over what was read: the file is the program's until it asks again.
    pub(super) fn hand_over(&mut self) -> io::Result<Option<Handed>> {
        let Some(Ready { handed, batches }) = self.ready.take() else { return Ok(None) };
        let mut at = 0;
        for batch in &batches {
            self.file.write_all_at(batch.encoded(), at)?;
            at += batch.bytes() as u64;
        }
        Ok(Some(handed))
    }
}

fn page(checked: Checked) -> Ready {
    let Checked { cuts, page, aged } = checked;
    let CheckedPage { read_at, rows, deleted, access_changes, progress, .. } = page;
    let (words, mut batches) = words(cuts);
    let (mut late, rest) = self::words(aged);
    batches.extend(rest);
    let aged = late.pop();
    let handed =
        Handed::Page { read_at, rows, deleted, access_changes, progress, cuts: words, aged };
    Ready { handed, batches }
}

fn ended(broken: Broken) -> Ready {
    let Broken { cuts, failure, whose } = broken;
    let (cuts, batches) = words(cuts);
    let ids = batches.iter().flat_map(Batch::ids).collect();
    Ready { handed: Handed::Broken { ids, cuts, failure: failure.into(), whose }, batches }
}

fn words(cuts: impl IntoIterator<Item = Cut>) -> (Vec<CutWords>, Vec<Batch>) {
    let words = |cut: Cut| {
        let end = |end: &usize| u32::try_from(*end).unwrap_or(u32::MAX);
        (CutWords { ends: cut.batch.ends().iter().map(end).collect() }, cut.batch)
    };
    cuts.into_iter().map(words).unzip()
}
