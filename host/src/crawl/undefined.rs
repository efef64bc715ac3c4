//! Which groups and users Glean was told of, for documents that name them. Pure.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::audience::Named;
use crate::identities::key;
use crate::text::{count, cut, one_line};

/// So many of each kind are named.
const MAX_NAMES: usize = 20;
const MAX_NAME: usize = 200;

/// What a connection has told Glean of.
#[derive(Debug, Default)]
pub struct Defined {
    pub groups: HashSet<String>,
    /// E-mails in lower case, and ids.
    pub users: HashSet<String>,
    /// Glean knows users by their e-mails, also those of whom no connection tells.
    pub by_email: bool,
}

impl Defined {
    fn has(&self, named: &Named) -> bool {
        match named {
            Named::Group(name) => self.groups.contains(name),
            Named::User { email, id } => {
                let is_known = |email: &String| self.by_email || self.users.contains(&key(email));
                email.as_ref().is_some_and(is_known)
                    || id.as_ref().is_some_and(|id| self.users.contains(id))
            }
        }
    }
}

/// Groups and users that documents name and nobody told Glean of: nobody finds a document by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Undefined {
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub users: BTreeSet<String>,
    /// There are more of a kind than are named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl Undefined {
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.users.is_empty()
    }

    /// Notes it, unless it is defined.
    pub fn hear(&mut self, named: &Named, defined: &Defined) {
        if !defined.has(named) {
            self.note(named);
        }
    }

    fn note(&mut self, named: &Named) {
        let (all, name) = match named {
            Named::Group(name) => (&mut self.groups, name),
            Named::User { email: Some(name), .. } | Named::User { id: Some(name), .. } => {
                (&mut self.users, name)
            }
            Named::User { .. } => return,
        };
        let name = one_line(&cut(name, MAX_NAME)).into_owned();
        if all.len() < MAX_NAMES {
            all.insert(name);
        } else if !all.contains(&name) {
            self.more = true;
        }
    }

    /// What is defined by now was told after the document that names it.
    pub fn forget_defined(&mut self, defined: &Defined) {
        self.groups.retain(|name| !defined.groups.contains(name));
        self.users
            .retain(|name| !defined.users.contains(name) && !defined.users.contains(&key(name)));
    }

    pub fn add(&mut self, other: &Self) {
        for name in &other.groups {
            self.note(&Named::Group(name.clone()));
        }
        for name in &other.users {
            self.note(&Named::User { email: None, id: Some(name.clone()) });
        }
        self.more |= other.more;
    }
}

impl std::fmt::Display for Undefined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let least = if self.more { "at least " } else { "" };
        let mut before = "";
        for (names, what) in [(&self.groups, "group"), (&self.users, "user")] {
            if names.is_empty() {
                continue;
            }
            let all: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            let number = count(names.len() as u64, what);
            write!(f, "{before}{least}{number} ({})", all.join(", "))?;
            before = " and ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_defined_is_named_and_no_more_often_than_it_must() {
        let all = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let (groups, users) = (all(&["hr"]), all(&["ann@x.com", "7"]));
        let by_id = Defined { groups, users, by_email: false };
        let mut undefined = Undefined::default();
        for name in ["ann@x.com", "ANN@x.com", "7", "bob@x.com", "8"] {
            let name = Some(name.to_owned());
            let is_email = name.as_ref().is_some_and(|name| name.contains('@'));
            let (email, id) = if is_email { (name, None) } else { (None, name) };
            undefined.hear(&Named::User { email, id }, &by_id);
        }
        undefined.hear(&Named::Group("hr".into()), &by_id);
        undefined.hear(&Named::Group("it".into()), &by_id);
        assert_eq!(undefined.to_string(), "1 group (`it`) and 2 users (`8`, `bob@x.com`)");
        let mut known = Undefined::default();
        let (email, id) = (Some("bob@x.com".to_owned()), None);
        known.hear(&Named::User { email, id }, &Defined { by_email: true, ..Defined::default() });
        assert!(known.is_empty(), "Glean knows people by their e-mails");
        for number in 0..30 {
            undefined.hear(&Named::Group(format!("g{number}")), &by_id);
        }
        let (email, id) = (Some("eve@y.com".to_owned()), Some("7".to_owned()));
        known.hear(&Named::User { email, id }, &by_id);
        assert!(known.is_empty(), "by her id");
        let twice = undefined.clone();
        undefined.add(&twice);
        assert!(undefined.groups.len() == 20 && undefined.more, "{undefined}");
    }
}
