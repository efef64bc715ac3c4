//! What Glean says of one document and one person. All is asked at once, and soon: somebody waits for the answer.

use std::time::Duration;

use super::crawler::Crawler;
use super::identities::Person;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::glean::access::{DocumentInGlean, UserInGlean};
use crate::glean::error::Outage;

/// How long Glean is asked, all in all.
const ASKED_FOR: Duration = Duration::from_secs(5);

/// What Glean says.
pub struct InGlean {
    /// Whether they may find it. Nothing where that cannot be asked, because their e-mail is not known.
    pub allowed: Result<Option<bool>>,
    /// What it was told of the document, or why it does not say: this and the next are only for the reasons.
    pub document: Result<DocumentInGlean, String>,
    /// And of them; nothing where it was not asked.
    pub user: Option<Result<UserInGlean, String>>,
    /// Whether it knows users of the datasource by their e-mails.
    pub by_email: Option<bool>,
}

impl InGlean {
    /// Whether it says that it does not have the document.
    pub fn is_missing(&self) -> bool {
        self.document.as_ref().is_ok_and(DocumentInGlean::is_missing)
    }
}

impl Crawler {
    /// All at once: what some of it does not answer, or refuses, takes nothing from the rest.
    pub(super) async fn ask_glean(
        &self,
        datasource: &str,
        (object_type, id): (&str, &str),
        person: &Person,
    ) -> Option<InGlean> {
        if self.client.server_url().is_empty() {
            return None;
        }
        let email = person.email.as_deref();
        let allowed = async {
            let Some(email) = email else { return Ok(None) };
            self.soon(self.client.check_access(datasource, object_type, id, email)).await.map(Some)
        };
        let user = async { Some(self.soon(self.client.user_status(datasource, email?)).await) };
        let (allowed, uploaded, user, by_email) = tokio::join!(
            allowed,
            self.soon(self.client.uploaded_document(datasource, object_type, id)),
            user,
            self.soon(self.client.knows_users_by_email(datasource)),
        );
        let is_missing = uploaded.as_ref().is_ok_and(DocumentInGlean::is_missing);
        let allowed = match allowed {
            // Of one that is not there Glean describes no answer.
            Err(error) if is_missing && error.is_refusal() => Ok(Some(false)),
            other => other,
        };
        let why = |error: glean::Error| error.to_string();
        Some(InGlean {
            allowed: allowed.map_err(Failure::from),
            document: uploaded.map_err(why),
            user: user.map(|user| user.map_err(why)),
            by_email: by_email.ok(),
        })
    }

    /// Somebody waits for the answer.
    pub(super) async fn soon<T>(
        &self,
        asked: impl Future<Output = Result<T, glean::Error>>,
    ) -> Result<T, glean::Error> {
        tokio::time::timeout(ASKED_FOR, asked).await.unwrap_or_else(|_| {
            let what = format!("Glean does not answer: no answer within {ASKED_FOR:?}");
            let server = self.client.server_url().to_owned();
            Err(glean::Error::Unreachable(Outage { server, what, retry_after: None }))
        })
    }
}
