//! Which groups get others: who comes in, and who goes. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::people::Names;
use super::roster::{Member, Members, Roster};
use crate::text::short_line;

/// Groups that are named, of each kind.
const MAX_GROUPS: usize = 20;
/// Names of those who come into a group, and of those who go.
const MAX_NAMES: usize = 10;
const MAX_NAME: usize = 100;

/// Groups that get others than before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GroupShifts {
    /// Somebody comes in, and nobody goes.
    pub wider: GroupsShifted,
    /// Somebody comes in, and somebody goes.
    pub both: GroupsShifted,
    /// Somebody goes, and nobody comes in.
    pub narrower: GroupsShifted,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsShifted {
    pub count: u64,
    /// The first of them.
    pub samples: Vec<GroupShift>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupShift {
    pub group: String,
    pub comes_in: Few,
    pub goes: Few,
}

/// How many they are, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Few {
    pub count: u64,
    pub names: Vec<String>,
}

impl Few {
    fn of(members: &[&Member]) -> Self {
        let name = |member: &&Member| short_line(&member.to_string(), MAX_NAME);
        let names = members.iter().take(MAX_NAMES).map(name).collect();
        Self { count: members.len() as u64, names }
    }
}

/// Who comes into a group, and who goes. People are meant, and not what they are called.
pub(super) struct Turnover<'m> {
    pub(super) comes_in: Vec<&'m Member>,
    pub(super) goes: Vec<&'m Member>,
}

impl<'m> Turnover<'m> {
    pub(super) fn new(
        (before, had): (&Names<'_>, &'m Members),
        (after, has): (&Names<'_>, &'m Members),
    ) -> Self {
        let was: BTreeSet<_> = had.iter().map(|member| before.who(member)).collect();
        let is: BTreeSet<_> = has.iter().map(|member| after.who(member)).collect();
        let comes_in = has.iter().filter(|member| !was.contains(&after.who(member)));
        let goes = had.iter().filter(|member| !is.contains(&before.who(member)));
        Self { comes_in: comes_in.collect(), goes: goes.collect() }
    }

    pub(super) fn of_group(&self, name: &str) -> GroupShift {
        GroupShift {
            group: short_line(name, MAX_NAME),
            comes_in: Few::of(&self.comes_in),
            goes: Few::of(&self.goes),
        }
    }
}

impl GroupShifts {
    pub fn between(
        (was, before): (&Names<'_>, &Roster),
        (is, after): (&Names<'_>, &Roster),
    ) -> Self {
        let none = Members::new();
        let mut shifts = Self::default();
        let names: BTreeSet<_> = before.groups.keys().chain(after.groups.keys()).collect();
        for name in names {
            let had = before.groups.get(name).unwrap_or(&none);
            let has = after.groups.get(name).unwrap_or(&none);
            if had == has {
                continue;
            }
            let turnover = Turnover::new((was, had), (is, has));
            let kind = match (turnover.comes_in.is_empty(), turnover.goes.is_empty()) {
                (true, true) => continue,
                (false, true) => &mut shifts.wider,
                (false, false) => &mut shifts.both,
                (true, false) => &mut shifts.narrower,
            };
            kind.count += 1;
            if kind.samples.len() < MAX_GROUPS {
                kind.samples.push(turnover.of_group(name));
            }
        }
        shifts
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
