//! Where a credential goes, which says nothing of what it is.

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::form::Grant;
use crate::sandbox::policy::{Pattern, Target};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The name of its header, in small letters.
    pub header: String,
    /// The hosts it goes to; every granted one, where there are none.
    pub hosts: Vec<Pattern>,
}

impl Place {
    pub(crate) fn of(grant: &Grant) -> Self {
        Self { header: grant.form.header().as_str().to_owned(), hosts: grant.hosts.clone() }
    }

    pub(super) fn is_in(&self, header: &HeaderName) -> bool {
        header.as_str() == self.header
    }

    pub(super) fn is_at(&self, target: &Target) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host.grants(target))
    }
}
