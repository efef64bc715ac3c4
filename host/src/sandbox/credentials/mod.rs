//! Credentials of a connection. The guest gets a stand-in for each; the real value takes its place in
//! a header of a request that has passed every other check, and for the hosts of that grant only.

mod oauth;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use oauth::{ClientAuth, OAuth};

use super::policy::{Denied, Pattern, Target};
use crate::failure::{Failure, Kind, Result};
use crate::redact::register;
use crate::secret::{FRESH, Rotating, Secret, Source};

/// What a credential is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Authorization: Bearer …`
    Bearer(Source),
    /// `Authorization: Basic …`
    Basic { username: String, password: Source },
    /// A header of its own, such as `X-Api-Key`.
    Header { name: HeaderName, value: Source },
    /// A bearer token that is fetched, and fetched again when it is old.
    OAuth(OAuth),
}

impl Form {
    /// Where its secret comes from. A token is fetched, with secrets of its own.
    fn source(&self) -> Option<&Source> {
        match self {
            Self::Bearer(source)
            | Self::Basic { password: source, .. }
            | Self::Header { value: source, .. } => Some(source),
            Self::OAuth(_) => None,
        }
    }
}

/// What it is and where it comes from, without its value.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer(source) => write!(f, "a bearer token {source}"),
            Self::Basic { username, password } => {
                write!(f, "the user {username} with a password {password}")
            }
            Self::Header { name, value } => write!(f, "the header {name} {value}"),
            Self::OAuth(oauth) => write!(f, "a token of {}", oauth.token_url),
        }
    }
}

/// A credential, as the operator grants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub form: Form,
    /// The hosts it goes to; every granted one, where there are none.
    pub hosts: Vec<Pattern>,
    /// What paths are relative to.
    pub base: PathBuf,
}

/// A secret that was just read is not read again because it was refused.
const SETTLED: Duration = Duration::from_secs(10);

/// What the source said to a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// 401: it is not valid.
    Invalid,
    /// 403: it does not suffice, or, as some sources say it, is not valid any more.
    Forbidden,
}

/// A granted credential with its value, once it was asked for.
#[derive(Debug)]
pub(super) struct Credential {
    name: String,
    grant: Grant,
    /// Of every form but OAuth.
    secret: Option<Rotating>,
    token: Mutex<oauth::State>,
    /// When it was asked for again after a 403, which has not helped so far.
    renewed: Mutex<Option<Instant>>,
}

impl Credential {
    fn new(name: &str, grant: Grant) -> Self {
        let secret = grant.form.source().map(|source| Rotating::new(source.clone(), &grant.base));
        let token = Mutex::default();
        Self { name: name.to_owned(), grant, secret, token, renewed: Mutex::default() }
    }

    /// The header it belongs into.
    fn header(&self) -> &HeaderName {
        match &self.grant.form {
            Form::Header { name, .. } => name,
            _ => &AUTHORIZATION,
        }
    }

    /// What stands in that header, all of it.
    async fn value(&self, http: &reqwest::Client) -> Result<HeaderValue> {
        let secret = match &self.grant.form {
            Form::OAuth(oauth) => {
                // Whoever comes while a token is fetched waits for that one.
                let mut state = self.token.lock().await;
                let token = oauth.token(&mut state, &self.grant.base, http).await;
                token.map_err(|failure| self.at(failure))?
            }
            _ => self.secret().await?,
        };
        self.header_value(&secret)
    }

    /// A secret as its header holds it.
    fn header_value(&self, secret: &Secret) -> Result<HeaderValue> {
        let secret = secret.reveal();
        let text = match &self.grant.form {
            Form::Basic { username, .. } => {
                let encoded: Arc<str> =
                    BASE64_STANDARD.encode(format!("{username}:{secret}")).into();
                register(&encoded);
                format!("Basic {encoded}")
            }
            Form::Header { .. } => secret.to_string(),
            Form::Bearer(_) | Form::OAuth(_) => format!("Bearer {secret}"),
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| {
            self.at(Failure::settings("the secret has characters that no header can hold")
                .next("see that it is a single line of text"))
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The source refused it: the next request asks for it again. False if that cannot help.
    async fn forget(&self, sent: &HeaderValue, refused: Refused) -> bool {
        // What is really forbidden may be asked for a thousand times, and costs one new token in a while.
        let settled = refused == Refused::Forbidden && {
            let mut renewed = self.renewed.lock().await;
            let settled = renewed.is_some_and(|since| since.elapsed() < FRESH);
            if !settled {
                *renewed = Some(Instant::now());
            }
            settled
        };
        if let Form::OAuth(_) = &self.grant.form {
            let mut state = self.token.lock().await;
            return if settled { state.is_other_than(sent) } else { state.forget(sent) };
        }
        let Some(secret) = &self.secret else { return false };
        let Ok(kept) = secret.get().await else { return false };
        // What was sent may be older than what is kept by now. And a guest that asks for what is
        // refused again and again does not read a vault each time.
        let was_sent = self.header_value(&kept).is_ok_and(|value| value == *sent);
        !was_sent || (!settled && secret.renew(&kept, SETTLED).await)
    }

    /// It was taken after a 403: the next one may mean the same.
    async fn helped(&self) {
        *self.renewed.lock().await = None;
    }

    /// Whether its value can be had, without fetching a token.
    pub(super) async fn check(&self) -> Result<()> {
        match &self.grant.form {
            Form::OAuth(oauth) => {
                oauth.check(&self.grant.base).await.map_err(|failure| self.at(failure))
            }
            _ => self.secret().await.map(drop),
        }
    }

    async fn secret(&self) -> Result<Secret> {
        let Some(secret) = &self.secret else {
            return Err(Failure::internal("a credential has no secret"));
        };
        secret.get().await.map_err(|failure| self.at(not_had(failure)))
    }

    fn at(&self, failure: Failure) -> Failure {
        failure.at_least(|| format!("credential {}", self.name))
    }
}

/// A secret that cannot be had from where it is kept.
fn not_had(failure: Failure) -> Failure {
    Failure { kind: Kind::Secret, ..failure }
}

/// All credentials of a connection.
#[derive(Debug, Default)]
pub(super) struct Credentials(BTreeMap<String, Arc<Credential>>);

/// The headers of a request in which stand-ins are, and what goes there.
#[derive(Debug, Default)]
pub(super) struct Substitutions(Vec<(HeaderName, Arc<Credential>)>);

/// One guest's stand-ins. Nobody can guess them, so that a text that happens to look like one is none.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIns(BTreeMap<String, String>);

impl StandIns {
    pub(super) fn all(&self) -> impl Iterator<Item = String> {
        self.0.values().cloned().collect::<Vec<_>>().into_iter()
    }

    pub(super) fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The credential whose stand-in is somewhere in a text.
    fn within(&self, text: &str) -> Option<&str> {
        let found = self.0.iter().find(|(_, stand_in)| text.contains(stand_in.as_str()));
        found.map(|(name, _)| name.as_str())
    }
}

impl Credentials {
    pub(super) fn new(grants: &BTreeMap<String, Grant>) -> Self {
        let credential = |(name, grant): (&String, &Grant)| {
            (name.clone(), Arc::new(Credential::new(name, grant.clone())))
        };
        Self(grants.iter().map(credential).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Credential>> {
        self.0.get(name)
    }

    /// Stand-ins for a guest, of the credentials that it asks for.
    pub(super) fn stand_ins(&self, asked: &[String]) -> StandIns {
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
    pub(super) fn find(
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
    pub(super) async fn apply(
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
    pub(super) async fn forget(&self, sent: &HeaderMap, refused: Refused) -> bool {
        let mut renewed = false;
        for (header, credential) in &self.0 {
            if let Some(value) = sent.get(header) {
                renewed |= credential.forget(value, refused).await;
            }
        }
        renewed
    }

    /// What was sent after a 403 was taken.
    pub(super) async fn helped(&self) {
        for (_, credential) in &self.0 {
            credential.helped().await;
        }
    }
}

/// A credential that could not be had: the operator's to mend.
fn unauthorized(what: String) -> Failure {
    Failure::new(Kind::SourceUnauthorized, what)
        .next("renew it, or correct `credentials` in the connection's grants")
}

#[cfg(test)]
mod tests {
    use super::*;

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
