//! What Glean does after a full crawl's last page, which may be long after it.
//!
//! Glean deletes what a session did not contain some time after the session's end, and holds the deletion
//! back where it finds it too much: `DELETION PAUSED` may come hours later than the crawl's answer. So
//! the end is remembered until Glean says that it is done, and looked at again by each crawl that begins
//! and by `sheaf status`. Until then the runs of the ledger that the crawl replaced are kept: if the
//! deletion is paused, they are the ledger again.
//!
//! Until then, too, nobody knows whether a document that comes by an incremental crawl is spared: it
//! is not in the session. So such a crawl does not move its bookmark, and the next one brings the
//! same again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::guard::Intent;
use super::memory::{Memories, Memory};
use super::plan::{CrawlResult, Plan};
use super::progress::Outcome;
use crate::clock::Timestamp;
use crate::failure::Result;
use crate::glean::upload::{Processing, Upload};
use crate::glean::{self, Client};
use crate::ledger::run::Run;

/// The end of a full crawl that Glean has not done yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Closing {
    pub upload_id: String,
    pub datasource: String,
    pub at: Timestamp,
    /// Glean holds the deletion back.
    pub paused: bool,
    /// What it was to delete, and how many of these others had put there.
    pub deleted: u64,
    foreign: u64,
    added: u64,
    /// The ledger before it; scopes and number of documents before it, or after it while it is paused.
    runs: Vec<Run>,
    scopes: BTreeMap<String, String>,
    whole: Option<u64>,
}

/// A pause lasts for 7 days; what is not done some days after is not going to be.
const PATIENCE: Duration = Duration::from_secs(14 * 24 * 3600);

pub const PAUSED: &str = "Glean holds the deletion of more than a fifth of the datasource back; look at what \
     would go, and let Glean's support release it or upload what is missing";

impl Closing {
    /// `memory` is what was remembered before the crawl ended.
    pub fn new(
        plan: &Plan,
        result: &CrawlResult,
        deletes: &Intent,
        memory: &Memory,
        processing: Processing,
    ) -> Self {
        let paused = processing == Processing::Paused;
        let titles = plan.scopes.iter().map(|scope| (scope.id.clone(), scope.title.clone()));
        Self {
            upload_id: plan.upload_id.clone(),
            datasource: plan.datasource.clone(),
            at: Timestamp::now(),
            paused,
            deleted: deletes.deleted(),
            foreign: deletes.foreign,
            added: deletes.difference.added,
            runs: plan.runs.clone(),
            // What is put in place when that changes.
            scopes: if paused { titles.collect() } else { memory.scopes.clone() },
            whole: if paused { Some(result.documents) } else { memory.whole },
        }
    }

    /// Runs that may be the ledger again.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The deletion is paused: what it was to delete is still there.
    fn pause(mut self, memory: &mut Memory) {
        let missing = self.runs.iter().filter(|run| !memory.runs.contains(run));
        memory.runs = missing.chain(&memory.runs).cloned().collect();
        std::mem::swap(&mut memory.scopes, &mut self.scopes);
        std::mem::swap(&mut memory.whole, &mut self.whole);
        memory.unsettled += self.added;
        memory.census.undone(Timestamp::now(), self.deleted, self.foreign);
        self.tell(memory, Outcome::Held, 0, Some(PAUSED));
        self.paused = true;
        memory.closing = Some(self);
    }

    /// It is done, after a pause: now they are gone.
    fn resume(mut self, memory: &mut Memory) {
        memory.runs.retain(|run| !self.runs.contains(run));
        std::mem::swap(&mut memory.scopes, &mut self.scopes);
        std::mem::swap(&mut memory.whole, &mut self.whole);
        memory.bookmarks.retain(|scope, _| memory.scopes.contains_key(scope));
        memory.unsettled = 0;
        memory.census.closed(Timestamp::now(), self.deleted);
        self.tell(memory, Outcome::Complete, self.deleted, None);
    }

    /// How the crawl ended is not what was said then.
    fn tell(&self, memory: &mut Memory, outcome: Outcome, deleted: u64, reason: Option<&str>) {
        let kept = [memory.last.as_mut(), memory.history.full.last.as_mut()].into_iter().flatten();
        for result in kept.filter(|result| result.upload_id == self.upload_id) {
            result.outcome = outcome;
            result.deleted = deleted;
            result.reason = reason.map(str::to_owned);
        }
    }
}

/// Looks at the end of the last full crawl again, if Glean has not done it yet. Whether it is still so.
pub async fn look_again(client: &Client, memories: &Memories, connection: &str) -> Result<bool> {
    let Some(closing) = memories.of(connection).await?.closing else { return Ok(false) };
    let upload = Upload {
        client: client.clone(),
        datasource: closing.datasource.clone(),
        upload_id: closing.upload_id.clone(),
        beside: None,
        accepted: Arc::default(),
    };
    let processing = match upload.processing().await {
        // It has lost the datasource, and its documents.
        Err(glean::Error::UnknownDatasource(_)) => Processing::Done,
        processing => processing?,
    };
    let late = closing.at + PATIENCE < Timestamp::now();
    if !late
        && (processing == Processing::Paused) == closing.paused
        && processing != Processing::Done
    {
        return Ok(true);
    }
    if processing == Processing::Paused {
        tracing::warn!(connection, upload_id = closing.upload_id, "{PAUSED}");
    }
    let memory = memories
        .update(connection, |memory| {
            let ours = memory.closing.take_if(|now| now.upload_id == closing.upload_id);
            match (ours, processing) {
                (Some(ours), Processing::Paused) if !ours.paused && !late => ours.pause(memory),
                (Some(ours), Processing::Done) if ours.paused => ours.resume(memory),
                // It goes on after the pause: what it deletes is seen when it is done.
                (Some(ours), Processing::UnderWay) if !late => memory.closing = Some(ours),
                _ => {}
            }
        })
        .await?;
    Ok(memory.closing.is_some())
}
