//! What a connector asks for, as one value: so that an update that asks for more is seen.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cell::Connector;
use crate::connector::Digest;

/// In its own words: hosts are templates of its settings as it wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    pub hosts: BTreeSet<String>,
    pub credentials: BTreeSet<String>,
    /// Whether it reads folders.
    pub folders: bool,
    /// Whether it tells of users and groups.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identities: bool,
    /// What it imports that is neither the contract nor what every program needs.
    pub imports: BTreeSet<String>,
}

impl Asks {
    pub fn of(connector: &Connector) -> Self {
        let manifest = &connector.manifest;
        let beyond = |name: &&String| {
            let plain =
                ["sheaf:connector/", "wasi:cli/", "wasi:clocks/", "wasi:io/", "wasi:random/"];
            !plain.iter().any(|plain| name.starts_with(plain))
        };
        // Which version of an interface it is says nothing of what it asks for.
        let name = |name: &String| name.split('@').next().unwrap_or_default().to_owned();
        Self {
            hosts: manifest.hosts.iter().cloned().collect(),
            credentials: manifest.credentials.iter().map(|one| one.name.clone()).collect(),
            folders: manifest.folders.is_some(),
            identities: connector.inspection.has_identities(),
            imports: connector.inspection.imports.iter().filter(beyond).map(name).collect(),
        }
    }

    pub fn digest(&self) -> Digest {
        // Sets are written in order: the same asks give the same text.
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// What is asked for beyond `before`, a line each.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let new = |kind: &str, now: &BTreeSet<String>, then: &BTreeSet<String>| {
            now.difference(then).map(|one| format!("{kind} {one}")).collect::<Vec<_>>()
        };
        let mut more = new("the host", &self.hosts, &before.hosts);
        more.extend(new("the credential", &self.credentials, &before.credentials));
        if self.folders && !before.folders {
            more.push("a folder".to_owned());
        }
        if self.identities && !before.identities {
            more.push("users and groups, to tell Glean of".to_owned());
        }
        more.extend(new("the interface", &self.imports, &before.imports));
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_beyond_before_is_named_and_less_is_not() {
        let set = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let before = Asks { hosts: set(&["a.example.com"]), ..Asks::default() };
        let now = Asks {
            hosts: set(&["a.example.com", "b.example.com"]),
            credentials: set(&["token"]),
            folders: true,
            identities: true,
            imports: set(&["wasi:http/outgoing-handler"]),
        };
        let lines = now.beyond(&before);
        let expected = [
            "the host b.example.com",
            "the credential token",
            "a folder",
            "users and groups, to tell Glean of",
            "the interface wasi:http/outgoing-handler",
        ];
        assert_eq!(lines, expected);
        assert!(before.beyond(&now).is_empty() && before.digest() != now.digest());
    }
}
