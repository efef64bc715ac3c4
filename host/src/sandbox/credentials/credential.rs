//! One credential: its value is read when it is needed first, and again when it is refused.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::HeaderValue;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::failures::not_had;
use super::form::{Form, Grant};
use super::oauth::{self, SETTLED};
use crate::failure::{Failure, Result};
use crate::redact::register;
use crate::secret::{FRESH, Rotating, Secret};

/// What the source said to a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// 401: it is not valid.
    Invalid,
    /// 403: it does not suffice, or, as some sources say it, is not valid any more.
    Forbidden,
}

/// A granted credential with its value, once it was asked for.
#[derive(Debug)]
pub(crate) struct Credential {
    name: String,
    grant: Grant,
    /// Of every form but OAuth.
    secret: Option<Rotating>,
    token: Mutex<oauth::State>,
    /// When it was asked for again after a 403, which has not helped so far.
    renewed: Mutex<Option<Instant>>,
}

impl Credential {
    pub(super) fn new(name: &str, grant: Grant) -> Self {
        let secret = grant.form.source().map(|source| Rotating::new(source.clone(), &grant.base));
        let token = Mutex::default();
        Self { name: name.to_owned(), grant, secret, token, renewed: Mutex::default() }
    }

    /// What stands in its header, all of it.
    pub(crate) async fn value(&self, http: &reqwest::Client) -> Result<HeaderValue> {
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
    pub(crate) async fn forget(&self, sent: &HeaderValue, refused: Refused) -> bool {
        // What is really forbidden may be asked for a thousand times, and costs one new token in a while.
        let forbidden = refused == Refused::Forbidden;
        let mut renewed = self.renewed.lock().await;
        let settled = forbidden && renewed.is_some_and(|since| since.elapsed() < FRESH);
        if let Form::OAuth(_) = &self.grant.form {
            let mut state = self.token.lock().await;
            if settled {
                return state.is_other_than(sent);
            }
            let another = state.forget(sent);
            // A token that is too new to be forgotten may be a later answer's.
            if forbidden && another {
                *renewed = Some(Instant::now());
            }
            return another;
        }
        if forbidden && !settled {
            *renewed = Some(Instant::now());
        }
        drop(renewed);
        let Some(secret) = &self.secret else { return false };
        let Ok(kept) = secret.get().await else { return false };
        // What was sent may be older than what is kept by now. And a guest that asks for what is
        // refused again and again does not read a vault each time.
        let was_sent = self.header_value(&kept).is_ok_and(|value| value == *sent);
        !was_sent || (!settled && secret.renew(&kept, SETTLED).await)
    }

    /// It was taken after a 403: the next one may mean the same.
    pub(crate) async fn helped(&self) {
        *self.renewed.lock().await = None;
    }

    /// Whether its value can be had, without fetching a token.
    pub(crate) async fn check(&self) -> Result<()> {
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
