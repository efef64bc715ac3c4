//! `sheaf inspect FILE`: what a connector is and asks for. It is granted nothing.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::output::Report;
use crate::connector::schema::{fields, shape};
use crate::connector::{Candidate, Connector, Loader, cache_folder};
use crate::failure::Result;
use crate::text::bytes;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connector's `.wasm` file.
    file: PathBuf,
}

pub(super) async fn run(args: Args) -> Result<Report> {
    let candidate = Candidate::read(&args.file).await?;
    let connector = Loader::new(cache_folder()?)?.load(candidate).await?;
    let manifest = &connector.manifest;
    let result = json!({
        "digest": connector.digest,
        "bytes": connector.bytes,
        "contract": connector.inspection.contract,
        "producers": connector.inspection.producers,
        "imports": connector.inspection.imports,
        "exports": connector.inspection.exports,
        "manifest": manifest,
    });
    let summary = format!("{} {}: {}", manifest.name, manifest.version, manifest.description);
    Ok(Report::new(summary, result).text(describe(&connector, &args.file)))
}

/// What people read of a connector.
pub(super) fn describe(connector: &Connector, file: &Path) -> String {
    // What a stranger wrote must not steer a terminal.
    let printable = |letter: char| letter == '\n' || !letter.is_control();
    all(connector, file).chars().filter(|letter| printable(*letter)).collect()
}

fn all(connector: &Connector, file: &Path) -> String {
    let manifest = &connector.manifest;
    let inspection = &connector.inspection;
    let mut text = format!("{} {}\n{}\n\n", manifest.name, manifest.version, manifest.description);
    text.push_str(&format!("file      {}, {}\n", file.display(), bytes(connector.bytes)));
    text.push_str(&format!("digest    {}\n", connector.digest));
    text.push_str(&format!("contract  {}\n", inspection.contract));
    if !inspection.producers.is_empty() {
        text.push_str(&format!("made with {}\n", inspection.producers.join(", ")));
    }
    text.push_str(&format!(
        "crawls    full{}\n",
        if manifest.incremental { ", incremental" } else { "" }
    ));
    if let Some(unread) = inspection.unread() {
        text.push_str(&format!("note      {unread}\n"));
    }
    text.push_str("\nasks for\n");
    let mut asks = false;
    if let Some(folders) = &manifest.folders {
        asks = true;
        text.push_str(&format!("  a folder: {folders}\n"));
    }
    for host in &manifest.hosts {
        asks = true;
        text.push_str(&format!("  the host {host}\n"));
    }
    for credential in &manifest.credentials {
        asks = true;
        text.push_str(&format!("  the credential {}: {}\n", credential.name, credential.purpose));
    }
    if !asks {
        text.push_str("  nothing\n");
    }
    let beyond = beyond(&inspection.imports);
    if !beyond.is_empty() {
        text.push_str("\nimports beyond the contract, and what it gets\n");
        for (name, gets) in beyond {
            text.push_str(&format!("  {name}  {gets}\n"));
        }
    }
    text.push_str("\nsettings\n");
    text.push_str(&settings_table(&manifest.settings_schema));
    text.push_str("\nfor sheaf.toml\n\n");
    text.push_str(&toml_block(connector));
    text
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
    for (name, field, is_required) in fields {
        let needed = if is_required { "required" } else { "optional" };
        text.push_str(&format!("  {name}  ({}, {needed}", shape(field, schema)));
        match field.get("default") {
            None | Some(Value::Null) => {}
            Some(usual) => text.push_str(&format!(", otherwise {usual}")),
        }
        text.push_str(")\n");
        let description = field["description"].as_str().unwrap_or_default().replace('\n', " ");
        if !description.is_empty() {
            text.push_str(&format!("      {description}\n"));
        }
    }
    text
}

/// A connection to begin with.
pub(super) fn toml_block(connector: &Connector) -> String {
    let manifest = &connector.manifest;
    let name = manifest.name.replace('-', "");
    let mut settings = Vec::new();
    let bare = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let fields = fields(&manifest.settings_schema);
    for (field, value, _) in fields.iter().filter(|field| field.2 && bare(&field.0)) {
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
    let mut text = format!(
        "[connections.{name}]\nconnector = \"{}\"\ndatasource = \"{name}\"\n",
        manifest.name
    );
    // Left out, it would make documents that nobody finds: something to decide, not to forget.
    if manifest.settings_schema["properties"].get("access").is_some() {
        settings.push("access = \"everyone\"".to_owned());
    }
    if !settings.is_empty() {
        text.push_str(&format!("settings = {{ {} }}\n", settings.join(", ")));
    }
    let mut grants = Vec::new();
    if !manifest.hosts.is_empty() {
        // A setting's host is known when the setting is.
        let host = |host: &String| {
            if host.starts_with('{') { "\"example.com\"".to_owned() } else { format!("\"{host}\"") }
        };
        let mut hosts: Vec<_> = manifest.hosts.iter().map(host).collect();
        hosts.dedup();
        grants.push(format!("hosts = [{}]", hosts.join(", ")));
    }
    if manifest.folders.is_some() {
        grants.push("folders = { \"/content\" = \"./path/to/documents\" }".to_owned());
    }
    for credential in &manifest.credentials {
        let variable = credential.name.to_ascii_uppercase().replace('-', "_");
        let source = format!("{{ bearer = {{ env = \"{variable}_TOKEN\" }} }}");
        grants.push(format!(
            "# {}\ncredentials.{} = {source}",
            credential.purpose.replace('\n', " "),
            credential.name
        ));
    }
    if !grants.is_empty() {
        text.push_str(&format!("\n[connections.{name}.grants]\n{}\n", grants.join("\n")));
    }
    text
}
