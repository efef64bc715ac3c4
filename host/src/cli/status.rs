//! `sheaf status`: how each connection's crawls ended, what is under way, and what waits for a person.
//!
//! What is wrong comes first. What could not be asked is said, not left out.

use std::time::Duration;

use clap::Args as ClapArgs;
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::{Value, json};
use temporalio_client::Client;

use super::{Context, Report, connect, sync};
use crate::config::Config;
use crate::crawl::begin::Begun;
use crate::crawl::changes::{notes, refused};
use crate::crawl::closing;
use crate::crawl::history::Failing;
use crate::crawl::memory::{Doubt, Held, Memories, Memory};
use crate::crawl::plan::Waiting;
use crate::crawl::steps::Journal;
use crate::crawl::{CrawlResult, CrawlView, ModeName, Outcome, approval};
use crate::failure::{Failure, Kind, Result};
use crate::glean;
use crate::ledger;
use crate::store::Store;
use crate::temporal::approvals;
use crate::temporal::outcomes::{self, Newest};
use crate::text::{bytes, count, grouped};

#[derive(ClapArgs)]
pub struct Args {
    /// Only this connection.
    name: Option<String>,
    /// Ask neither Temporal nor Glean.
    #[arg(long)]
    offline: bool,
}

/// How long Temporal is waited for; without it, what is kept in the store is all there is to say.
const PATIENCE: Duration = Duration::from_secs(3);
const GLEAN: Duration = Duration::from_secs(5);
/// Connections that are looked at together.
const AT_ONCE: usize = 8;
/// What a script is told when something could not be asked.
const NOT_ASKED: u8 = 3;

/// How a connection stands; what is worse comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// Its state cannot be read.
    Unreadable,
    /// The last crawl of a mode failed.
    Failing,
    /// A person has to look.
    Waits,
    /// The last crawl did not read everything.
    Partial,
    /// A crawl was stopped and can be gone on with.
    Interrupted,
    Well,
    Never,
}

impl State {
    fn exit_code(self) -> u8 {
        match self {
            Self::Unreadable | Self::Failing => 1,
            Self::Waits | Self::Partial | Self::Interrupted => 5,
            Self::Well | Self::Never => 0,
        }
    }
}

/// All about one connection: in words, and for `--json`.
struct Shown {
    state: State,
    text: String,
    result: Value,
    /// What was asked, and not answered.
    not_asked: Vec<Failure>,
    /// Whether a workflow ever crawled it.
    temporal: bool,
}

/// Who is asked besides the store.
#[derive(Clone, Copy)]
struct Asked<'a> {
    glean: Option<&'a glean::Client>,
    temporal: Option<&'a Client>,
}

/// Whether Glean has done meanwhile what a crawl's end asked of it.
async fn look_again(glean: &glean::Client, memories: &Memories, name: &str) -> Result<()> {
    let look = closing::look_again(glean, memories, name);
    let Ok(looked) = tokio::time::timeout(GLEAN, look).await else {
        let what = format!("Glean could not be asked: no answer within {GLEAN:?}");
        return Err(Failure::new(Kind::Unreachable, what).next("`sheaf doctor` tries it"));
    };
    looked.map(drop).map_err(|failure| Failure {
        what: format!("Glean could not be asked: {}", failure.what),
        ..failure
    })
}

/// A crawl under way, in one line.
fn line(view: &CrawlView) -> String {
    if let Some(note) = &view.note {
        return format!("under way: {note}");
    }
    let total = view.total();
    let mut text = format!(
        "under way ({}): {}, {} of {}",
        view.mode,
        count(total.documents, "document"),
        view.done,
        count(view.of as u64, "scope")
    );
    if view.failed > 0 {
        text.push_str(&format!(", {} failed", view.failed));
    }
    if let Some(waits) = view.scopes.iter().find_map(|scope| scope.progress.waits()) {
        text.push_str(&format!("; {waits}"));
    }
    if let Some(note) = view.scopes.iter().find_map(|scope| scope.note.as_ref()) {
        text.push_str(&format!("; {note}"));
    }
    text
}

/// Crawls that have a journal: under way in a process of their own, or stopped. Workflows that run are
/// Temporal's to tell.
async fn journals(
    store: &Store,
    memories: &Memories,
    connection: &str,
    waiting: Option<&str>,
) -> Result<(Vec<String>, bool)> {
    let place = &memories.place(connection);
    let at_work = memories.claims(connection).at_work().await?;
    let mut lines = Vec::new();
    let mut interrupted = false;
    for upload in ledger::journals(store, place).await? {
        let journal = Journal::new(store, place, &upload);
        let Some(begun) = journal.begun::<Begun>().await? else { continue };
        if waiting == Some(upload.as_str()) {
            continue;
        }
        let lease = at_work.as_ref().filter(|lease| lease.upload_id == upload);
        if lease.is_some() && begun.plan.is_workflows() {
            continue;
        }
        let mut documents = 0;
        for scope in &begun.plan.scopes {
            let (_, progress) = journal.scope(&scope.id).await?;
            documents += progress.map_or(0, |progress| progress.documents);
        }
        if let Some(lease) = lease {
            lines.push(format!("under way by {}: {}", lease.by, count(documents, "document")));
            continue;
        }
        interrupted = true;
        lines.push(format!(
            "a {} crawl stopped after {}: `sheaf sync {connection}{}` goes on with it",
            begun.plan.mode,
            count(documents, "document"),
            if begun.plan.is_workflows() { "" } else { " --local" }
        ));
    }
    Ok((lines, interrupted))
}

/// What a person has to decide: from the state, or, where that is not at hand, from the workflow.
async fn waiting(
    held: Option<&Held>,
    client: Option<&Client>,
    config: &Config,
    name: &str,
) -> Option<Waiting> {
    match (held, client) {
        (Some(held), _) => Some(approval::waiting(held)),
        (None, Some(client)) => approvals::waiting(client, config.deployment(), name).await.ok()?,
        (None, None) => None,
    }
}

/// Failures in a row, in words.
fn failing(mode: ModeName, failing: &Failing, verbose: u8) -> String {
    let Failing { since, times, at, failure, .. } = failing;
    let since = match times {
        1 => format!("failed at {}", at),
        times => format!("fails since {}, {times} times, last at {}", since, at),
    };
    let mut text =
        format!("the {mode} crawl {since}: {}", sync::bounded_reason(&failure.what, verbose));
    if let Some(at) = &failure.at {
        text.push_str(&format!("\n    at: {at}"));
    }
    if let Some(next) = &failure.next {
        text.push_str(&format!("\n    next: {next}"));
    }
    text
}

/// The last crawl of a mode, in words.
fn last(result: &CrawlResult, verbose: u8) -> String {
    let mut text = format!(
        "  last {} crawl: {}, ended {}\n    by {} ({})",
        result.mode,
        sync::did(result, verbose),
        result.ended_at,
        result.connector,
        result.digest.short(),
    );
    if result.memory > 0 {
        text.push_str(&format!(
            "; its guests used {} of memory and computed for {:.1} s",
            bytes(result.memory),
            Duration::from_millis(result.cpu_ms).as_secs_f64()
        ));
    }
    text.push('\n');
    text
}

/// Which failures stand: those the store knows, and those that only Temporal does.
fn failures(memory: &Memory, newest: &Newest) -> Vec<(ModeName, Failing)> {
    let mut found: Vec<_> = [ModeName::Full, ModeName::Incremental]
        .into_iter()
        .filter_map(|mode| Some((mode, memory.history.of(mode).failing.clone()?)))
        .collect();
    let Newest::Failed(mode, failed) = newest else { return found };
    let known = found.iter().any(|(_, failing)| failing.run == failed.run);
    let later = memory.last_of(*mode).is_none_or(|last| last.ended_at < failed.at);
    if !known && later {
        found.retain(|(known, _)| known != mode);
        found.push((*mode, (**failed).clone()));
    }
    found
}

fn doubt(doubt: &Doubt) -> String {
    format!("what Glean has is not known since {}: {}", doubt.since, doubt.what)
}

async fn one(
    name: &str,
    config: &Config,
    store: &Store,
    memories: &Memories,
    asked: Asked<'_>,
    verbose: u8,
) -> Result<Shown> {
    let mut not_asked = Vec::new();
    if let Some(glean) = asked.glean {
        not_asked.extend(look_again(glean, memories, name).await.err());
    }
    let memory = memories.of(name).await?;
    let newest = match asked.temporal {
        Some(client) => outcomes::newest(client, config.deployment(), name).await,
        None => Ok(Newest::Ended),
    };
    let newest = newest.unwrap_or_else(|failure| {
        not_asked.push(failure);
        Newest::Ended
    });
    let held = memory.held.as_ref();
    let upload = held.map(|held| held.plan.upload_id.as_str());
    let (journals, interrupted) = journals(store, memories, name, upload).await?;
    // The store is the workers' own: what it does not know of is not there.
    let ask = asked.temporal.filter(|_| memory.last.is_none());
    let waiting = waiting(held, ask, config, name).await;
    let running = match &newest {
        Newest::Running(view) => Some(view),
        _ => None,
    };
    let interrupted = interrupted && running.is_none();
    let failures = failures(&memory, &newest);
    // Changes that Glean refuses, and deletions that it holds back.
    let mut notes = notes(&memory, name);
    notes.extend(memory.doubt.as_ref().map(doubt));
    let paused = memory.closing.as_ref().is_some_and(|closing| closing.paused);
    let lasts: Vec<_> = [ModeName::Full, ModeName::Incremental]
        .into_iter()
        .filter_map(|mode| memory.last_of(mode))
        .collect();
    let partial = lasts.iter().find(|last| last.outcome != Outcome::Complete);
    let (state, headline) = if !failures.is_empty() {
        let said: Vec<_> =
            failures.iter().map(|(mode, found)| failing(*mode, found, verbose)).collect();
        (State::Failing, said.join("\n  "))
    } else if let Some(waiting) = &waiting {
        let of = count(waiting.of, "document");
        let would_go = grouped(waiting.would_go);
        (State::Waits, format!("waits for approval: {would_go} of {of} would be deleted"))
    } else if let Some(last) = partial {
        let state = if last.outcome == Outcome::Held { State::Waits } else { State::Partial };
        (state, format!("the last {} crawl is {}", last.mode, last.outcome))
    } else if refused(&memory).next().is_some() || paused || memory.doubt.is_some() {
        (State::Waits, "a person has to look".to_owned())
    } else if interrupted {
        (State::Interrupted, "a crawl was stopped".to_owned())
    } else if lasts.is_empty() {
        let under_way = running.is_some() || !journals.is_empty();
        (State::Never, if under_way { "its first crawl" } else { "never crawled" }.to_owned())
    } else {
        (State::Well, "complete".to_owned())
    };
    let mut text = format!("{name}: {headline}\n");
    for result in &lasts {
        text.push_str(&last(result, verbose));
    }
    for note in &notes {
        text.push_str(&format!("  {note}\n"));
    }
    if let Some(waiting) = &waiting {
        text.push_str(&format!("{}\n", sync::waiting_text(waiting, name)));
    }
    if let Some(view) = running {
        text.push_str(&format!("  {}\n", line(view)));
    }
    if running.is_none() {
        for line in &journals {
            text.push_str(&format!("  {line}\n"));
        }
    }
    for failure in &not_asked {
        text.push_str(&format!("  not known now: {failure}\n"));
    }
    let of_mode = |mode: ModeName| {
        let failing = failures.iter().find(|(failing, _)| *failing == mode);
        json!({ "last": memory.last_of(mode), "failing": failing.map(|(_, failing)| failing) })
    };
    let result = json!({
        "connection": name,
        "state": state,
        "last": memory.last,
        "full": of_mode(ModeName::Full),
        "incremental": of_mode(ModeName::Incremental),
        "interrupted": interrupted,
        "waiting": waiting,
        "refused_changes": refused(&memory).collect::<Vec<_>>(),
        "deletion_paused": paused,
        "doubt": memory.doubt,
        "running": running,
        "not_asked": not_asked,
    });
    Ok(Shown { state, text, result, not_asked, temporal: memory.history.temporal })
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    if let Some(name) = &args.name {
        config.connection(name)?;
    }
    let store = Store::open(&config.store)?;
    let memories = Memories::new(store.clone(), &config.state, &config.glean.server_url);
    let temporal = if args.offline { None } else { Some(temporal(&config).await) };
    let client = temporal.as_ref().and_then(|connected| connected.as_ref().ok());
    let ask_glean = !args.offline && !config.glean.server_url.is_empty();
    let glean = if ask_glean { Some(glean::Client::new(config.glean.clone())?) } else { None };
    let asked = Asked { glean: glean.as_ref(), temporal: client };
    let named = |name: &&String| args.name.as_ref().is_none_or(|wanted| wanted == *name);
    let look = |name: String| {
        let (config, store, memories) = (&config, &store, &memories);
        async move {
            let shown = one(&name, config, store, memories, asked, context.verbose).await;
            // What is wrong with one hides nothing of the others.
            shown.unwrap_or_else(|failure| {
                let next = failure.next.as_deref().unwrap_or_default();
                Shown {
                    state: State::Unreadable,
                    text: format!("{name}: {failure}\n  next: {next}\n"),
                    result: json!({
                        "connection": name, "state": State::Unreadable, "error": failure,
                    }),
                    not_asked: Vec::new(),
                    temporal: false,
                }
            })
        }
    };
    let names: Vec<_> = config.connections.keys().filter(named).cloned().collect();
    let looks = futures::stream::iter(names).map(look).buffered(AT_ONCE);
    let mut shown: Vec<Shown> = Box::pin(looks.collect()).await;
    // A stable sort: those that stand alike keep the order of their names.
    shown.sort_by_key(|shown| shown.state);
    let mut text: String = shown.iter().map(|shown| shown.text.as_str()).collect();
    let mut unknown = shown.iter().any(|shown| !shown.not_asked.is_empty());
    let mut not_asked = None;
    if let Some(Err(failure)) = &temporal {
        let place = config.temporal.place();
        text.push_str(&format!(
            "Temporal was not asked ({place}: {}): crawls under way there are not shown; \
             `--offline` does not ask it\n",
            failure.what
        ));
        // Who never used it misses nothing.
        unknown |= config.temporal.are_given()
            || !config.schedules.is_empty()
            || shown.iter().any(|shown| shown.temporal);
        not_asked = Some(failure);
    }
    let worst = shown.iter().map(|shown| shown.state.exit_code()).filter(|code| *code != 0).min();
    let code = match worst {
        Some(1) => 1,
        _ if unknown => NOT_ASKED,
        worst => worst.unwrap_or(0),
    };
    let failing = shown.iter().filter(|shown| shown.state <= State::Failing).count();
    let mut summary = count(shown.len() as u64, "connection");
    if failing > 0 {
        summary.push_str(&format!(", {failing} failing"));
    }
    let results: Vec<_> = shown.into_iter().map(|shown| shown.result).collect();
    let result = json!({ "connections": results, "not_asked": not_asked });
    Ok(Report::new(summary, result).text(text).exit_code(code))
}

/// A server that answers soon.
async fn temporal(config: &Config) -> Result<Client> {
    tokio::time::timeout(PATIENCE, connect(config)).await.unwrap_or_else(|_| {
        Err(Failure::new(Kind::Unreachable, format!("Temporal did not answer within {PATIENCE:?}"))
            .at(config.temporal.place()))
    })
}
