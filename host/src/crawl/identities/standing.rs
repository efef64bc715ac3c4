//! How a connection's users and groups stand: what a crawl of them came to, what waits for a person, and how old
//! what Glean knows is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::changes::{Changes, Counts};
use super::known::Known;
use super::objections::Objection;
use super::reading::LeftOut;
use super::shifts::GroupShifts;
use crate::clock::{Timestamp, to_milliseconds};
use crate::crawl::history::Failing;
use crate::crawl::lease::Coordinator;
use crate::crawl::result::Outcome;
use crate::failure::Failure;
use crate::name::ConnectionName;

/// What is remembered between crawls of identities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// When the last crawl that read everything began: so old is what Glean knows at most.
    pub as_of: Option<Timestamp>,
    pub last: Option<IdentityResult>,
    /// The crawls that failed since.
    pub failing: Option<Failing>,
    /// Since when something waits for a person's word, and why.
    pub held: Option<HeldIdentities>,
    /// What a person has approved, for the next crawl to do.
    pub approved: Option<Vec<Objection>>,
    /// When a person said no to what was held last.
    pub rejected: Option<Timestamp>,
    /// When Glean was last told of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Timestamp>,
    /// Since when Glean counts none of those that it was told of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<Timestamp>,
}

/// Glean's counts may be three hours old, and it takes its time to process what it is told.
const PROCESSING: Duration = Duration::from_secs(6 * 3600);

/// What waits: an approval is one of just these.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldIdentities {
    /// The crawl that found it.
    pub upload_id: String,
    pub since: Timestamp,
    pub reasons: Vec<Objection>,
    /// Who crawled: whoever does it again does what is approved.
    #[serde(rename = "temporal")]
    pub coordinator: Coordinator,
}

impl HeldIdentities {
    /// Whether it is just this that waits.
    fn has(&self, reasons: &[Objection]) -> bool {
        let digests = |all: &[Objection]| -> Vec<String> {
            all.iter().map(|one| one.digest.clone()).collect()
        };
        digests(&self.reasons) == digests(reasons)
    }
}

/// How a crawl ended, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Done<'a> {
    /// Which approvals applied, by their digests.
    pub used: &'a [String],
    /// Those of them that Glean let nothing come of: they are open still.
    pub undone: &'a BTreeSet<String>,
    /// Glean was told something.
    pub has_told: bool,
    pub began: Timestamp,
    pub coordinator: Coordinator,
}

impl Standing {
    /// How old what Glean knows is.
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.as_of.map(|at| now.since(at))
    }

    /// Whether what Glean knows is older than it may be.
    pub fn is_old(&self, max_age: Duration) -> bool {
        self.age(Timestamp::now()).is_some_and(|age| age > max_age)
    }

    /// How they stand, where that is not well.
    pub fn trouble(&self) -> Option<Outcome> {
        let is_partial = self.last.as_ref().is_some_and(|last| last.outcome == Outcome::Partial);
        match () {
            () if self.failing.is_some() => Some(Outcome::Failed),
            () if self.held.is_some() => Some(Outcome::Held),
            () if is_partial || self.lost.is_some() => Some(Outcome::Partial),
            () => None,
        }
    }

    /// Glean counts so many users and groups, and was told of some.
    pub fn counted(&mut self, people: u64, now: Timestamp) {
        if people > 0 {
            self.lost = None;
            return;
        }
        // An earlier version did not write down when.
        let sent = *self.sent.get_or_insert(now);
        if now.since(sent) > PROCESSING {
            self.lost.get_or_insert(now);
        }
    }

    /// What was approved, and is not done yet.
    pub fn approved(&self) -> &[Objection] {
        self.approved.as_deref().unwrap_or_default()
    }

    /// A person has looked at what this crawl found: the next one does it. Whether that waits still.
    pub fn approve(&mut self, upload_id: &str) -> bool {
        let waits = self.held.take_if(|held| held.upload_id == upload_id);
        let Some(HeldIdentities { reasons, .. }) = waits else { return false };
        // What was approved before and is not done yet stays so.
        self.approved.get_or_insert_default().extend(reasons);
        true
    }

    /// A person has looked, and nothing is to be done: neither what this crawl found, nor what was approved and is not
    /// done yet. Whether there was such a thing.
    pub fn reject(&mut self, upload_id: Option<&str>) -> bool {
        let is_meant = |held: &mut HeldIdentities| upload_id.is_none_or(|id| held.upload_id == id);
        let waited = self.held.take_if(is_meant).is_some();
        if waited {
            self.rejected = Some(Timestamp::now());
        }
        waited || self.approved.take_if(|_| upload_id.is_none()).is_some()
    }

    pub fn ended(&mut self, result: &IdentityResult, done: &Done<'_>) {
        let Done { used, undone, has_told, began, coordinator } = *done;
        let before = self.held.take();
        // What was not read says nothing of what waits, or of what was approved.
        let is_read = result.partial.is_none() && result.unreadable.count == 0;
        let mut reasons = result.held.clone();
        if !is_read {
            let waited = before.iter().flat_map(|held| &held.reasons);
            let is_open = |one: &&Objection| {
                !used.contains(&one.digest)
                    && !result.held.iter().any(|held| held.digest == one.digest)
            };
            reasons.extend(waited.filter(is_open).cloned());
        }
        if !reasons.is_empty() {
            let (upload_id, since) = match before {
                // The same still waits, under the name that people know.
                Some(held) if held.has(&reasons) => (held.upload_id, held.since),
                Some(held) => (result.upload_id.clone(), held.since),
                None => (result.upload_id.clone(), result.ended_at),
            };
            self.held = Some(HeldIdentities { upload_id, since, reasons, coordinator });
        }
        let open = self.approved.take().unwrap_or_default();
        let is_open = |one: &Objection| {
            undone.contains(&one.digest) || !is_read && !used.contains(&one.digest)
        };
        let open: Vec<_> = open.into_iter().filter(is_open).collect();
        self.approved = (!open.is_empty()).then_some(open);
        if result.is_whole() {
            self.as_of = Some(began);
        }
        if has_told {
            (self.sent, self.lost) = (Some(result.ended_at), None);
        }
        self.last = Some(result.clone());
        self.failing = None;
        self.rejected = None;
    }

    pub fn failed(&mut self, failure: &Failure, run: &str, at: Timestamp) {
        let before = self.failing.take();
        let (since, times) = before.map_or((at, 0), |failing| (failing.since, failing.times));
        let failure = Failure { detail: None, ..failure.clone() };
        self.failing = Some(Failing { since, times: times + 1, at, failure, run: run.to_owned() });
    }
}

/// What a crawl of users and groups came to: what `sync --identities --json` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentityResult {
    pub connection: ConnectionName,
    pub datasource: String,
    pub outcome: Outcome,
    pub upload_id: String,
    /// What Glean knows now.
    pub users: u64,
    pub groups: u64,
    pub memberships: u64,
    #[serde(flatten)]
    pub counts: Counts,
    /// Groups that get others, and who comes in and goes.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub shifts: Box<GroupShifts>,
    /// Why the rest was not read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub partial: Option<String>,
    /// Groups whose members could not be read: they keep those that they had.
    pub unreadable: LeftOut,
    /// What was delivered and cannot be told to Glean.
    pub left_out: LeftOut,
    /// Members who are no users of the source, and told by their e-mails.
    #[serde(default)]
    pub strangers: LeftOut,
    /// Users, groups and members that Glean refused: it has all the others.
    pub refused: LeftOut,
    /// Why a person has to look.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub held: Vec<Objection>,
    /// By what that is approved or rejected: the crawl that found it first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_as: Option<String>,
    pub seconds: f64,
    pub ended_at: Timestamp,
}

// `serde` hands over what it has.
#[allow(clippy::borrowed_box)]
fn is_nothing(shifts: &Box<GroupShifts>) -> bool {
    shifts.is_empty()
}

impl IdentityResult {
    pub fn new(connection: &ConnectionName, datasource: &str, upload_id: &str) -> Self {
        Self {
            connection: connection.clone(),
            datasource: datasource.to_owned(),
            outcome: Outcome::Complete,
            upload_id: upload_id.to_owned(),
            users: 0,
            groups: 0,
            memberships: 0,
            counts: Counts::default(),
            shifts: Box::default(),
            partial: None,
            unreadable: LeftOut::default(),
            left_out: LeftOut::default(),
            strangers: LeftOut::default(),
            refused: LeftOut::default(),
            held: Vec::new(),
            held_as: None,
            seconds: 0.0,
            ended_at: Timestamp::default(),
        }
    }

    /// What Glean is told.
    pub fn tells(&mut self, changes: &Changes) {
        self.users = changes.target.users.len() as u64;
        self.groups = changes.target.groups.len() as u64;
        self.memberships = changes.target.memberships();
        self.counts = changes.counts;
        self.shifts.as_mut().clone_from(&changes.shifts);
        self.held.clone_from(&changes.held);
        self.unreadable = changes.unreadable.clone();
        self.left_out = changes.left_out.clone();
        self.strangers = changes.strangers.clone();
    }

    /// What was told in the end: nothing of what Glean refused as a whole.
    pub fn did(&mut self, counts: Counts, shifts: GroupShifts) {
        (self.counts, *self.shifts) = (counts, shifts);
    }

    /// What Glean knows when that was told.
    pub fn knows(&mut self, known: &Known) {
        self.users = known.roster.users.len() as u64;
        self.groups = known.roster.groups.len() as u64;
        self.memberships = known.roster.memberships();
    }

    /// Whether all was read and told.
    fn is_whole(&self) -> bool {
        self.partial.is_none()
            && self.unreadable.count == 0
            && self.refused.count == 0
            && self.held.is_empty()
    }

    /// It came to its end: what Glean refused of it, and how long it took.
    pub fn ended(&mut self, refused: LeftOut, took: Duration) {
        self.refused = refused;
        self.outcome = match (self.held.is_empty(), self.is_whole()) {
            (false, _) => Outcome::Held,
            (true, false) => Outcome::Partial,
            (true, true) => Outcome::Complete,
        };
        self.seconds = to_milliseconds(took.as_secs_f64());
        self.ended_at = Timestamp::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(digest: &str) -> Objection {
        let (why, digest) = (digest.into(), digest.into());
        Objection { why, count: 1, names: Vec::new(), groups: Vec::new(), digest }
    }

    fn result(held: &[&str], unreadable: u64) -> IdentityResult {
        let mut result = IdentityResult::new(&"docs".into(), "docs", &format!("{held:?}"));
        result.held = held.iter().map(|digest| objection(digest)).collect();
        result.unreadable.count = unreadable;
        result
    }

    fn ended(standing: &mut Standing, result: &IdentityResult, used: &[&str]) {
        let used: Vec<_> = used.iter().map(|&digest| digest.to_owned()).collect();
        let (began, coordinator) = (Timestamp::now(), Coordinator::Process);
        let has_told = result.seconds > 0.0;
        let undone = &BTreeSet::new();
        standing.ended(result, &Done { used: &used, undone, has_told, began, coordinator });
    }

    #[test]
    fn a_glean_that_counts_nobody_is_believed_when_it_had_time_to_count() {
        let (mut standing, begun) = (Standing::default(), Timestamp::from_seconds(1_000_000));
        let later = |hours: u64| Timestamp::from_seconds(1_000_000 + hours * 3600);
        standing.counted(0, begun);
        standing.counted(0, later(5));
        assert_eq!((standing.lost, standing.trouble()), (None, None), "it may still count");
        standing.counted(0, later(7));
        standing.counted(0, later(9));
        assert_eq!((standing.lost, standing.trouble()), (Some(later(7)), Some(Outcome::Partial)));
        let mut told = result(&[], 0);
        (told.seconds, told.ended_at) = (1.0, later(10));
        ended(&mut standing, &told, &[]);
        standing.counted(0, later(11));
        assert_eq!(standing.lost, None, "it was told again a moment ago");
        standing.counted(0, later(20));
        assert_eq!(standing.lost, Some(later(20)));
        standing.counted(1, later(21));
        assert_eq!(standing.lost, None);
    }

    #[test]
    fn an_approval_of_which_nothing_came_is_open_still() {
        let mut standing = Standing::default();
        ended(&mut standing, &result(&["hr"], 0), &[]);
        let upload = standing.held.clone().expect("it waits").upload_id;
        assert!(standing.approve(&upload));
        let (used, undone) = (["hr".to_owned()], BTreeSet::from(["hr".to_owned()]));
        let (began, coordinator) = (Timestamp::now(), Coordinator::Process);
        let done = Done { used: &used, undone: &undone, has_told: true, began, coordinator };
        standing.ended(&result(&[], 0), &done);
        assert_eq!(standing.approved().len(), 1, "Glean refused the group");
        let done = Done { undone: &BTreeSet::new(), ..done };
        standing.ended(&result(&[], 0), &done);
        assert!(standing.approved().is_empty());
    }

    #[test]
    fn what_was_not_read_neither_ends_what_waits_nor_what_was_approved() {
        let mut standing = Standing::default();
        ended(&mut standing, &result(&["hr"], 0), &[]);
        let upload = standing.held.clone().expect("it waits").upload_id;
        ended(&mut standing, &result(&[], 1), &[]);
        assert_eq!(standing.held.clone().expect("it waits").upload_id, upload);
        assert!(standing.approve(&upload));
        ended(&mut standing, &result(&[], 1), &[]);
        assert_eq!(standing.approved().len(), 1, "it was not read yet");
        ended(&mut standing, &result(&["it"], 0), &["hr"]);
        assert!(standing.approved.is_none(), "it is done, once");
        // What is not there any more needs no word.
        ended(&mut standing, &result(&[], 0), &[]);
        assert!(standing.held.is_none());
    }
}
