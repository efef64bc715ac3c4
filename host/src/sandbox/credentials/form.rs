//! What a credential is, as the operator grants it.

use std::fmt;
use std::path::PathBuf;

use http::header::{AUTHORIZATION, HeaderName};

use super::oauth::OAuth;
use crate::sandbox::policy::Pattern;
use crate::secret::Source;

/// What a credential is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Authorization: Bearer …`
    Bearer(Source),
    /// `Authorization: Basic …`
    Basic { username: String, password: Source },
    /// A header of its own, such as `X-Api-Key`.
    Header { name: HeaderName, value: Source },
    /// A bearer token that is fetched, and fetched again when it is old.
    OAuth(OAuth),
}

impl Form {
    /// The header it belongs into.
    pub(super) fn header(&self) -> &HeaderName {
        match self {
            Self::Header { name, .. } => name,
            _ => &AUTHORIZATION,
        }
    }

    /// Where its secret comes from. A token is fetched, with secrets of its own.
    pub(super) fn source(&self) -> Option<&Source> {
        match self {
            Self::Bearer(source)
            | Self::Basic { password: source, .. }
            | Self::Header { value: source, .. } => Some(source),
            Self::OAuth(_) => None,
        }
    }
}

/// What it is and where it comes from, without its value.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer(source) => write!(f, "a bearer token {source}"),
            Self::Basic { username, password } => {
                write!(f, "the user {username} with a password {password}")
            }
            Self::Header { name, value } => write!(f, "the header {name} {value}"),
            Self::OAuth(oauth) => write!(f, "a token of {}", oauth.token_url),
        }
    }
}

/// A credential, as the operator grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub form: Form,
    /// The hosts it goes to; every granted one, where there are none.
    pub hosts: Vec<Pattern>,
    /// What paths are relative to.
    pub base: PathBuf,
}
