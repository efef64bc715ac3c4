//! Puts pages of users and groups together, and finds what cannot be so. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::roster::Account;
use crate::crawl::identity_progress::IdentityCounts;
use crate::failure::{Failure, Kind, Result};
use crate::identities::{Group, Member, Page, Progress, User, key};
use crate::text::{bytes, cut, one_line};

/// Longer names are none of Glean's.
const MAX_NAME: usize = 1_000;
/// The longest that an e-mail address may be.
const MAX_EMAIL: usize = 320;
/// Bytes of all that one source says of users and groups, each with what it takes here besides.
const MAX_BYTES: usize = 256 << 20;
const EACH: usize = 200;
/// Pages without anything in a row.
const MAX_EMPTY: u32 = 10_000;
/// What is wrong is named up to so many times.
const MAX_SAMPLES: usize = 20;

/// What was read so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    read: Read,
    /// A group of which more is to come.
    open: Option<String>,
    bytes: usize,
    empty: u32,
    seen: BTreeSet<u64>,
    #[serde(default)]
    members: u64,
}

/// What cannot be told to Glean, by how many and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub count: u64,
    /// The first of them.
    pub samples: Vec<String>,
}

impl LeftOut {
    pub fn add(&mut self, what: &str) {
        self.count += 1;
        if self.samples.len() < MAX_SAMPLES {
            self.samples.push(one_line(&cut(what, 300)).into_owned());
        }
    }

    pub fn extend(&mut self, others: Self) {
        self.count += others.count;
        self.samples.extend(others.samples);
        self.samples.truncate(MAX_SAMPLES);
    }
}

/// All that a source said of itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Read {
    /// By e-mail, in lower case.
    pub users: BTreeMap<String, Account>,
    /// Whose each id is, by e-mail; nobody's where several have it.
    pub ids: BTreeMap<String, Option<String>>,
    /// Members as the source calls them.
    pub groups: BTreeMap<String, BTreeSet<Member>>,
    /// Groups whose members could not be read, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Why the rest was not read; nothing where all was.
    pub partial: Option<String>,
    pub left_out: LeftOut,
}

impl Read {
    pub fn counts(&self) -> IdentityCounts {
        let (users, groups) = (self.users.len() as u64, self.groups.len() as u64);
        let members = self.groups.values().map(|members| members.len() as u64).sum();
        IdentityCounts { users, groups, members }
    }
}

/// Where the next page begins, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    More(String),
    Ended,
}

impl Reading {
    pub fn take(&mut self, page: Page) -> Result<Step> {
        let Page { users, groups, unreadable, progress } = page;
        let is_empty = users.is_empty() && groups.is_empty() && unreadable.is_empty();
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        for user in users {
            self.user(user);
        }
        for group in groups {
            self.group(group)?;
        }
        for group in unreadable {
            let reason = one_line(&cut(&group.reason, 300)).into_owned();
            self.charge(group.name.len() + reason.len());
            self.read.unreadable.insert(cut(&group.name, MAX_NAME), reason);
        }
        if self.bytes > MAX_BYTES {
            let most = bytes(MAX_BYTES as u64);
            return Err(wrong(format!("the source's users and groups take more than {most}")));
        }
        match progress {
            Progress::More(checkpoint) => {
                self.charge(0);
                let is_new = self.seen.insert(xxhash_rust::xxh3::xxh3_64(checkpoint.as_bytes()));
                if !is_new || self.empty > MAX_EMPTY {
                    return Err(wrong("the connector loops: its checkpoints lead nowhere".into()));
                }
                Ok(Step::More(checkpoint))
            }
            Progress::Complete => match &self.open {
                Some(group) => Err(wrong(format!(
                    "the group `{}` has more members by the connector's word, and none came",
                    one_line(group)
                ))),
                None => Ok(Step::Ended),
            },
            Progress::Partial(reason) => {
                self.read.partial = Some(reason);
                Ok(Step::Ended)
            }
        }
    }

    pub fn counts(&self) -> IdentityCounts {
        let (users, groups) = (self.read.users.len() as u64, self.read.groups.len() as u64);
        IdentityCounts { users, groups, members: self.members }
    }

    fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes + EACH);
    }

    fn left_out(&mut self, what: &str) {
        self.charge(0);
        self.read.left_out.add(what);
    }

    fn user(&mut self, user: User) {
        let User { email, id, name, active } = user;
        if !is_email(&email) {
            return self.left_out(&format!("user {email:?}: that is no e-mail address"));
        }
        let id = id.filter(|id| !id.is_empty());
        if id.as_ref().is_some_and(|id| id.len() > MAX_NAME) {
            return self.left_out(&format!("user {email}: the id is too long"));
        }
        let name = name.map(|name| one_line(&cut(&name, MAX_NAME)).into_owned());
        let name = name.filter(|name| !name.is_empty());
        let key = key(&email);
        self.charge(2 * email.len() + name.as_ref().map_or(0, String::len));
        if let Some(id) = &id {
            self.charge(2 * id.len() + key.len());
            let whose = self.read.ids.entry(id.clone()).or_insert_with(|| Some(key.clone()));
            if whose.as_ref().is_some_and(|whose| *whose != key) {
                *whose = None;
                self.left_out(&format!("id {id}: several users have it, so it is nobody's"));
            }
        }
        match self.read.users.get_mut(&key) {
            // Several accounts of one person: each id is theirs, and whoever can use one of them is there.
            Some(known) => {
                known.active |= active;
                known.id = known.id.take().or(id);
                known.name = known.name.take().or(name);
            }
            None => drop(self.read.users.insert(key, Account { email, id, name, active })),
        }
    }

    fn group(&mut self, group: Group) -> Result<()> {
        let Group { name, members, continues } = group;
        if name.is_empty() || name.len() > MAX_NAME {
            self.left_out(&format!("group {name:?}: a name has 1 to {MAX_NAME} bytes"));
            return Ok(());
        }
        let goes_on = match self.open.take() {
            Some(open) if open == name => true,
            Some(open) => {
                return Err(wrong(format!(
                    "the group `{}` has more members by the connector's word, and `{}` came next",
                    one_line(&open),
                    one_line(&name)
                )));
            }
            None => false,
        };
        if !goes_on && self.read.groups.contains_key(&name) {
            let what = format!("the group `{}` came twice", one_line(&name));
            return Err(wrong(what));
        }
        self.charge(2 * name.len());
        let mut kept = self.read.groups.remove(&name).unwrap_or_default();
        for member in members {
            let (Member::Email(text) | Member::Id(text) | Member::Group(text)) = &member;
            if text.is_empty() || text.len() > MAX_NAME {
                let what = format!("a member of group {name}: a name has 1 to {MAX_NAME} bytes");
                self.left_out(&what);
                continue;
            }
            self.charge(text.len());
            self.members += u64::from(kept.insert(member));
        }
        self.open = continues.then(|| name.clone());
        self.read.groups.insert(name, kept);
        Ok(())
    }

    /// What was read. A group that did not end is one that could not be read.
    pub fn ended(self) -> Read {
        let Self { mut read, open, .. } = self;
        if let Some(open) = open {
            read.unreadable.insert(open, "the source stopped in the middle of it".into());
        }
        for name in read.unreadable.keys() {
            read.groups.remove(name);
        }
        for user in read.users.values_mut() {
            user.id.take_if(|id| read.ids.get(id).is_some_and(Option::is_none));
        }
        read
    }
}

pub(super) fn is_email(text: &str) -> bool {
    text.len() <= MAX_EMAIL
        && text.split_once('@').is_some_and(|(before, host)| !before.is_empty() && !host.is_empty())
        && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

fn wrong(what: String) -> Failure {
    Failure::new(Kind::Contract, what).next("mend the connector; nothing was changed in Glean")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identities::UnreadableGroup;

    fn user(email: &str, id: Option<&str>, active: bool) -> User {
        User { email: email.into(), id: id.map(Into::into), name: None, active }
    }

    fn group(name: &str, members: &[&str], continues: bool) -> Group {
        let member = |text: &&str| Member::Email((*text).into());
        Group { name: name.into(), members: members.iter().map(member).collect(), continues }
    }

    fn page(users: Vec<User>, groups: Vec<Group>, progress: Progress) -> Page {
        Page { users, groups, unreadable: Vec::new(), progress }
    }

    #[test]
    fn a_group_may_go_on_over_pages_and_half_a_group_is_no_group() {
        let mut reading = Reading::default();
        let half = vec![group("whole", &["a@x.com"], false), group("half", &["a@x.com"], true)];
        reading.take(page(vec![], half, Progress::More("1".into()))).expect("taken");
        let mut gave_up = reading.clone();
        let rest = vec![group("half", &["b@x.com"], false)];
        reading.take(page(vec![], rest, Progress::Complete)).expect("taken");
        assert_eq!(reading.ended().groups["half"].len(), 2);
        let asleep = Progress::Partial("asleep".into());
        assert_eq!(gave_up.take(page(vec![], vec![], asleep)).expect("taken"), Step::Ended);
        let read = gave_up.ended();
        assert_eq!(read.groups.keys().collect::<Vec<_>>(), ["whole"]);
        assert!(read.unreadable.contains_key("half") && read.partial.is_some(), "{read:?}");
        // A connector that says it ended is not believed either.
        for next in [vec![], vec![group("other", &[], false)]] {
            let mut reading = Reading::default();
            let half = vec![group("half", &["a@x.com"], true)];
            reading.take(page(vec![], half, Progress::More("1".into()))).expect("taken");
            assert!(reading.take(page(vec![], next, Progress::Complete)).is_err());
        }
    }

    #[test]
    fn several_accounts_of_one_person_are_theirs_and_an_id_of_several_is_nobody_s() {
        let mut reading = Reading::default();
        let users = vec![
            user("Ann@x.com", Some("3"), false),
            user("ann@x.com", Some("9"), true),
            user("bob@x.com", Some("7"), true),
            user("cid@x.com", Some("7"), true),
            user("\u{212a}id@x.com", None, true),
        ];
        reading.take(page(users, vec![], Progress::Complete)).expect("taken");
        let read = reading.ended();
        assert_eq!(read.users.len(), 4, "a sign that looks like a K is none: {read:?}");
        assert!(read.users["ann@x.com"].active);
        let whose = |id: &str| read.ids[id].as_deref();
        assert_eq!(
            (whose("3"), whose("9"), whose("7")),
            (Some("ann@x.com"), Some("ann@x.com"), None)
        );
        assert_eq!(read.left_out.count, 1);
        assert_eq!(read.users["bob@x.com"].id, None, "nor is anybody called by it");
    }

    #[test]
    fn what_cannot_be_told_to_glean_is_left_out_and_named() {
        let mut reading = Reading::default();
        let long = "x".repeat(2_000);
        let named = User { name: Some("A\n\u{1b}[2J".into()), ..user("a@x.com", None, true) };
        let steers = user("b\u{1b}[2J@x.com", None, true);
        let users = vec![user("nobody", None, true), named, steers];
        let groups = vec![group("", &[], false), group("g", &[&long, "a@x.com"], false)];
        let mut last = page(users, groups, Progress::Complete);
        last.unreadable.push(UnreadableGroup { name: "secret".into(), reason: "no\nright".into() });
        reading.take(last).expect("taken");
        let read = reading.ended();
        assert_eq!((read.users.len(), read.groups["g"].len(), read.left_out.count), (1, 1, 4));
        assert_eq!(read.users["a@x.com"].name.as_deref(), Some("A \\u{1b}[2J"));
        assert!(!read.left_out.samples.concat().contains('\u{1b}'), "{read:?}");
        assert_eq!(read.unreadable["secret"], "no right");
    }

    #[test]
    fn a_reading_that_leads_nowhere_or_takes_too_much_ends() {
        let mut reading = Reading::default();
        let more = || page(vec![], vec![], Progress::More("1".into()));
        reading.take(more()).expect("taken");
        assert!(reading.take(more()).is_err());
        let mut reading = Reading::default();
        let twice = vec![group("g", &[], false), group("g", &[], false)];
        assert!(reading.take(page(vec![], twice, Progress::Complete)).is_err());
        // What is left out counts as well.
        let mut reading = Reading::default();
        let mut ended = None;
        for number in 0..100 {
            let users = vec![user("nobody", None, true); 50_000];
            let more = Progress::More(format!("{number}"));
            ended = reading.take(page(users, vec![], more)).err();
            if ended.is_some() {
                break;
            }
        }
        assert!(ended.is_some_and(|failure| failure.what.contains("256")));
    }
}
