//! The setting `identities`.

use std::collections::BTreeMap;

use serde::Deserialize;
use sheaf_sdk::schemars::{self, JsonSchema};

use crate::detail::Detail;
use crate::paging::Paging;

/// A list of users or of groups.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityEndpoint {
    /// What it is called in messages.
    pub name: String,
    /// The list's path below `base_url`.
    pub path: String,
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// An expression: where the rows are in an answer. Otherwise the answer is the list.
    pub items: Option<String>,
    /// Whether an answer in which `items` finds nothing is an empty list. Otherwise it is an error.
    #[serde(default)]
    pub items_optional: bool,
    /// An expression: where an answer may have only a part of what it says of its rows, it holds when
    /// the rows are whole.
    pub whole: Option<String>,
    /// How the next page is asked for. Otherwise there is one page.
    pub paging: Option<Paging>,
    /// An expression: what an answer says went wrong, where it says so with status 200.
    pub error: Option<String>,
    /// An expression: rows for which it holds are left out.
    pub skip: Option<String>,
    /// Another request for each row, whose answer is `detail` in its templates.
    pub detail: Option<Detail>,
    /// What a row says of a user, where the rows are users.
    pub user: Option<UserMap>,
    /// What a row says of a group, where the rows are groups.
    pub group: Option<GroupMap>,
}

/// Templates and expressions for the parts of a user.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserMap {
    /// A template: their e-mail address in the company.
    pub email: String,
    /// A template: their id in the source, where groups name their members by it.
    pub id: Option<String>,
    /// A template: what they are called.
    pub name: Option<String>,
    /// An expression that holds if the account can be used. Otherwise each can.
    pub active: Option<String>,
    /// Templates: the groups that they are in, where the user's row says so.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Templates for a group.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupMap {
    /// A template: its name, as `access` has it.
    pub name: String,
    /// Who is in it.
    pub members: Members,
}

/// Who is in a group: a list in the group's row or, with `path`, one of its own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Members {
    /// A template of the group's row: the path of the list of members below `base_url`.
    pub path: Option<String>,
    /// Templates of the group's row.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// An expression: where the members are, in the row or in an answer.
    pub items: Option<String>,
    /// Whether a group in which `items` finds nothing is empty. Otherwise it cannot be read.
    #[serde(default)]
    pub items_optional: bool,
    /// How the next page is asked for. Otherwise there is one page.
    pub paging: Option<Paging>,
    /// An expression: what an answer says went wrong, where it says so with status 200.
    pub error: Option<String>,
    /// An expression: members for which it holds are left out.
    pub skip: Option<String>,
    /// Templates of a member: users by their e-mails.
    #[serde(default)]
    pub users: Vec<String>,
    /// Templates of a member: users by their ids in the source, where `users` finds nothing.
    #[serde(default)]
    pub user_ids: Vec<String>,
    /// Templates of a member: groups by their names.
    #[serde(default)]
    pub groups: Vec<String>,
}
