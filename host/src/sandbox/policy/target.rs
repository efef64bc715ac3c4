//! Where a request goes, in one spelling.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// A request's target. Hosts are lower-case ASCII without a trailing dot, IP literals are addresses
/// whatever their spelling was, and the port is always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub scheme: Scheme,
    pub host: Host<String>,
    pub port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A URL that is no target, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidTarget {
    pub url: String,
    pub why: String,
}

impl Target {
    /// The one URL that is checked is also the one that is requested: it is returned with the target.
    pub fn parse(uri: &str) -> Result<(Url, Self), InvalidTarget> {
        let invalid = |why: String| InvalidTarget { url: without_query(uri), why };
        let mut url: Url = uri.parse().map_err(|error| invalid(format!("{error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it has a user or password before the host".into()));
        }
        let scheme = Scheme::parse(url.scheme())
            .ok_or_else(|| invalid(format!("`{}` is neither http nor https", url.scheme())))?;
        let host = match url.host() {
            Some(Host::Domain(name)) => match normal(name) {
                Some(name) => Host::Domain(name),
                None => return Err(invalid("its host is not a name".into())),
            },
            Some(Host::Ipv4(address)) => Host::Ipv4(address),
            Some(Host::Ipv6(address)) => Host::Ipv6(address),
            None => return Err(invalid("it has no host".into())),
        };
        url.set_host(Some(&host.to_string())).map_err(|error| invalid(format!("{error}")))?;
        let port = url.port_or_known_default().unwrap_or(scheme.port());
        if port == 0 {
            return Err(invalid("`0` is not a port".into()));
        }
        Ok((url, Self { scheme, host, port }))
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }
}

/// As it would be granted: without what goes without saying.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scheme == Scheme::Http {
            f.write_str("http://")?;
        }
        write!(f, "{}", self.host)?;
        if self.port == self.scheme.port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A name without its trailing dot; nothing, if it is not one then.
pub(super) fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let clean = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| !label.is_empty() && label.len() <= 63)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    clean.then(|| name.to_ascii_lowercase())
}

/// Queries may hold what is nobody's business.
pub(crate) fn without_query(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    crate::text::bounded(url[..end].to_owned(), 300)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_spelling_of_a_host_becomes_one() {
        for (uri, shown) in [
            ("https://WIKI.Example.com/x", "wiki.example.com"),
            ("https://wiki.example.com./x", "wiki.example.com"),
            ("https://wiki.example.com:443/", "wiki.example.com"),
            ("http://wiki.example.com/", "http://wiki.example.com"),
            ("https://wiki.example.com:8443/", "wiki.example.com:8443"),
            ("https://b\u{fc}cher.example/", "xn--bcher-kva.example"),
            ("https://%77iki.example.com/", "wiki.example.com"),
            ("http://2130706433/", "http://127.0.0.1"),
            ("http://0x7f.1/", "http://127.0.0.1"),
            ("http://0177.0.0.1/", "http://127.0.0.1"),
            ("http://127.1/", "http://127.0.0.1"),
            ("http://127.0.0.1./", "http://127.0.0.1"),
            ("http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]"),
            ("http://\u{ff11}27.0.0.1/", "http://127.0.0.1"),
        ] {
            let (url, target) = Target::parse(uri).unwrap_or_else(|why| panic!("{uri}: {why:?}"));
            assert_eq!(target.to_string(), shown, "{uri}");
            assert_eq!(url.host_str(), Some(target.host.to_string().as_str()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_plain_target_is_refused() {
        for uri in [
            "https://granted.example.com@evil.example.com/",
            "https://user:word@granted.example.com/",
            "ftp://granted.example.com/",
            "file:///etc/passwd",
            "https://./",
            "https://a..b/",
            "https://granted.example.com%2f@evil/",
            "https://a b/",
            "not a url",
            "http://1.2.3.4.5/",
            "http://256.256.256.256/",
            "https://granted.example.com:0/",
        ] {
            assert!(Target::parse(uri).is_err(), "{uri}");
        }
    }
}
