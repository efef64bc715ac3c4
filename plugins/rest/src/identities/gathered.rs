//! Groups that only the rows of users tell of: they are whole when all of those rows were read.

use std::collections::BTreeMap;

use sheaf_sdk::identities::{Group, Member, UnreadableGroup};

#[derive(Default)]
pub(crate) struct Gathered {
    groups: BTreeMap<String, Vec<Member>>,
    /// A group of which a part was delivered.
    is_open: bool,
    /// Why nobody knows who else is in them, if so.
    doubt: Option<String>,
}

impl Gathered {
    pub(crate) fn add(&mut self, groups: Vec<String>, member: &Member) {
        for group in groups {
            self.groups.entry(group).or_default().push(member.clone());
        }
    }

    /// Some of the users were not read.
    pub(crate) fn doubt(&mut self, why: &str) {
        self.doubt.get_or_insert_with(|| why.to_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// The next group, or as many of its members; nothing where there are no more. `is_listed`: whether a list of
    /// groups has one of this name.
    pub(crate) fn next(
        &mut self,
        limit: usize,
        is_listed: impl FnOnce(&str) -> bool,
    ) -> Option<Result<Group, UnreadableGroup>> {
        let (name, mut members) = self.groups.pop_first()?;
        if let Some(why) = &self.doubt {
            let reason = format!("who is in it was not read to the end: {why}");
            return Some(Err(UnreadableGroup { name, reason }));
        }
        if !self.is_open && is_listed(&name) {
            let reason = "a list of groups has one of this name, and so have users' rows: name the two differently";
            return Some(Err(UnreadableGroup { name, reason: reason.into() }));
        }
        self.is_open = members.len() > limit;
        if self.is_open {
            let rest = members.split_off(limit);
            self.groups.insert(name.clone(), rest);
            return Some(Ok(Group::part(name, members)));
        }
        Some(Ok(Group::new(name, members)))
    }
}
