//! `sheaf check NAME`: what a connection is granted, and whether its source answers.

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Context, Report};
use crate::crawl::Crawler;
use crate::failure::Result;
use crate::observe::numbers::count;

#[derive(ClapArgs)]
pub struct Args {
    /// The connection in sheaf.toml.
    name: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let connection = config.connection(&args.name)?;
    let crawler = Crawler::offline(config)?;
    let place = || crawler.config.place(&["connections", &args.name, "connector"]);
    let connector = crawler
        .registry
        .find(&connection.connector)
        .await
        .map_err(|failure| failure.at_least(place))?;
    let mut guest = crawler.start(&connection, &connector).await?;
    // Settings that a schema cannot judge are judged here too.
    guest.datasource().await?;
    let said = guest.check().await?;
    let scopes = guest.scopes().await?;
    let manifest = &connector.manifest;
    let mut text = format!(
        "{}: {} {} ({})\n",
        args.name,
        manifest.name,
        manifest.version,
        connector.digest.short()
    );
    match (&manifest.folders, connection.folders.as_slice()) {
        (None, []) => {}
        (asked, granted) => {
            let asked = asked.as_deref().unwrap_or("nothing");
            text.push_str(&format!("  folders  asks for {asked}\n"));
            for folder in granted {
                text.push_str(&format!(
                    "           {} is {}\n",
                    folder.guest,
                    folder.host.display()
                ));
            }
        }
    }
    text.push_str(&format!("  settings fit the connector's schema\n  source   {said}\n"));
    text.push_str(&format!("  scopes   {}\n", count(scopes.len() as u64, "scope")));
    let result = json!({
        "connection": args.name,
        "connector": manifest.name,
        "version": manifest.version,
        "digest": connector.digest,
        "folders": connection.folders.iter().map(|folder| json!({
            "guest": folder.guest, "host": folder.host,
        })).collect::<Vec<_>>(),
        "source": said,
        "scopes": scopes,
    });
    Ok(Report::new(format!("{}: {said}", args.name), result).text(text))
}
