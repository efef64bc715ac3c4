//! Requests to the API, with what goes with each of them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use sheaf_sdk::http::{self, Response};
use sheaf_sdk::schemars::{self, JsonSchema};
use sheaf_sdk::url::Url;
use sheaf_sdk::{Error, Result, log};

use crate::time;

/// Longer pauses are left to the host, which tries the crawl again after them.
const PATIENCE: Duration = Duration::from_secs(30);

/// The one that the manifest asks for.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CredentialName {
    Api,
}

#[derive(Clone)]
pub(crate) struct Api {
    base_url: String,
    /// The header that the credential is sent in.
    credential: Option<String>,
    headers: Vec<(String, String)>,
}

impl Api {
    pub(crate) fn new(
        base_url: &str,
        credential: Option<&str>,
        headers: &BTreeMap<String, String>,
    ) -> Self {
        Self {
            base_url: base_url.to_owned(),
            credential: credential.map(str::to_owned),
            headers: headers.clone().into_iter().collect(),
        }
    }

    /// The URL of a path below the base.
    pub(crate) fn url(&self, path: &str, query: &BTreeMap<String, String>) -> Result<Url> {
        let base = format!("{}/", self.base_url.trim_end_matches('/'));
        let wrong =
            |error| Error::fix_settings(format!("`{path}` makes no URL with `base_url`: {error}"));
        let url = Url::parse(&base)
            .and_then(|base| base.join(path.trim_start_matches('/')))
            .map_err(wrong)?;
        Ok(extended(url, query))
    }

    /// The URL of a next page, as the page at `asked` names it.
    pub(crate) fn next(&self, asked: &Url, named: &str, keep_host: bool) -> Result<Url> {
        let mut url = asked.join(named)?;
        let base = Url::parse(&self.base_url)?;
        if url.origin() == base.origin() {
            return Ok(url);
        }
        if !keep_host {
            return Err(Error::fix_settings(format!(
                "the API names its next page at {}, and only {} is read: if that is the same API by another name, add \
                 `keep_host = true` to `paging`; if not, set `base_url` to an address there",
                url.origin().ascii_serialization(),
                base.origin().ascii_serialization()
            )));
        }
        let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
        url = base;
        url.set_path(&path);
        url.set_query(query.as_deref());
        Ok(url)
    }

    /// An answer, whatever its status.
    pub(crate) fn get(&self, url: &Url) -> Result<Response> {
        // The manifest asks for this host only, so no grant could help.
        let ours = Url::parse(&self.base_url).is_ok_and(|base| base.origin() == url.origin());
        if !ours {
            return Err(Error::fix_settings(format!(
                "{} is not at `base_url`, and nothing else is read: correct the setting that leads there",
                url.origin().ascii_serialization()
            )));
        }
        let mut request = http::get(url.as_str())?.header("accept", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(header) = &self.credential {
            request = request.credential_in(header, "api")?;
        }
        let response = request.send_any()?;
        let pause = pause(&response);
        if response.status == 429 && response.header("retry-after").is_none() {
            let seconds = pause.map_or(60, |pause| u32::try_from(pause.as_secs()).unwrap_or(60));
            return Err(Error::retry(format!("{} allows no more requests for now", self.base_url))
                .after(seconds));
        }
        if let Some(pause) = pause.filter(|pause| *pause <= PATIENCE) {
            log::info!("the API allows no more requests for {pause:?}");
            std::thread::sleep(pause);
        }
        Ok(response)
    }
}

/// Whether a status says that one thing cannot be read, and nothing of others.
pub(crate) fn keeps_to_itself(status: u16) -> bool {
    matches!(status, 403 | 404 | 410)
}

/// A URL with more parameters, which take the place of its own of the same names.
pub(crate) fn extended(mut url: Url, query: &BTreeMap<String, String>) -> Url {
    if !query.is_empty() {
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !query.contains_key(name.as_ref()))
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(kept).extend_pairs(query);
    }
    url
}

/// How long an API wants to be left alone, where it says so before it refuses: `X-RateLimit-Remaining` and
/// `X-RateLimit-Reset`, or the same without `X-`.
fn pause(response: &Response) -> Option<Duration> {
    let header = |name: &str| {
        let value = response.header(&format!("x-ratelimit-{name}"));
        value.or_else(|| response.header(&format!("ratelimit-{name}")))?.trim().parse::<f64>().ok()
    };
    if header("remaining")? >= 1.0 && response.status != 429 {
        return None;
    }
    let reset = header("reset").filter(|reset| reset.is_finite())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    // Either a moment, or how far it is.
    let seconds = if reset > 1_000_000_000.0 { reset - now } else { reset };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)))
}

/// What the source's own clock said.
pub(crate) fn clock(response: &Response) -> i64 {
    let local = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let date = response.header("date").and_then(time::parse_http);
    date.unwrap_or_else(|| i64::try_from(local()).unwrap_or(0))
}
