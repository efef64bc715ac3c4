//! `sheaf.toml`: read, checked, and turned into types. Every error names the file's line and key.

mod file;
mod grants;
mod limits;
mod live;
pub mod schedules;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use live::Live;
pub use values::PolicyConfig;

use crate::connector::schema::nearest;
use crate::connector::{CompileLimits, Digest};
use crate::crawl::{Deletions, Tolerance, Window};
use crate::failure::{Failure, Result};
use crate::glean::Endpoint;
use crate::sandbox::{Granted, Limits};
use crate::secret::Rotating;
use crate::store::Location;

pub const FILE_NAME: &str = "sheaf.toml";
/// The task queue where none is named.
pub const TASK_QUEUE: &str = "sheaf";

/// One `sheaf.toml`, valid as far as it can be known without running a connector.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named or found.
    pub path: PathBuf,
    pub glean: Endpoint,
    pub window: Window,
    pub temporal: Temporal,
    /// Guests of all connections that run at once in one process.
    pub guests: usize,
    /// Where `.wasm` files are dropped.
    pub connectors: PathBuf,
    pub compile: CompileLimits,
    /// This machine's own: locks, temporary files, what `sheaf dev` runs.
    pub state: PathBuf,
    /// What Sheaf keeps between runs: journals, bookmarks, the ledger, a copy of each connector in
    /// use. Workers of one task queue share it.
    pub store: Location,
    pub connections: BTreeMap<String, Arc<Connection>>,
    text: Arc<str>,
}

#[derive(Clone, Debug)]
pub struct Temporal {
    pub address: Option<String>,
    pub namespace: Option<String>,
    pub profile: Option<String>,
    pub api_key: Option<Arc<Rotating>>,
    pub task_queue: String,
    pub policy: PolicyConfig,
}

/// A connector, its settings and its grants: one datasource in Glean.
#[derive(Clone, Debug)]
pub struct Connection {
    pub name: String,
    pub connector: String,
    pub datasource: String,
    pub settings: serde_json::Value,
    pub grants: Granted,
    pub limits: Limits,
    pub deletions: Deletions,
    pub quarantine: Tolerance,
    pub schedules: Vec<schedules::Schedule>,
}

impl Config {
    /// Reads `named`, or the nearest `sheaf.toml` from this folder upwards.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => find()?,
        };
        Self::parse(&path, &Self::text(&path)?, &|name| std::env::var(name).ok())
    }

    fn text(path: &Path) -> Result<String> {
        std::fs::read_to_string(path).map_err(|error| {
            Failure::settings(format!("cannot read the configuration: {error}"))
                .at(path.display().to_string())
                .next("name it with `--config`, or run from a folder below it")
        })
    }

    /// Checks the text of a file at `path`, with `env` for the environment.
    pub fn parse(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let locate = Locate { path, text };
        let file: file::File = toml::from_str(text).map_err(|error| locate.parse_error(&error))?;
        file.validate(&locate, env)
    }

    pub fn connection(&self, name: &str) -> Result<Arc<Connection>> {
        self.connections.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = self.connections.keys().map(String::as_str).collect();
            let next = match known.as_slice() {
                [] => {
                    "add a [connections.NAME] to it; `sheaf inspect FILE` prints one to begin with"
                        .to_owned()
                }
                known => format!("it has: {}", known.join(", ")),
            };
            Failure::settings(format!("there is no connection `{name}`"))
                .at(self.path.display().to_string())
                .next(next)
        })
    }

    /// A digest of all that decides what a connection uploads and deletes, as it stands in the file:
    /// the same on every machine that has the same text, whatever its paths and secrets lead to.
    /// Limits end a crawl and change no document, but for the one that cuts answers off.
    pub fn digest(&self, connection: &str) -> Option<Digest> {
        let mut file: toml::Table = toml::from_str(&self.text).ok()?;
        let found = file.get_mut("connections")?.get_mut(connection)?.as_table_mut()?;
        found.remove("schedules");
        if let Some(toml::Value::Table(limits)) = found.get_mut("limits") {
            limits.retain(|key, _| key == "response_bytes");
            if limits.is_empty() {
                found.remove("limits");
            }
        }
        // Keys in order, however they stand in the file.
        let text = serde_json::to_value(&*found).ok()?.to_string();
        Some(Digest::of(text.as_bytes()))
    }

    /// What stands in the file beside the connections.
    fn rest(&self) -> Option<toml::Table> {
        let mut file: toml::Table = toml::from_str(&self.text).ok()?;
        file.remove("connections");
        Some(file)
    }

    /// What stands in the file, to tell whether two processes read the same.
    pub fn text_digest(&self) -> Digest {
        Digest::of(self.text.as_bytes())
    }

    /// `sheaf.toml:12, connections.a.settings`: where a key stands, or the nearest one above it.
    pub fn place(&self, keys: &[&str]) -> String {
        Locate { path: &self.path, text: &self.text }.place(keys)
    }
}

fn find() -> Result<PathBuf> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::settings(format!("there is no current folder: {error}")))?;
    here.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file()).ok_or_else(
        || {
            Failure::settings("there is no sheaf.toml here or in a folder above")
                .at(here.display().to_string())
                .next("name one with `--config`; examples/basic_workflow has one to copy")
        },
    )
}

/// Finds the line of a key.
struct Locate<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Locate<'_> {
    fn failure(&self, keys: &[&str], what: impl Into<String>) -> Failure {
        Failure::settings(what).at(self.place(keys))
    }

    fn place(&self, keys: &[&str]) -> String {
        let path = self.path.display();
        let line = self.offset(keys).map_or(1, |offset| self.line(offset));
        format!("{path}:{line}, {}", keys.join("."))
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn offset(&self, keys: &[&str]) -> Option<usize> {
        let table = toml::de::DeTable::parse(self.text).ok()?;
        let mut table = table.get_ref();
        let mut found = None;
        for key in keys {
            let Some((name, value)) =
                table.iter().find(|(name, _)| name.get_ref().as_ref() == *key)
            else {
                break;
            };
            found = Some(name.span().start);
            match value.get_ref() {
                toml::de::DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        found
    }

    fn parse_error(&self, error: &toml::de::Error) -> Failure {
        let path = self.path.display();
        let at = match error.span() {
            Some(span) => {
                let line = self.line(span.start);
                match self.text.lines().nth(line - 1).and_then(key_of) {
                    Some(key) => format!("{path}:{line}, `{key}`"),
                    None => format!("{path}:{line}"),
                }
            }
            None => path.to_string(),
        };
        let message = error.message().replace('\n', "; ");
        let next = match nearest_field(&message) {
            Some(near) => format!("did you mean `{near}`? The README describes each key"),
            None => "correct that line; the README describes each key".to_owned(),
        };
        Failure::settings(without_value(&message)).at(at).next(next)
    }
}

/// What a line sets, without the value: it may be a secret in the wrong place.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('[') {
        // A table's name, and nothing that may follow it.
        return Some(line.find(']').map_or("[", |end| line[..=end].trim()));
    }
    line.split_once('=').map(|(key, _)| key.trim())
}

/// serde's message without the value that it found: it may be a secret in the wrong place.
fn without_value(message: &str) -> String {
    let of = ["invalid type: ", "invalid value: ", "invalid length "];
    if let (Some(start), Some(expected)) =
        (of.iter().find(|start| message.starts_with(**start)), message.rfind(", expected "))
    {
        let found = &message[start.len()..expected];
        // `string "…"`, `integer `7``, `map`: the sort of it is told.
        let sort = found.split(['"', '`']).next().unwrap_or_default().trim();
        return format!("{start}{sort}{}", &message[expected..]);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some(expected) = rest.rfind("`, expected ")
    {
        return format!("unknown value{}", &rest[expected + 1..]);
    }
    message.to_owned()
}

/// The known key that an unknown one may have been meant for.
fn nearest_field(message: &str) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known = known.split('`').skip(1).step_by(2);
    nearest(unknown, known).map(str::to_owned)
}

/// A URL without what may be a secret in it, for messages: a user's name and password, and the query.
pub fn without_user(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    match (scheme, rest.rsplit_once('@')) {
        (_, None) => url.to_owned(),
        ("", Some((_, host))) => format!("…@{host}"),
        (scheme, Some((_, host))) => format!("{scheme}://…@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hurried person writes where a secret's source belongs, or beside it.
    #[test]
    fn a_secret_in_the_wrong_place_is_never_repeated() {
        let secret = "s3cr3t-QkZ9";
        let connection = "[connections.a]\nconnector = \"x\"\ndatasource = \"a\"\n";
        let credential =
            |line: &str| format!("{connection}[connections.a.grants.credentials]\n{line}\n");
        let texts = [
            format!("[glean]\ntoken = \"{secret}\"\n"),
            format!("[glean]\ntoken = \"{secret}\n"),
            format!("[glean]\ntoken = '{secret}\n"),
            format!("[glean]\ntokn = \"{secret}\"\n"),
            format!("[glean]\ntoken = {secret}\n"),
            format!("[glean]\ntoken = {{ env = \"{secret}\" }}\n"),
            format!("[glean]\ntoken = {{ file = \"{secret}\" }}\n"),
            format!("[glean]\ntoken = {{ value = \"{secret}\" }}\n"),
            format!("[glean]\ntoken = {{ env = [\"{secret}\"] }}\n"),
            format!("[glean]\ntoken = [\"{secret}\"]\n"),
            format!("[glean]\nserver_url = \"https://me:{secret}@acme-be.glean.com\"\n"),
            format!("[glean]\nserver_url = \"https://me:{secret}@\"\n"),
            format!("[glean]\nattempts = \"{secret}\"\n"),
            format!("[glean]\ntimeout = \"{secret}\"\n"),
            format!("[temporal]\napi_key = \"{secret}\"\n"),
            format!("state_store = \"s3://key:{secret}@bucket\"\n"),
            format!("state_store = \"az://box/x?sig={secret}\"\n"),
            format!("{connection}[connections.a.grants]\nhosts = [\"http://u:{secret}@h/\"]\n"),
            format!("{connection}[connections.a.grants]\ncredentials = \"{secret}\"\n"),
            format!("{connection}[connections.a.schedules]\nfull = {{ mode = \"{secret}\" }}\n"),
            credential(&format!("api = \"{secret}\"")),
            credential(&format!("api = {{ bearer = \"{secret}\" }}")),
            credential(&format!("api = {{ baerer = \"{secret}\" }}")),
            credential(&format!("api = {{ basic = \"me:{secret}\" }}")),
            credential(&format!(
                "api = {{ basic = {{ username = \"a:{secret}\", password = {{ env = \"X\" }} }} }}"
            )),
            credential(&format!("api = {{ header = \"X-Key: {secret}\" }}")),
            credential(&format!(
                "api = {{ header = {{ name = \"X: {secret}\", value = {{ env = \"X\" }} }} }}"
            )),
            credential(&format!("api = {{ oauth = \"{secret}\" }}")),
            credential(&format!(
                "api = {{ oauth = {{ token_url = \"https://u:{secret}@h/\", client_id = \"x\", \
                 client_secret = {{ env = \"X\" }} }} }}"
            )),
            credential(&format!(
                "api = {{ oauth = {{ token_url = \"https://h/\", client_id = \"x\", \
                 client_secret = \"{secret}\" }} }}"
            )),
        ];
        for text in texts {
            let failure = Config::parse(Path::new("sheaf.toml"), &text, &|_| None);
            let failure = failure.expect_err(&text);
            let said = serde_json::to_string(&failure).expect("JSON");
            assert!(!said.contains(secret), "{text}\n{said}");
            // The place is named all the same.
            assert!(failure.at.as_deref().is_some_and(|at| at.contains("sheaf.toml:")), "{said}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        let failure = Config::parse(Path::new("sheaf.toml"), "[glean]\ntokne = 1\n", &|_| None);
        let failure = failure.expect_err("unknown");
        assert_eq!(failure.at.as_deref(), Some("sheaf.toml:2, `tokne`"));
        assert!(failure.next.is_some_and(|next| next.contains("did you mean `token`?")));
    }
}
