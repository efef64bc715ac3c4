//! Who is who in a source, in the host's own words. Each version of the contract is converted into this.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub email: String,
    pub id: Option<String>,
    pub name: Option<String>,
    pub active: bool,
}

/// What an e-mail is found by. Only letters of which everybody knows the small ones: others may look alike.
pub fn key(email: &str) -> String {
    email.to_ascii_lowercase()
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Member {
    Email(String),
    Id(String),
    Group(String),
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Email(email) => write!(f, "{email}"),
            Self::Id(id) => write!(f, "the id {id}"),
            Self::Group(name) => write!(f, "the group {name}"),
        }
    }
}

/// A group, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub name: String,
    #[serde(deserialize_with = "crate::lists::counted")]
    pub members: Vec<Member>,
    /// The next group is this one again, with other members.
    pub continues: bool,
}

/// A group whose members could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadableGroup {
    pub name: String,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    More(String),
    Complete,
    Partial(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    #[serde(deserialize_with = "crate::lists::counted")]
    pub users: Vec<User>,
    #[serde(deserialize_with = "crate::lists::counted")]
    pub groups: Vec<Group>,
    #[serde(deserialize_with = "crate::lists::counted")]
    pub unreadable: Vec<UnreadableGroup>,
    pub progress: Progress,
}
