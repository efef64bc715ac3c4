//! OAuth 2.0 for a source: client credentials (RFC 6749, section 4.4), or a refresh token (section 6).

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use url::Url;

use super::failures::{not_had, unauthorized};
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result, cause};
use crate::redact::register;
use crate::secret::{Secret, Source};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    pub token_url: Url,
    pub client_id: String,
    pub client_secret: Option<Source>,
    /// With it a refresh token is used, without it the client's own credentials.
    pub refresh_token: Option<Source>,
    pub scope: Option<String>,
    pub audience: Option<String>,
    pub client_auth: ClientAuth,
}

/// How the client names itself to the token's server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    #[default]
    Basic,
    Body,
}

/// The token in use, and the newest refresh token.
#[derive(Debug, Default)]
pub(super) struct State {
    token: Option<Token>,
    refresh: Option<Secret>,
}

#[derive(Debug)]
struct Token {
    secret: Secret,
    fetched: Timestamp,
    until: Timestamp,
}

impl Token {
    /// A source that refuses what was just fetched refuses the next one as well: a connector that asks for
    /// it again and again must not make the token's server block the client.
    fn is_new(&self, now: Timestamp) -> bool {
        // A clock that was set back tells nothing.
        self.fetched <= now && now.since(self.fetched) < SETTLED
    }
}

impl State {
    /// Whether there is a token in use, and it is another one.
    pub(super) fn is_other_than(&self, sent: &HeaderValue) -> bool {
        let token = self.token.as_ref().map(|token| token.secret.reveal());
        token.is_some_and(|token| !sent.as_bytes().ends_with(token.as_bytes()))
    }

    /// Whether another token than the refused one may be had: one that was fetched meanwhile, or the
    /// next, unless the refused one is new.
    pub(super) fn forget(&mut self, refused: &HeaderValue) -> bool {
        if self.is_other_than(refused) {
            return true;
        }
        if self.token.as_ref().is_some_and(|token| token.is_new(Timestamp::now())) {
            return false;
        }
        self.token = None;
        true
    }
}

/// A token or a secret that was just fetched is not fetched again because it was refused.
pub(super) const SETTLED: Duration = Duration::from_secs(10);

/// A token is renewed so long before it ends.
const EARLY: Duration = Duration::from_secs(60);
/// A token that does not say how long it lasts.
const USUAL: Duration = Duration::from_secs(3600);
/// No token is kept for longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);
const TIMEOUT: Duration = Duration::from_secs(30);
/// No answer with a token is longer.
const MOST_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    expires_in: serde_json::Value,
    refresh_token: Option<String>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
}

impl OAuth {
    /// The token in use, or a new one. The caller holds the state while it is fetched.
    pub(super) async fn token(
        &self,
        state: &mut State,
        base: &Path,
        http: &reqwest::Client,
    ) -> Result<Secret> {
        if let Some(Token { secret, until, .. }) = &state.token
            && Timestamp::now() < *until
        {
            return Ok(secret.clone());
        }
        let _turn = self.turn(base).await?;
        let refresh = match (&self.refresh_token, &state.refresh) {
            (None, _) => None,
            // Another worker may have been given a newer one, which lies in the file.
            (Some(source @ Source::File(_)), _) | (Some(source), None) => {
                Some(source.ask(base).await.map_err(not_had)?)
            }
            (Some(_), Some(rotated)) => Some(rotated.clone()),
        };
        let answer = self.fetch(refresh.as_ref(), base, http).await?;
        let token = Secret::fetched(&answer.access_token);
        let fetched = Timestamp::now();
        let until = fetched + used(lasting(&answer.expires_in));
        state.token = Some(Token { secret: token.clone(), fetched, until });
        let rotated = answer.refresh_token.map(|new| Secret::fetched(&new));
        if let Some(rotated) = rotated.filter(|new| Some(new) != refresh.as_ref()) {
            state.refresh = Some(rotated.clone());
            self.keep(&rotated, base)?;
        }
        Ok(token)
    }

    async fn fetch(
        &self,
        refresh: Option<&Secret>,
        base: &Path,
        http: &reqwest::Client,
    ) -> Result<Answer> {
        let secret = match &self.client_secret {
            Some(source) => Some(source.ask(base).await.map_err(not_had)?),
            None => None,
        };
        let request = self.request(refresh, secret.as_ref(), http);
        let unreachable = |error: &dyn std::fmt::Display| {
            Failure::new(Kind::Source, format!("no token from {}: {error}", self.token_url))
                .next("see whether that server can be reached from here")
        };
        let mut answer = request.send().await.map_err(|error| unreachable(&cause(&error)))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| unreachable(&cause(&error)))? {
            body.extend_from_slice(&piece);
            if body.len() > MOST_BYTES {
                return Err(unreachable(&"its answer is too long"));
            }
        }
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                // What it says of the error could quote the token.
                unauthorized(format!(
                    "the answer of {} holds no token (line {})",
                    self.token_url,
                    error.line()
                ))
            });
        }
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(unreachable(&status));
        }
        let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
        // One of RFC 6749's words, and nothing that quotes what was sent.
        let word = refusal.error;
        let known = !word.is_empty()
            && word.len() < 40
            && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let why = if known { format!(": {word}") } else { String::new() };
        Err(unauthorized(format!("{} gave no token: {status}{why}", self.token_url)))
    }

    fn request(
        &self,
        refresh: Option<&Secret>,
        secret: Option<&Secret>,
        http: &reqwest::Client,
    ) -> reqwest::RequestBuilder {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        match refresh {
            Some(token) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", &token.reveal());
            }
            None => drop(form.append_pair("grant_type", "client_credentials")),
        }
        for (name, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut request = http.post(self.token_url.clone()).timeout(TIMEOUT);
        match (self.client_auth, secret) {
            (ClientAuth::Basic, Some(secret)) => {
                // Both are form-encoded first: RFC 6749, section 2.3.1.
                let encoded = |text: &str| {
                    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let secret = encoded(&secret.reveal());
                register(&secret.as_str().into());
                request = request.basic_auth(encoded(&self.client_id), Some(secret));
            }
            (_, secret) => {
                form.append_pair("client_id", &self.client_id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", &secret.reveal());
                }
            }
        }
        request
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json")
            .body(form.finish())
    }

    /// Whether everything it is made of is there.
    pub(super) async fn check(&self, base: &Path) -> Result<()> {
        for source in [&self.client_secret, &self.refresh_token].into_iter().flatten() {
            source.ask(base).await.map_err(not_had)?;
        }
        Ok(())
    }

    fn file(&self, base: &Path) -> Option<PathBuf> {
        match &self.refresh_token {
            Some(Source::File(path)) => Some(base.join(path)),
            _ => None,
        }
    }

    /// Workers that share a refresh token's file use it one after the other.
    async fn turn(&self, base: &Path) -> Result<Option<File>> {
        let Some(path) = self.file(base) else { return Ok(None) };
        let path = beside(&path, "lock");
        let lock = move || {
            // Where nothing can be written nothing is rotated either, or it is told then.
            match private(&path).and_then(|file| file.lock().map(|()| file)) {
                Ok(file) => Ok(Some(file)),
                Err(error) => {
                    tracing::debug!(%error, "the refresh token's file is used without a lock");
                    Ok(None)
                }
            }
        };
        tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| {
            Err(Failure::internal(format!("a background task failed: {error}")))
        })
    }

    /// The server gave another refresh token, and may take the old one no more.
    fn keep(&self, rotated: &Secret, base: &Path) -> Result<()> {
        let Some(path) = self.file(base) else {
            tracing::warn!(
                token_url = %self.token_url,
                "the server gave a new refresh token, which is lost when this process ends: \
                 take it from a file, which Sheaf rewrites"
            );
            return Ok(());
        };
        let part = beside(&path, "part");
        let written = private(&part).and_then(|mut file| {
            file.set_len(0)?;
            file.write_all(rotated.reveal().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&part, &path)
        });
        written.map_err(|error| {
            Failure::settings(format!("the new refresh token cannot be written: {error}"))
                .at(path.display().to_string())
                .next("let the user who runs Sheaf write there, and renew the token")
        })
    }
}

/// Some servers write the number as text, and some any number.
fn lasting(expires_in: &serde_json::Value) -> Duration {
    let text = expires_in.as_str().and_then(|text| text.trim().parse().ok());
    expires_in.as_u64().or(text).map_or(USUAL, Duration::from_secs).min(LONGEST)
}

/// How long a token is used that lasts so long.
fn used(lasts: Duration) -> Duration {
    lasts.saturating_sub(EARLY).max(lasts / 2).max(SETTLED)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// A file that nobody else may read.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::stopped::Clock;

    fn token(secret: &str) -> Token {
        let fetched = Timestamp::now();
        Token { secret: Secret::fetched(secret), fetched, until: fetched + USUAL }
    }

    #[test]
    fn a_token_that_was_just_fetched_is_not_forgotten() {
        let clock = Clock::stop();
        let mut state = State { token: Some(token("the-first-token")), refresh: None };
        let first = HeaderValue::from_static("Bearer the-first-token");
        let older = HeaderValue::from_static("Bearer an-older-token");
        assert!(state.forget(&older), "another was fetched meanwhile");
        clock.advance(Duration::from_secs(9));
        assert!(!state.forget(&first));
        assert!(state.token.is_some());
        clock.advance(Duration::from_secs(1));
        assert!(state.forget(&first));
        assert!(state.token.is_none());
        // Whoever comes second finds it forgotten.
        assert!(state.forget(&first));
    }

    #[test]
    fn a_token_is_used_for_ten_seconds_whatever_its_server_says() {
        for (lasts, seconds) in [(0, 10), (15, 10), (60, 30), (120, 60), (3600, 3540)] {
            assert_eq!(used(Duration::from_secs(lasts)), Duration::from_secs(seconds), "{lasts}");
        }
    }

    #[test]
    fn the_state_of_tokens_shows_none() {
        let state = State {
            token: Some(token("shown-token")),
            refresh: Some(Secret::fetched("shown-refresh")),
        };
        assert!(!format!("{state:?}").contains("shown"), "{state:?}");
    }

    #[test]
    fn a_token_lasts_as_long_as_its_server_says_within_reason() {
        for (expires_in, seconds) in [
            (json!(120), 120),
            (json!("120"), 120),
            (json!(null), 3600),
            (json!("soon"), 3600),
            (json!(-5), 3600),
            (json!(u64::MAX), 30 * 86_400),
        ] {
            assert_eq!(lasting(&expires_in), Duration::from_secs(seconds), "{expires_in}");
        }
    }
}
