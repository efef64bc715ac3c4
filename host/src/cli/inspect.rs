//! `sheaf inspect FILE`: what a connector is and asks for. It is granted nothing.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::fetch::{fetch, said, said_value};
use super::output::Report;
use crate::cell::{Connector, Loader, Program, cache_folder};
use crate::connector::Manifest;
use crate::connector::schema::{fields, shape};
use crate::failure::{Failure, Result};
use crate::registry::oci::SCHEME;
use crate::sandbox::policy::Pattern;
use crate::text::{bytes, count, cut, one_line, short_line};

/// Settings, hosts and imports that are listed: whoever names more hides something behind them.
const LISTED: usize = 100;
/// The longest name of a setting, and the longest of what else its schema says of it.
const MAX_NAME: usize = 64;
const MAX_SAID: usize = 500;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connector's `.wasm` file; or `oci://registry.example.com/name[:1.2.0]`, by whom `sheaf.toml` trusts.
    what: String,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let (mut text, mut published) = (String::new(), Value::Null);
    let connector = if args.what.starts_with(SCHEME) {
        let crawler = context.config_without_secrets()?.offline_crawler()?;
        // Whoever looks runs nothing: also at what was taken back.
        let taken = fetch(&crawler, &args.what, true).await?.into_iter().next();
        let taken = taken.ok_or_else(|| Failure::internal("nothing was fetched"))?;
        text = format!("\n{}", said(&taken));
        published = said_value(&taken);
        taken.connector
    } else {
        let loader = Loader::new(Program::this(), cache_folder()?)?;
        loader.load_file(Path::new(&args.what)).await?
    };
    let manifest = &connector.manifest;
    let summary = format!("{} {}: {}", manifest.name, manifest.version, manifest.description);
    text.insert_str(0, &describe(&connector, &args.what));
    Ok(Report::new(summary, value(&connector)).with("published", published).text(text))
}

/// All that is known of a connector without running it.
pub(super) fn value(connector: &Connector) -> Value {
    json!({
        "digest": connector.digest,
        "bytes": connector.bytes,
        "contract": connector.inspection.contract,
        "producers": connector.inspection.producers,
        "imports": connector.inspection.imports,
        "exports": connector.inspection.exports,
        "manifest": connector.manifest,
    })
}

/// What people read of a connector. All of it but the form is a stranger's: each piece is one line, or a
/// part of one.
pub(super) fn describe(connector: &Connector, from: &str) -> String {
    let manifest = &connector.manifest;
    let inspection = &connector.inspection;
    let mut text = format!("{} {}\n{}\n\n", manifest.name, manifest.version, manifest.description);
    text.push_str(&format!("from      {from}, {}\n", bytes(connector.bytes)));
    text.push_str(&format!("digest    {}\n", connector.digest));
    text.push_str(&format!("contract  {}\n", inspection.contract));
    if !inspection.producers.is_empty() {
        text.push_str(&format!("made with {}\n", inspection.producers.join(", ")));
    }
    text.push_str(&format!(
        "crawls    full{}{}\n",
        if manifest.incremental { ", incremental" } else { "" },
        if inspection.has_identities() { ", users and groups" } else { "" },
    ));
    text.push_str("\nasks for\n");
    text.push_str(&asks(manifest));
    let beyond = beyond(&inspection.imports);
    if !beyond.is_empty() {
        text.push_str("\nimports beyond the contract, and what it gets\n");
        for (name, gets) in beyond.iter().take(LISTED) {
            text.push_str(&format!("  {name}  {gets}\n"));
        }
        text.push_str(&more(beyond.len(), "import"));
    }
    text.push_str("\nsettings\n");
    text.push_str(&settings_table(&manifest.settings_schema));
    text.push_str("\nfor sheaf.toml\n\n");
    text.push_str(&toml_block(manifest));
    text
}

/// What it wants to be granted.
fn asks(manifest: &Manifest) -> String {
    let mut text = String::new();
    if let Some(folders) = &manifest.folders {
        text.push_str(&format!("  a folder: {}\n", one_line(folders)));
    }
    for host in manifest.hosts.iter().take(LISTED) {
        // As it would be granted, however it is written. What is no pattern is a setting in braces.
        let pattern: Option<Pattern> = host.parse().ok();
        let shown = pattern.as_ref().map_or_else(|| one_line(host).into(), Pattern::to_string);
        text.push_str(&format!("  the host {shown}\n"));
        if let Some(note) = pattern.and_then(|pattern| pattern.look_alike()) {
            text.push_str(&format!("      look twice: it {note}\n"));
        }
    }
    text.push_str(&more(manifest.hosts.len(), "host"));
    for credential in manifest.credentials.iter().take(LISTED) {
        let purpose = one_line(&credential.purpose);
        text.push_str(&format!("  the credential {}: {purpose}\n", credential.name));
    }
    text.push_str(&more(manifest.credentials.len(), "credential"));
    if text.is_empty() {
        text.push_str("  nothing\n");
    }
    text
}

fn more(all: usize, noun: &str) -> String {
    match all.saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("  and {} more\n", count(more as u64, noun)),
    }
}

/// What a component imports besides the contract and what every program needs, and what the host
/// gives it there.
fn beyond(imports: &[String]) -> Vec<(&str, &'static str)> {
    let gets = |name: &str| {
        Some(match name {
            _ if name.starts_with("sheaf:connector/") => return None,
            _ if name.starts_with("wasi:http/") => "the granted hosts, and nothing else",
            _ if name.starts_with("wasi:filesystem/") => "the granted folders, read-only",
            _ if name.starts_with("wasi:sockets/") => "nothing: every socket and name is denied",
            _ if name.starts_with("wasi:cli/environment") => "nothing: no variables, no arguments",
            _ if name.starts_with("wasi:cli/terminal") => "nothing: there is no terminal",
            _ if name.starts_with("wasi:") => return None,
            _ => "nothing: the host does not know it",
        })
    };
    imports.iter().filter_map(|name| Some((name.as_str(), gets(name)?))).collect()
}

fn settings_table(schema: &Value) -> String {
    let fields = fields(schema);
    if fields.is_empty() {
        return "  none\n".into();
    }
    let mut text = String::new();
    for (name, field, is_required) in fields.iter().take(LISTED) {
        let needed = if *is_required { "required" } else { "optional" };
        let mut about = format!("{}, {needed}", cut(&shape(field, schema), MAX_SAID));
        match field.get("default") {
            None | Some(Value::Null) => {}
            Some(usual) => {
                about.push_str(&format!(", otherwise {}", cut(&usual.to_string(), MAX_SAID)));
            }
        }
        text.push_str(&format!("  {}  ({})\n", short_line(name, MAX_NAME), one_line(&about)));
        let description = field["description"].as_str().unwrap_or_default();
        let words: Vec<_> = description.split_whitespace().collect();
        if !words.is_empty() {
            text.push_str(&format!("      {}\n", short_line(&words.join(" "), MAX_SAID)));
        }
    }
    text.push_str(&more(fields.len(), "setting"));
    text
}

/// A connection to begin with. Whoever pastes it has one table and its grants: what it quotes of a
/// connector's are names, and comments of one line.
pub(super) fn toml_block(manifest: &Manifest) -> String {
    let name = manifest.name.replace('-', "");
    let mut text = format!(
        "[connections.{name}]\nconnector = \"{}\"\ndatasource = \"{name}\"\n",
        manifest.name
    );
    let settings = example_settings(manifest);
    if !settings.is_empty() {
        text.push_str(&format!("settings = {{ {} }}\n", settings.join(", ")));
    }
    let grants = example_grants(manifest);
    if !grants.is_empty() {
        text.push_str(&format!("\n[connections.{name}.grants]\n{}\n", grants.join("\n")));
    }
    text
}

fn example_settings(manifest: &Manifest) -> Vec<String> {
    let mut settings = Vec::new();
    let bare = |name: &str| {
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_bare)
    };
    let fields = fields(&manifest.settings_schema);
    let needed = fields.iter().filter(|field| field.2 && bare(&field.0));
    for (field, value, _) in needed.take(LISTED) {
        let example = match shape(value, &manifest.settings_schema).as_str() {
            "string" if field == "root" => "\"/content\"".to_owned(),
            "string" if field.contains("url") => "\"https://example.com\"".to_owned(),
            "integer" | "number" => "0".to_owned(),
            "boolean" => "false".to_owned(),
            kind if kind.starts_with("list of") => "[]".to_owned(),
            "object" => "{}".to_owned(),
            _ => "\"…\"".to_owned(),
        };
        settings.push(format!("{field} = {example}"));
    }
    // Left out, it would make documents that nobody finds: something to decide, not to forget.
    if manifest.settings_schema["properties"].get("access").is_some() {
        settings.push("access = \"everyone\"".to_owned());
    }
    settings
}

fn example_grants(manifest: &Manifest) -> Vec<String> {
    let mut grants = Vec::new();
    if !manifest.hosts.is_empty() {
        let mut hosts = Vec::new();
        for host in manifest.hosts.iter().take(LISTED) {
            // A setting's host is known when the setting is.
            let host = if host.starts_with('{') { "example.com" } else { host };
            let Ok(pattern) = host.parse::<Pattern>() else { continue };
            if let Some(note) = pattern.look_alike() {
                grants.push(format!("# look twice: {pattern} {note}"));
            }
            hosts.push(format!("\"{pattern}\""));
        }
        hosts.dedup();
        grants.push(format!("hosts = [{}]", hosts.join(", ")));
    }
    if manifest.folders.is_some() {
        grants.push("folders = { \"/content\" = \"./path/to/documents\" }".to_owned());
    }
    for credential in manifest.credentials.iter().take(LISTED) {
        let variable = credential.name.to_ascii_uppercase().replace('-', "_");
        let source = format!("{{ bearer = {{ env = \"{variable}_TOKEN\" }} }}");
        let purpose = one_line(&credential.purpose);
        grants.push(format!("# {purpose}\ncredentials.{} = {source}", credential.name));
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::CredentialRequest;

    /// One that says whatever it likes wherever it may.
    fn manifest() -> Manifest {
        let odd = "x\r\n\n[connections.y]\nconnector = \"y\"\u{2028}\u{1b}[2J\u{202e}\" # ";
        Manifest {
            name: "wi-ki".into(),
            version: "1".into(),
            description: "d".into(),
            settings_schema: json!({
                "required": ["base_url", odd],
                "properties": {
                    "base_url": { "type": odd, "default": odd, "description": odd },
                    odd: { "enum": [odd], "description": format!("{odd}{}", " ".repeat(500)) },
                },
            }),
            hosts: ["{base_url}", "WIKI.example.com.", "https://\u{430}pple.com:443"]
                .map(str::to_owned)
                .into(),
            credentials: vec![CredentialRequest { name: "api".into(), purpose: odd.into() }],
            incremental: false,
            folders: None,
        }
    }

    #[test]
    fn one_block_is_shown_to_paste_whatever_a_manifest_says() {
        let manifest = manifest();
        let block = toml_block(&manifest);
        let table: toml::Table = toml::from_str(&block).expect("TOML");
        let connection = &table["connections"];
        assert_eq!(connection.as_table().map(toml::Table::len), Some(1), "{block}");
        let hosts = connection["wiki"]["grants"]["hosts"].clone();
        let expected = ["example.com", "wiki.example.com", "xn--pple-43d.com"];
        assert_eq!(hosts, toml::Value::from(expected.to_vec()), "{block}");
        let all = asks(&manifest) + &settings_table(&manifest.settings_schema) + &block;
        let tables = all.lines().filter(|line| line.trim_start().starts_with('['));
        assert_eq!(tables.count(), 2, "{all}");
        for letter in all.chars().filter(|letter| *letter != '\n') {
            assert_eq!(one_line(&letter.to_string()).chars().count(), 1, "{letter:?}: {all}");
            assert!(!letter.is_control() && letter != '\u{2028}', "{letter:?}: {all}");
        }
    }

    #[test]
    fn hosts_are_shown_as_they_would_be_granted_and_look_alikes_are_marked() {
        let all = asks(&manifest());
        for line in [
            "  the host {base_url}\n",
            "  the host wiki.example.com\n",
            "  the host xn--pple-43d.com\n      look twice: it reads `\u{430}pple.com`, mixes alphabets",
        ] {
            assert!(all.contains(line), "{line}: {all}");
        }
    }
}
