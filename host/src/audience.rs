//! Who may find a document, as the ledger keeps it: how many may, roughly, and a hash of who exactly. And which
//! groups and users a document names.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::document::{Access, Restricted, UserRef};

/// One number of a record: whom in its first byte, a hash of who exactly in the others. 0 where nothing is known, as
/// in records of earlier versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Audience(u64);

/// From the fewest to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    /// Also where the connector does not know: Glean is told nobody.
    Nobody = 1,
    Restricted,
    SourceUsers,
    Everyone,
}

/// How one differs from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// From a part of the company, or of the source's users, to everyone.
    ToEveryone,
    Wider,
    Narrower,
    /// Other people, of whom a hash does not say whether they are more.
    Others,
}

impl Audience {
    pub const NONE: Self = Self(0);

    pub fn of(access: &Access) -> Self {
        let (width, hash) = match access {
            Access::Unknown => (Width::Nobody, 0),
            Access::Restricted(to) if is_nobody(to) => (Width::Nobody, 0),
            Access::Restricted(to) => (Width::Restricted, hash(to)),
            Access::SourceUsers => (Width::SourceUsers, 0),
            Access::Everyone => (Width::Everyone, 0),
        };
        Self(((width as u64) << 56) | (hash >> 8))
    }

    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub fn bits(self) -> u64 {
        self.0
    }

    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    pub fn is_known(self) -> bool {
        self.width().is_some()
    }

    fn width(self) -> Option<Width> {
        Some(match self.0 >> 56 {
            1 => Width::Nobody,
            2 => Width::Restricted,
            3 => Width::SourceUsers,
            4 => Width::Everyone,
            _ => return None,
        })
    }

    /// What it is now, where both are known and differ.
    pub fn shift(self, now: Self) -> Option<Shift> {
        let (before, after) = (self.width()?, now.width()?);
        if self == now {
            return None;
        }
        Some(match before.cmp(&after) {
            std::cmp::Ordering::Less if after == Width::Everyone => Shift::ToEveryone,
            std::cmp::Ordering::Less => Shift::Wider,
            std::cmp::Ordering::Greater => Shift::Narrower,
            std::cmp::Ordering::Equal => Shift::Others,
        })
    }
}

fn is_nobody(to: &Restricted) -> bool {
    to.users.is_empty() && to.groups.is_empty() && to.group_intersections.is_empty()
}

/// The same whatever order they come in.
fn hash(to: &Restricted) -> u64 {
    let group = |name: &String| xxh3_64_with_seed(name.as_bytes(), 1);
    let users = to.users.iter().map(user_hash).fold(0, u64::wrapping_add);
    let groups = to.groups.iter().map(group).fold(0, u64::wrapping_add);
    let together = |names: &Vec<String>| {
        let all = names.iter().map(group).fold(0, u64::wrapping_add);
        xxh3_64(&all.to_be_bytes())
    };
    let intersections = to.group_intersections.iter().map(together).fold(0, u64::wrapping_add);
    xxh3_64(&users.wrapping_add(groups).wrapping_add(intersections).to_be_bytes())
}

fn user_hash(user: &UserRef) -> u64 {
    let UserRef { email, id, name: _ } = user;
    let [email, id] = [email, id].map(|text| text.as_deref().unwrap_or_default().as_bytes());
    xxh3_64_with_seed(id, xxh3_64_with_seed(email, 2))
}

/// A group or a user that a document names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    Group(String),
    User { email: Option<String>, id: Option<String> },
}

/// The same in a document.
#[derive(Clone, Copy, Debug, Hash)]
pub enum Mention<'a> {
    Group(&'a str),
    User { email: Option<&'a str>, id: Option<&'a str> },
}

impl From<Mention<'_>> for Named {
    fn from(mention: Mention<'_>) -> Self {
        match mention {
            Mention::Group(name) => Self::Group(name.to_owned()),
            Mention::User { email, id } => {
                let [email, id] = [email, id].map(|text| text.map(str::to_owned));
                Self::User { email, id }
            }
        }
    }
}

/// Everybody whom a document names.
pub fn named(access: &Access) -> impl Iterator<Item = Mention<'_>> {
    let to = match access {
        Access::Restricted(to) => Some(to),
        _ => None,
    };
    to.into_iter().flat_map(|to| {
        let together = to.group_intersections.iter().flatten();
        let groups = to.groups.iter().chain(together).map(|name| Mention::Group(name));
        let users = to.users.iter().map(|UserRef { email, id, name: _ }| Mention::User {
            email: email.as_deref(),
            id: id.as_deref(),
        });
        groups.chain(users)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Access {
        let groups = names.iter().map(|&name| name.to_owned()).collect();
        Access::Restricted(Restricted { groups, ..Restricted::default() })
    }

    #[test]
    fn what_became_of_access_is_told_from_two_numbers() {
        let shift = |before: &Access, now: &Access| Audience::of(before).shift(Audience::of(now));
        let (hr, it) = (groups(&["hr"]), groups(&["it"]));
        assert_eq!(shift(&hr, &Access::Everyone), Some(Shift::ToEveryone));
        assert_eq!(shift(&Access::SourceUsers, &Access::Everyone), Some(Shift::ToEveryone));
        assert_eq!(shift(&hr, &Access::SourceUsers), Some(Shift::Wider));
        assert_eq!(shift(&Access::Unknown, &hr), Some(Shift::Wider));
        assert_eq!(shift(&Access::Everyone, &hr), Some(Shift::Narrower));
        assert_eq!(shift(&hr, &it), Some(Shift::Others));
        assert_eq!(shift(&hr, &groups(&[])), Some(Shift::Narrower));
        assert_eq!(shift(&groups(&["a", "b"]), &groups(&["b", "a"])), None);
        // Records of an earlier version say nothing.
        assert_eq!(Audience::default().shift(Audience::of(&hr)), None);
        assert!(Audience::from_bits(Audience::of(&hr).bits()).is_known());
    }

    #[test]
    fn a_group_and_a_user_of_one_name_and_groups_together_are_told_apart() {
        let mut apart =
            Restricted { groups: vec!["a".into(), "b".into()], ..Restricted::default() };
        let both = Access::Restricted(apart.clone());
        apart.group_intersections = vec![std::mem::take(&mut apart.groups)];
        let together = Access::Restricted(apart);
        assert_ne!(Audience::of(&both), Audience::of(&together));
        assert_eq!(named(&together).count(), 2);
    }
}
