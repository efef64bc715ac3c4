//! What is remembered of a connection between crawls: its bookmarks, its ledger, its last result, and
//! a full crawl that waits for a person.
//!
//! It is kept in versions: each change writes the next one, which only one writer can. Whoever comes
//! second reads again and changes that; so several workers, or an incremental crawl beside an
//! approval, lose nothing of each other's. A version's number must not become free again while
//! somebody may still write it: old versions are kept for an hour, and a writer who took longer than
//! half of that between reading and writing says so instead of being believed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::census::Census;
use super::change::Change;
use super::form::Form;
use super::history::History;
use super::identities::Standing;
use super::lease::{Claims, Coordinator};
use super::pending_end::PendingEnd;
use super::plan::Plan;
use super::progress::ScopeHead;
use super::request::ModeName;
use super::result::CrawlResult;
use crate::clock::Timestamp;
use crate::failure::{Failure, Result};
use crate::ledger::run::{Run, compact};
use crate::ledger::{self, Difference};
use crate::machine::Machine;
use crate::store::{Kept, Store};

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectionState {
    pub form: Form,
    /// Where the next incremental crawl of each scope begins.
    pub bookmarks: BTreeMap<String, String>,
    /// The scopes of the last full crawl that was complete, with their titles.
    pub scopes: BTreeMap<String, String>,
    /// How many documents it uploaded.
    pub whole: Option<u64>,
    /// How many new ones full crawls have brought since: rejected ones, partial ones.
    pub unsettled: u64,
    pub census: Census,
    /// Deletions and changes of access that are not done yet.
    pub changes: Vec<Change>,
    /// The end of the last full crawl, while Glean still works on it.
    pub closing: Option<PendingEnd>,
    /// The ledger, the oldest run first.
    pub runs: Vec<Run>,
    pub held: Option<Held>,
    pub last: Option<CrawlResult>,
    /// Why it is not known what Glean has, if so.
    pub doubt: Option<Doubt>,
    /// What the last crawls deleted, the oldest first: only for `sheaf explain`.
    pub gone: Vec<Run>,
    /// How the crawls of each mode ended.
    pub history: History,
    /// How its users and groups stand.
    pub identities: Standing,
}

/// A part of the state was damaged, and is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    pub what: String,
    pub since: Timestamp,
}

impl Held {
    /// Whether an answer comes too late.
    pub fn has_expired(&self) -> bool {
        self.until < Timestamp::now()
    }
}

impl ConnectionState {
    /// The runs of the ledger, those that may be it again, and what was deleted.
    fn all_runs(&self) -> Vec<Run> {
        let kept = self.closing.iter().flat_map(PendingEnd::runs);
        self.runs.iter().chain(kept).chain(&self.gone).cloned().collect()
    }
}

/// A full crawl that read and uploaded everything, and would delete more than it may.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    pub plan: Plan,
    pub scopes: BTreeMap<String, ScopeHead>,
    /// Its run, which is in the ledger already.
    pub run: Run,
    pub uploaded: u64,
    pub difference: Difference,
    pub reasons: Vec<String>,
    pub seconds: f64,
    pub since: Timestamp,
    pub until: Timestamp,
    /// A workflow waits for the answer; otherwise nobody does, and `sheaf approve` acts itself.
    #[serde(rename = "temporal")]
    pub coordinator: Coordinator,
}

/// All connections' states of crawls into one Glean: another one has other documents, and so a
/// state of its own.
#[derive(Clone, Debug)]
pub struct States {
    store: Store,
    pub machine: Machine,
    glean: String,
    /// Beside the connection's place, for what is no crawl of it.
    aside: bool,
    /// How long a version is kept once it is not among the newest.
    keep: Duration,
}

/// Older versions that are always left, to go back to.
const KEEP: usize = 2;
/// Longer than any writer needs between reading a version and writing the next.
const KEEP_FOR: Duration = Duration::from_secs(3600);
/// Deletions of so many crawls are remembered.
const GONE: usize = 20;
/// More runs than this are written as one.
const MAX_RUNS: usize = 48;

/// What keeps forecasts of a connection apart on one machine.
pub fn lock_of_plan(connection: &str) -> String {
    format!("{connection}.plan")
}

impl States {
    /// `state` is the folder of this machine's own state.
    pub fn new(store: Store, state: &Path, glean: &str) -> Self {
        let glean = glean.split_once("://").map_or(glean, |(_, rest)| rest);
        let glean = glean.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        Self { store, machine: Machine::new(state), glean, aside: false, keep: KEEP_FOR }
    }

    /// Where a connection's ledger, journals and state are kept.
    pub fn place(&self, connection: &str) -> String {
        if self.aside {
            // There need not be a Glean for what is kept here.
            let glean = if self.glean.is_empty() { "none" } else { self.glean.as_str() };
            return format!("connections/{connection}/{glean}/plan");
        }
        format!("connections/{connection}/{}", self.glean)
    }

    /// The same with places of its own.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self { aside: true, ..self.clone() }
    }

    /// Who is at work on a connection.
    pub fn claims(&self, connection: &str) -> Claims {
        let place = self.place(connection);
        if self.aside {
            // By this name its lock is called, too. A name of a connection has no dot.
            return Claims::new(&self.store, &lock_of_plan(connection), &place, &self.machine);
        }
        Claims::new(&self.store, connection, &place, &self.machine)
    }

    fn folder(&self, connection: &str) -> String {
        format!("{}/state", self.place(connection))
    }

    /// The newest version, and what is kept of all.
    async fn newest(&self, folder: &str) -> Result<(ConnectionState, Vec<Kept>)> {
        'changed: loop {
            let kept = self.store.list(folder).await?;
            let mut damaged = None;
            for Kept { name, .. } in kept.iter().rev() {
                let Some(bytes) = self.store.get(name).await? else { continue 'changed };
                if let Some(later) = Form::refusal(&bytes, &self.store.place(name)) {
                    return Err(later);
                }
                match serde_json::from_slice::<ConnectionState>(&bytes) {
                    Ok(state) => return Ok((doubtful(state, damaged), kept)),
                    // What the version before knew is better than nothing, and may not be all.
                    Err(error) => {
                        let place = self.store.place(name);
                        damaged.get_or_insert(format!(
                            "a version of the connection's state cannot be read ({place}): {error}"
                        ));
                    }
                }
            }
            return Ok((doubtful(ConnectionState::default(), damaged), kept));
        }
    }

    /// Without a Glean that is named, whatever was crawled last: `sheaf dev` has one of its own.
    pub async fn of(&self, connection: &str) -> Result<ConnectionState> {
        if !self.glean.is_empty() {
            return Ok(self.newest(&self.folder(connection)).await?.0);
        }
        let kept = self.store.list(&format!("connections/{connection}")).await?;
        let states = kept.iter().filter(|kept| kept.name.contains("/state/"));
        let Some(newest) = states.max_by_key(|kept| kept.modified) else {
            return Ok(ConnectionState::default());
        };
        let folder = newest.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        Ok(self.newest(folder).await?.0)
    }

    /// Changes what is remembered. `change` may be called again, on what another has written.
    pub async fn update(
        &self,
        connection: &str,
        mut change: impl FnMut(&mut ConnectionState),
    ) -> Result<ConnectionState> {
        let folder = self.folder(connection);
        loop {
            let read = Instant::now();
            let (mut state, versions) = self.newest(&folder).await?;
            change(&mut state);
            state.form = Form::now();
            let number = versions.last().and_then(|version| version.name.rsplit('/').next());
            let number: u64 = number
                .and_then(|name| name.trim_end_matches(".json").parse().ok())
                .unwrap_or_default();
            let text = serde_json::to_vec(&state)
                .map_err(|error| Failure::internal(format!("the state is no JSON: {error}")))?;
            if !self.store.create(&format!("{folder}/{:010}.json", number + 1), text).await? {
                continue;
            }
            if read.elapsed() > self.keep / 2 {
                return Err(Failure::internal(format!(
                    "writing the state of `{connection}` took so long that another may have \
                     written it meanwhile"
                ))
                .next("start the crawl again"));
            }
            self.forget(&state, &versions).await?;
            return Ok(state);
        }
    }

    /// Removes versions that are too old, and runs that no version knows any more: whoever has to go
    /// back to the version before finds its ledger.
    async fn forget(&self, state: &ConnectionState, versions: &[Kept]) -> Result<()> {
        let before = SystemTime::from(Timestamp::now() - self.keep);
        let older = &versions[..versions.len().saturating_sub(KEEP)];
        let old = older.iter().take_while(|version| version.modified < before).count();
        let (old, kept) = versions.split_at(old);
        if old.is_empty() {
            return Ok(());
        }
        let mut known = state.all_runs();
        for version in kept {
            known.extend(self.version(&version.name).await?.all_runs());
        }
        for version in old {
            for run in self.version(&version.name).await?.all_runs() {
                if !known.contains(&run) {
                    self.store.remove(&run.name).await?;
                }
            }
            self.store.remove(&version.name).await?;
        }
        Ok(())
    }

    /// One version; nothing where it cannot be read, and is on its way out.
    async fn version(&self, name: &str) -> Result<ConnectionState> {
        let bytes = self.store.get(name).await?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Many small runs of incremental crawls become one.
    pub async fn tidy(&self, connection: &str) -> Result<(), ledger::Error> {
        let state = self.of(connection).await?;
        if state.runs.len() <= MAX_RUNS || state.held.is_some() {
            return Ok(());
        }
        let newest = state.runs.last().map_or("", |run| run.name.as_str());
        let whole = compact(&self.store, &state.runs, format!("{newest}-all")).await?;
        let merged = state.runs;
        self.update(connection, |state| {
            if state.held.is_none() && state.runs.starts_with(&merged) {
                state.runs.splice(..merged.len(), [whole.clone()]);
            }
        })
        .await?;
        Ok(())
    }
}

fn doubtful(mut state: ConnectionState, damaged: Option<String>) -> ConnectionState {
    if let Some(what) = damaged {
        state.doubt.get_or_insert(Doubt { what, since: Timestamp::now() });
    }
    state
}

impl ConnectionState {
    /// The last crawl of a mode, also where the state is from before histories were kept.
    pub fn last_of(&self, mode: ModeName) -> Option<&CrawlResult> {
        let old = self.last.as_ref().filter(|last| last.mode == mode);
        self.history.of(mode).last.as_ref().or(old)
    }

    /// Remembers what a crawl deleted.
    pub fn deleted(&mut self, gone: Option<&Run>) {
        if let Some(gone) = gone.filter(|gone| !self.gone.contains(gone)) {
            self.gone.push(gone.clone());
            let many = self.gone.len().saturating_sub(GONE);
            self.gone.drain(..many);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stopped::Clock;
    use crate::store::Location;

    fn states(folder: &Path) -> States {
        let store = Store::open(&Location::Folder(folder.to_owned())).expect("a store");
        States::new(store, folder, "http://127.0.0.1:1")
    }

    async fn add(states: &States, key: &str) {
        let change =
            |state: &mut ConnectionState| drop(state.bookmarks.insert(key.into(), String::new()));
        states.update("docs", change).await.expect("written");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_who_stood_still_while_others_wrote_loses_nothing_of_theirs() {
        let folder = tempfile::tempdir().expect("a folder");
        let states = states(folder.path());
        add(&states, "first").await;
        let mut others = Some(["a", "b", "c", "d", "e"]);
        let stalled = |state: &mut ConnectionState| {
            state.bookmarks.insert("stalled".into(), String::new());
            let Some(others) = others.take() else { return };
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    for key in others {
                        add(&states, key).await;
                    }
                });
            });
        };
        states.update("docs", stalled).await.expect("written");
        assert_eq!(states.of("docs").await.expect("read").bookmarks.len(), 7);
    }

    #[tokio::test]
    async fn versions_go_when_nobody_can_be_writing_them_any_more() {
        let clock = Clock::stop();
        let folder = tempfile::tempdir().expect("a folder");
        let states = states(folder.path());
        for number in 0..6 {
            add(&states, &number.to_string()).await;
        }
        let place = folder.path().join(states.folder("docs"));
        let versions = || std::fs::read_dir(&place).expect("a folder").count();
        assert_eq!(versions(), 6);
        clock.advance(KEEP_FOR);
        add(&states, "in time").await;
        assert_eq!(versions(), 7, "somebody may still be writing them");
        clock.advance(KEEP_FOR);
        add(&states, "last").await;
        assert_eq!(versions(), KEEP + 1, "but for those that are kept in any case");
        assert_eq!(states.of("docs").await.expect("read").bookmarks.len(), 8);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_who_write_at_once_lose_nothing_of_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let states = states(folder.path());
        let writers = (0..8).map(|writer| {
            let states = states.clone();
            tokio::spawn(async move {
                for number in 0..5 {
                    add(&states, &format!("{writer}-{number}")).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("done");
        }
        let state = states.of("docs").await.expect("read");
        assert_eq!(state.bookmarks.len(), 40);
        let other = States { glean: "another".into(), ..states };
        assert!(other.of("docs").await.expect("read").bookmarks.is_empty());
    }
}
