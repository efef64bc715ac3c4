//! `sheaf check NAME`: what a connection is granted, and whether its source answers.

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::Context;
use super::output;
use super::output::Report;
use crate::cell::Connector;
use crate::connector::Manifest;
use crate::crawl::Connection;
use crate::crawl::Crawler;
use crate::crawl::guests::asked;
use crate::document::Scope;
use crate::failure::Result;
use crate::sandbox::Granted;
use crate::sandbox::policy::{Denied, Pattern};
use crate::text::count;

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connection in sheaf.toml.
    name: String,
    /// Say whether the connector could request this URL, and why; nothing is requested.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let connection = config.connection(&args.name)?;
    let crawler = config.offline_crawler()?;
    let place = || config.place(&["connections", &args.name, "connector"]);
    let connector = crawler
        .registry
        .find(&connection.connector)
        .await
        .map_err(|failure| failure.at_least(place))?;
    if let Some(url) = &args.url {
        return explain(url, &connection, &connector, &crawler).await;
    }
    let manifest = &connector.manifest;
    let mut text = format!(
        "{}: {} {} ({})\n",
        args.name,
        manifest.name,
        manifest.version,
        connector.digest.short()
    );
    let (hosts, wrong) = match asked(manifest, &connection.settings) {
        Ok(hosts) => (hosts, None),
        Err(failure) => (Vec::new(), Some(failure)),
    };
    for line in grants(manifest, &hosts, &connection.grants) {
        text.push_str(&format!("  {line}\n"));
    }
    let mut result = json!({
        "connection": args.name,
        "connector": manifest.name,
        "version": manifest.version,
        "digest": connector.digest,
        "folders": connection.grants.folders.iter().map(|folder| json!({
            "guest": folder.guest, "host": folder.host,
        })).collect::<Vec<_>>(),
        "hosts": {
            "asked": hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "granted": connection.grants.hosts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "credentials": connection.grants.credentials.keys().collect::<Vec<_>>(),
    });
    // Told before the guest is called: it may hang, or crash.
    if !context.json {
        output::print(&text);
        text.clear();
    }
    let answered = match wrong {
        Some(failure) => Err(failure),
        None => answer(&crawler, &connection, &connector).await,
    };
    let (said, scopes, identities) = match answered {
        Ok(answered) => answered,
        Err(failure) => {
            let summary = format!("{}: {failure}", args.name);
            return Ok(Report::new(summary, result).text(text).failure(failure));
        }
    };
    text.push_str(&format!("  settings fit the connector's schema\n  source   {said}\n"));
    text.push_str(&format!("  scopes   {}\n", count(scopes.len() as u64, "scope")));
    text.push_str(if identities {
        "  people   users and groups, which Glean is told of before each full crawl\n"
    } else {
        "  people   no users and groups\n"
    });
    result["source"] = json!(said);
    result["identities"] = json!(identities);
    result["scopes"] = json!(scopes);
    Ok(Report::new(format!("{}: {said}", args.name), result).text(text))
}

/// What the guest says of its source, its scopes, and whether it tells who is who.
async fn answer(
    crawler: &Crawler,
    connection: &Connection,
    connector: &Connector,
) -> Result<(String, Vec<Scope>, bool)> {
    let mut guest = crawler.start(connection, connector).await?;
    // Settings that a schema cannot judge are judged here too.
    guest.datasource().await?;
    let (said, scopes) = (guest.check().await?, guest.scopes().await?);
    let has_identities =
        connector.inspection.has_identities() && guest.open_identities(None).await?.is_some();
    Ok((said, scopes, has_identities))
}

/// What is asked for and what is given, a line each.
fn grants(manifest: &Manifest, asked: &[Pattern], granted: &Granted) -> Vec<String> {
    let mut lines = Vec::new();
    if manifest.folders.is_some() || !granted.folders.is_empty() {
        let asked = manifest.folders.as_deref().unwrap_or("nothing");
        lines.push(format!("folders  asks for {asked}"));
        for folder in &granted.folders {
            lines.push(format!("         {} is {}", folder.guest, folder.host.display()));
        }
    }
    for host in asked {
        let given = if granted.hosts.contains(host) { "granted" } else { "not granted as such" };
        let note = host.look_alike().map_or_else(String::new, |note| format!("; it {note}"));
        lines.push(format!("host     asks for {host}: {given}{note}"));
    }
    for host in granted.hosts.iter().filter(|host| !asked.contains(host)) {
        lines.push(format!("host     granted {host}, as far as it asks for it"));
    }
    if granted.methods.are_named() {
        lines.push(format!("methods  granted {}", granted.methods));
    }
    for credential in &manifest.credentials {
        let given = match granted.credentials.get(&credential.name) {
            Some(grant) => format!("granted, {}", grant.form),
            None => "not granted".into(),
        };
        lines
            .push(format!("secret   asks for {} {}: {given}", credential.name, credential.purpose));
    }
    let known = |name: &&String| manifest.credentials.iter().any(|asked| asked.name == **name);
    for name in granted.credentials.keys().filter(|name| !known(name)) {
        lines.push(format!("secret   granted {name}, which it does not ask for"));
    }
    lines
}

/// Allow or deny, by which rule, and where the name leads now.
async fn explain(
    url: &str,
    connection: &Connection,
    connector: &Connector,
    crawler: &Crawler,
) -> Result<Report> {
    let broker = crawler.guests.broker(connection, connector)?;
    let name = &connection.name;
    let refused = |denied: Denied| denied.failure(name, &connection.grants.hosts);
    let (_, target, allowed) = broker.allows(url).map_err(refused)?;
    let addresses = broker.addresses(&target).await?;
    let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let said = format!("{name} may reach {target}: `{}` is granted and asked for", allowed.by);
    let text = format!("{said}\n  it is at {} now\n", shown.join(", "));
    let result = json!({
        "connection": name, "url": url, "host": target.to_string(), "allowed": true,
        "by": allowed.by, "addresses": shown,
    });
    Ok(Report::new(said, result).text(text))
}
