//! How a connection stands: how its crawls ended, what is under way, and what waits for a person.
//!
//! The store has most of it. Whoever asks adds what Temporal knows.

use std::time::Duration;

use serde::Serialize;

use super::change::Change;
use super::connection_state::{ConnectionState, States};
use super::crawler::Journal;
use super::history::Failing;
use super::identities::Standing;
use super::kept_changes::refused;
use super::kept_identities::{KeptIdentities, ReadingNote};
use super::lease::Coordinator;
use super::plan::Begun;
use super::request::ModeName;
use super::result::{AwaitingApproval, CrawlResult, Outcome};
use super::tell_identities::claims_of;
use super::view::CrawlView;
use super::{approval, late_deletion};
use crate::failure::{Failure, Kind, Result};
use crate::store::Store;
use crate::text::{count, grouped};
use crate::{glean, ledger};

/// How long Glean is waited for.
const GLEAN: Duration = Duration::from_secs(5);

/// What the newest workflow of a connection says.
#[derive(Debug)]
pub enum Newest {
    /// There is none, or it ended as crawls do: the connection's state has the rest.
    Ended,
    Running(Box<CrawlView>),
    Failed(ModeName, Box<Failing>),
}

/// A crawl of the journals that has not ended.
#[derive(Debug)]
pub struct Unended {
    pub mode: ModeName,
    /// Uploaded so far.
    pub documents: u64,
    /// Who is at work on it; nobody, where it was interrupted.
    pub by: Option<String>,
    pub coordinator: Coordinator,
}

/// A reading of users and groups that has not ended.
#[derive(Debug, Serialize)]
pub struct UnendedReading {
    #[serde(flatten)]
    pub note: ReadingNote,
    /// Who goes on with it; nobody, where it was interrupted.
    pub by: Option<String>,
}

/// What the store has of a connection.
pub struct Stored {
    kept: ConnectionState,
    unended: Vec<Unended>,
    at_work: bool,
    reading: Option<UnendedReading>,
    not_asked: Vec<Failure>,
}

impl Stored {
    /// Reads it, after Glean was asked whether it has done meanwhile what a crawl's end asked of it.
    pub async fn read(
        store: &Store,
        states: &States,
        glean: Option<&glean::Client>,
        connection: &str,
    ) -> Result<Self> {
        let asked = match glean {
            Some(glean) => look_again(glean, states, connection).await,
            None => Ok(()),
        };
        let kept = states.of(connection).await?;
        let held = kept.held.as_ref().map(|held| held.plan.upload_id.as_str());
        let (unended, at_work) = unended(store, states, connection, held).await?;
        let reading = reading(store, states, connection).await?;
        Ok(Self { kept, unended, at_work, reading, not_asked: asked.err().into_iter().collect() })
    }

    /// Whether only a workflow may know what waits for approval: where the store is the workers' own,
    /// this one has nothing of the connection.
    pub fn is_elsewhere(&self) -> bool {
        self.kept.held.is_none() && self.kept.last.is_none()
    }

    /// Puts it together with what Temporal knows: the newest workflow, and what waits for approval there.
    pub fn with(self, newest: Result<Newest>, waiting: Option<AwaitingApproval>) -> Status {
        let Self { kept, unended, at_work, reading, mut not_asked } = self;
        let newest = newest.unwrap_or_else(|failure| {
            not_asked.push(failure);
            Newest::Ended
        });
        let waiting = kept.held.as_ref().map(approval::waiting).or(waiting);
        let failing = failing(&kept, &newest);
        let running = match newest {
            Newest::Running(view) => Some(view),
            _ => None,
        };
        Status { kept, failing, waiting, running, unended, at_work, reading, not_asked }
    }
}

/// How a connection stands.
pub struct Status {
    pub kept: ConnectionState,
    /// The modes whose crawls fail.
    pub failing: Vec<(ModeName, Failing)>,
    /// What a person has to decide.
    pub waiting: Option<AwaitingApproval>,
    /// The workflow that runs.
    pub running: Option<Box<CrawlView>>,
    /// Crawls of other processes, and those that were interrupted.
    pub unended: Vec<Unended>,
    /// Whether anybody crawls its documents now, a process or a workflow.
    pub at_work: bool,
    /// A reading of users and groups.
    pub reading: Option<UnendedReading>,
    /// What was asked, and not answered.
    pub not_asked: Vec<Failure>,
}

/// What there is to say of a connection first.
pub enum Headline<'a> {
    /// The last crawls of these modes failed.
    Failing(&'a [(ModeName, Failing)]),
    WaitsForApproval(&'a AwaitingApproval),
    /// The last crawl of a mode.
    NotComplete(&'a CrawlResult),
    /// Glean refuses changes or holds deletions back, or it is not known what it has.
    NeedsAttention,
    Interrupted,
    /// The first crawl is under way.
    First,
    Never,
    Complete,
}

/// The same in a word; what is worse comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its state cannot be read.
    Unreadable,
    /// The last crawl of a mode failed.
    Failing,
    /// A person has to look.
    Waits,
    /// The last crawl did not read everything.
    Partial,
    /// A crawl was interrupted and can be resumed.
    Interrupted,
    Well,
    Never,
}

impl State {
    pub const ALL: [Self; 7] = [
        Self::Unreadable,
        Self::Failing,
        Self::Waits,
        Self::Partial,
        Self::Interrupted,
        Self::Well,
        Self::Never,
    ];

    /// As scripts and metrics know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Failing => "failing",
            Self::Waits => "waits",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
            Self::Well => "well",
            Self::Never => "never",
        }
    }

    /// As people read it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Waits => "needs a person",
            Self::Never => "never crawled",
            other => other.name(),
        }
    }
}

impl Headline<'_> {
    /// In words. `shorten`: what becomes of a reason, which may be long.
    pub fn words(&self, shorten: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Failing(modes) => {
                let said = modes.iter().map(|(mode, found)| failure_words(*mode, found, shorten));
                said.collect::<Vec<_>>().join("\n  ")
            }
            Self::WaitsForApproval(waiting) => {
                let of = count(waiting.of, "document");
                let would_go = grouped(waiting.would_go);
                format!("waits for approval: {would_go} of {of} would be deleted")
            }
            Self::NotComplete(last) => format!("the last {} crawl is {}", last.mode, last.outcome),
            Self::NeedsAttention => "a person has to look".to_owned(),
            Self::Interrupted => "a crawl was stopped".to_owned(),
            Self::First => "its first crawl".to_owned(),
            Self::Never => "never crawled".to_owned(),
            Self::Complete => "complete".to_owned(),
        }
    }

    pub fn state(&self) -> State {
        match self {
            Self::Failing(_) => State::Failing,
            Self::NotComplete(last) if last.outcome != Outcome::Held => State::Partial,
            Self::WaitsForApproval(_) | Self::NotComplete(_) | Self::NeedsAttention => State::Waits,
            Self::Interrupted => State::Interrupted,
            Self::First | Self::Never => State::Never,
            Self::Complete => State::Well,
        }
    }
}

impl Status {
    pub fn standing(&self) -> Headline<'_> {
        let not_complete = self.lasts().find(|last| last.outcome != Outcome::Complete);
        if !self.failing.is_empty() {
            Headline::Failing(&self.failing)
        } else if let Some(waiting) = &self.waiting {
            Headline::WaitsForApproval(waiting)
        } else if let Some(last) = not_complete {
            Headline::NotComplete(last)
        } else if self.refused().next().is_some()
            || self.deletion_paused()
            || self.kept.doubt.is_some()
        {
            Headline::NeedsAttention
        } else if self.is_interrupted() {
            Headline::Interrupted
        } else if self.lasts().next().is_some() {
            Headline::Complete
        } else if self.running.is_some() || !self.unended.is_empty() {
            Headline::First
        } else {
            Headline::Never
        }
    }

    /// The whole connection in a word: its documents, and its users and groups.
    pub fn state(&self, identities_max_age: Duration) -> State {
        let standing = &self.kept.identities;
        let lost = if standing.lost.is_some() { State::Waits } else { State::Never };
        let identities = of_identities(standing, identities_max_age).min(lost);
        self.standing().state().min(identities)
    }

    /// The last crawl of each mode that came to an end.
    pub fn lasts(&self) -> impl Iterator<Item = &CrawlResult> {
        MODES.into_iter().filter_map(|mode| self.kept.last_of(mode))
    }

    /// How the crawls of a mode fail, if they do.
    pub fn failing(&self, mode: ModeName) -> Option<&Failing> {
        self.failing.iter().find(|(failing, _)| *failing == mode).map(|(_, failing)| failing)
    }

    /// Whether a crawl was interrupted, and none runs.
    pub fn is_interrupted(&self) -> bool {
        self.running.is_none() && self.unended.iter().any(|unended| unended.by.is_none())
    }

    /// Changes that Glean refuses.
    pub fn refused(&self) -> impl Iterator<Item = &Change> {
        refused(&self.kept)
    }

    /// Whether Glean holds back what a crawl's end would delete.
    pub fn deletion_paused(&self) -> bool {
        self.kept.closing.as_ref().is_some_and(|closing| closing.paused)
    }
}

/// How users and groups stand.
pub fn of_identities(standing: &Standing, max_age: Duration) -> State {
    let is_partial = standing.last.as_ref().is_some_and(|last| last.outcome == Outcome::Partial);
    if standing.failing.is_some() {
        State::Failing
    } else if standing.held.is_some() || standing.is_old(max_age) {
        State::Waits
    } else if is_partial {
        State::Partial
    } else {
        State::Never
    }
}

/// Failures in a row, in words.
fn failure_words(mode: ModeName, failing: &Failing, shorten: &dyn Fn(&str) -> String) -> String {
    let Failing { since, times, at, failure, .. } = failing;
    let since = match times {
        1 => format!("failed at {at}"),
        times => format!("fails since {since}, {times} times, last at {at}"),
    };
    let mut text = format!("the {mode} crawl {since}: {}", shorten(&failure.what));
    if let Some(at) = &failure.at {
        text.push_str(&format!("\n    at: {at}"));
    }
    if let Some(next) = &failure.next {
        text.push_str(&format!("\n    next: {next}"));
    }
    text
}

const MODES: [ModeName; 2] = [ModeName::Full, ModeName::Incremental];

/// Whether Glean has done meanwhile what a crawl's end asked of it.
async fn look_again(glean: &glean::Client, states: &States, connection: &str) -> Result<()> {
    let look = late_deletion::look_again(glean, states, connection);
    let Ok(looked) = tokio::time::timeout(GLEAN, look).await else {
        let what = format!("Glean could not be asked: no answer within {GLEAN:?}");
        return Err(Failure::new(Kind::Unreachable, what).next("`sheaf doctor` tries it"));
    };
    looked.map(drop).map_err(|failure| Failure {
        what: format!("Glean could not be asked: {}", failure.what),
        ..failure
    })
}

/// Crawls that have a journal: under way in a process of their own, or interrupted. Workflows that run
/// are Temporal's to tell. And whether anybody is at work.
async fn unended(
    store: &Store,
    states: &States,
    connection: &str,
    held: Option<&str>,
) -> Result<(Vec<Unended>, bool)> {
    let place = &states.place(connection);
    let at_work = states.claims(connection).at_work().await?;
    let mut found = Vec::new();
    for upload in ledger::journals(store, place).await? {
        let journal = Journal::new(store, place, &upload);
        let Some(begun) = journal.begun::<Begun>().await? else { continue };
        if held == Some(upload.as_str()) {
            continue;
        }
        let coordinator = begun.plan.coordinator();
        let lease = at_work.as_ref().filter(|lease| lease.upload_id == upload);
        if lease.is_some() && coordinator == Coordinator::Temporal {
            continue;
        }
        let mut documents = 0;
        for scope in &begun.plan.scopes {
            let (_, head) = journal.scope(&scope.id).await?;
            documents += head.map_or(0, |head| head.counts.documents);
        }
        let by = lease.map(|lease| lease.by.clone());
        found.push(Unended { mode: begun.plan.mode, documents, by, coordinator });
    }
    Ok((found, at_work.is_some()))
}

async fn reading(
    store: &Store,
    states: &States,
    connection: &str,
) -> Result<Option<UnendedReading>> {
    let kept = KeptIdentities::new(store, &states.place(connection));
    let Some(note) = kept.note_of_reading().await? else { return Ok(None) };
    let at_work = claims_of(store, &kept, connection, &states.machine).at_work().await?;
    Ok(Some(UnendedReading { note, by: at_work.map(|lease| lease.by) }))
}

/// Which failures stand: those the store knows, and those that only Temporal does.
fn failing(kept: &ConnectionState, newest: &Newest) -> Vec<(ModeName, Failing)> {
    let mut found: Vec<_> = MODES
        .into_iter()
        .filter_map(|mode| Some((mode, kept.history.of(mode).failing.clone()?)))
        .collect();
    let Newest::Failed(mode, failed) = newest else { return found };
    let known = found.iter().any(|(_, failing)| failing.run == failed.run);
    let later = kept.last_of(*mode).is_none_or(|last| last.ended_at < failed.at);
    if !known && later {
        found.retain(|(known, _)| known != mode);
        found.push((*mode, (**failed).clone()));
    }
    found
}
