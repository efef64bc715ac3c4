//! `sheaf doctor`: each part of a set-up, tried, with the next step where one is wrong.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Context, Report, connect};
use crate::config::Connection;
use crate::connector::Connector;
use crate::crawl::Crawler;
use crate::crawl::guests::asked;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::temporal::{queue, worker};
use crate::text::count;

#[derive(ClapArgs)]
pub struct Args {}

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

impl From<Result<String>> for Outcome {
    fn from(outcome: Result<String>) -> Self {
        outcome.map_or_else(Self::Wrong, Self::Well)
    }
}

pub async fn run(_: Args, context: &Context) -> Result<Report> {
    let mut findings = Vec::new();
    let mut add = |part: &str, outcome: Outcome| {
        findings.push(Finding { part: part.to_owned(), outcome });
    };
    let config = match context.config() {
        Ok(config) => config,
        Err(failure) => {
            add("configuration", Outcome::Wrong(failure));
            return Ok(report(&findings));
        }
    };
    let connections = count(config.connections.len() as u64, "connection");
    add(
        "configuration",
        Outcome::Well(format!(
            "{}, {connections}, digest {}",
            config.path.display(),
            config.text_digest().short()
        )),
    );
    let mut config = config;
    // Whoever asks what is wrong does not wait until it is not.
    config.glean.patience = config.glean.patience.min(PATIENCE);
    let crawler = match Crawler::offline(config.clone()) {
        Ok(crawler) => crawler,
        Err(failure) => {
            add("state", Outcome::Wrong(failure));
            return Ok(report(&findings));
        }
    };
    let state = crawler.can_write().await;
    add("state", state.map(|()| format!("{} can be written", crawler.store.place(""))).into());
    match crawler.registry.all().await {
        Err(failure) => add("connectors", Outcome::Wrong(failure)),
        Ok(found) if found.is_empty() => add(
            "connectors",
            Outcome::Wrong(
                Failure::settings("there are no connectors")
                    .at(crawler.registry.folder().display().to_string())
                    .next("put `.wasm` files there"),
            ),
        ),
        Ok(found) => {
            for found in found {
                let name =
                    found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let said = found.connector.map(|connector| {
                    format!("{} {}", connector.manifest.name, connector.manifest.version)
                });
                add(&format!("connector {name}"), said.into());
            }
        }
    }
    for (name, connection) in &config.connections {
        let part = format!("connection {name}");
        match crawler.registry.find(&connection.connector).await {
            Err(failure) => add(&part, Outcome::Wrong(failure)),
            Ok(connector) => {
                for note in notes(connection, &connector) {
                    add(&part, Outcome::Note(note));
                }
                let answered = async {
                    let mut guest = crawler.start(connection, &connector).await?;
                    // Settings that a schema cannot judge are judged here too.
                    guest.datasource().await?;
                    guest.check().await
                };
                add(&part, answered.await.into());
            }
        }
    }
    glean(&crawler, &mut add).await;
    match connect(&config).await {
        Err(failure) => add("Temporal", Outcome::Wrong(failure)),
        Ok(client) => {
            let place = config.temporal.place();
            add("Temporal", Outcome::Well(format!("{place} answers")));
            let queue = &config.temporal.task_queue;
            let listening = queue::workers(&client, queue).await;
            let ours = worker::version(&config.text_digest());
            match listening {
                Err(failure) => add("worker", Outcome::Wrong(failure)),
                Ok(workers) if workers.is_empty() => {
                    let what = format!("no worker listens on the task queue `{queue}`");
                    let next = "run `sheaf worker`; `sheaf sync NAME --local` crawls without one";
                    add("worker", Outcome::Wrong(Failure::settings(what).next(next)));
                }
                Ok(workers) => {
                    for worker in workers {
                        add("worker", one_worker(&worker, &ours));
                    }
                }
            }
        }
    }
    Ok(report(&findings))
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
    notes.extend(connector.inspection.unread().map(str::to_owned));
    notes
}

/// What the token may: each connection's datasource is asked for.
async fn glean(crawler: &Crawler, add: &mut impl FnMut(&str, Outcome)) {
    let place = crawler.client.server_url();
    if place.is_empty() {
        return add("Glean", Outcome::Wrong(Crawler::no_glean(&crawler.config)));
    }
    let mut datasources: Vec<_> =
        crawler.config.connections.values().map(|found| found.datasource.as_str()).collect();
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
                let failure = failure.at_least(|| format!("{place}, datasource {datasource}"));
                return add("Glean", Outcome::Wrong(failure));
            }
        }
    }
    let mut said = format!("{place} answers, and accepts the token");
    if !new.is_empty() {
        said.push_str(&format!("; not registered yet: {}", new.join(", ")));
    }
    add("Glean", Outcome::Well(said));
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
