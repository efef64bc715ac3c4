//! What a connector says of itself, as far as it is believed.
//!
//! The checks are the same whichever version of the contract a connector speaks.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema;
use crate::sandbox::policy::Pattern;
use crate::text::short_line;

/// What a connector is and asks for. Its texts are single lines, and its names are names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    pub description: String,
    pub settings_schema: Value,
    pub hosts: Vec<String>,
    pub credentials: Vec<CredentialRequest>,
    pub incremental: bool,
    pub folders: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CredentialRequest {
    pub name: String,
    pub purpose: String,
}

/// The same in the connector's own words, which nobody has looked at.
#[derive(Debug, Serialize, Deserialize)]
pub struct Description {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) settings_schema: String,
    pub(super) hosts: Vec<String>,
    pub(super) credentials: Vec<CredentialRequest>,
    pub(super) incremental: bool,
    pub(super) folders: Option<String>,
}

/// Hosts and credentials, of each.
const MOST_ASKED: usize = 100;
/// The longest name of a host, with a scheme and a port.
const MAX_HOST_BYTES: usize = 300;

impl Manifest {
    /// The manifest, or in one sentence what is wrong with it.
    pub(crate) fn of(said: Description) -> Result<Self, String> {
        let named = said.name.len() <= 64
            && said.name.split('-').all(|word| {
                !word.is_empty()
                    && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            });
        if !named {
            return Err("its name must be lower-case words joined by hyphens".into());
        }
        let settings_schema = match said.settings_schema.trim() {
            "" => serde_json::json!({ "type": "object", "additionalProperties": false }),
            text => schema::of(text)?,
        };
        if said.hosts.len().max(said.credentials.len()) > MOST_ASKED {
            return Err(format!("it asks for more than {MOST_ASKED} hosts or credentials"));
        }
        said.hosts.iter().try_for_each(|host| check_host(host))?;
        if let Some(asked) = said.credentials.iter().find(|asked| !is_name(&asked.name)) {
            return Err(format!("`{}` is not a credential's name", line(&asked.name)));
        }
        let credential = |asked: CredentialRequest| CredentialRequest {
            name: asked.name,
            purpose: line(&asked.purpose),
        };
        Ok(Self {
            name: said.name,
            version: line(&said.version),
            description: line(&said.description),
            settings_schema,
            hosts: said.hosts,
            credentials: said.credentials.into_iter().map(credential).collect(),
            incremental: said.incremental,
            folders: said.folders.as_deref().map(line),
        })
    }
}

/// A host is a pattern, or in braces the setting that holds its URL.
fn check_host(host: &str) -> Result<(), String> {
    if host.len() > MAX_HOST_BYTES {
        return Err(format!("it asks for the host `{}`, which is no host's name", line(host)));
    }
    let setting = host.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match setting {
        Some(setting) if is_name(&setting.replace('.', "")) => Ok(()),
        Some(_) => Err(format!("it asks for the host `{}`", line(host))),
        None => host
            .parse::<Pattern>()
            .map(drop)
            .map_err(|why| format!("it asks for the host `{}`: {why}", line(host))),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// One line that can be shown anywhere. Without runs of spaces: they could push what follows them to
/// where a terminal begins its next line.
fn line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    short_line(&words.join(" "), 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_says_cannot_steer_a_terminal_or_a_file() {
        let manifest = |version: &str, host: &str, credential: &str| {
            Manifest::of(Description {
                name: "x".into(),
                version: version.into(),
                description: "one\n   two\u{1b}[31m\u{202e}".into(),
                settings_schema: String::new(),
                hosts: vec![host.into()],
                credentials: vec![CredentialRequest {
                    name: credential.into(),
                    purpose: "a\rb".into(),
                }],
                incremental: false,
                folders: None,
            })
        };
        let good = manifest("1.0", "{base_url}", "api").expect("a manifest");
        assert_eq!(
            (good.description.as_str(), good.credentials[0].purpose.as_str()),
            (r"one two\u{1b}[31m\u{202e}", "a b")
        );
        assert!(manifest("1.0", "a\", \"*.evil", "api").is_err());
        assert!(manifest("1.0", "{a\nb}", "api").is_err());
        assert!(manifest("1.0", &format!("{{a{}}}", ".".repeat(1_000)), "api").is_err());
        assert!(manifest("1.0", "example.com", "api\nhosts = []").is_err());
    }
}
