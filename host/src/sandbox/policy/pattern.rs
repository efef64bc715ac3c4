//! Hosts, as they are granted and asked for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::look_alike;
use super::target::{Scheme, Target, normal};

/// A host, as it is granted or asked for.
///
/// | written | means |
/// |---|---|
/// | `wiki.example.com` | that host, https, port 443 |
/// | `wiki.example.com:8443` | that host, https, port 8443 |
/// | `*.example.com` | each host below `example.com`, but not `example.com` itself |
/// | `http://wiki.example.com` | that host without encryption, port 80 |
/// | `http://localhost:8080` | this machine, which no other pattern reaches |
/// | `10.1.2.3`, `[fd00::1]` | that address, even if it is a private one |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    scheme: Option<Scheme>,
    host: Named,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Exactly(Host<String>),
    Below(String),
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some((name, rest)) => {
                let scheme = Scheme::parse(&name.to_ascii_lowercase());
                (Some(scheme.ok_or_else(|| format!("`{name}` is neither http nor https"))?), rest)
            }
        };
        if rest.contains(['/', '?', '#']) {
            return Err("a grant is for a whole host: leave out the path".into());
        }
        if rest.contains('@') {
            return Err("credentials are granted apart from the host".into());
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !rest.ends_with(']') => {
                let number = port.parse().ok().filter(|port| *port > 0);
                (host, Some(number.ok_or_else(|| format!("`{port}` is not a port"))?))
            }
            _ => (rest, None),
        };
        let host = match host.strip_prefix("*.") {
            Some(base) => {
                let base = parse_host(base)?;
                match base {
                    Host::Domain(name) if name.contains('.') => Named::Below(name),
                    Host::Domain(name) => {
                        return Err(format!("`*.{name}` would be far too many hosts"));
                    }
                    _ => return Err("addresses have no hosts below them".into()),
                }
            }
            None => Named::Exactly(parse_host(host)?),
        };
        Ok(Self { scheme, host, port })
    }
}

fn parse_host(text: &str) -> Result<Host<String>, String> {
    if text.contains('*') {
        return Err("`*` stands only at the beginning, for whole labels: `*.example.com`".into());
    }
    match Host::parse(text).map_err(|error| format!("`{text}` is not a host: {error}"))? {
        Host::Domain(name) => {
            normal(&name).map(Host::Domain).ok_or_else(|| format!("`{text}` is not a host"))
        }
        address => Ok(address),
    }
}

impl Pattern {
    /// The host of a URL in a connection's settings, with its scheme and port.
    pub fn of_url(text: &str) -> Result<Self, String> {
        let url: Url = text.parse().map_err(|error| format!("`{text}` is not a URL: {error}"))?;
        let scheme = Scheme::parse(url.scheme())
            .ok_or_else(|| format!("`{text}` is neither an http nor an https URL"))?;
        let host = url.host_str().ok_or_else(|| format!("`{text}` has no host"))?;
        let host = Named::Exactly(parse_host(host)?);
        let port = url.port_or_known_default().unwrap_or(scheme.port());
        if port == 0 {
            return Err(format!("`{text}` has `0` for its port, which is none"));
        }
        Ok(Self { scheme: Some(scheme), host, port: Some(port) })
    }

    /// Whether it grants the target: what it leaves out is https and its port.
    pub fn grants(&self, target: &Target) -> bool {
        self.matches(target, true)
    }

    /// Whether it names the target. What it leaves out is `usual`, or left open.
    pub(super) fn matches(&self, target: &Target, usual: bool) -> bool {
        let scheme = self.scheme.or(usual.then_some(Scheme::Https));
        let port = self.port.or_else(|| usual.then(|| scheme.unwrap_or(Scheme::Https).port()));
        scheme.is_none_or(|scheme| scheme == target.scheme)
            && port.is_none_or(|port| port == target.port)
            && match (&self.host, &target.host) {
                (Named::Exactly(host), asked) => host == asked,
                (Named::Below(base), Host::Domain(name)) => name
                    .strip_suffix(base.as_str())
                    .is_some_and(|front| front.len() > 1 && front.ends_with('.')),
                (Named::Below(_), _) => false,
            }
    }

    /// What a person has to know of its name before they grant it.
    pub fn look_alike(&self) -> Option<String> {
        match &self.host {
            Named::Exactly(Host::Domain(name)) | Named::Below(name) => look_alike::note(name),
            Named::Exactly(_) => None,
        }
    }

    /// Whether it is an address, or a name that can mean nothing but this machine.
    pub(super) fn is_local(&self) -> bool {
        match &self.host {
            Named::Exactly(Host::Domain(name)) => name == "localhost",
            Named::Exactly(_) => true,
            Named::Below(_) => false,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// With all that it says: what is asked for leaves open what is not written, even where that is usual.
impl From<Pattern> for String {
    fn from(Pattern { scheme, host, port }: Pattern) -> Self {
        let scheme = scheme.map_or_else(Self::new, |scheme| format!("{}://", scheme.name()));
        let port = port.map_or_else(Self::new, |port| format!(":{port}"));
        format!("{scheme}{host}{port}")
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(host) => write!(f, "{host}"),
            Self::Below(base) => write!(f, "*.{base}"),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            let usual = scheme == Scheme::Https;
            f.write_str(if usual { "" } else { "http://" })?;
        }
        write!(f, "{}", self.host)?;
        let usual = self.scheme.unwrap_or(Scheme::Https).port();
        match self.port {
            Some(port) if port != usual => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(granted: &str, url: &str) -> bool {
        let target = Target::parse(url).expect("a target").1;
        granted.parse::<Pattern>().expect("a pattern").grants(&target)
    }

    #[test]
    fn a_grant_names_exactly_what_its_table_says() {
        for (granted, url, expected) in [
            ("wiki.example.com", "https://wiki.example.com/a?b", true),
            ("wiki.example.com", "https://WIKI.example.com./", true),
            ("wiki.example.com", "http://wiki.example.com/", false),
            ("wiki.example.com", "https://wiki.example.com:8443/", false),
            ("wiki.example.com", "https://a.wiki.example.com/", false),
            ("wiki.example.com", "https://wiki.example.com.evil.com/", false),
            ("wiki.example.com", "https://evilwiki.example.com/", false),
            ("wiki.example.com:8443", "https://wiki.example.com:8443/", true),
            ("wiki.example.com:8443", "https://wiki.example.com/", false),
            ("*.example.com", "https://wiki.example.com/", true),
            ("*.example.com", "https://a.b.example.com/", true),
            ("*.example.com", "https://example.com/", false),
            ("*.example.com", "https://evilexample.com/", false),
            ("*.example.com", "http://wiki.example.com/", false),
            ("http://wiki.example.com", "http://wiki.example.com/", true),
            ("http://wiki.example.com", "https://wiki.example.com/", false),
            ("https://wiki.example.com", "https://wiki.example.com/", true),
            ("http://localhost:8080", "http://localhost:8080/", true),
            ("http://localhost:8080", "http://127.0.0.1:8080/", false),
            ("10.1.2.3", "https://10.1.2.3/", true),
            ("10.1.2.3", "https://10.1.2.4/", false),
            ("10.1.2.3", "https://0xa.1.2.3/", true),
            ("[fd00::1]", "https://[fd00:0::1]/", true),
            ("b\u{fc}cher.example", "https://xn--bcher-kva.example/", true),
            ("xn--bcher-kva.example", "https://B\u{dc}CHER.example/", true),
        ] {
            assert_eq!(allows(granted, url), expected, "{granted} {url}");
        }
    }

    #[test]
    fn patterns_that_mean_too_much_or_nothing_are_refused() {
        for text in [
            "*",
            "*.com",
            "*example.com",
            "wiki.*.com",
            "a*.example.com",
            "**.example.com",
            "",
            "example.com/path",
            "ftp://example.com",
            "user@example.com",
            "example.com:0",
            "example.com:99999",
            "*.10.0.0.1",
            "a b",
            "example..com",
            "http://",
            "*.",
            ".",
        ] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_shown_as_it_would_be_written() {
        for (written, shown) in [
            ("WIKI.Example.com.", "wiki.example.com"),
            ("https://wiki.example.com:443", "wiki.example.com"),
            ("https://wiki.example.com:8443", "wiki.example.com:8443"),
            ("HTTP://*.example.com:80", "http://*.example.com"),
            ("[fd00:0::1]:8443", "[fd00::1]:8443"),
        ] {
            let pattern: Pattern = written.parse().expect("a pattern");
            assert_eq!(pattern.to_string(), shown);
            assert_eq!(shown.parse::<Pattern>().map(|again| again.to_string()), Ok(shown.into()));
        }
    }

    #[test]
    fn a_url_in_the_settings_stands_for_its_host() {
        for (url, shown) in [
            ("https://WIKI.example.com./a?b", Some("wiki.example.com")),
            ("http://wiki.example.com:8080/", Some("http://wiki.example.com:8080")),
            ("https://wiki.example.com:0/", None),
            ("ftp://wiki.example.com/", None),
            ("wiki.example.com", None),
        ] {
            let pattern = Pattern::of_url(url).ok().map(|pattern| pattern.to_string());
            assert_eq!(pattern.as_deref(), shown, "{url}");
        }
    }
}
