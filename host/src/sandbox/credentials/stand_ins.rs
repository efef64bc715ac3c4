//! Stand-ins: what a guest holds in place of a credential, and where the real one takes its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};

use super::credential::{Credential, Refused};
use super::form::Grant;
use crate::failure::Result;
use crate::sandbox::policy::{Denied, Target};

/// All credentials of a connection.
#[derive(Debug, Default)]
pub(crate) struct Credentials(BTreeMap<String, Arc<Credential>>);

/// The headers of a request in which stand-ins are, and what goes there.
#[derive(Debug, Default)]
pub(crate) struct Substitutions(Vec<(HeaderName, Arc<Credential>)>);

/// One guest's stand-ins. Nobody can guess them, so that a text that happens to look like one is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct StandIns(BTreeMap<String, String>);

impl StandIns {
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
}

impl Credentials {
    pub(crate) fn new(grants: &BTreeMap<String, Grant>) -> Self {
        let credential = |(name, grant): (&String, &Grant)| {
            (name.clone(), Arc::new(Credential::new(name, grant.clone())))
        };
        Self(grants.iter().map(credential).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Credential>> {
        self.0.get(name)
    }

    /// Stand-ins for a guest, of the credentials that it asks for.
    pub(crate) fn stand_ins(&self, asked: &[String]) -> StandIns {
        let names = self.0.keys().filter(|name| asked.contains(name));
        StandIns(
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

    /// Finds the stand-ins in a request. One that stands where its credential must not go is refused.
    pub(crate) fn find(
        &self,
        stand_ins: &StandIns,
        url: &str,
        headers: &HeaderMap,
        target: &Target,
    ) -> Result<Substitutions, Denied> {
        let denied = |name: &str, why: String| Denied::Credential {
            name: name.to_owned(),
            host: target.to_string(),
            why,
        };
        if let Some(name) = stand_ins.within(url) {
            return Err(denied(name, "it stands in the URL, where logs would show it".into()));
        }
        let mut found = Vec::new();
        for (header, value) in headers {
            let text = String::from_utf8_lossy(value.as_bytes());
            let Some(name) = stand_ins.within(&text) else { continue };
            let Some(credential) = self.get(name) else { continue };
            if header != credential.header() {
                let own = credential.header();
                return Err(denied(
                    name,
                    format!("it belongs into the header `{own}`, not `{header}`"),
                ));
            }
            let alone = stand_ins.of(name).is_some_and(|stand_in| {
                let scheme = text.trim().strip_suffix(stand_in).map(str::trim);
                scheme.is_some_and(|scheme| {
                    ["", "bearer", "basic"].contains(&scheme.to_ascii_lowercase().as_str())
                })
            });
            if !alone {
                return Err(denied(name, "the header holds more than its stand-in".into()));
            }
            let hosts = &credential.grant.hosts;
            if !hosts.is_empty() && !hosts.iter().any(|host| host.grants(target)) {
                return Err(denied(name, "it is granted for other hosts only".into()));
            }
            found.push((header.clone(), credential.clone()));
        }
        Ok(Substitutions(found))
    }
}

impl Substitutions {
    /// Puts the real values in.
    pub(crate) async fn apply(
        &self,
        headers: &mut HeaderMap,
        http: &reqwest::Client,
    ) -> Result<()> {
        for (header, credential) in &self.0 {
            headers.insert(header.clone(), credential.value(http).await?);
        }
        Ok(())
    }

    /// The source refused what was sent. Whether another value may be had.
    pub(crate) async fn forget(&self, sent: &HeaderMap, refused: Refused) -> bool {
        let mut renewed = false;
        for (header, credential) in &self.0 {
            if let Some(value) = sent.get(header) {
                renewed |= credential.forget(value, refused).await;
            }
        }
        renewed
    }

    /// What was sent after a 403 was taken.
    pub(crate) async fn helped(&self) {
        for (_, credential) in &self.0 {
            credential.helped().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::form::Form;
    use super::*;
    use crate::secret::Source;

    fn credentials(hosts: &[&str]) -> (Credentials, StandIns) {
        let grant = |form| Grant {
            form,
            hosts: hosts.iter().map(|host| host.parse().expect("a pattern")).collect(),
            base: PathBuf::new(),
        };
        let source = Source::Env("NONE".into());
        let key = HeaderName::from_static("x-api-key");
        let credentials = Credentials::new(&BTreeMap::from([
            ("api".to_owned(), grant(Form::Bearer(source.clone()))),
            ("key".to_owned(), grant(Form::Header { name: key, value: source })),
        ]));
        let stand_ins = credentials.stand_ins(&["api".into(), "key".into()]);
        (credentials, stand_ins)
    }

    #[test]
    fn a_credential_goes_into_its_own_header_of_its_own_hosts_only() {
        let (credentials, stand_ins) = credentials(&["api.example.com"]);
        let api = stand_ins.of("api").expect("a stand-in").to_owned();
        let key = stand_ins.of("key").expect("a stand-in").to_owned();
        let find = |url: &str, header: &'static str, value: &str| {
            let target = Target::parse(url).expect("a target").1;
            let mut headers = HeaderMap::new();
            headers.insert(header, value.parse().expect("a value"));
            credentials.find(&stand_ins, url, &headers, &target).map(|found| found.0.len())
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
        let (credentials, _) = credentials(&[]);
        let stand_ins = credentials.stand_ins(&["key".into(), "unknown".into()]);
        assert_eq!(stand_ins.all().count(), 1);
        assert_eq!(stand_ins.of("api"), None);
        assert_ne!(stand_ins.of("key"), credentials.stand_ins(&["key".into()]).of("key"));
    }
}
