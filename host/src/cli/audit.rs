//! `sheaf audit`: each connector in use, who signed it, and what its publisher says of it now.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::add::newer;
use super::context::Context;
use super::output::Report;
use crate::crawl::Crawler;
use crate::failure::Result;
use crate::registry::Place;
use crate::registry::lock::{Locked, Source};
use crate::registry::oci::Remote;
use crate::text::one_line;

#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) async fn run(_: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let crawler = config.offline_crawler()?;
    let (mut text, mut results, mut wrong) = (String::new(), Vec::new(), 0);
    for (name, connection) in &config.connections {
        let asked = &connection.connector;
        let locked = crawler.registry.locked_as(asked)?;
        let mut finding = Finding::default();
        match crawler.registry.find(asked).await {
            Ok(connector) => {
                let (manifest, digest) = (&connector.manifest, connector.digest.short());
                finding.is = format!("{} {} ({digest})", manifest.name, manifest.version);
            }
            Err(failure) => finding.wrong.push(failure.to_string()),
        }
        match &locked {
            Some(locked) => look(&crawler, locked, &mut finding).await,
            None if asked.starts_with("sha256:") => {}
            None => finding.notes.push("not locked: `sheaf add` locks it".to_owned()),
        }
        text.push_str(&format!("{name}: {}\n", finding.is));
        for line in finding.wrong.iter().chain(&finding.notes) {
            text.push_str(&format!("  {}\n", one_line(line)));
        }
        wrong += finding.wrong.len();
        results.push(finding.json(name, locked.as_ref()));
    }
    let summary = match wrong {
        0 => "nothing is wrong with the connectors in use".to_owned(),
        wrong => format!("{wrong} of what is said above has to be seen to"),
    };
    text.push_str(&summary);
    let report = Report::new(summary, Value::from(results)).text(text);
    Ok(report.exit_code(if wrong > 0 { 5 } else { 0 }))
}

#[derive(Default)]
struct Finding {
    is: String,
    /// What has to be seen to.
    wrong: Vec<String>,
    notes: Vec<String>,
}

impl Finding {
    fn json(&self, connection: &str, locked: Option<&Locked>) -> Value {
        json!({ "connection": connection, "locked": locked, "wrong": self.wrong, "notes": self.notes })
    }
}

/// What is known of a locked one, and what its registry says now.
async fn look(crawler: &Crawler, locked: &Locked, finding: &mut Finding) {
    let Source::Published(repository) = &locked.source else {
        finding.notes.push(format!("locked to {}", locked.source));
        return;
    };
    finding.notes.push(format!("from {repository}"));
    finding.notes.push(match &locked.signer {
        Some(id) => format!("signed by the key {id}"),
        None => "signed by nobody who is trusted for it".to_owned(),
    });
    if let Err(failure) = ask(repository, locked, finding).await {
        finding.wrong.push(format!("its registry cannot be asked: {failure}"));
    }
    let stored = crawler.registry.published(locked).await.ok().flatten();
    if let Some(why) = stored.and_then(|stored| stored.yanked()) {
        finding.notes.push(format!("it was taken back already when it was added: {why}"));
    }
}

async fn ask(
    repository: &crate::registry::oci::Repository,
    locked: &Locked,
    finding: &mut Finding,
) -> Result<()> {
    let place = Place::Registry(Box::new(Remote::open(repository, false).await?));
    let newer = newer(&place, &locked.version).await?;
    if let Some(newest) = newer.last() {
        finding.notes.push(format!("{newest} is newer: `sheaf update {}`", locked.name));
    }
    let Some(manifest) = &locked.manifest else { return Ok(()) };
    match place.published(&manifest.to_string()).await? {
        None => finding.wrong.push("its publisher took it out of the registry".to_owned()),
        Some(published) if published.digest() != *manifest => {
            finding.wrong.push("its registry gave another manifest than was asked for".to_owned());
        }
        Some(published) => {
            if let Some(why) = published.yanked() {
                finding.wrong.push(format!("its publisher took it back: {why}"));
            }
        }
    }
    let tag = crate::registry::tag_of(&locked.version);
    match place.published(&tag).await? {
        None => finding.wrong.push(format!("its tag {tag} was taken out of the registry")),
        Some(tagged) if tagged.digest() != *manifest => {
            let to = tagged.digest();
            finding.wrong.push(format!("its tag {tag} was moved to another manifest, {to}"));
        }
        Some(_) => {}
    }
    Ok(())
}
