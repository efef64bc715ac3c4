//! Who is meant by what members are called, in the source and in Glean. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::reading::is_email;
use super::roster::{Account, Member, Members, Roster};
use crate::identities::{self, key};

/// Who is meant by what members are called.
pub struct Names<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Names<'a> {
    pub fn new(users: &'a BTreeMap<String, Account>) -> Self {
        let names = users.iter().flat_map(|(key, user)| {
            let names = [Some(user.email.as_str()), user.id.as_deref()];
            names.into_iter().flatten().map(move |name| (name, key.as_str()))
        });
        Self(names.collect())
    }

    pub(super) fn who<'m>(&self, member: &'m Member) -> (bool, Cow<'m, str>)
    where
        'a: 'm,
    {
        match member {
            Member::Group(name) => (true, Cow::Borrowed(name)),
            Member::User(name) => match self.0.get(name.as_str()) {
                Some(key) => (false, Cow::Borrowed(*key)),
                None => (false, Cow::Owned(key(name))),
            },
        }
    }
}

/// Who is who in a reading.
pub(super) struct People<'a> {
    users: &'a BTreeMap<String, Account>,
    ids: BTreeMap<&'a str, Option<&'a Account>>,
    by_email: bool,
}

impl<'a> People<'a> {
    pub(super) fn new(
        users: &'a BTreeMap<String, Account>,
        read: &'a BTreeMap<String, Option<String>>,
        by_email: bool,
    ) -> Self {
        let account = |key: &Option<String>| key.as_ref().and_then(|key| users.get(key));
        let mut ids: BTreeMap<_, _> =
            read.iter().map(|(id, key)| (id.as_str(), account(key))).collect();
        // Those that were not read, and stay.
        for user in users.values() {
            if let Some(id) = &user.id {
                ids.entry(id).or_insert(Some(user));
            }
        }
        Self { users, ids, by_email }
    }

    /// The members as Glean is told of them; where some are unknown, the others, and those. Whoever may not use their
    /// account is none: what Glean does with an inactive user in a group it does not say.
    pub(super) fn all<'m>(
        &self,
        members: &'m BTreeSet<identities::Member>,
        groups: &BTreeSet<String>,
    ) -> Result<Members, (Members, Vec<&'m identities::Member>)> {
        let (mut known, mut unknown) = (Members::new(), Vec::new());
        for member in members.iter().filter(|member| !self.is_inactive(member)) {
            match self.one(member, groups) {
                Some(member) => drop(known.insert(member)),
                None => unknown.push(member),
            }
        }
        if unknown.is_empty() { Ok(known) } else { Err((known, unknown)) }
    }

    /// Members by an e-mail that no user has, where the source tells of users.
    pub(super) fn strangers<'m>(
        &self,
        members: &'m BTreeSet<identities::Member>,
    ) -> impl Iterator<Item = &'m str> {
        let is_told = self.by_email && !self.users.is_empty();
        members.iter().filter(move |_| is_told).filter_map(|member| match member {
            identities::Member::Email(email) if !self.users.contains_key(&key(email)) => {
                Some(email.as_str())
            }
            _ => None,
        })
    }

    fn is_inactive(&self, member: &identities::Member) -> bool {
        let user = match member {
            identities::Member::Email(email) => self.users.get(&key(email)),
            identities::Member::Id(id) => self.ids.get(id.as_str()).copied().flatten(),
            identities::Member::Group(_) => None,
        };
        user.is_some_and(|user| !user.active)
    }

    fn one(&self, member: &identities::Member, groups: &BTreeSet<String>) -> Option<Member> {
        match member {
            identities::Member::Email(email) => match self.users.get(&key(email)) {
                Some(user) => Some(self.told(user)),
                // Glean knows people by their e-mails, also those that no list names.
                None => (self.by_email && is_email(email)).then(|| Member::User(email.clone())),
            },
            identities::Member::Id(id) => {
                self.ids.get(id.as_str()).copied().flatten().map(|user| self.told(user))
            }
            identities::Member::Group(name) => {
                groups.contains(name).then(|| Member::Group(name.clone()))
            }
        }
    }

    fn told(&self, user: &Account) -> Member {
        Member::User(match &user.id {
            Some(id) if !self.by_email => id.clone(),
            _ => user.email.clone(),
        })
    }
}

/// Without those who may not use their accounts.
pub(super) fn without_inactive(
    members: &mut Members,
    users: &BTreeMap<String, Account>,
    names: &Names<'_>,
) {
    let is_active = |member: &Member| match member {
        Member::Group(_) => true,
        Member::User(_) => users.get(&*names.who(member).1).is_none_or(|user| user.active),
    };
    members.retain(is_active);
}

/// What users are called who go, and nobody else is: they are in no group any more.
pub(super) struct Gone<'a>(BTreeSet<&'a str>);

impl<'a> Gone<'a> {
    pub(super) fn new(known: &'a Roster, users: &BTreeMap<String, Account>) -> Self {
        let there = Names::new(users);
        let gone = known.users.iter().filter(|(key, _)| !users.contains_key(*key));
        let names = gone.flat_map(|(_, user)| [Some(user.email.as_str()), user.id.as_deref()]);
        Self(names.flatten().filter(|name| !there.0.contains_key(name)).collect())
    }

    pub(super) fn left_of(&self, members: &Members) -> Members {
        let stays = |member: &&Member| !matches!(member, Member::User(user) if self.0.contains(user.as_str()));
        members.iter().filter(stays).cloned().collect()
    }

    /// Whether one of them is among these.
    pub(super) fn is_in(&self, members: &Members) -> bool {
        let goes = |member: &Member| matches!(member, Member::User(user) if self.0.contains(user.as_str()));
        members.iter().any(goes)
    }
}
