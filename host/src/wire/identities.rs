//! Users, groups and memberships as the Indexing API reads them.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::{Serialize, Serializer};

/// Glean: a group's name has no spaces, and does not begin with `scio`. What it refuses is written as `%` and two
/// digits, and so is a `%` before two such digits, so that no two names become one. Documents and memberships name a
/// group alike.
pub fn group_name(name: &str) -> Cow<'_, str> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let is_odd = |(at, letter): (usize, char)| {
        let behind = name.as_bytes().get(at + 1..at + 3);
        letter.is_whitespace()
            || letter.is_control()
            || (letter == '%' && behind.is_some_and(|two| two.iter().all(is_digit)))
            || (at == 0 && name.starts_with("scio"))
    };
    if !name.char_indices().any(is_odd) {
        return Cow::Borrowed(name);
    }
    let mut written = String::with_capacity(name.len() + 8);
    for (at, letter) in name.char_indices() {
        if is_odd((at, letter)) {
            for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                // A text takes whatever is written to it.
                let _ = write!(written, "%{byte:02X}");
            }
        } else {
            written.push(letter);
        }
    }
    Cow::Owned(written)
}

/// Names of groups, in a list.
#[derive(Clone, Copy)]
pub(super) struct GroupNames<'a>(pub(super) &'a [String]);

impl Serialize for GroupNames<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|name| group_name(name)))
    }
}

/// A row of a bulk upload.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Row<'a> {
    #[serde(rename_all = "camelCase")]
    User {
        email: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        user_id: Option<&'a str>,
        /// Glean wants one.
        name: &'a str,
        is_active: bool,
    },
    Group {
        name: Cow<'a, str>,
    },
    #[serde(rename_all = "camelCase")]
    UserIn {
        member_user_id: &'a str,
    },
    #[serde(rename_all = "camelCase")]
    GroupIn {
        member_group_name: Cow<'a, str>,
    },
}

/// What a session replaces as a whole.
#[derive(Clone, Copy, Debug)]
pub enum Replaced<'a> {
    Users,
    Groups,
    MembersOf(&'a str),
}

impl Replaced<'_> {
    pub fn path(self) -> &'static str {
        match self {
            Self::Users => "/bulkindexusers",
            Self::Groups => "/bulkindexgroups",
            Self::MembersOf(_) => "/bulkindexmemberships",
        }
    }

    /// What its rows are called.
    pub fn list(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::MembersOf(_) => "memberships",
        }
    }

    /// Whether Glean looks at how much would be deleted.
    fn is_checked(self) -> bool {
        !matches!(self, Self::MembersOf(_))
    }
}

/// One page of a session.
#[derive(Clone, Copy, Debug)]
pub struct PageOf<'a> {
    pub what: Replaced<'a>,
    pub datasource: &'a str,
    pub upload_id: &'a str,
    pub first: bool,
    pub last: bool,
    /// Discard an unfinished session. Only with `first`.
    pub restart: bool,
    /// Delete without Glean's check, because a person has looked. Only with `last`.
    pub approved: bool,
}

impl PageOf<'_> {
    /// The request, around rows that are encoded already.
    pub fn request(&self, rows: &[u8]) -> Vec<u8> {
        let mut fields =
            serde_json::json!({ "uploadId": self.upload_id, "datasource": self.datasource });
        if let Replaced::MembersOf(group) = self.what {
            fields["group"] = group_name(group).into();
        }
        for (set, name) in [
            (self.first, "isFirstPage"),
            (self.last, "isLastPage"),
            (self.first && self.restart, "forceRestartUpload"),
            (self.last && self.approved && self.what.is_checked(), "disableStaleDataDeletionCheck"),
        ] {
            if set {
                fields[name] = true.into();
            }
        }
        let mut text = fields.to_string().into_bytes();
        text.pop();
        text.extend_from_slice(format!(",\"{}\":[", self.what.list()).as_bytes());
        text.extend_from_slice(rows);
        text.extend_from_slice(b"]}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_its_name_unless_glean_refuses_it_and_no_two_become_one() {
        for plain in ["staff", "größe", "a-b_c/d", "of-scio", "100%", "R%D"] {
            assert_eq!(group_name(plain), plain);
        }
        let names = [
            "Site Owners",
            "Site%20Owners",
            "SiteOwners",
            "a\tb",
            "a\u{a0}b",
            "scio",
            "%73cio",
            "scio b",
            "%20",
            "%2520",
        ];
        let written: std::collections::BTreeSet<_> =
            names.iter().map(|name| group_name(name)).collect();
        assert_eq!(written.len(), names.len(), "{written:?}");
        for name in &written {
            assert!(!name.contains(char::is_whitespace) && !name.starts_with("scio"), "{name}");
        }
        assert_eq!(group_name("Site Owners"), "Site%20Owners");
    }

    #[test]
    fn a_page_is_what_glean_describes() {
        let page = PageOf {
            what: Replaced::MembersOf("Site Owners"),
            datasource: "wiki",
            upload_id: "u",
            first: true,
            last: true,
            restart: true,
            approved: true,
        };
        let rows = [
            Row::UserIn { member_user_id: "ann@x.com" },
            Row::GroupIn { member_group_name: group_name("a b") },
        ];
        let rows: Vec<_> =
            rows.iter().map(|row| serde_json::to_string(row).expect("JSON")).collect();
        let request: serde_json::Value =
            serde_json::from_slice(&page.request(rows.join(",").as_bytes())).expect("JSON");
        let wanted = serde_json::json!({
            "uploadId": "u", "datasource": "wiki", "group": "Site%20Owners", "isFirstPage": true,
            "isLastPage": true, "forceRestartUpload": true,
            "memberships": [{ "memberUserId": "ann@x.com" }, { "memberGroupName": "a%20b" }],
        });
        assert_eq!(request, wanted);
        let users = PageOf { what: Replaced::Users, first: false, ..page };
        let request: serde_json::Value = serde_json::from_slice(&users.request(b"")).expect("JSON");
        let wanted = serde_json::json!({
            "uploadId": "u", "datasource": "wiki", "isLastPage": true,
            "disableStaleDataDeletionCheck": true, "users": [],
        });
        assert_eq!(request, wanted);
    }
}
