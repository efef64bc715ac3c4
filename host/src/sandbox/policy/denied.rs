//! What is refused, and what would allow it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::target::InvalidTarget;
use crate::failure::{Failure, Kind};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denied {
    Invalid {
        url: String,
        why: String,
    },
    NotGranted {
        host: String,
    },
    NotAsked {
        host: String,
    },
    Address {
        host: String,
        address: IpAddr,
        why: String,
        metadata: bool,
    },
    /// With a method that is not granted; `grant` is what would allow it, where anything does.
    Method {
        method: String,
        host: String,
        grant: Option<String>,
    },
    /// A credential where it must not go.
    Credential {
        name: String,
        host: String,
        why: String,
    },
}

impl From<InvalidTarget> for Denied {
    fn from(InvalidTarget { url, why }: InvalidTarget) -> Self {
        Self::Invalid { url, why }
    }
}

impl Denied {
    /// What the operator reads; `granted` is what they granted so far.
    pub fn failure(&self, connection: &str, granted: &[Pattern]) -> Failure {
        let key = |name: &str| format!("in [connections.{connection}.grants] write: {name}");
        let (what, next) = match self {
            Self::Invalid { url, why } => (
                format!(
                    "the connector asked for `{url}`, which is no URL that can be granted: {why}"
                ),
                "tell the connector's author, or correct the URL in its settings".to_owned(),
            ),
            Self::NotGranted { host } => {
                let mut hosts: Vec<_> = granted.iter().map(|host| format!("\"{host}\"")).collect();
                hosts.push(format!("\"{host}\""));
                (
                    format!("the connector may not reach {host}: the host is not granted"),
                    key(&format!("hosts = [{}]", hosts.join(", "))),
                )
            }
            Self::NotAsked { host } => (
                format!("the connector may not reach {host}: it does not ask for the host"),
                "use a version of it whose manifest names the host; `sheaf inspect` shows it"
                    .into(),
            ),
            Self::Address { host, address, why, metadata: true } => (
                format!("the connector may not reach {host}: {address} is {why}"),
                "find out why that name leads there; nothing but the address itself in `hosts` \
                 would allow it"
                    .into(),
            ),
            Self::Address { host, address, why, metadata: false } => (
                format!("the connector may not reach {host}: {address} is {why}"),
                format!(
                    "if this is where {host} should be, {}",
                    key(&format!("networks = [\"{}\"]", IpNet::from(*address)))
                ),
            ),
            Self::Method { method, host, grant: Some(grant) } => (
                format!("the connector may not send {method} to {host}: the method is not granted"),
                key(&format!("methods = [{grant}]")),
            ),
            Self::Method { method, host, grant: None } => (
                format!(
                    "the connector may not send {method} to {host}: no such request is let out"
                ),
                "tell the connector's author".into(),
            ),
            Self::Credential { name, host, why } => (
                format!("the credential `{name}` was not sent to {host}: {why}"),
                "tell the connector's author".into(),
            ),
        };
        Failure::new(Kind::Denied, what).at(connection).next(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_denial_says_what_would_allow_it() {
        let granted = ["wiki.example.com".parse().expect("a pattern")];
        let address = |address: &str, metadata| Denied::Address {
            host: "files.example.com".into(),
            address: address.parse().expect("an address"),
            why: "a private address".into(),
            metadata,
        };
        let host = || "files.example.com".to_owned();
        for (denied, what, next) in [
            (
                Denied::Invalid { url: "ftp://x".into(), why: "it is none".into() },
                "`ftp://x`, which is no URL that can be granted: it is none",
                "correct the URL in its settings",
            ),
            (
                Denied::NotGranted { host: host() },
                "may not reach files.example.com: the host is not granted",
                "in [connections.wiki.grants] write: hosts = [\"wiki.example.com\", \"files.example.com\"]",
            ),
            (
                Denied::NotAsked { host: host() },
                "may not reach files.example.com: it does not ask for the host",
                "whose manifest names the host",
            ),
            (
                address("10.1.2.3", false),
                "may not reach files.example.com: 10.1.2.3 is a private address",
                "in [connections.wiki.grants] write: networks = [\"10.1.2.3/32\"]",
            ),
            (
                address("169.254.169.254", true),
                "may not reach files.example.com: 169.254.169.254 is",
                "nothing but the address itself in `hosts` would allow it",
            ),
            (
                Denied::Method {
                    method: "POST".into(),
                    host: host(),
                    grant: Some(r#""GET", "POST""#.into()),
                },
                "may not send POST to files.example.com: the method is not granted",
                r#"in [connections.wiki.grants] write: methods = ["GET", "POST"]"#,
            ),
            (
                Denied::Method { method: "TRACE".into(), host: host(), grant: None },
                "may not send TRACE to files.example.com: no such request is let out",
                "tell the connector's author",
            ),
            (
                Denied::Credential { name: "api".into(), host: host(), why: "it is not".into() },
                "the credential `api` was not sent to files.example.com: it is not",
                "tell the connector's author",
            ),
        ] {
            let failure = denied.failure("wiki", &granted);
            assert_eq!((failure.kind, failure.at.as_deref()), (Kind::Denied, Some("wiki")));
            assert!(failure.what.contains(what), "{failure}");
            assert!(
                failure.next.as_deref().is_some_and(|found| found.contains(next)),
                "{failure:?}"
            );
        }
    }
}
