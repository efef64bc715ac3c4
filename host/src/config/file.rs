//! The shape of `sheaf.toml`, and what its values must be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::values::{Size, Span};
use super::{Config, Connection, Locate, TASK_QUEUE, Temporal, without_user};
use super::{grants, limits, schedules};
use crate::connector::CompileLimits;
use crate::crawl::{Deletions, Policy, Tolerance, Window};
use crate::failure::Result;
use crate::glean::Endpoint;
use crate::secret::{self, Rotating};
use crate::store::Location;

/// `GLEAN_INDEXING_API_TOKEN`: the token's usual home.
pub const TOKEN_VARIABLE: &str = "GLEAN_INDEXING_API_TOKEN";

/// Less than this would take a slow answer of the server for a dead worker.
const LEAST_HEARTBEAT: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    state_folder: Option<PathBuf>,
    state_store: Option<String>,
    #[serde(default)]
    glean: Glean,
    #[serde(default)]
    temporal: TemporalSection,
    #[serde(default)]
    worker: Worker,
    #[serde(default)]
    connectors: Connectors,
    #[serde(default)]
    connections: BTreeMap<String, ConnectionSection>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Glean {
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

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TemporalSection {
    address: Option<String>,
    namespace: Option<String>,
    profile: Option<String>,
    api_key: Option<secret::Source>,
    task_queue: Option<String>,
    #[serde(default)]
    policy: PolicySection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicySection {
    attempts: Option<u32>,
    initial_interval: Option<Span>,
    backoff: Option<f64>,
    max_interval: Option<Span>,
    start_to_close: Option<Span>,
    heartbeat_timeout: Option<Span>,
    parallel_scopes: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Worker {
    guests: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connectors {
    folder: Option<PathBuf>,
    max_bytes: Option<Size>,
    compile_time: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionSection {
    connector: String,
    datasource: String,
    #[serde(default = "no_settings")]
    settings: toml::Table,
    #[serde(default)]
    grants: grants::Section,
    #[serde(default)]
    limits: limits::Section,
    #[serde(default)]
    deletions: DeletionsSection,
    #[serde(default)]
    quarantine: QuarantineSection,
    #[serde(default)]
    schedules: BTreeMap<String, schedules::Section>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletionsSection {
    max_percent: Option<f64>,
    max_count: Option<u64>,
    wait: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuarantineSection {
    max_percent: Option<f64>,
    min_documents: Option<u64>,
}

fn no_settings() -> toml::Table {
    toml::Table::new()
}

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

impl File {
    pub(super) fn validate(self, locate: &Locate<'_>, env: Env<'_>) -> Result<Config> {
        let base = match locate.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let usual = CompileLimits::default();
        let compile = CompileLimits {
            max_bytes: self.connectors.max_bytes.map_or(usual.max_bytes, |size| size.0),
            compile_time: self.connectors.compile_time.map_or(usual.compile_time, |span| span.0),
        };
        let connectors = self.connectors.folder.unwrap_or_else(|| "connectors".into());
        let state = base.join(self.state_folder.unwrap_or_else(|| ".sheaf".into()));
        let store = match self.state_store {
            None => Location::Folder(state.clone()),
            Some(text) => store(&text, &base, locate)?,
        };
        let window = self.glean.window(locate)?;
        let guests = self.worker.guests.unwrap_or(64);
        if !(1..=100_000).contains(&guests) {
            return Err(locate.failure(&["worker", "guests"], "it must be between 1 and 100,000"));
        }
        let mut connections = BTreeMap::new();
        let mut datasources = BTreeMap::new();
        for (name, section) in self.connections {
            let connection = section.validate(&name, &base, locate)?;
            if let Some(other) = datasources.insert(connection.datasource.clone(), name.clone()) {
                return Err(locate
                    .failure(
                        &["connections", &name, "datasource"],
                        format!("`{other}` crawls into the datasource `{}` already", connection.datasource),
                    )
                    .next("give each connection a datasource of its own: the end of a crawl deletes what it did not contain"));
            }
            connections.insert(name, Arc::new(connection));
        }
        Ok(Config {
            path: locate.path.to_owned(),
            glean: self.glean.endpoint(&base, locate, env)?,
            window,
            guests,
            temporal: self.temporal.validate(&base, locate, env)?,
            connectors: base.join(connectors),
            compile,
            state,
            store,
            connections,
            text: locate.text.into(),
        })
    }
}

/// A bucket's URL, or a folder that the workers share.
fn store(text: &str, base: &Path, locate: &Locate<'_>) -> Result<Location> {
    if !text.contains(':') && !text.is_empty() {
        return Ok(Location::Folder(base.join(text)));
    }
    let url: Option<url::Url> = text.parse().ok();
    let known = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss"];
    // Whoever reads messages must find no key in them: those come from the environment.
    let is_clean = |url: &url::Url| url.password().is_none() && url.query().is_none();
    url.filter(|url| known.contains(&url.scheme()) && is_clean(url)).map(Location::Bucket).ok_or_else(|| {
        locate.failure(&["state_store"], format!("`{}` is not a store", without_user(text))).next(
            "write a folder, or s3://bucket/prefix, gs://bucket/prefix or az://container/prefix",
        )
    })
}

/// A share of a hundred.
fn share(value: Option<f64>, usual: f64, keys: &[&str], locate: &Locate<'_>) -> Result<f64> {
    match value {
        Some(value) if !(0.0..=100.0).contains(&value) => {
            Err(locate.failure(keys, "it must be between 0 and 100"))
        }
        value => Ok(value.unwrap_or(usual)),
    }
}

impl Glean {
    fn window(&self, locate: &Locate<'_>) -> Result<Window> {
        let usual = Window::default();
        let window = Window {
            batch_bytes: self.batch_bytes.map_or(usual.batch_bytes, |size| size.0),
            batch_documents: self.batch_documents.unwrap_or(usual.batch_documents),
            document_bytes: self.document_bytes.map_or(usual.document_bytes, |size| size.0),
            in_flight: self.batches_in_flight.unwrap_or(usual.in_flight),
        };
        for (value, key) in
            [(window.batch_documents, "batch_documents"), (window.in_flight, "batches_in_flight")]
        {
            if value == 0 {
                return Err(locate.failure(&["glean", key], "it must be at least 1"));
            }
        }
        Ok(window)
    }

    fn endpoint(self, base: &Path, locate: &Locate<'_>, env: Env<'_>) -> Result<Endpoint> {
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
            rotating(source, base, env).map_err(|failure| failure.at_least(|| place))
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

/// A secret that is read now, so that what is wrong with it is said now, and again later.
fn rotating(source: secret::Source, base: &Path, env: Env<'_>) -> Result<Arc<Rotating>> {
    let secret = source.read(base, env)?;
    Ok(Arc::new(Rotating::with(source, base, secret)))
}

fn is_url(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            // A name or a password in it would be in every message.
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    })
}

impl TemporalSection {
    fn validate(self, base: &Path, locate: &Locate<'_>, env: Env<'_>) -> Result<Temporal> {
        let usual = Policy::default();
        let policy = self.policy;
        let at = |key| ["temporal", "policy", key];
        if policy.attempts == Some(0) {
            return Err(locate.failure(&at("attempts"), "it must be at least 1"));
        }
        if policy.parallel_scopes == Some(0) {
            return Err(locate.failure(&at("parallel_scopes"), "it must be at least 1"));
        }
        if policy.backoff.is_some_and(|backoff| !(1.0..=10.0).contains(&backoff)) {
            return Err(locate.failure(&at("backoff"), "it must be between 1.0 and 10.0"));
        }
        if policy.heartbeat_timeout.is_some_and(|timeout| timeout.0 < LEAST_HEARTBEAT) {
            return Err(locate
                .failure(&at("heartbeat_timeout"), "it must be at least 2s")
                .next("a worker says three times in it that it lives; 30s is usual"));
        }
        let api_key = self.api_key.map(|source| {
            rotating(source, base, env)
                .map_err(|failure| failure.at_least(|| locate.place(&["temporal", "api_key"])))
        });
        let span = |value: Option<Span>, usual| value.map_or(usual, |span| span.0);
        Ok(Temporal {
            address: self.address,
            namespace: self.namespace,
            profile: self.profile,
            api_key: api_key.transpose()?,
            task_queue: self.task_queue.unwrap_or_else(|| TASK_QUEUE.into()),
            policy: Policy {
                attempts: policy.attempts.unwrap_or(usual.attempts),
                initial_interval: span(policy.initial_interval, usual.initial_interval),
                backoff: policy.backoff.unwrap_or(usual.backoff),
                max_interval: span(policy.max_interval, usual.max_interval),
                start_to_close: span(policy.start_to_close, usual.start_to_close),
                heartbeat_timeout: span(policy.heartbeat_timeout, usual.heartbeat_timeout),
                parallel_scopes: policy.parallel_scopes.unwrap_or(usual.parallel_scopes),
            },
        })
    }
}

impl ConnectionSection {
    fn validate(self, name: &str, base: &Path, locate: &Locate<'_>) -> Result<Connection> {
        let here = |key| ["connections", name, key];
        if name.is_empty()
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(locate
                .failure(&["connections", name], format!("`{name}` is not a connection's name"))
                .next("use letters, digits, `-` and `_`"));
        }
        // Glean: a datasource's name is part of its URLs.
        let named = !self.datasource.is_empty()
            && self.datasource.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named {
            return Err(locate
                .failure(
                    &here("datasource"),
                    format!("`{}` is not a datasource's name", self.datasource),
                )
                .next("use letters and digits only: Glean takes nothing else"));
        }
        let settings = serde_json::to_value(&self.settings).map_err(|error| {
            locate.failure(&here("settings"), format!("the settings are not JSON: {error}"))
        })?;
        Ok(Connection {
            name: name.to_owned(),
            connector: self.connector,
            datasource: self.datasource,
            settings,
            grants: self.grants.validate(name, base, locate)?,
            limits: self.limits.validate(name, locate)?,
            deletions: self.deletions.validate(name, locate)?,
            quarantine: self.quarantine.validate(name, locate)?,
            schedules: schedules::validate(name, self.schedules, locate)?,
        })
    }
}

impl DeletionsSection {
    fn validate(self, name: &str, locate: &Locate<'_>) -> Result<Deletions> {
        let usual = Deletions::default();
        let keys = ["connections", name, "deletions", "max_percent"];
        Ok(Deletions {
            max_percent: share(self.max_percent, usual.max_percent, &keys, locate)?,
            max_count: self.max_count,
            wait: self.wait.map_or(usual.wait, |span| span.0),
        })
    }
}

impl QuarantineSection {
    fn validate(self, name: &str, locate: &Locate<'_>) -> Result<Tolerance> {
        let usual = Tolerance::default();
        let keys = ["connections", name, "quarantine", "max_percent"];
        Ok(Tolerance {
            max_percent: share(self.max_percent, usual.max_percent, &keys, locate)?,
            min_documents: self.min_documents.unwrap_or(usual.min_documents),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(Path::new("sheaf.toml"), text, &|_| None)
    }

    fn failure(text: &str) -> Failure {
        parse(text).expect_err("refused")
    }

    const CONNECTION: &str = "[connections.a]\nconnector = \"files\"\ndatasource = \"ds\"\n";

    #[test]
    fn a_wrong_line_is_named_with_its_number() {
        for (text, line, part) in [
            ("[glean\n", ":1", "unclosed table"),
            ("[glean]\nserver = 1\n", ":2", "unknown field `server`"),
            ("[glean]\ntimeout = \"soon\"\n", ":2", "a duration such as"),
            ("[glean]\nserver_url = \"ftp://x\"\n", ":2", "not the address of a server"),
            ("[glean]\nbatch_bytes = \"4 apples\"\n", ":2", "a size such as"),
            ("\n[connections.a]\nconnector = 1\n", ":3", "expected a string"),
            ("[glean]\nattempts = 6\n", ":2", "not set any more"),
            ("[temporal.policy]\nbackoff = 0.5\n", ":2", "between 1.0 and 10.0"),
            ("[temporal.policy]\nheartbeat_timeout = \"1s\"\n", ":2", "at least 2s"),
        ] {
            let failure = failure(text);
            assert!(failure.what.contains(part), "{failure}");
            assert!(failure.at.as_deref().unwrap_or_default().contains(line), "{failure}");
        }
    }

    #[test]
    fn a_connection_is_checked_key_by_key() {
        for (text, line, part) in [
            ("[connections.a.grants]\nhosts = [\"*.com\"]\n", ":5", "far too many"),
            ("[connections.a.grants]\nhosts = [\"x.com/y\"]\n", ":5", "leave out the path"),
            ("[connections.a.grants]\nnetworks = [\"10.0.0.1/33\"]\n", ":5", "not a network"),
            ("[connections.a.grants.credentials.c]\n", ":4", "one of"),
            (
                "[connections.a.grants.credentials.c]\nbearer = { env = \"X\" }\nhosts = [\"x.com\"]\n",
                ":6",
                "is not granted",
            ),
            ("[connections.a.limits]\nhandles = 0\n", ":5", "at least 1"),
            ("[connections.a.grants.folders]\ncontent = \".\"\n", ":5", "not a path"),
            ("[connections.a.limits]\npage_documents = 0\n", ":5", "at least 1"),
            ("[connections.b]\nconnector = \"x\"\ndatasource = \"ds\"\n", ":6", "already"),
            (
                "[connections.b]\nconnector = \"x\"\ndatasource = \"d s\"\n",
                ":6",
                "not a datasource",
            ),
        ] {
            let failure = failure(&format!("{CONNECTION}{text}"));
            assert!(failure.what.contains(part), "{failure}");
            assert!(failure.at.as_deref().unwrap_or_default().contains(line), "{failure}");
        }
    }

    #[test]
    fn the_environment_names_glean_before_the_file_does() {
        let env = |name: &str| match name {
            "GLEAN_INSTANCE" => Some("acme".to_owned()),
            TOKEN_VARIABLE => Some(" secret\n".to_owned()),
            _ => None,
        };
        let text = "[glean]\nserver_url = \"http://127.0.0.1:1\"\n";
        let config = Config::parse(Path::new("sheaf.toml"), text, &env).expect("valid");
        assert_eq!(config.glean.server_url, "https://acme-be.glean.com");
        assert!(config.glean.token.is_some());
    }

    #[test]
    fn a_connection_s_digest_is_of_what_decides_about_documents() {
        let digest = |text: &str| {
            let config = parse(&format!("{CONNECTION}{text}")).expect("valid");
            config.digest("a").expect("a digest")
        };
        let plain = digest("");
        assert_eq!(
            plain,
            digest("# nothing\n\n[connections.b]\nconnector=\"x\"\ndatasource=\"b\"\n")
        );
        assert_eq!(plain, digest("[connections.a.limits]\nmemory = \"1 GiB\"\n"));
        assert_eq!(plain, digest("[connections.a.schedules]\nfull = { every = \"1h\" }\n"));
        for text in [
            "settings = { access = \"everyone\" }\n",
            "[connections.a.grants]\nhosts = [\"x.com\"]\n",
            "[connections.a.deletions]\nmax_percent = 1.0\n",
            "[connections.a.limits]\nresponse_bytes = \"1 KiB\"\n",
        ] {
            assert_ne!(plain, digest(text), "{text}");
        }
        let (one, other) = ("settings = { a = 1, b = 2 }\n", "settings = { b = 2, a = 1 }\n");
        assert_eq!(digest(one), digest(other));
    }

    #[test]
    fn an_unknown_connection_is_answered_with_the_known_ones() {
        let config = parse(CONNECTION).expect("valid");
        let failure = config.connection("b").expect_err("unknown");
        assert_eq!(failure.next.as_deref(), Some("it has: a"));
    }
}
