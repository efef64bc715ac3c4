//! What a scope's crawl has done here, counted for whoever watches this process.

use super::progress::Counts;
use crate::metrics::metrics;

pub(super) struct Metered<'a> {
    connection: &'a str,
    counted: Counts,
}

impl<'a> Metered<'a> {
    /// What was done `before` was counted by whoever did it.
    pub(super) fn new(connection: &'a str, before: &Counts) -> Self {
        Self { connection, counted: before.without_samples() }
    }

    /// So much is done now. A scope that is restarted has done less than before.
    pub(super) fn now(&mut self, counts: &Counts) {
        let before = std::mem::replace(&mut self.counted, counts.without_samples());
        let all = metrics();
        for (counter, now, before) in [
            (&all.documents, counts.documents, before.documents),
            (&all.bytes, counts.bytes, before.bytes),
            (&all.batches, counts.batches, before.batches),
            (&all.quarantined, counts.quarantined, before.quarantined),
        ] {
            counter.with_label_values(&[self.connection]).inc_by(now.saturating_sub(before));
        }
    }
}
