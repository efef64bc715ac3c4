//! What a registry is shown, where it asks: a password, or a token of whoever gives tokens for it.

use http_auth::ChallengeRef;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::super::refusal::Refusal;
use super::login::Login;
use super::reference::hostname;
use super::wire::{Answer, Wire, is_not_now, place};
use crate::failure::{Failure, Kind, Result};
use crate::secret::Secret;

/// Of a token, in bytes.
const MAX_TOKEN: u64 = 256 << 10;

impl Wire {
    /// What the registry wants to be shown; nothing where we have nothing.
    pub(super) async fn log_in(&self, headers: &HeaderMap) -> Result<Option<Secret>> {
        let texts =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let mut is_known = false;
        for text in texts {
            let Ok(challenges) = http_auth::parse_challenges(text) else { continue };
            for challenge in challenges {
                if challenge.scheme.eq_ignore_ascii_case("bearer") {
                    return self.token(&challenge).await.map(Some);
                }
                if !challenge.scheme.eq_ignore_ascii_case("basic") {
                    continue;
                }
                is_known = true;
                if let Login::Password(user, password) = &self.login {
                    let shown = http_auth::basic::encode_credentials(user, &password.reveal());
                    return Ok(Some(Secret::fetched(&shown)));
                }
            }
        }
        if is_known {
            return Ok(None);
        }
        Err(self.nonsense("it wants credentials, and does not say of which kind"))
    }

    /// Asks whoever gives tokens for the registry. Our credentials go there only if it is the registry's own, or if
    /// this user keeps the same ones for that host.
    async fn token(&self, challenge: &ChallengeRef<'_>) -> Result<Secret> {
        let parameter = |name: &str| {
            let mut found = challenge.params.iter();
            let found = found.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").unwrap_or_default();
        let mut url =
            Url::parse(&realm).map_err(|_| self.nonsense("it names no place that gives tokens"))?;
        if url.scheme() != "https" && !self.is_here(&url) {
            return Err(Refusal::Elsewhere(place(&url)).of(&self.repository));
        }
        let actions = if self.pushes { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{actions}", self.repository.name);
        let service = parameter("service").unwrap_or_default();
        let host = url.host_str().unwrap_or_default();
        let is_own = match self.login {
            Login::Nobody => true,
            _ if is_own(host, self.repository.hostname()) => true,
            _ => Login::at(&authority(&url)).await? == self.login,
        };
        let http = self.http.of(&url)?;
        let request = match &self.login {
            _ if !is_own => return Err(self.strangers(&url)),
            Login::Nobody => {
                url.query_pairs_mut().append_pair("service", &service).append_pair("scope", &scope);
                http.get(url)
            }
            Login::Password(user, password) => {
                url.query_pairs_mut().append_pair("service", &service).append_pair("scope", &scope);
                http.get(url).basic_auth(user, Some(&*password.reveal()))
            }
            Login::Refresh(token) => {
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("grant_type", "refresh_token")
                    .append_pair("client_id", "sheaf")
                    .append_pair("service", &service)
                    .append_pair("scope", &scope)
                    .append_pair("refresh_token", &token.reveal())
                    .finish();
                http.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
            }
        };
        let response = self.in_time(self.silence, request.send()).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = Answer { status, headers, response, ours: false };
        if is_not_now(status) {
            let what = format!("whoever gives tokens for {} answers {status}", self.host());
            return Err(Failure::new(Kind::Unreachable, what));
        }
        if !status.is_success() {
            return Err(self.refused(answer, "a token").await);
        }
        let given: Given = serde_json::from_slice(&self.body(answer, MAX_TOKEN).await?)
            .map_err(|_| self.nonsense("it gives a token that cannot be read"))?;
        let token = given.token.or(given.access_token);
        let token = token.ok_or_else(|| self.nonsense("it gives no token"))?;
        Ok(Secret::fetched(&format!("Bearer {token}")))
    }

    fn strangers(&self, url: &Url) -> Failure {
        let failure = Refusal::Elsewhere(place(url)).of(&self.repository);
        failure.next(format!(
            "if whoever gives its tokens is there, keep the credentials of {} for {}, too, in the file of `docker login`",
            self.host(),
            authority(url)
        ))
    }
}

#[derive(Deserialize)]
struct Given {
    token: Option<String>,
    access_token: Option<String>,
}

/// A host as credentials are kept for it: with its port, where it is not the usual one.
fn authority(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// Whether whoever gives tokens is sure to be the registry's own: the same host, one below it, or one above it, which
/// decides about the names below. Of two that share what is above them nobody knows it: `a.co.uk` and `b.co.uk`, or two
/// customers of one company.
fn is_own(realm: &str, registry: &str) -> bool {
    let realm = hostname(realm);
    let is_above = |above: &str, host: &str| {
        let is_name = host.parse::<std::net::IpAddr>().is_err();
        let below = host.strip_suffix(above).and_then(|below| below.strip_suffix('.'));
        is_name && above.contains('.') && below.is_some_and(|below| !below.is_empty())
    };
    realm == registry
        || is_above(registry, realm)
        || is_above(realm, registry)
        // Docker's own are two names of one company.
        || (realm == "auth.docker.io" && matches!(registry, "docker.io" | "registry-1.docker.io"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_asked_for_only_of_the_registrys_own() {
        for (realm, registry) in [
            ("ghcr.io", "ghcr.io"),
            ("auth.docker.io", "registry-1.docker.io"),
            ("gitlab.com", "registry.gitlab.com"),
            ("example.com", "registry.example.com"),
            ("auth.registry.example.com", "registry.example.com"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert!(is_own(realm, registry), "{realm} {registry}");
        }
        for (realm, registry) in [
            ("evil.com", "example.com"),
            ("evil.io", "ghcr.io"),
            ("registry.example.com.evil.org", "registry.example.com"),
            ("evilregistry.example.com.", "ghcr.io"),
            ("10.0.0.1", "10.1.0.1"),
            ("0.0.1", "10.0.0.1"),
            ("gitlab.example.com", "registry.example.com"),
            ("evil.co.uk", "registry.co.uk"),
            ("evil.s3.amazonaws.com", "ours.s3.amazonaws.com"),
            ("com", "example.com"),
            ("ample.com", "example.com"),
            ("example.com.", "registry.example.com"),
        ] {
            assert!(!is_own(realm, registry), "{realm} {registry}");
        }
    }
}
