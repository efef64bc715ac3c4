//! Which hosts a connection may reach: what the operator granted, of what the connector asks for.

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use super::address::{covers, is_metadata, special};
use super::denied::Denied;
use super::methods::Methods;
use super::pattern::Pattern;
use super::target::Target;
use crate::text::cut;

/// What the operator granted, and what the connector asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub granted: Vec<Pattern>,
    pub asked: Vec<Pattern>,
    /// Networks of private addresses that granted names may lie in.
    #[serde(with = "super::networks")]
    pub networks: Vec<IpNet>,
    /// What may be done with granted hosts.
    pub methods: Methods,
}

/// A target that may be reached, and at which addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The grant that allows it.
    pub by: String,
    /// Whether the grant is for this very machine or address.
    pub local: bool,
}

impl Allowed {
    /// Of a name that is allowed: only `localhost` is granted as local.
    pub fn name(name: &str) -> Self {
        Self { by: name.to_owned(), local: name == "localhost" }
    }
}

impl Policy {
    /// Whether a URL may be requested. What comes back is the one to request.
    pub fn allows_url(&self, url: &str) -> Result<(Url, Target, Allowed), Denied> {
        let (url, target) = Target::parse(url)?;
        let allowed = self.allows(&target)?;
        Ok((url, target, allowed))
    }

    pub fn allows(&self, target: &Target) -> Result<Allowed, Denied> {
        let host = target.to_string();
        // What it does not ask for no grant would give it.
        if !self.asked.iter().any(|pattern| pattern.matches(target, false)) {
            return Err(Denied::NotAsked { host });
        }
        let granted = self.granted.iter().filter(|pattern| pattern.matches(target, true));
        // One that names this very machine says most.
        let Some(granted) = granted.max_by_key(|pattern| pattern.is_local()) else {
            return Err(Denied::NotGranted { host });
        };
        Ok(Allowed { by: granted.to_string(), local: granted.is_local() })
    }

    /// Whether a request with this method may leave for a target that is allowed.
    pub fn lets_out(&self, method: &Method, target: &Target) -> Result<(), Denied> {
        if self.methods.allow(method) {
            return Ok(());
        }
        let grant = Methods::are_let_out(method).then(|| self.methods.with(method));
        Err(Denied::Method { method: cut(method.as_str(), 40), host: target.to_string(), grant })
    }

    /// Those of a name's addresses that may be dialled.
    pub fn dialled(
        &self,
        host: &str,
        allowed: &Allowed,
        found: impl IntoIterator<Item = IpAddr>,
    ) -> Result<Vec<IpAddr>, Denied> {
        let mut dropped = None;
        let mut kept = Vec::new();
        for address in found {
            match self.dialled_one(allowed, address) {
                Ok(()) => kept.push(address),
                Err(why) => dropped = Some((address, why)),
            }
        }
        match dropped {
            Some((address, why)) if kept.is_empty() => Err(Denied::Address {
                host: host.to_owned(),
                address,
                why: why.to_owned(),
                metadata: is_metadata(address),
            }),
            _ => Ok(kept),
        }
    }

    fn dialled_one(&self, allowed: &Allowed, address: IpAddr) -> Result<(), &'static str> {
        let Some(why) = special(address) else { return Ok(()) };
        // `localhost` means loopback, and nothing else that a resolver may make of it.
        if allowed.local && address.is_loopback() {
            return Ok(());
        }
        if !is_metadata(address) && self.networks.iter().any(|network| covers(network, address)) {
            return Ok(());
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| text.parse().expect("a pattern")).collect()
    }

    fn policy(granted: &[&str], asked: &[&str]) -> Policy {
        Policy {
            granted: patterns(granted),
            asked: patterns(asked),
            networks: vec!["10.0.0.0/8".parse().expect("a network")],
            methods: Methods::default(),
        }
    }

    #[test]
    fn a_connector_reaches_only_what_it_asks_for_as_well() {
        let target = |url| Target::parse(url).expect("a target").1;
        let wide = policy(&["*.example.com"], &["wiki.example.com"]);
        assert!(wide.allows(&target("https://wiki.example.com/")).is_ok());
        assert_eq!(
            wide.allows(&target("https://other.example.com/")),
            Err(Denied::NotAsked { host: "other.example.com".into() })
        );
        let narrow = policy(&["wiki.example.com"], &["*.example.com"]);
        assert_eq!(
            narrow.allows(&target("https://other.example.com/")),
            Err(Denied::NotGranted { host: "other.example.com".into() })
        );
        // What is asked for without a scheme and a port is the operator's to say.
        let plain = policy(&["http://wiki.example.com:8080"], &["wiki.example.com"]);
        assert!(plain.allows(&target("http://wiki.example.com:8080/")).is_ok());
        let from_settings = Pattern::of_url("http://wiki.example.com:8080/w").expect("a pattern");
        let plain = Policy { asked: vec![from_settings], ..plain };
        assert!(plain.allows(&target("http://wiki.example.com:8080/")).is_ok());
    }

    #[test]
    fn a_name_is_followed_to_public_and_granted_addresses_only() {
        let policy = policy(&["wiki.example.com", "http://localhost"], &[]);
        let by = |local| Allowed { by: String::new(), local };
        let dialled = |local, addresses: &[&str]| {
            let found = addresses.iter().map(|text| text.parse().expect("an address"));
            policy.dialled("wiki.example.com", &by(local), found).map(|kept| kept.len())
        };
        assert_eq!(dialled(false, &["93.184.216.34"]).ok(), Some(1));
        assert_eq!(dialled(false, &["10.1.2.3"]).ok(), Some(1), "a granted network");
        assert_eq!(dialled(false, &["93.184.216.34", "192.168.0.1"]).ok(), Some(1));
        assert_eq!(dialled(true, &["127.0.0.1", "::1"]).ok(), Some(2));
        assert_eq!(dialled(true, &["192.168.0.1"]).ok(), None);
        for denied in ["127.0.0.1", "192.168.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"] {
            assert!(dialled(false, &[denied]).is_err(), "{denied}");
        }
        let wide = Policy { networks: vec!["0.0.0.0/0".parse().expect("a network")], ..policy };
        let metadata = "169.254.169.254".parse().expect("an address");
        assert!(wide.dialled("x", &by(false), [metadata]).is_err(), "not by a network");
    }
}
