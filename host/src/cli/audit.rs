//! `sheaf audit`: each connector in use, who signed it, and what its publisher says of it now.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::context::Context;
use super::output::Report;
use super::update::{later, taken_back};
use crate::crawl::Crawler;
use crate::failure::{Failure, Kind, Result};
use crate::registry::lock::{Locked, Source};
use crate::registry::oci::Repository;
use crate::registry::{Place, is_compatible, is_newer, other_in_folder};
use crate::text::one_line;

#[derive(ClapArgs)]
pub(super) struct Args {}

pub(super) async fn run(_: Args, context: &Context) -> Result<Report> {
    let config = context.config_without_secrets()?;
    let crawler = config.offline_crawler()?;
    let (mut findings, mut used) = (Vec::new(), Vec::new());
    for (name, connection) in &config.connections {
        let asked = &connection.connector;
        let locked = crawler.registry.locked_as(asked)?;
        let mut finding = Finding { is: format!("`{asked}`"), ..Finding::default() };
        match crawler.registry.find(asked).await {
            Ok(connector) => {
                let (manifest, digest) = (&connector.manifest, connector.digest.short());
                finding.is = format!("{} {} ({digest})", manifest.name, manifest.version);
            }
            Err(failure) => finding.refused(failure),
        }
        match &locked {
            Some(locked) => look(&crawler, locked, &mut finding).await,
            None if asked.starts_with("sha256:") => {}
            None => finding.notes.push("not locked: `sheaf add` locks it".to_owned()),
        }
        used.extend(locked.as_ref().map(|locked| locked.name.clone()));
        findings.push((Some(name.as_str()), locked, finding));
    }
    for locked in crawler.registry.locked()?.connectors {
        if !used.contains(&locked.name) {
            let is = format!("{} {}, which no connection uses", locked.name, locked.version);
            let mut finding = Finding { is, ..Finding::default() };
            if let Err(failure) = crawler.registry.load_locked(&locked).await {
                finding.refused(failure);
            }
            look(&crawler, &locked, &mut finding).await;
            findings.push((None, Some(locked), finding));
        }
    }
    Ok(report(&findings))
}

fn report(findings: &[(Option<&str>, Option<Locked>, Finding)]) -> Report {
    let (mut text, mut results) = (String::new(), Vec::new());
    let (mut wrong, mut unasked) = (0, 0);
    for (name, locked, finding) in findings {
        let name_is = name.map_or_else(String::new, |name| format!("{name}: "));
        text.push_str(&format!("{name_is}{}\n", finding.is));
        for line in finding.wrong.iter().chain(&finding.unasked).chain(&finding.notes) {
            text.push_str(&format!("  {}\n", one_line(line)));
        }
        wrong += usize::from(!finding.wrong.is_empty());
        unasked += finding.unasked.len();
        results.push(finding.json(*name, locked.as_ref()));
    }
    let (summary, code) = match (wrong, unasked) {
        (0, 0) => ("nothing is wrong with the connectors".to_owned(), 0),
        (0, _) => ("not every registry could be asked".to_owned(), Kind::Unreachable.exit_code()),
        (1, _) => ("one connector has to be seen to".to_owned(), 5),
        (wrong, _) => (format!("{wrong} connectors have to be seen to"), 5),
    };
    text.push_str(&summary);
    Report::new(summary, Value::from(results)).text(text).exit_code(code)
}

#[derive(Default)]
struct Finding {
    is: String,
    /// What has to be seen to.
    wrong: Vec<String>,
    /// What is not known today.
    unasked: Vec<String>,
    notes: Vec<String>,
}

impl Finding {
    /// What does not load, and what to do about it.
    fn refused(&mut self, failure: Failure) {
        self.wrong.push(failure.to_string());
        self.wrong.extend(failure.next);
    }

    fn json(&self, connection: Option<&str>, locked: Option<&Locked>) -> Value {
        let Self { wrong, unasked, notes, .. } = self;
        json!({
            "connection": connection, "locked": locked,
            "wrong": wrong, "unasked": unasked, "notes": notes,
        })
    }
}

/// What is known of a locked one, and what its registry says now.
async fn look(crawler: &Crawler, locked: &Locked, finding: &mut Finding) {
    let Source::Published(repository) = &locked.source else {
        finding.notes.push(format!("locked to {}", locked.source));
        if crawler.registry.is_other_in_folder(locked).await {
            finding.notes.push(other_in_folder(locked));
        }
        return;
    };
    finding.notes.push(format!("from {repository}"));
    // What is not trusted was said when it was loaded.
    let stored = crawler.registry.published(locked).await.ok().flatten();
    if let Some(signers) = stored.and_then(|stored| crawler.registry.signers(&stored).ok()) {
        finding.notes.extend(signers.iter().map(|id| format!("signed by the key {id}")));
        if signers.is_empty() {
            finding.notes.push("signed by nobody who is trusted for it".to_owned());
        } else if locked.signer.is_none() {
            let again = locked.add_again();
            finding
                .notes
                .push(format!("sheaf.lock does not name its signer: {again} puts it there"));
        }
    }
    if let Err(failure) = ask(crawler, repository, locked, finding).await {
        let why = format!("what its registry says: {failure}");
        let is_away = failure.kind == Kind::Unreachable;
        if is_away { &mut finding.unasked } else { &mut finding.wrong }.push(why);
    }
}

async fn ask(
    crawler: &Crawler,
    repository: &Repository,
    locked: &Locked,
    finding: &mut Finding,
) -> Result<()> {
    let place = Place::open(repository).await?;
    let version = &locked.version;
    finding.wrong.extend(taken_back(crawler, &place, locked).await?);
    let versions = place.versions().await?;
    let newest = place.newest(&versions, |it| is_newer(version, it) && is_compatible(version, it));
    if let Some((newest, _)) = newest.await?.found {
        finding.notes.push(format!("{newest} is newer: `sheaf update {}`", locked.name));
    }
    let later = later(&place, &versions, repository, version).await;
    finding.notes.extend(later.strip_prefix("; ").map(str::to_owned));
    Ok(())
}
