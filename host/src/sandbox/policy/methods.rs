//! With which methods a request may leave.

use std::fmt;

use http::Method;
use serde::{Deserialize, Serialize};

/// Those of HTTP that carry no credential back (TRACE) and open no tunnel (CONNECT), and those by which file
/// servers (RFC 4918), calendars and searches are only read, some of which can be read in no other way.
/// By what else such servers know things are changed, which no crawl needs; and what nobody knows is not
/// let out.
const LET_OUT: [&str; 11] = [
    "GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "REPORT", "SEARCH",
    "QUERY",
];

/// The methods that an operator grants; where they name none, all that are let out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Option<Vec<String>>", into = "Option<Vec<String>>")]
pub struct Methods(Option<Vec<&'static str>>);

impl Methods {
    /// These and no others; or which of them cannot be granted.
    pub fn only<'a>(names: &'a [String]) -> Result<Self, &'a str> {
        let known = |name: &'a String| {
            LET_OUT.into_iter().find(|known| *known == name).ok_or(name.as_str())
        };
        names.iter().map(known).collect::<Result<_, _>>().map(|names| Self(Some(names)))
    }

    /// Those that can be granted.
    pub fn all() -> String {
        LET_OUT.join(", ")
    }

    /// Whether the operator named some, so that the others are refused.
    pub fn are_named(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn are_let_out(method: &Method) -> bool {
        LET_OUT.contains(&method.as_str())
    }

    pub(super) fn allow(&self, method: &Method) -> bool {
        let named = self.0.as_ref().is_none_or(|names| names.contains(&method.as_str()));
        named && Self::are_let_out(method)
    }

    /// As they would be written with one more.
    pub(super) fn with(&self, method: &Method) -> String {
        let names = self.0.iter().flatten().copied().chain([method.as_str()]);
        names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }
}

impl TryFrom<Option<Vec<String>>> for Methods {
    type Error = String;

    fn try_from(names: Option<Vec<String>>) -> Result<Self, String> {
        let Some(names) = names else { return Ok(Self(None)) };
        Self::only(&names).map_err(|name| format!("`{name}` cannot be granted"))
    }
}

impl From<Methods> for Option<Vec<String>> {
    fn from(methods: Methods) -> Self {
        methods.0.map(|names| names.into_iter().map(str::to_owned).collect())
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(names) => f.write_str(&names.join(", ")),
            None => f.write_str(&Self::all()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(names: &[&str]) -> Methods {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        Methods::only(&names).expect("methods")
    }

    #[test]
    fn only_known_methods_are_let_out_and_of_these_only_the_granted_ones() {
        let all = Methods::default();
        let read = methods(&["GET", "PROPFIND"]);
        for (method, by_all, by_read) in [
            ("GET", true, true),
            ("PROPFIND", true, true),
            ("HEAD", true, false),
            ("POST", true, false),
            ("DELETE", true, false),
            ("QUERY", true, false),
            ("TRACE", false, false),
            ("CONNECT", false, false),
            ("get", false, false),
            ("MOVE", false, false),
            ("DEBUG", false, false),
            ("X-INVENTED", false, false),
        ] {
            let asked = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!((all.allow(&asked), read.allow(&asked)), (by_all, by_read), "{method}");
        }
        assert_eq!(read.with(&Method::POST), r#""GET", "PROPFIND", "POST""#);
    }

    #[test]
    fn what_is_never_let_out_cannot_be_granted() {
        for name in ["TRACE", "CONNECT", "get", "GET ", "", "*"] {
            assert_eq!(Methods::only(&["GET".into(), name.into()]), Err(name));
        }
    }
}
