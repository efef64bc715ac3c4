//! Where a connector is published: `oci://registry/name`, with a version or without.

use std::fmt;
use std::str::FromStr;

use semver::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::{Failure, Result};

pub const SCHEME: &str = "oci://";

/// A repository of a registry. The host is in lower case, and no other is meant by another spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// With a port, where it has one.
    pub host: String,
    pub name: String,
}

/// A repository, and which of its versions is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub repository: Repository,
    pub tag: Option<String>,
}

/// The longest of a repository's name and of a tag ("OCI distribution specification").
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

impl Repository {
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.hostname())
    }

    /// Without the port.
    pub fn hostname(&self) -> &str {
        hostname(&self.host)
    }

    /// The last part of its name: what people call it.
    pub fn short(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

pub(super) fn hostname(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Plain HTTP is spoken to this machine only.
pub(super) fn is_loopback(hostname: &str) -> bool {
    let address = hostname.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    hostname == "localhost" || address.parse().is_ok_and(is_loopback)
}

fn is_host(host: &str) -> bool {
    let name = hostname(host);
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(fits)
    };
    let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_address = in_brackets.is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok());
    let port = host.get(name.len() + 1..).map(str::parse::<u16>);
    // Another spelling of the same place is none: keys are set for one of them.
    let is_usual = matches!(port, Some(Ok(443))) || host.ends_with(":80");
    let is_odd = host.get(name.len() + 1..).is_some_and(|port| port.starts_with('0'));
    let is_alias = matches!(name, "registry-1.docker.io" | "index.docker.io");
    // What has neither a dot nor a port is a name of Docker Hub to Docker, and nobody's here.
    let is_name =
        name.split('.').all(label) && (name.contains('.') || name == "localhost" || port.is_some());
    (is_address || is_name)
        && !(is_usual || is_odd || is_alias)
        && host.len() <= MAX_NAME
        && !matches!(port, Some(Err(_) | Ok(0)))
}

/// Parts of lower case letters and digits, between which stand `.`, `_`, `__` or dashes.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = part.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'));
        let ends = [part.bytes().next(), part.bytes().next_back()];
        let odd = ["..", "._", "_.", "-.", ".-", "-_", "_-", "___"];
        fits && ends.iter().all(|end| end.is_some_and(plain))
            && !odd.iter().any(|odd| part.contains(odd))
    };
    name.len() <= MAX_NAME && name.split('/').all(part)
}

pub(super) fn is_tag(tag: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let fits = tag.bytes().all(|byte| plain(byte) || matches!(byte, b'.' | b'-'));
    tag.len() <= MAX_TAG && tag.bytes().next().is_some_and(plain) && fits
}

impl FromStr for Repository {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let Reference { repository, tag } = text.parse()?;
        match tag {
            None => Ok(repository),
            Some(tag) => Err(Failure::settings(format!(
                "`{text}` names the version `{tag}`, and a version stands in sheaf.lock alone"
            ))
            .next(format!("write `{repository}`; `sheaf add {text}` locks that version"))),
        }
    }
}

impl FromStr for Reference {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Failure::settings(format!("`{text}` is no place of a connector: {why}"))
                .next("write oci://registry.example.com/name, or that with `:1.2.0` behind it")
        };
        let rest =
            text.strip_prefix(SCHEME).ok_or_else(|| wrong("it does not begin with oci://"))?;
        if rest.contains('@') {
            return Err(wrong("a digest stands in sheaf.lock, not here"));
        }
        let (host, path) =
            rest.split_once('/').ok_or_else(|| wrong("no name follows the registry"))?;
        let (name, tag) = match path.split_once(':') {
            Some((name, tag)) => (name, Some(tag)),
            None => (path, None),
        };
        if !is_host(host) {
            return Err(wrong("its registry is no host, such as registry.example.com"));
        }
        if !is_name(name) {
            return Err(wrong("its name may have lower case letters, digits and `/._-`"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its version may have letters, digits and `._-`"));
        }
        let repository = Repository { host: host.to_owned(), name: name.to_owned() };
        Ok(Self { repository, tag: tag.map(str::to_owned) })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.host, self.name)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        self.tag.as_ref().map_or(Ok(()), |tag| write!(f, ":{tag}"))
    }
}

impl Serialize for Repository {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Repository {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|failure: Failure| serde::de::Error::custom(failure.what))
    }
}

/// The version that a tag names. A registry's tag has no `+`.
pub fn version_of(tag: &str) -> Option<Version> {
    Version::parse(&tag.replacen('_', "+", 1)).ok()
}

pub fn tag_of(version: &str) -> String {
    version.replace('+', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in [
            "oci://registry.example.com/wiki",
            "oci://registry.example.com/team/wiki:1.2.0",
            "oci://127.0.0.1:5000/wiki:1.2.0-rc.1",
            "oci://localhost/a__b-c.d",
            "oci://[::1]:5000/wiki",
            "oci://registry:5000/wiki",
        ] {
            let reference: Reference = text.parse().expect(text);
            assert_eq!(reference.to_string(), text);
        }
        for text in [
            "registry.example.com/wiki",
            "oci://registry.example.com",
            "oci://registry.example.com/",
            "oci://wiki/wiki",
            "oci://Registry.example.com/wiki",
            "oci://registry.example.com/Wiki",
            "oci://registry.example.com/../wiki",
            "oci://registry.example.com/wiki:",
            "oci://registry.example.com/wiki:1/2",
            "oci://registry.example.com/wiki?x",
            "oci://a.b@evil.example.com/wiki",
            "oci://registry.example.com:0/wiki",
            "oci://registry.example.com:99999/wiki",
            "oci://registry.example.com:443/wiki",
            "oci://registry.example.com:05000/wiki",
            "oci://registry-1.docker.io/team/wiki",
            "oci://registry.example.com/wiki@sha256:00",
            "oci://r\u{435}gistry.example.com/wiki",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("oci://a.example.com/b:1".parse::<Repository>().is_err());
        let loopback = |text: &str| text.parse::<Repository>().expect(text).is_loopback();
        assert!(loopback("oci://127.0.0.1:5000/a") && loopback("oci://[::1]:5000/a"));
        assert!(!loopback("oci://127.0.0.1.example.com/a"));
    }
}
