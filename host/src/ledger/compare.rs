//! The end of a crawl: its journal becomes a run, and the run is compared with what was there.

use std::path::PathBuf;

use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Result;
use super::journal::Journal;
use super::record::{Entry, Record, State};
use super::run::{Known, Merged, Run, RunWriter};
use super::sort::Sorter;
use crate::audience::{Audience, Shift};
use crate::store::Store;
use crate::text::cut;

/// How many documents are named to people.
const SAMPLES: usize = 20;
/// The longest text of one: samples travel. An id that Glean has is shorter.
const MAX_SAMPLE: usize = 1_000;

/// A document, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub id: String,
    pub title: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
}

impl Sample {
    fn of(record: &Record) -> Self {
        let entry = record.entry();
        // Of one that was uploaded it is about another, which has the same id.
        let reason = if entry.state == State::Uploaded { "" } else { entry.reason };
        Self::new(entry.id, entry.title, reason)
    }

    fn new(id: &str, title: &str, reason: &str) -> Self {
        let text = |text| cut(text, MAX_SAMPLE);
        Self { id: text(id), title: text(title), reason: text(reason) }
    }
}

/// A journal that became a run.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub run: Run,
    /// Documents in Glean by this crawl, each counted once.
    pub uploaded: u64,
    /// Documents that it deleted.
    pub deleted: u64,
    /// Documents that came with the id of another, or one equal without case, and took its place.
    pub doubles: u64,
    pub double_samples: Vec<Sample>,
}

/// Of so many scopes the first records are got at once. They are held in memory.
const MOST_BEGUN: usize = 6;

/// Sorts a journal into a run. Doing it twice is doing it once.
pub async fn seal<H: Serialize + DeserializeOwned + Default + Send>(
    store: &Store,
    journal: &Journal<H>,
    name: String,
    full: bool,
    temporary: PathBuf,
) -> Result<Sealed> {
    let mut sorter = Sorter::new(temporary);
    let scopes = journal.scopes().await?;
    let mut begun: Vec<BoxFuture<'_, Result<_>>> = Vec::new();
    for scope in &scopes {
        begun.push(Box::pin(async move {
            let mut frames = journal.frames(scope).await?;
            let first = frames.next(true).await?;
            Ok((frames, first))
        }));
    }
    let mut begun = stream::iter(begun).buffered(store.at_once().min(MOST_BEGUN));
    while let Some((mut frames, mut next)) = begun.try_next().await? {
        while let Some(frame) = next {
            for record in frames.records(frame) {
                let record = record?;
                sorter.push(record.bytes(), record.key())?;
            }
            next = frames.next(true).await?;
        }
    }
    let mut sorted = sorter.finish()?;
    let mut sealing = Sealing {
        full,
        writer: RunWriter::new(store, name),
        uploaded: 0,
        deleted: 0,
        doubles: 0,
        double_samples: Vec::new(),
    };
    let mut group: Vec<Record> = Vec::new();
    let ordered = |mut group: Vec<Record>| {
        // Scopes of an incremental crawl may tell of the same document, and come in no order.
        if !full {
            group.sort_by_key(Record::at);
        }
        group
    };
    while let Some(record) = sorted.take_next()? {
        if group.first().is_some_and(|first| first.key() != record.key()) {
            sealing.take(&ordered(std::mem::take(&mut group))).await?;
        }
        group.push(record);
    }
    sealing.take(&ordered(group)).await?;
    let Sealing { writer, uploaded, deleted, doubles, double_samples, .. } = sealing;
    Ok(Sealed { run: writer.finish().await?, uploaded, deleted, doubles, double_samples })
}

struct Sealing {
    full: bool,
    writer: RunWriter,
    uploaded: u64,
    deleted: u64,
    doubles: u64,
    double_samples: Vec<Sample>,
}

impl Sealing {
    /// Records of one key, in the order in which they came, become one.
    async fn take(&mut self, group: &[Record]) -> Result<()> {
        let Some(last) = group.last() else { return Ok(()) };
        // What was uploaded or deleted stands; what was quarantined after it changed nothing.
        let stands = |record: &&Record| matches!(record.state(), State::Uploaded | State::Deleted);
        let is_access = |record: &Record| record.state() == State::Access;
        let itself = group.iter().rev().find(stands);
        let itself = itself.or_else(|| group.iter().rev().find(|record| !is_access(record)));
        let winner = itself.unwrap_or(last);
        // Access that was changed after it.
        let changed =
            group.iter().rev().take_while(|record| !stands(record)).find(|it| is_access(it));
        self.uploaded += u64::from(winner.state() == State::Uploaded);
        self.deleted += u64::from(winner.state() == State::Deleted);
        if group.len() == 1 {
            return Ok(self.writer.push(last.bytes()).await?);
        }
        let double = if self.full { double(group, winner) } else { None };
        let reason = if let Some(other) = double {
            self.doubles += 1;
            let entry = other.entry();
            let (id, page) = (entry.id, entry.page);
            format!(
                "another document has its id, or one equal without case: `{id}` (page {page}); \
                 Glean keeps one of them"
            )
        } else {
            let mut reasons = group.iter().rev().map(|record| record.entry().reason);
            reasons.find(|reason| !reason.is_empty()).unwrap_or_default().to_owned()
        };
        let mut bytes = Vec::new();
        let mut entry = Entry { reason: &reason, ..winner.entry() };
        if let Some(changed) = changed.filter(|_| entry.state != State::Deleted) {
            entry.audience = changed.entry().audience;
            // What another crawl read of it in between is older.
            entry.at = entry.at.max(changed.at());
        }
        entry.write(&mut bytes);
        if double.is_some() && self.double_samples.len() < SAMPLES {
            self.double_samples.push(Sample::new(entry.id, entry.title, &reason));
        }
        Ok(self.writer.push(&bytes).await?)
    }
}

/// Another document that was uploaded under the same key, in one and the same pass over its scope.
fn double<'a>(group: &'a [Record], winner: &Record) -> Option<&'a Record> {
    let scope = winner.entry().scope;
    group.iter().find(|record| {
        // A scope that was restarted delivers again what it had delivered.
        let again = record.entry().scope == scope && record.generation() != winner.generation();
        record.state() == State::Uploaded && !std::ptr::eq(*record, winner) && !again
    })
}

/// What a full crawl found different from before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Documents that Glean had.
    pub before: u64,
    /// Others that it had, and that incremental crawls deleted meanwhile.
    #[serde(default)]
    pub deleted: u64,
    /// Of these, how many the crawl did not see: ending the session deletes them.
    pub gone: u64,
    pub gone_samples: Vec<Sample>,
    /// Of these, how many were seen and quarantined: ending the session deletes their older versions.
    pub withheld: u64,
    pub withheld_samples: Vec<Sample>,
    pub added: u64,
    pub changed: u64,
    pub unchanged: u64,
    #[serde(default)]
    pub added_samples: Vec<Sample>,
    #[serde(default)]
    pub changed_samples: Vec<Sample>,
    /// Of the changed ones, how many may be found by others than before.
    #[serde(default)]
    pub access: Box<AccessShifts>,
}

/// Documents whose access is another than before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessShifts {
    /// Everyone may find them now, and only some could before.
    pub to_everyone: Shifted,
    pub wider: Shifted,
    pub narrower: Shifted,
    /// Other people may, and whether more or fewer is not known.
    pub others: Shifted,
    /// Documents that were changed, and of which it is not known who found them before, or finds them now.
    pub not_known: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shifted {
    pub count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

impl AccessShifts {
    /// Only the numbers.
    #[must_use]
    pub fn without_samples(&self) -> Self {
        let number = |shifted: &Shifted| Shifted { count: shifted.count, samples: Vec::new() };
        Self {
            to_everyone: number(&self.to_everyone),
            wider: number(&self.wider),
            narrower: number(&self.narrower),
            others: number(&self.others),
            not_known: self.not_known,
        }
    }

    fn count(&mut self, before: Audience, now: &Record) {
        let audience = now.entry().audience;
        if !before.is_known() || !audience.is_known() {
            self.not_known += 1;
        }
        let Some(shift) = before.shift(audience) else { return };
        let shifted = match shift {
            Shift::ToEveryone => &mut self.to_everyone,
            Shift::Wider => &mut self.wider,
            Shift::Narrower => &mut self.narrower,
            Shift::Others => &mut self.others,
        };
        shifted.count += 1;
        sample(&mut shifted.samples, now);
    }
}

/// Compares what a crawl saw (`now`) with what was there (`before`). The oldest runs come first.
pub async fn compare(store: &Store, before: &[Run], now: &[Run]) -> Result<Difference> {
    let mut old = Merged::open(store, before).await?;
    let mut new = Merged::open(store, now).await?;
    let mut difference = Difference::default();
    let (mut left, mut right) = (old.next().await?, new.next().await?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(difference),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(left), Some(right)) => left.record.key().cmp(&right.record.key()),
        };
        difference.count(
            if order.is_le() { left.as_ref() } else { None },
            if order.is_ge() { right.as_ref() } else { None },
        );
        if order.is_le() {
            left = old.next().await?;
        }
        if order.is_ge() {
            right = new.next().await?;
        }
    }
}

/// Of a deletion so many documents are remembered, for whoever asks what became of one.
const REMEMBERED: u64 = 100_000;

/// Writes down what a crawl's end deleted: what was in Glean `before` and is not in `now`.
pub async fn gone(
    store: &Store,
    before: &[Run],
    now: &[Run],
    name: String,
    at: u32,
    reason: &str,
) -> Result<Run> {
    let mut old = Merged::open(store, before).await?;
    let mut new = Merged::open(store, now).await?;
    let mut writer = RunWriter::new(store, name);
    let mut written = 0;
    let mut right = new.next().await?;
    let mut buffer = Vec::new();
    while let Some(left) = old.next().await? {
        while right.as_ref().is_some_and(|right| right.record.key() < left.record.key()) {
            right = new.next().await?;
        }
        let same = right.as_ref().filter(|right| right.record.key() == left.record.key());
        let stays = same.is_some_and(|same| same.record.state() == State::Uploaded);
        if !left.in_glean || stays || written >= REMEMBERED {
            continue;
        }
        buffer.clear();
        Entry { state: State::Deleted, at, reason, ..left.record.entry() }.write(&mut buffer);
        writer.push(&buffer).await?;
        written += 1;
    }
    Ok(writer.finish().await?)
}

impl Difference {
    fn count(&mut self, old: Option<&Known>, new: Option<&Known>) {
        let old = old.filter(|known| known.in_glean);
        self.before += u64::from(old.is_some());
        // That its access was changed does not say that the crawl saw it.
        let new = new.filter(|known| known.record.state() != State::Access);
        match (old, new) {
            (Some(old), None) => {
                self.gone += 1;
                sample(&mut self.gone_samples, &old.record);
            }
            (Some(old), Some(new)) => match new.record.state() {
                // Deleted meanwhile, by an incremental crawl: it is gone already.
                State::Deleted => {
                    self.before -= 1;
                    self.deleted += 1;
                }
                State::Quarantined | State::Outdated | State::Access => {
                    self.withheld += 1;
                    sample(&mut self.withheld_samples, &new.record);
                }
                // Who finds it may have been changed alone, and back again.
                State::Uploaded
                    if old.record.content() == new.record.content()
                        && old.audience.shift(new.audience).is_none() =>
                {
                    self.unchanged += 1;
                }
                State::Uploaded => {
                    self.changed += 1;
                    sample(&mut self.changed_samples, &new.record);
                    self.access.count(old.audience, &new.record);
                }
            },
            (None, Some(new)) if new.record.state() == State::Uploaded => {
                self.added += 1;
                sample(&mut self.added_samples, &new.record);
            }
            (None, _) => {}
        }
    }
}

fn sample(samples: &mut Vec<Sample>, record: &Record) {
    if samples.len() < SAMPLES {
        samples.push(Sample::of(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::key;
    use crate::store::Location;

    fn record(id: &str, content: u128, state: State, generation: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (at, page, scope, object_type) = (1, 1, "all", "Page");
        let reason = if state == State::Quarantined { "it is locked" } else { "" };
        let (key, title) = (key(id), id);
        let (url, audience) = (0, Audience::NONE);
        Entry {
            key,
            content,
            at,
            page,
            state,
            generation,
            scope,
            id,
            object_type,
            title,
            reason,
            url,
            audience,
        }
        .write(&mut bytes);
        bytes
    }

    #[test]
    fn a_sample_is_as_long_as_what_travels_may_be() {
        let long = "ü".repeat(1 << 20);
        let sample = Sample::new("a", &long, &long);
        assert_eq!(sample.id, "a");
        assert!(sample.title.len() < 1_010 && sample.title.ends_with('…'), "{sample:?}");
        assert_eq!(sample.reason, sample.title);
    }

    async fn sealed(store: &Store, name: &str, records: &[Vec<u8>], full: bool) -> Sealed {
        let journal = Journal::<()>::new(store, "place", name);
        let (mut part, _) = journal.scope("all").await.expect("a scope");
        for one in records {
            part.commit(one, &()).await.expect("kept");
        }
        let folder = std::env::temp_dir();
        seal(store, &journal, format!("ledger/{name}"), full, folder).await.expect("sealed")
    }

    #[tokio::test]
    async fn a_change_of_access_alone_changes_who_finds_a_document_and_nothing_else() {
        use State::{Access, Deleted, Quarantined, Uploaded};
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Location::Folder(folder.path().to_owned())).expect("a store");
        let everyone = Audience::of(&crate::document::Access::Everyone);
        let nobody = Audience::of(&crate::document::Access::Unknown);
        let of = |id, content, state, audience| {
            let mut bytes = bytes::Bytes::from(record(id, content, state, 0));
            Record::take(&mut bytes).expect("a record").with_audience(audience).bytes().to_vec()
        };
        let ids = ["closed", "both", "quarantined", "deleted"];
        let old: Vec<_> = ids.map(|id| of(id, 1, Uploaded, everyone)).into();
        let old = sealed(&store, "old", &old, true).await;
        let between = [
            of("closed", 0, Access, nobody),
            of("both", 2, Uploaded, everyone),
            of("both", 0, Access, nobody),
            of("quarantined", 0, Access, nobody),
            of("quarantined", 0, Quarantined, Audience::NONE),
            of("deleted", 0, Deleted, Audience::NONE),
            of("deleted", 0, Access, everyone),
            of("stranger", 0, Access, everyone),
        ];
        let between = sealed(&store, "between", &between, false).await;
        assert_eq!(between.uploaded, 1);
        let runs = [old.run, between.run];
        let now: Vec<_> =
            ids.map(|id| of(id, if id == "both" { 2 } else { 1 }, Uploaded, everyone)).into();
        let now = [sealed(&store, "now", &now, true).await.run];
        let found = compare(&store, &runs, &now).await.expect("compared");
        assert_eq!(found.access.to_everyone.count, 3, "{found:?}");
        assert_eq!((found.before, found.added, found.gone), (3, 1, 0), "{found:?}");
        assert_eq!((found.changed, found.unchanged), (3, 0), "{found:?}");
        let one = crate::ledger::run::compact(&store, &runs, "ledger/one".into()).await;
        let again = compare(&store, &[one.expect("written")], &now).await.expect("compared");
        assert_eq!(again, found);
        // Another crawl read it between the upload and the change, which came from another scope.
        let at = |id, state, audience, at| {
            let mut record = Vec::new();
            let entry = Entry { state, audience, at, key: key(id), id, ..Entry::EMPTY };
            Entry { content: 1, ..entry }.write(&mut record);
            record
        };
        let late = [at("x", Access, nobody, 12), at("x", Uploaded, everyone, 10)];
        let late = sealed(&store, "late", &late, false).await.run;
        let read = sealed(&store, "read", &[at("x", Uploaded, everyone, 11)], true).await.run;
        let then = [sealed(&store, "then", &[at("x", Uploaded, everyone, 13)], true).await.run];
        let found = compare(&store, &[read, late], &then).await.expect("compared");
        assert_eq!(found.access.to_everyone.count, 1, "{found:?}");
        // That the access of a document was changed meanwhile does not say that a crawl saw it.
        let now = [of("closed", 0, Access, everyone)];
        let now = [sealed(&store, "unseen", &now, false).await.run];
        let found = compare(&store, &runs, &now).await.expect("compared");
        assert_eq!((found.before, found.gone), (3, 3), "{found:?}");
    }

    #[tokio::test]
    async fn newer_runs_go_over_older_ones_and_the_difference_is_told_by_name() {
        use State::{Deleted, Quarantined, Uploaded};
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Location::Folder(folder.path().to_owned())).expect("a store");
        let ids = ["same", "changed", "gone", "locked", "deleted", "LOCKED-ALWAYS"];
        let old: Vec<_> = ids.map(|id| record(id, 1, Uploaded, 0)).into();
        let old = sealed(&store, "old", &old, true).await;
        // An incremental crawl: the last word on a document counts.
        let between = [
            record("deleted", 0, Deleted, 0),
            record("new", 1, Uploaded, 0),
            record("new", 2, Uploaded, 0),
            record("locked-always", 0, Quarantined, 0),
        ];
        let between = sealed(&store, "between", &between, false).await;
        assert_eq!((between.uploaded, between.doubles), (1, 0));
        let now = [
            record("same", 1, Uploaded, 0),
            record("changed", 2, Uploaded, 0),
            record("locked", 0, Quarantined, 0),
            record("locked-always", 0, Quarantined, 0),
            record("new", 2, Uploaded, 0),
            record("newer", 1, Uploaded, 0),
            // Twice in one pass, and once more in the next.
            record("NEWER", 2, Uploaded, 0),
            record("same", 1, Uploaded, 1),
        ];
        let now = sealed(&store, "now", &now, true).await;
        assert_eq!((now.uploaded, now.doubles), (4, 1));
        let runs = [old.run, between.run];
        let after = [now.run];
        let found = compare(&store, &runs, &after).await.expect("compared");
        let counts = (found.before, found.gone, found.withheld);
        assert_eq!(counts, (6, 1, 2), "{found:?}");
        assert_eq!((found.added, found.changed, found.unchanged), (1, 1, 2), "{found:?}");
        assert_eq!(found.gone_samples[0].id, "gone");
        // What is written as one run says the same.
        let one = crate::ledger::run::compact(&store, &runs, "ledger/one".into()).await;
        let again = compare(&store, &[one.expect("written")], &after).await.expect("compared");
        assert_eq!(again, found);
    }
}
