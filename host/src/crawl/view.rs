//! What a person sees of a crawl under way: the same from a local run and from a workflow's query.

use serde::{Deserialize, Serialize};

use super::identity_progress::IdentityProgress;
use super::plan::CrawlRef;
use super::progress::{Attempts, Shown};
use super::request::ModeName;
use crate::document::Scope;
use crate::failure::Failure;
use crate::name::{ConnectionName, UploadId};
use crate::text::bounded;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CrawlView {
    pub connection: ConnectionName,
    pub datasource: String,
    /// Name and version of the connector.
    pub connector: String,
    pub mode: ModeName,
    pub upload_id: UploadId,
    pub phase: Phase,
    /// Who paused it, if it rests.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paused: Option<String>,
    /// Why nothing moves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// How far users and groups are, while they are read and told.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub identities: Option<IdentityProgress>,
    /// How many scopes there are, and how many of them ended, or failed for good.
    #[serde(default)]
    pub of: usize,
    #[serde(default)]
    pub done: usize,
    #[serde(default)]
    pub failed: usize,
    /// What all scopes did.
    #[serde(default)]
    pub total: Shown,
    /// The connector's estimate of its documents, where it has one of each scope.
    #[serde(default)]
    pub estimate: Option<u64>,
    /// At most so many scopes as a person may want to see; those that run or failed come before others.
    pub scopes: Vec<ScopeView>,
}

/// Scopes that a view lists.
const LISTED: usize = 50;
/// The longest note about a scope.
const MAX_NOTE: usize = 500;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    #[default]
    Configuring,
    Crawling,
    Completing,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeView {
    pub id: String,
    pub title: String,
    /// The connector's estimate of its documents.
    pub estimate: Option<u64>,
    pub state: ScopeState,
    pub progress: Shown,
    /// Why it waits, or is tried again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeState {
    #[default]
    Waiting,
    Running,
    Retrying,
    Done,
    Failed,
}

impl ScopeView {
    pub fn new(scope: &Scope, state: ScopeState, mut progress: Shown) -> Self {
        // Whatever is long is in the journal, and need not travel.
        progress.counts.samples = Vec::new();
        Self {
            id: scope.id.clone(),
            title: scope.title.clone(),
            estimate: scope.documents,
            state,
            progress,
            note: None,
        }
    }

    #[must_use]
    pub fn noted(mut self, note: &str) -> Self {
        self.note = Some(bounded(note.to_owned(), MAX_NOTE));
        self
    }
}

/// How far an activity is with the scopes that it took: what it heartbeats and returns. It is small,
/// however many they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RangeProgress {
    /// What its scopes did, all together. Earlier versions had one scope an activity, and only this.
    #[serde(flatten)]
    pub total: Shown,
    /// Its number: the first scope's.
    pub from: usize,
    pub done: usize,
    pub failed: usize,
    /// Why the first of the failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The most failures in a row of a scope that is to be tried again.
    pub again: u32,
    /// The scopes that run, failed or are to be tried again, and some that are done.
    pub scopes: Vec<ScopeView>,
    /// How far users and groups are, where they are what is crawled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identities: Option<IdentityProgress>,
    /// Failures of this activity in a row, of which no scope is the cause.
    pub attempts: Attempts,
}

/// Scopes that an activity names.
const NAMED: usize = 10;

impl RangeProgress {
    /// Adds a scope, or what is new of it.
    pub fn show(&mut self, scope: ScopeView) {
        show(&mut self.scopes, scope, NAMED);
    }

    /// Says that this is its activity's attempt of that number, and why; `waits` while it is still to
    /// come.
    pub fn tried(&mut self, attempt: i32, why: &str, waits: bool) {
        let note = bounded(format!("attempt {attempt}: {why}"), MAX_NOTE);
        for scope in &mut self.scopes {
            match scope.state {
                ScopeState::Running if waits => scope.state = ScopeState::Retrying,
                ScopeState::Running if scope.note.is_none() => {}
                _ => continue,
            }
            scope.note = Some(note.clone());
        }
    }
}

/// Lists a scope. Where there are too many, those that are done go first, and those that run stay.
fn show(scopes: &mut Vec<ScopeView>, scope: ScopeView, most: usize) {
    if let Some(listed) = scopes.iter_mut().find(|listed| listed.id == scope.id) {
        *listed = scope;
        return;
    }
    if scopes.len() >= most {
        let done = scopes.iter().position(|scope| scope.state == ScopeState::Done);
        let waits = || scopes.iter().position(|scope| scope.state == ScopeState::Waiting);
        let is_news = !matches!(scope.state, ScopeState::Done | ScopeState::Waiting);
        let of = |state| scopes.iter().position(|scope| is_news && scope.state == state);
        let failed = || of(ScopeState::Failed).or_else(|| of(ScopeState::Retrying));
        let Some(at) = done.or_else(waits).or_else(failed) else { return };
        scopes.remove(at);
    }
    scopes.push(scope);
}

impl CrawlView {
    pub fn of(crawl: &CrawlRef) -> Self {
        Self {
            connection: crawl.connection.clone(),
            datasource: crawl.datasource.clone(),
            connector: crawl.connector.clone(),
            mode: crawl.mode,
            upload_id: crawl.upload_id.clone(),
            phase: Phase::Crawling,
            of: crawl.scopes.count(),
            estimate: crawl.estimate,
            ..Self::default()
        }
    }

    /// Adds what a range did, or has done so far.
    pub fn add(&mut self, range: RangeProgress) {
        self.done += range.done;
        self.failed += range.failed;
        self.total.add(&range.total);
        for scope in range.scopes {
            show(&mut self.scopes, scope, LISTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_stays_small_and_names_what_runs_or_failed() {
        let mut view = CrawlView { of: 10_000, ..CrawlView::default() };
        for number in 0..10_000 {
            // The id is the connector's, and control characters are long as JSON.
            let scope = Scope {
                id: format!("{number}-{}", "\u{1b}".repeat(490)),
                title: "t".repeat(200),
                documents: Some(u64::MAX),
            };
            let state = if number % 400 == 0 { ScopeState::Failed } else { ScopeState::Done };
            let mut progress = Shown::default();
            progress.counts.documents = 1;
            for number in 0..20 {
                progress.counts.quarantine(&number.to_string(), &"x".repeat(60_000));
            }
            let (why, since) = ("w".repeat(60_000), crate::clock::Timestamp::default());
            progress.live.wait(Some(crate::pace::Wait { why, since }));
            let one = ScopeView::new(&scope, state, progress.clone()).noted(&"n".repeat(5_000));
            let mut range = RangeProgress { done: 1, total: progress, ..RangeProgress::default() };
            range.show(one);
            view.add(range);
        }
        assert_eq!((view.done, view.total.counts.documents), (10_000, 10_000));
        let failed = view.scopes.iter().filter(|scope| scope.state == ScopeState::Failed);
        assert_eq!((failed.count(), view.scopes.len()), (25, LISTED));
        assert!(serde_json::to_vec(&view).expect("JSON").len() < 300_000);
    }

    #[test]
    fn what_runs_is_listed_however_much_waits_to_be_tried_again() {
        let mut range = RangeProgress::default();
        let one = |id: usize, state| {
            let scope = Scope { id: id.to_string(), title: String::new(), documents: None };
            ScopeView::new(&scope, state, Shown::default())
        };
        for id in 0..20 {
            range.show(one(id, if id < 5 { ScopeState::Failed } else { ScopeState::Retrying }));
        }
        range.show(one(20, ScopeState::Running));
        assert!(range.scopes.iter().any(|scope| scope.state == ScopeState::Running));
        range.show(one(20, ScopeState::Done));
        range.show(one(21, ScopeState::Done));
        let done = range.scopes.iter().filter(|scope| scope.state == ScopeState::Done);
        assert_eq!((done.count(), range.scopes.len()), (1, NAMED));
    }
}
