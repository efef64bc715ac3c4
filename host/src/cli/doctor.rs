//! `sheaf doctor`: each part of a set-up, tried, with the next step where one is wrong.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use temporalio_client::Client;

use super::context::{Context, connect};
use super::output::Report;
use crate::cell::{self, Connector, Program};
use crate::config::Config;
use crate::crawl::Connection;
use crate::crawl::Crawler;
use crate::crawl::guests::asked;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::temporal::rollout::{self, Version};
use crate::temporal::{queue, worker};
use crate::text::count;

#[derive(ClapArgs)]
pub(super) struct Args {}

const PATIENCE: Duration = Duration::from_secs(3);

struct Finding {
    part: String,
    outcome: Outcome,
}

enum Outcome {
    Well(String),
    /// Something to know, which stops nothing.
    Note(String),
    Wrong(Failure),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Wrong(failure)
    }
}

impl From<Result<String>> for Outcome {
    fn from(outcome: Result<String>) -> Self {
        outcome.map_or_else(Self::Wrong, Self::Well)
    }
}

pub(super) async fn run(_: Args, context: &Context) -> Result<Report> {
    let mut findings = Vec::new();
    look(context, &mut findings).await;
    Ok(report(&findings))
}

fn add(findings: &mut Vec<Finding>, part: &str, outcome: impl Into<Outcome>) {
    findings.push(Finding { part: part.to_owned(), outcome: outcome.into() });
}

/// Each part in turn; without a configuration or a state there is nothing else to try.
async fn look(context: &Context, findings: &mut Vec<Finding>) {
    let mut config = match context.config() {
        Ok(config) => config,
        Err(failure) => return add(findings, "configuration", failure),
    };
    let connections = count(config.connections.len() as u64, "connection");
    let (path, digest) = (config.path.display(), config.text_digest());
    let said = format!("{path}, {connections}, digest {}", digest.short());
    add(findings, "configuration", Outcome::Well(said));
    // Whoever asks what is wrong does not wait until it is not.
    config.glean.patience = config.glean.patience.min(PATIENCE);
    let crawler = match config.offline_crawler() {
        Ok(crawler) => crawler,
        Err(failure) => return add(findings, "state", failure),
    };
    let state = crawler.can_write().await;
    add(findings, "state", state.map(|()| format!("{} can be written", crawler.store.place(""))));
    add(findings, "cells", cells().await);
    connectors(&crawler, findings).await;
    for (name, connection) in &config.connections {
        one(&crawler, connection, &format!("connection {name}"), findings).await;
    }
    add(findings, "Glean", glean(&config, &crawler).await);
    temporal(&config, findings).await;
}

/// The walls around what looks at connectors: a cell tries to get out.
async fn cells() -> Outcome {
    match cell::misdeeds(&Program::this(), &[]).await {
        Ok(misdeeds) if misdeeds.is_empty() => {
            Outcome::Well("the walls around connectors hold: nothing gets out".into())
        }
        Ok(misdeeds) => Outcome::Note(cell::missing_walls(&misdeeds)),
        Err(failure) => failure.into(),
    }
}

/// The files in the folder of connectors.
async fn connectors(crawler: &Crawler, findings: &mut Vec<Finding>) {
    let found = match crawler.registry.all().await {
        Ok(found) => found,
        Err(failure) => return add(findings, "connectors", failure),
    };
    // Where all is locked, the folder may be empty.
    if found.is_empty() && crawler.registry.locked().is_ok_and(|lock| lock.connectors.is_empty()) {
        let none = Failure::settings("there are no connectors")
            .at(crawler.registry.folder().display().to_string())
            .next("put `.wasm` files there");
        add(findings, "connectors", none);
    }
    for found in found {
        let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let said = found
            .connector
            .map(|connector| format!("{} {}", connector.manifest.name, connector.manifest.version));
        add(findings, &format!("connector {name}"), said);
    }
}

/// A connection's connector, and its source.
async fn one(crawler: &Crawler, connection: &Connection, part: &str, findings: &mut Vec<Finding>) {
    let connector = match crawler.registry.find(&connection.connector).await {
        Ok(connector) => connector,
        Err(failure) => return add(findings, part, failure),
    };
    for note in notes(connection, &connector) {
        add(findings, part, Outcome::Note(note));
    }
    let answered = async {
        let mut guest = crawler.start(connection, &connector).await?;
        // Settings that a schema cannot judge are judged here too.
        guest.datasource().await?;
        guest.check().await
    };
    add(findings, part, answered.await);
}

/// The server, and the workers that listen there.
async fn temporal(config: &Config, findings: &mut Vec<Finding>) {
    let client = match connect(config).await {
        Ok(client) => client,
        Err(failure) => return add(findings, "Temporal", failure),
    };
    add(findings, "Temporal", Outcome::Well(format!("{} answers", config.temporal.place())));
    let queue = &config.temporal.task_queue;
    if let Some(version) = &config.version {
        add(findings, "version", current(&client, queue, version).await);
    }
    match queue::workers(&client, queue).await {
        Err(failure) => add(findings, "worker", failure),
        Ok(workers) if workers.is_empty() => {
            let what = format!("no worker listens on the task queue `{queue}`");
            let next = "run `sheaf worker`; `sheaf sync NAME --local` crawls without one";
            add(findings, "worker", Failure::settings(what).next(next));
        }
        Ok(workers) => {
            let ours = worker::version(&config.text_digest());
            for worker in workers {
                add(findings, "worker", one_worker(&worker, &ours));
            }
        }
    }
}

/// Whether this build gets the work.
async fn current(client: &Client, queue: &str, version: &Version) -> Outcome {
    let Version { deployment, build_id } = version;
    let current = rollout::current(client, deployment).await;
    if let Ok(Some(build_id)) = &current {
        let gets = Version { build_id: build_id.clone(), ..version.clone() };
        if let Ok(false) = queue::has(client, queue, &gets).await {
            let what = format!("{deployment}: work goes to {build_id}, of which no worker listens");
            return Failure::settings(what)
                .next("start workers of that build, or `sheaf rollout` to another")
                .into();
        }
    }
    match current {
        Ok(Some(current)) if current == *build_id => {
            Outcome::Well(format!("{deployment}: work goes to {build_id}"))
        }
        Ok(Some(current)) => Outcome::Note(format!(
            "{deployment}: work goes to {current}, and this is {build_id}; `sheaf rollout` changes that"
        )),
        Ok(None) => Failure::settings(format!("{deployment}: no build gets work yet"))
            .next("start workers, then `sheaf rollout`")
            .into(),
        Err(failure) => failure.into(),
    }
}

/// A worker that listens; one with another version or file crawls otherwise than this one would.
fn one_worker(identity: &str, ours: &str) -> Outcome {
    if identity.ends_with(ours) {
        return Outcome::Well(format!("{identity} listens"));
    }
    Outcome::Note(format!(
        "{identity} listens, and this is {ours}: see that it has the same program; its sheaf.toml it \
         reads again when a crawl begins"
    ))
}

/// What a connection's connector asks for and is not granted, and what it has that is not read.
fn notes(connection: &Connection, connector: &Connector) -> Vec<String> {
    let granted = &connection.grants;
    let mut notes = Vec::new();
    // What it asks for wrongly, its start tells.
    let hosts = asked(&connector.manifest, &connection.settings).unwrap_or_default();
    for host in hosts.iter().filter(|host| !granted.hosts.contains(host)) {
        notes.push(format!("asks for the host {host}, which is not granted as such"));
    }
    for credential in &connector.manifest.credentials {
        if !granted.credentials.contains_key(&credential.name) {
            notes.push(format!("asks for the credential {}, not granted", credential.name));
        }
    }
    if connector.manifest.folders.is_some() && granted.folders.is_empty() {
        notes.push("asks for a folder, and none is granted".to_owned());
    }
    notes
}

/// What the token may: each connection's datasource is asked for.
async fn glean(config: &Config, crawler: &Crawler) -> Result<String> {
    let place = crawler.client.server_url();
    if place.is_empty() {
        return Err(config.no_glean());
    }
    let mut datasources: Vec<_> =
        config.connections.values().map(|found| found.datasource.as_str()).collect();
    if datasources.is_empty() {
        datasources.push("sheafdoctor");
    }
    let mut new = Vec::new();
    for datasource in datasources {
        match crawler.client.datasource_config(datasource).await {
            Ok(_) => {}
            // Whatever else it says of the datasource, it took the token.
            Err(glean::Error::UnknownDatasource(_) | glean::Error::BadRequest(_)) => {
                new.push(datasource);
            }
            Err(error) => {
                let failure = Failure::from(error);
                return Err(failure.at_least(|| format!("{place}, datasource {datasource}")));
            }
        }
    }
    let mut said = format!("{place} answers, and accepts the token");
    if !new.is_empty() {
        said.push_str(&format!("; not registered yet: {}", new.join(", ")));
    }
    Ok(said)
}

fn report(findings: &[Finding]) -> Report {
    let mut text = String::new();
    let mut wrong = 0;
    let mut code = 0;
    for Finding { part, outcome } in findings {
        match outcome {
            Outcome::Well(said) => text.push_str(&format!("✓ {part}: {said}\n")),
            Outcome::Note(said) => text.push_str(&format!("! {part}: {said}\n")),
            Outcome::Wrong(failure) => {
                wrong += 1;
                if code == 0 {
                    code = failure.kind.exit_code();
                }
                text.push_str(&format!("✗ {part}: {failure}\n"));
                if let Some(next) = &failure.next {
                    text.push_str(&format!("    → {next}\n"));
                }
            }
        }
    }
    let summary = match wrong {
        0 => "everything is in order".to_owned(),
        wrong => format!("{} found", count(wrong, "problem")),
    };
    text.push_str(&summary);
    let findings: Vec<_> = findings
        .iter()
        .map(|Finding { part, outcome }| match outcome {
            Outcome::Well(said) => json!({ "part": part, "ok": true, "said": said }),
            Outcome::Note(said) => json!({ "part": part, "ok": true, "note": said }),
            Outcome::Wrong(failure) => json!({ "part": part, "ok": false, "error": failure }),
        })
        .collect();
    Report::new(summary, json!({ "findings": findings })).text(text).exit_code(code)
}
