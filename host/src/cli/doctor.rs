//! `sheaf doctor`: each part of a set-up, tried, with the next step where one is wrong.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Context, Report};
use crate::crawl::Crawler;
use crate::crawl::guests::check_settings;
use crate::failure::{Failure, Result};
use crate::glean;
use crate::observe::numbers::count;
use crate::temporal::connect::{address, connect};

#[derive(ClapArgs)]
pub struct Args {}

const PATIENCE: Duration = Duration::from_secs(3);

struct Finding {
    part: String,
    outcome: Result<String>,
}

pub async fn run(_: Args, context: &Context) -> Result<Report> {
    let mut findings = Vec::new();
    let mut add = |part: &str, outcome: Result<String>| {
        findings.push(Finding { part: part.to_owned(), outcome });
    };
    let config = match context.config() {
        Ok(config) => config,
        Err(failure) => {
            add("configuration", Err(failure));
            return Ok(report(&findings));
        }
    };
    add(
        "configuration",
        Ok(format!(
            "{}, {}",
            config.path.display(),
            count(config.connections.len() as u64, "connection")
        )),
    );
    let mut config = config;
    // Whoever asks what is wrong does not wait until it is not.
    config.glean.patience = config.glean.patience.min(PATIENCE);
    let crawler = Crawler::offline(config.clone())?;
    match crawler.registry.all().await {
        Err(failure) => add("connectors", Err(failure)),
        Ok(found) if found.is_empty() => add(
            "connectors",
            Err(Failure::settings("there are no connectors")
                .at(crawler.registry.folder().display().to_string())
                .next("put `.wasm` files there")),
        ),
        Ok(found) => {
            for found in found {
                let name =
                    found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                add(
                    &format!("connector {name}"),
                    found.connector.map(|connector| {
                        format!("{} {}", connector.manifest.name, connector.manifest.version)
                    }),
                );
            }
        }
    }
    for (name, connection) in &config.connections {
        let outcome = async {
            let connector = crawler.registry.find(&connection.connector).await?;
            check_settings(&config, connection, &connector)?;
            crawler.start(connection, &connector).await?.check().await
        };
        add(&format!("connection {name}"), outcome.await);
    }
    add("Glean", glean(&crawler).await);
    let temporal = connect(&config).await;
    add("Temporal", temporal.map(|_| format!("{} answers", address(&config.temporal))));
    Ok(report(&findings))
}

async fn glean(crawler: &Crawler) -> Result<String> {
    if crawler.client.server_url().is_empty() {
        return Err(Crawler::no_glean(&crawler.config));
    }
    let datasource = crawler.config.connections.values().next();
    let datasource = datasource.map_or("sheafdoctor", |connection| &connection.datasource);
    // A datasource that is not registered yet is answered with 400, behind a token that is right.
    match crawler.client.datasource_config(datasource).await {
        Ok(_) => Ok(format!("{} answers, and accepts the token", crawler.client.server_url())),
        // Whatever else it says of the datasource, it took the token.
        Err(glean::Error::UnknownDatasource(_) | glean::Error::BadRequest(_)) => {
            Ok(format!("{} answers", crawler.client.server_url()))
        }
        Err(error) => Err(error.into()),
    }
}

fn report(findings: &[Finding]) -> Report {
    let mut text = String::new();
    let mut wrong = 0;
    let mut code = 0;
    for Finding { part, outcome } in findings {
        match outcome {
            Ok(said) => text.push_str(&format!("✓ {part}: {said}\n")),
            Err(failure) => {
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
            Ok(said) => json!({ "part": part, "ok": true, "said": said }),
            Err(failure) => json!({ "part": part, "ok": false, "error": failure }),
        })
        .collect();
    Report::new(summary, json!({ "findings": findings })).text(text).exit_code(code)
}
