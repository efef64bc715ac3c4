//! The shape of `sheaf.toml`, and what its values must be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::locate::{Locate, without_user};
use super::settings::Config;
use super::values::{Env, Secrets};
use super::{connection, connectors, glean, observe, temporal};
use crate::crawl::Connection;
use crate::failure::Result;
use crate::release;
use crate::store::Location;
use crate::temporal::rollout::Version;
use crate::temporal::schedule::Schedule;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    state_folder: Option<PathBuf>,
    state_store: Option<String>,
    #[serde(default)]
    glean: glean::Section,
    #[serde(default)]
    temporal: temporal::Section,
    #[serde(default)]
    worker: Worker,
    #[serde(default)]
    observe: observe::Section,
    #[serde(default)]
    connectors: connectors::Section,
    #[serde(default)]
    connections: BTreeMap<String, connection::Section>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
struct Worker {
    guests: Option<usize>,
    /// The name of the workers' deployment, where they have versions.
    deployment: Option<String>,
    build_id: Option<String>,
}

impl File {
    pub(super) fn validate(
        self,
        locate: &Locate<'_>,
        env: Env<'_>,
        secrets: Secrets<'_>,
    ) -> Result<Config> {
        let base = match locate.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let compile = self.connectors.limits();
        let rules = self.connectors.rules(&base, locate)?;
        let connectors = self.connectors.folder.unwrap_or_else(|| "connectors".into());
        let state = base.join(self.state_folder.unwrap_or_else(|| ".sheaf".into()));
        let store = match self.state_store {
            None => Location::Folder(state.clone()),
            Some(text) => store(&text, &base, locate)?,
        };
        let uploads = self.glean.uploads(locate)?;
        let guests = self.worker.guests(locate)?;
        let version = self.worker.version(locate)?;
        let (connections, schedules) = connections(self.connections, &base, locate)?;
        Ok(Config {
            path: locate.path.to_owned(),
            glean: self.glean.endpoint(&base, locate, env, secrets)?,
            uploads,
            guests,
            version,
            temporal: self.temporal.validate(&base, locate, secrets)?,
            traces: self.observe.traces(locate)?,
            observe: self.observe.validate(&base, locate, secrets)?,
            connectors: base.join(connectors),
            rules,
            compile,
            state,
            store,
            connections,
            schedules,
            text: locate.text.into(),
        })
    }
}

impl Worker {
    fn guests(&self, locate: &Locate<'_>) -> Result<usize> {
        let guests = self.guests.unwrap_or(64);
        if !(1..=100_000).contains(&guests) {
            return Err(locate.failure(&["worker", "guests"], "it must be between 1 and 100,000"));
        }
        Ok(guests)
    }

    fn version(self, locate: &Locate<'_>) -> Result<Option<Version>> {
        let wrong = |key: &str, what: &str| Err(locate.failure(&["worker", key], what));
        let Some(deployment) = self.deployment else {
            return match self.build_id {
                Some(_) => wrong("build_id", "there is no `deployment` that it is a build of"),
                None => Ok(None),
            };
        };
        let build_id = self.build_id.unwrap_or_else(release::build_id);
        // Temporal puts them together with a dot between them.
        if deployment.is_empty() || deployment.contains('.') {
            return wrong("deployment", "it must be a name without a dot");
        }
        if build_id.is_empty() {
            return wrong("build_id", "it must not be empty");
        }
        Ok(Some(Version { deployment, build_id }))
    }
}

type Connections = BTreeMap<String, Arc<Connection>>;
type Schedules = BTreeMap<String, Vec<Schedule>>;

/// The connections, and when they are crawled.
fn connections(
    sections: BTreeMap<String, connection::Section>,
    base: &Path,
    locate: &Locate<'_>,
) -> Result<(Connections, Schedules)> {
    let mut connections = BTreeMap::new();
    let mut schedules = BTreeMap::new();
    let mut datasources = BTreeMap::new();
    for (name, section) in sections {
        let (connection, when) = section.validate(&name, base, locate)?;
        if let Some(other) = datasources.insert(connection.datasource.clone(), name.clone()) {
            return Err(locate
                .failure(
                    &["connections", &name, "datasource"],
                    format!(
                        "`{other}` crawls into the datasource `{}` already",
                        connection.datasource
                    ),
                )
                .next(
                    "give each connection a datasource of its own: the end of a crawl deletes what \
                     it did not contain",
                ));
        }
        if !when.is_empty() {
            schedules.insert(name.clone(), when);
        }
        connections.insert(name, Arc::new(connection));
    }
    Ok((connections, schedules))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::glean::TOKEN_VARIABLE;
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
            ("[glean]\nserver_url = \"http://x:99999\"\n", ":2", "not the address of a server"),
            ("[glean]\nbatch_bytes = \"4 apples\"\n", ":2", "a size such as"),
            ("[glean]\nbatch_bytes = \"50 MiB\"\n", ":2", "at most 5.0 MiB"),
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
            ("[connections.a.grants]\nmethods = [\"TRACE\"]\n", ":5", "`TRACE` cannot be granted"),
            ("[connections.a.grants]\nmethods = []\n", ":5", "names no method"),
            ("[connections.a.limits]\nhost_memory = \"1 B\"\n", ":5", "at least 64 MiB"),
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
            "[connections.a.grants]\nmethods = [\"GET\"]\n",
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
