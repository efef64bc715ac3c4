//! `[glean]`: which Glean, and how it is treated.

use std::path::Path;

use serde::Deserialize;

use super::locate::{Locate, without_user};
use super::values::{Env, Secrets, Size, Span, rotating};
use crate::crawl::UploadLimits;
use crate::failure::Result;
use crate::glean::Endpoint;
use crate::secret;
use crate::text::bytes;

/// `GLEAN_INDEXING_API_TOKEN`: the token's usual home.
pub(super) const TOKEN_VARIABLE: &str = "GLEAN_INDEXING_API_TOKEN";

/// Glean: no request is larger.
const MAX_REQUEST_BYTES: usize = 5 << 20;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    server_url: Option<String>,
    instance: Option<String>,
    token: Option<secret::Source>,
    timeout: Option<Span>,
    patience: Option<Span>,
    /// What `patience` has taken the place of.
    attempts: Option<serde::de::IgnoredAny>,
    requests_per_second: Option<f64>,
    documents_per_minute: Option<f64>,
    batch_bytes: Option<Size>,
    batch_documents: Option<usize>,
    document_bytes: Option<Size>,
    batches_in_flight: Option<usize>,
}

impl Section {
    pub(super) fn uploads(&self, locate: &Locate<'_>) -> Result<UploadLimits> {
        let usual = UploadLimits::default();
        let uploads = UploadLimits {
            batch_bytes: self.batch_bytes.map_or(usual.batch_bytes, |size| size.0),
            batch_documents: self.batch_documents.unwrap_or(usual.batch_documents),
            document_bytes: self.document_bytes.map_or(usual.document_bytes, |size| size.0),
            in_flight: self.batches_in_flight.unwrap_or(usual.in_flight),
        };
        for (value, key) in
            [(uploads.batch_documents, "batch_documents"), (uploads.in_flight, "batches_in_flight")]
        {
            if value == 0 {
                return Err(locate.failure(&["glean", key], "it must be at least 1"));
            }
        }
        for (value, key) in
            [(uploads.batch_bytes, "batch_bytes"), (uploads.document_bytes, "document_bytes")]
        {
            if value > MAX_REQUEST_BYTES {
                let what = format!("Glean takes at most {}", bytes(MAX_REQUEST_BYTES as u64));
                return Err(locate.failure(&["glean", key], what));
            }
        }
        Ok(uploads)
    }

    pub(super) fn endpoint(
        self,
        base: &Path,
        locate: &Locate<'_>,
        env: Env<'_>,
        secrets: Secrets<'_>,
    ) -> Result<Endpoint> {
        let usual = Endpoint::default();
        let instance = |name: String| format!("https://{name}-be.glean.com");
        // The environment wins over the file, so that one file serves several environments.
        let (server_url, keys): (_, &[&str]) = if let Some(url) = env("GLEAN_SERVER_URL") {
            (Some(url), &["GLEAN_SERVER_URL"])
        } else if let Some(name) = env("GLEAN_INSTANCE") {
            (Some(instance(name)), &["GLEAN_INSTANCE"])
        } else {
            (self.server_url.or(self.instance.map(instance)), &["glean", "server_url"])
        };
        let server_url = server_url.unwrap_or_default().trim_end_matches('/').to_owned();
        let is_local = server_url.is_empty() || is_url(&server_url);
        if !is_local {
            return Err(locate
                .failure(
                    keys,
                    format!("`{}` is not the address of a server", without_user(&server_url)),
                )
                .next("write it like https://acme-be.glean.com"));
        }
        if self.attempts.is_some() {
            return Err(locate
                .failure(&["glean", "attempts"], "a number of attempts is not set any more")
                .next(
                    "write `patience = \"10m\"` instead: how long a request that fails is sent again",
                ));
        }
        let source = self.token.map(|source| (source, locate.place(&["glean", "token"])));
        let usual_source = || {
            let there = env(TOKEN_VARIABLE).is_some_and(|value| !value.trim().is_empty());
            let source = secret::Source::Env(TOKEN_VARIABLE.to_owned());
            there.then(|| (source, TOKEN_VARIABLE.to_owned()))
        };
        let token = source.or_else(usual_source).map(|(source, place)| {
            rotating(source, base, secrets).map_err(|failure| failure.at_least(|| place))
        });
        let rate = |value: Option<f64>, usual: f64, key: &str| match value {
            Some(value) if !(value > 0.0 && value.is_finite()) => {
                Err(locate.failure(&["glean", key], "it must be more than 0"))
            }
            value => Ok(value.unwrap_or(usual)),
        };
        Ok(Endpoint {
            server_url,
            token: token.transpose()?,
            timeout: self.timeout.map_or(usual.timeout, |span| span.0),
            patience: self.patience.map_or(usual.patience, |span| span.0),
            requests_per_second: rate(
                self.requests_per_second,
                usual.requests_per_second,
                "requests_per_second",
            )?,
            documents_per_minute: rate(
                self.documents_per_minute,
                usual.documents_per_minute,
                "documents_per_minute",
            )?,
        })
    }
}

fn is_url(text: &str) -> bool {
    // A port that is none is one to the first of them.
    url::Url::parse(text).is_ok()
        && text.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            // A name or a password in it would be in every message.
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
        })
}
