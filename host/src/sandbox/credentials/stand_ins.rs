//! Stand-ins: what a guest holds in place of a credential, and where it may stand.

use std::collections::BTreeMap;

use http::header::{HeaderMap, HeaderName};

use super::place::Place;
use crate::sandbox::policy::{Denied, Target};

/// One guest's stand-ins. Nobody can guess them, so that a text that happens to look like one is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandIns(BTreeMap<String, String>);

impl StandIns {
    /// For a guest, of the credentials that it asks for and that are granted.
    pub(crate) fn new(places: &BTreeMap<String, Place>, asked: &[String]) -> Self {
        let names = places.keys().filter(|name| asked.contains(name));
        Self(
            names
                .map(|name| {
                    (
                        name.clone(),
                        format!("sheaf-credential-{name}-{:032x}", rand::random::<u128>()),
                    )
                })
                .collect(),
        )
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = String> {
        self.0.values().cloned().collect::<Vec<_>>().into_iter()
    }

    pub(crate) fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The credential whose stand-in is somewhere in a text.
    fn within(&self, text: &str) -> Option<&str> {
        let found = self.0.iter().find(|(_, stand_in)| text.contains(stand_in.as_str()));
        found.map(|(name, _)| name.as_str())
    }

    /// The headers of a request in which they are, each with the name of what goes there. One that stands
    /// where its credential must not go is refused.
    pub(crate) fn find(
        &self,
        places: &BTreeMap<String, Place>,
        url: &str,
        headers: &HeaderMap,
        target: &Target,
    ) -> Result<Vec<(HeaderName, String)>, Denied> {
        let denied = |name: &str, why: String| Denied::Credential {
            name: name.to_owned(),
            host: target.to_string(),
            why,
        };
        if let Some(name) = self.within(url) {
            return Err(denied(name, "it stands in the URL, where logs would show it".into()));
        }
        let mut found = Vec::new();
        for (header, value) in headers {
            let text = String::from_utf8_lossy(value.as_bytes());
            let Some(name) = self.within(&text) else { continue };
            let Some(place) = places.get(name) else { continue };
            if !place.is_in(header) {
                let own = &place.header;
                return Err(denied(
                    name,
                    format!("it belongs into the header `{own}`, not `{header}`"),
                ));
            }
            let alone = self.of(name).is_some_and(|stand_in| {
                let scheme = text.trim().strip_suffix(stand_in).map(str::trim);
                scheme.is_some_and(|scheme| {
                    ["", "bearer", "basic"].contains(&scheme.to_ascii_lowercase().as_str())
                })
            });
            if !alone {
                return Err(denied(name, "the header holds more than its stand-in".into()));
            }
            if !place.is_at(target) {
                return Err(denied(name, "it is granted for other hosts only".into()));
            }
            found.push((header.clone(), name.to_owned()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::form::{Form, Grant};
    use super::*;
    use crate::secret::Source;

    fn places(hosts: &[&str]) -> BTreeMap<String, Place> {
        let place = |form| {
            Place::of(&Grant {
                form,
                hosts: hosts.iter().map(|host| host.parse().expect("a pattern")).collect(),
                base: PathBuf::new(),
            })
        };
        let source = Source::Env("NONE".into());
        let key = HeaderName::from_static("x-api-key");
        BTreeMap::from([
            ("api".to_owned(), place(Form::Bearer(source.clone()))),
            ("key".to_owned(), place(Form::Header { name: key, value: source })),
        ])
    }

    #[test]
    fn a_credential_goes_into_its_own_header_of_its_own_hosts_only() {
        let places = places(&["api.example.com"]);
        let stand_ins = StandIns::new(&places, &["api".into(), "key".into()]);
        let api = stand_ins.of("api").expect("a stand-in").to_owned();
        let key = stand_ins.of("key").expect("a stand-in").to_owned();
        let find = |url: &str, header: &'static str, value: &str| {
            let target = Target::parse(url).expect("a target").1;
            let mut headers = HeaderMap::new();
            headers.insert(header, value.parse().expect("a value"));
            stand_ins.find(&places, url, &headers, &target).map(|found| found.len())
        };
        let url = "https://api.example.com/x";
        assert_eq!(find(url, "authorization", &api).ok(), Some(1));
        assert_eq!(find(url, "authorization", &format!("Bearer {api}")).ok(), Some(1));
        assert_eq!(find(url, "x-api-key", &key).ok(), Some(1));
        assert_eq!(find(url, "authorization", "Bearer something").ok(), Some(0));
        for (url, header, value) in [
            (url, "x-other", api.as_str()),
            (url, "x-api-key", &api),
            (url, "authorization", &key),
            (url, "authorization", &format!("{api}, {api}")),
            (url, "authorization", &format!("Digest {api}")),
            ("https://other.example.com/", "authorization", &api),
            ("http://api.example.com/", "authorization", &api),
            (&format!("{url}?token={api}"), "x-other", "x"),
        ] {
            assert!(find(url, header, value).is_err(), "{url} {header}");
        }
    }

    #[test]
    fn only_what_the_connector_asks_for_gets_a_stand_in() {
        let places = places(&[]);
        let stand_ins = StandIns::new(&places, &["key".into(), "unknown".into()]);
        assert_eq!(stand_ins.all().count(), 1);
        assert_eq!(stand_ins.of("api"), None);
        assert_ne!(stand_ins.of("key"), StandIns::new(&places, &["key".into()]).of("key"));
    }
}
