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
        let (status, header) =
            (response.status, |name: &str| response.header(name).map(str::to_owned));
        if let Some(seconds) = refuses_for(status, &header) {
            return Err(Error::retry(format!("{} allows no more requests for now", self.base_url))
                .after(seconds));
        }
        if let Some(pause) = pause(status, &header).filter(|pause| *pause <= PATIENCE) {
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

/// An answer's headers, by name.
type Headers<'a> = &'a dyn Fn(&str) -> Option<String>;

/// For how many seconds an API refuses to answer, where it does not refuse the thing that was asked for but one more
/// request. 429 with `Retry-After` is left to the host.
fn refuses_for(status: u16, header: Headers<'_>) -> Option<u32> {
    let retry_after = header("retry-after");
    match status {
        429 if retry_after.is_none() => {}
        403 if retry_after.is_some() || rate_limit("remaining", header).is_some_and(is_none) => {}
        _ => return None,
    }
    let wait = retry_after.and_then(|text| until(text.trim())).or_else(|| pause(status, header));
    let seconds = wait.map_or(60, |wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// How long it is until what `Retry-After` says: seconds, or a time.
fn until(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = u64::try_from(time::parse_http(text)?).ok()?;
    Some(Duration::from_secs(at).saturating_sub(since_1970()))
}

/// How long an API wants to be left alone, where it says so before it refuses: `X-RateLimit-Remaining` and
/// `X-RateLimit-Reset`, or the same without `X-`.
fn pause(status: u16, header: Headers<'_>) -> Option<Duration> {
    let remaining = rate_limit("remaining", header)?;
    if !is_none(remaining) && status != 429 {
        return None;
    }
    let reset = rate_limit("reset", header).filter(|reset| reset.is_finite())?;
    // Either a moment, or how far it is.
    let seconds = if reset > 1_000_000_000.0 { reset - since_1970().as_secs_f64() } else { reset };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)))
}

fn rate_limit(name: &str, header: Headers<'_>) -> Option<f64> {
    let value = header(&format!("x-ratelimit-{name}"));
    value.or_else(|| header(&format!("ratelimit-{name}")))?.trim().parse().ok()
}

/// Whether so many requests are none.
fn is_none(remaining: f64) -> bool {
    remaining < 1.0
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What the source's own clock said.
pub(crate) fn clock(response: &Response) -> i64 {
    let date = response.header("date").and_then(time::parse_http);
    date.unwrap_or_else(|| i64::try_from(since_1970().as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_one_more_request_is_told_from_one_of_what_was_asked_for() {
        let refuses = |status: u16, headers: &[(&str, &str)]| {
            let header = |name: &str| {
                let found = headers.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            refuses_for(status, &header)
        };
        let soon = (since_1970().as_secs() + 100).to_string();
        for (status, headers, seconds) in [
            (403, &[][..], None),
            (403, &[("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "30")], None),
            (200, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], None),
            (404, &[("retry-after", "7")], None),
            (429, &[("retry-after", "7")], None),
            (403, &[("retry-after", "7")], Some(7)),
            (403, &[("retry-after", "soon")], Some(60)),
            (403, &[("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT")], Some(0)),
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], Some(30)),
            (403, &[("ratelimit-remaining", "0")], Some(60)),
            (403, &[("ratelimit-remaining", "0"), ("retry-after", "5")], Some(5)),
            (429, &[("ratelimit-remaining", "3"), ("ratelimit-reset", "30")], Some(30)),
            (429, &[], Some(60)),
        ] {
            assert_eq!(refuses(status, headers), seconds, "{status} {headers:?}");
        }
        let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", soon.as_str())];
        let seconds = refuses(403, &headers).expect("refused");
        assert!((95..=100).contains(&seconds), "{seconds}");
    }
}
