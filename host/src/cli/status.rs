//! `sheaf status`: each connection's last crawl, and what is under way.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::{Value, json};
use temporalio_client::Client;

use super::{Context, Report, sync};
use crate::config::Config;
use crate::crawl::begin::Begun;
use crate::crawl::changes::{notes, refused};
use crate::crawl::closing;
use crate::crawl::memory::{Held, Memories};
use crate::crawl::plan::Waiting;
use crate::crawl::view::ScopeState;
use crate::crawl::{CrawlView, finish};
use crate::failure::Result;
use crate::glean;
use crate::ledger::Journal;
use crate::observe::numbers::{bytes, count, grouped, time};
use crate::store::Store;
use crate::temporal::connect::connect;
use crate::temporal::{approvals, follow};

#[derive(ClapArgs)]
pub struct Args {
    /// Only this connection.
    name: Option<String>,
    /// Ask neither Temporal nor Glean.
    #[arg(long)]
    offline: bool,
}

/// A server that answers at once; without one, what is kept here is all there is to say.
async fn temporal(config: &Config) -> Option<Client> {
    let client = tokio::time::timeout(Duration::from_secs(3), connect(config)).await.ok()?;
    client.inspect_err(|failure| tracing::info!("{failure}")).ok()
}

/// How far a connection's workflow is, if it runs.
async fn running(client: &Client, config: &Config, connection: &str) -> Option<CrawlView> {
    let found = follow::under_way(client, config, connection).await.ok()??;
    let handle = found.handle(client);
    Some(follow::progress(&handle).await.unwrap_or_else(|| CrawlView {
        connection: connection.to_owned(),
        note: Some("no worker has taken it yet, or answers".to_owned()),
        ..CrawlView::default()
    }))
}

/// A crawl under way, in one line.
fn line(view: &CrawlView) -> String {
    if let Some(note) = &view.note {
        return format!("under way: {note}");
    }
    let total = view.total();
    let done = view.scopes.iter().filter(|scope| scope.state == ScopeState::Done).count();
    let mut text = format!(
        "under way ({}): {}, {done} of {}",
        view.mode,
        count(total.documents, "document"),
        count(view.scopes.len() as u64, "scope")
    );
    if let Some(waits) = view.scopes.iter().find_map(|scope| scope.progress.waits()) {
        text.push_str(&format!("; {waits}"));
    }
    if let Some(note) = view.scopes.iter().find_map(|scope| scope.note.as_ref()) {
        text.push_str(&format!("; {note}"));
    }
    text
}

/// A crawl in a process of its own, or one that was interrupted.
async fn journals(
    store: &Store,
    memories: &Memories,
    connection: &str,
    waiting: Option<&str>,
) -> Result<Vec<String>> {
    let place = &memories.place(connection);
    let at_work = memories.claims(connection).at_work().await?;
    let mut lines = Vec::new();
    for upload in Journal::all(store, place).await? {
        let journal = Journal::new(store, place, &upload);
        let Some(begun) = journal.begun::<Begun>().await? else { continue };
        if waiting == Some(upload.as_str()) || begun.plan.is_workflows() {
            continue;
        }
        let mut documents = 0;
        for scope in &begun.plan.scopes {
            let (_, progress) = journal.scope(&scope.id).await?;
            documents += progress.map_or(0, |progress| progress.documents);
        }
        let name = &begun.plan.connection;
        lines.push(match &at_work {
            Some(lease) if lease.upload_id == upload => {
                format!("under way by {}: {}", lease.by, count(documents, "document"))
            }
            _ => format!(
                "interrupted after {}; `sheaf sync {name} --local` goes on with it",
                count(documents, "document")
            ),
        });
    }
    Ok(lines)
}

/// What a person has to decide: from the state, or, where that is not at hand, from the workflow.
async fn waiting(
    held: Option<&Held>,
    client: Option<&Client>,
    config: &Config,
    name: &str,
) -> Option<Waiting> {
    match (held, client) {
        (Some(held), _) => Some(finish::waiting(held)),
        (None, Some(client)) => approvals::waiting(client, config, name).await.ok()?,
        (None, None) => None,
    }
}

/// All about one connection: in words, and for `--json`.
async fn one(
    name: &str,
    config: &Config,
    store: &Store,
    memories: &Memories,
    glean: Option<&glean::Client>,
    temporal: Option<&Client>,
) -> Result<(String, Value)> {
    let mut text = String::new();
    if let Some(glean) = glean {
        let look = closing::look_again(glean, memories, name);
        match tokio::time::timeout(Duration::from_secs(5), look).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => text.push_str(&format!("  Glean could not be asked: {failure}\n")),
            Err(_) => text.push_str("  Glean could not be asked: no answer within 5 s\n"),
        }
    }
    let memory = memories.of(name).await?;
    match &memory.last {
        Some(last) => {
            text.push_str(&format!(
                "{}\n  by {} ({}), ended {}\n",
                sync::summary(last),
                last.connector,
                last.digest.short(),
                time(last.ended_at)
            ));
            if last.memory > 0 {
                text.push_str(&format!(
                    "  its guests used {} of memory and computed for {:.1} s\n",
                    bytes(last.memory),
                    Duration::from_millis(last.cpu_ms).as_secs_f64()
                ));
            }
        }
        None => text.push_str(&format!("{name}: never crawled\n")),
    }
    for note in &notes(&memory, name) {
        text.push_str(&format!("  {note}\n"));
    }
    let held = memory.held.as_ref();
    let upload = held.map(|held| held.plan.upload_id.as_str());
    let journals = journals(store, memories, name, upload).await?;
    for line in &journals {
        text.push_str(&format!("  {line}\n"));
    }
    // The store is the workers' own: what it does not know of is not there.
    let ask = temporal.filter(|_| memory.last.is_none());
    let waiting = waiting(held, ask, config, name).await;
    if let Some(waiting) = &waiting {
        text.push_str(&format!(
            "  waits for approval: {} of {} would be deleted\n{}\n",
            grouped(waiting.would_go),
            count(waiting.of, "document"),
            sync::waiting_text(waiting, name)
        ));
    }
    let running = match temporal {
        Some(client) => running(client, config, name).await,
        None => None,
    };
    if let Some(view) = &running {
        text.push_str(&format!("  {}\n", line(view)));
    }
    let result = json!({
        "connection": name,
        "last": memory.last,
        "interrupted": !journals.is_empty(),
        "waiting": waiting,
        "refused_changes": refused(&memory).collect::<Vec<_>>(),
        "deletion_paused": memory.closing.as_ref().is_some_and(|closing| closing.paused),
        "running": running,
    });
    Ok((text, result))
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    if let Some(name) = &args.name {
        config.connection(name)?;
    }
    let store = Store::open(&config.store)?;
    let memories = Memories::new(store.clone(), &config.state, &config.glean.server_url);
    let temporal = if args.offline { None } else { temporal(&config).await };
    let asked = !args.offline && !config.glean.server_url.is_empty();
    let glean = if asked { Some(glean::Client::new(config.glean.clone())?) } else { None };
    let mut text = String::new();
    let mut results = Vec::new();
    let mut code = 0;
    let named = |name: &&String| args.name.as_ref().is_none_or(|wanted| wanted == *name);
    for name in config.connections.keys().filter(named) {
        match one(name, &config, &store, &memories, glean.as_ref(), temporal.as_ref()).await {
            Ok((said, result)) => {
                text.push_str(&said);
                results.push(result);
            }
            // What is wrong with one hides nothing of the others.
            Err(failure) => {
                code = failure.kind.exit_code();
                let next = failure.next.as_deref().unwrap_or_default();
                text.push_str(&format!("{name}: {failure}\n  next: {next}\n"));
                results.push(json!({ "connection": name, "error": failure }));
            }
        }
    }
    let summary = count(results.len() as u64, "connection");
    Ok(Report::new(summary, json!({ "connections": results })).text(text).exit_code(code))
}
