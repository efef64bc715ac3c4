//! `sheaf status`: how each connection's crawls ended, what is under way, and what waits for a person.
//!
//! What is wrong comes first. What could not be asked is said, not left out.

use std::time::Duration;

use clap::Args as ClapArgs;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};
use temporalio_client::Client;

use super::context::{Context, connect};
use super::output::{Report, bounded_reason};
use super::{identities, sync};
use crate::config::Config;
use crate::crawl::connection_state::{Doubt, States};
use crate::crawl::kept_changes::notes;
use crate::crawl::lease::Coordinator;
use crate::crawl::status::{Headline, Newest, State, Status, Stored, Unended, UnendedReading};
use crate::crawl::{CrawlResult, CrawlView, ModeName};
use crate::failure::{Failure, Kind, Result};
use crate::glean;
use crate::store::Store;
use crate::temporal::{approvals, outcomes};
use crate::text::{bytes, count};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// Only this connection.
    name: Option<String>,
    /// Ask neither Temporal nor Glean.
    #[arg(long)]
    offline: bool,
}

/// How long Temporal is waited for; without it, what is kept in the store is all there is to say.
const PATIENCE: Duration = Duration::from_secs(3);
/// Connections that are looked at together.
const AT_ONCE: usize = 8;
/// What a script is told when something could not be asked.
const NOT_ASKED: u8 = 3;

/// All about one connection: in words, and for `--json`.
struct Shown {
    state: State,
    text: String,
    result: Value,
    /// Something was asked, and not answered.
    unknown: bool,
    /// Whether a workflow ever crawled it.
    temporal: bool,
}

/// Who is asked.
struct Asked {
    config: Config,
    store: Store,
    states: States,
    glean: Option<glean::Client>,
    /// Unless nobody wants it asked.
    temporal: Option<Result<Client>>,
}

impl Asked {
    async fn new(config: Config, offline: bool) -> Result<Self> {
        let store = Store::open(&config.store)?;
        let states = States::new(store.clone(), &config.state, &config.glean.server_url);
        let temporal = if offline { None } else { Some(temporal(&config).await) };
        let ask_glean = !offline && !config.glean.server_url.is_empty();
        let glean = if ask_glean { Some(glean::Client::new(config.glean.clone())?) } else { None };
        Ok(Self { config, store, states, glean, temporal })
    }

    async fn status(&self, name: &str) -> Result<Status> {
        let stored = Stored::read(&self.store, &self.states, self.glean.as_ref(), name).await?;
        let deployment = self.config.deployment();
        let Some(Ok(client)) = &self.temporal else {
            return Ok(stored.with(Ok(Newest::Ended), None));
        };
        let newest = outcomes::newest(client, deployment, name).await;
        let waiting = if stored.is_elsewhere() {
            approvals::waiting(client, deployment, name).await.unwrap_or_default()
        } else {
            None
        };
        Ok(stored.with(newest, waiting))
    }
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    if let Some(name) = &args.name {
        config.connection(name)?;
    }
    let asked = Asked::new(config, args.offline).await?;
    let names = asked.config.connections.keys();
    let named = names.filter(|name| args.name.as_ref().is_none_or(|wanted| wanted == *name));
    let look = async |name: &String| match Box::pin(asked.status(name)).await {
        Ok(status) => {
            let max_age = asked.config.connection(name)?.identities_max_age;
            Ok::<_, Failure>(shown(name, &status, max_age, context.verbose))
        }
        // What is wrong with one hides nothing of the others.
        Err(failure) => Ok(unreadable(name, &failure)),
    };
    let looks = futures::stream::iter(named).map(look).buffered(AT_ONCE);
    let mut all: Vec<Shown> = Box::pin(looks.try_collect()).await?;
    // A stable sort: those that stand alike keep the order of their names.
    all.sort_by_key(|shown| shown.state);
    Ok(report(all, &asked))
}

fn report(all: Vec<Shown>, asked: &Asked) -> Report {
    let config = &asked.config;
    let mut text: String = all.iter().map(|shown| shown.text.as_str()).collect();
    let mut unknown = all.iter().any(|shown| shown.unknown);
    let mut not_asked = None;
    if let Some(Err(failure)) = &asked.temporal {
        let place = config.temporal.place();
        text.push_str(&format!(
            "Temporal could not be asked ({place}: {}): crawls under way there are not shown; \
             `--offline` does not ask it\n",
            failure.what
        ));
        // Who never used it misses nothing.
        unknown |= config.temporal.are_given()
            || !config.schedules.is_empty()
            || all.iter().any(|shown| shown.temporal);
        not_asked = Some(failure);
    }
    let codes = all.iter().map(|shown| exit_code(shown.state));
    let code = match codes.filter(|code| *code != 0).min() {
        Some(1) => 1,
        _ if unknown => NOT_ASKED,
        worst => worst.unwrap_or(0),
    };
    let failing = all.iter().filter(|shown| shown.state <= State::Failing).count();
    let mut summary = count(all.len() as u64, "connection");
    if failing > 0 {
        summary.push_str(&format!(", {failing} failing"));
    }
    let results: Vec<_> = all.into_iter().map(|shown| shown.result).collect();
    let result = json!({ "connections": results, "not_asked": not_asked });
    Report::new(summary, result).text(text).exit_code(code)
}

fn exit_code(state: State) -> u8 {
    match state {
        State::Unreadable | State::Failing => 1,
        State::Waits | State::Partial | State::Interrupted => 5,
        State::Well | State::Never => 0,
    }
}

fn unreadable(name: &str, failure: &Failure) -> Shown {
    let next = failure.next.as_deref().unwrap_or_default();
    let state = State::Unreadable;
    Shown {
        state,
        text: format!("{name}: {failure}\n  next: {next}\n"),
        result: json!({ "connection": name, "state": state, "error": failure }),
        unknown: false,
        temporal: false,
    }
}

fn shown(name: &str, status: &Status, max_age: Duration, verbose: u8) -> Shown {
    let kept = &status.kept;
    let state = status.state(max_age);
    let of_mode =
        |mode: ModeName| json!({ "last": kept.last_of(mode), "failing": status.failing(mode) });
    let result = json!({
        "connection": name,
        "state": state,
        "last": kept.last,
        "full": of_mode(ModeName::Full),
        "incremental": of_mode(ModeName::Incremental),
        "interrupted": status.is_interrupted(),
        "waiting": status.waiting,
        "refused_changes": status.refused().collect::<Vec<_>>(),
        "deletion_paused": status.deletion_paused(),
        "doubt": kept.doubt,
        "identities": kept.identities,
        "reading": status.reading,
        "running": status.running,
        "not_asked": status.not_asked,
    });
    Shown {
        state,
        text: text(name, status, max_age, verbose),
        result,
        unknown: !status.not_asked.is_empty(),
        temporal: kept.history.temporal,
    }
}

/// All about one connection, in words.
fn text(name: &str, status: &Status, max_age: Duration, verbose: u8) -> String {
    let also = identities::headline(&status.kept.identities, max_age);
    let also = also.map_or_else(String::new, |also| format!("; {also}"));
    let mut text = format!("{name}: {}{also}\n", words(&status.standing(), verbose));
    for result in status.lasts() {
        text.push_str(&last(result, verbose));
    }
    text.push_str(&identities::standing(&status.kept.identities, name, max_age, verbose));
    if let Some(unended) = &status.reading {
        text.push_str(&format!("  users and groups: {}\n", reading(unended)));
    }
    if let Some(since) = status.kept.identities.lost {
        text.push_str(&format!(
            "    Glean counts none of them since {since}: `sheaf sync {name} --identities --restart` tells all again\n"
        ));
    }
    // Changes that Glean refuses, and deletions that it holds back.
    for note in notes(&status.kept, name) {
        text.push_str(&format!("  {note}\n"));
    }
    if let Some(found) = &status.kept.doubt {
        text.push_str(&format!("  {}\n", doubt(found)));
    }
    if let Some(waiting) = &status.waiting {
        text.push_str(&format!("{}\n", sync::waiting_text(waiting, name)));
    }
    match &status.running {
        Some(view) => text.push_str(&format!("  {}\n", line(view))),
        None => {
            for crawl in &status.unended {
                text.push_str(&format!("  {}\n", unended(crawl, name)));
            }
        }
    }
    for failure in &status.not_asked {
        text.push_str(&format!("  not known now: {failure}\n"));
    }
    text
}

fn words(standing: &Headline<'_>, verbose: u8) -> String {
    standing.words(&|reason| bounded_reason(reason, verbose).into_owned())
}

/// A crawl under way, in one line.
fn line(view: &CrawlView) -> String {
    if let Some(note) = &view.note {
        return format!("under way: {note}");
    }
    let total = &view.total.counts;
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
    if let Some(waits) = view.scopes.iter().find_map(|scope| scope.progress.live.waits()) {
        text.push_str(&format!("; {waits}"));
    }
    if let Some(note) = view.scopes.iter().find_map(|scope| scope.note.as_ref()) {
        text.push_str(&format!("; {note}"));
    }
    text
}

/// A crawl of another process, or one that was interrupted, in one line.
fn unended(crawl: &Unended, name: &str) -> String {
    let Unended { mode, documents, by, coordinator } = crawl;
    let documents = count(*documents, "document");
    match by {
        Some(by) => format!("under way by {by}: {documents}"),
        None => format!(
            "a {mode} crawl stopped after {documents}: `sheaf sync {name}{}` resumes it",
            if *coordinator == Coordinator::Temporal { "" } else { " --local" }
        ),
    }
}

/// A reading of users and groups that has not ended.
fn reading(UnendedReading { note, by }: &UnendedReading) -> String {
    let counts = note.counts;
    if let Some(by) = by {
        return format!("being read by {by}: {counts} so far");
    }
    let ago = match note.at.age().as_secs() / 60 {
        0 => "just now".to_owned(),
        minutes => format!("{} ago", count(minutes, "minute")),
    };
    format!("a reading was interrupted {ago} after {counts}; the next crawl goes on there")
}

/// The last crawl of a mode, in words.
fn last(result: &CrawlResult, verbose: u8) -> String {
    // How users and groups are now stands beside it.
    let result = &CrawlResult { identities: None, ..result.clone() };
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

fn doubt(doubt: &Doubt) -> String {
    format!("what Glean has is not known since {}: {}", doubt.since, doubt.what)
}

/// A server that answers soon.
async fn temporal(config: &Config) -> Result<Client> {
    tokio::time::timeout(PATIENCE, connect(config)).await.unwrap_or_else(|_| {
        Err(Failure::new(Kind::Unreachable, format!("Temporal did not answer within {PATIENCE:?}"))
            .at(config.temporal.place()))
    })
}
