//! All credentials of a connection, with their values: they stay where this is.

use std::collections::BTreeMap;

use super::credential::Credential;
use super::form::Grant;

#[derive(Debug, Default)]
pub(crate) struct Credentials(BTreeMap<String, Credential>);

impl Credentials {
    pub(crate) fn new(grants: &BTreeMap<String, Grant>) -> Self {
        let credential =
            |(name, grant): (&String, &Grant)| (name.clone(), Credential::new(name, grant.clone()));
        Self(grants.iter().map(credential).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Credential> {
        self.0.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Credential> {
        self.0.values()
    }
}
