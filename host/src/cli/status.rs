//! `sheaf status`: each connection's last crawl, and what is under way.

use std::time::Duration;

use clap::Args as ClapArgs;
use serde_json::json;
use temporalio_client::{Client, WorkflowDescribeOptions, WorkflowExecutionStatus};

use super::{Context, Report, sync};
use crate::config::Config;
use crate::crawl::CrawlView;
use crate::crawl::state::StateFolder;
use crate::crawl::view::ScopeState;
use crate::failure::Result;
use crate::observe::numbers::count;
use crate::temporal::connect::connect;
use crate::temporal::follow;

#[derive(ClapArgs)]
pub struct Args {
    /// Only this connection.
    name: Option<String>,
    /// Do not ask Temporal.
    #[arg(long)]
    offline: bool,
}

/// A server that answers at once; without one, what is kept here is all there is to say.
async fn temporal(config: &Config) -> Option<Client> {
    let client = tokio::time::timeout(Duration::from_secs(3), connect(config)).await.ok()?;
    client.inspect_err(|failure| tracing::info!("{failure}")).ok()
}

/// How far a connection's workflow is, if it runs.
async fn running(client: &Client, connection: &str) -> Option<CrawlView> {
    let handle = follow::handle(client, connection);
    let described = handle.describe(WorkflowDescribeOptions::default()).await.ok()?;
    if described.status() != WorkflowExecutionStatus::Running {
        return None;
    }
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
    if let Some(note) = view.scopes.iter().find_map(|scope| scope.note.as_ref()) {
        text.push_str(&format!("; {note}"));
    }
    text
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    if let Some(name) = &args.name {
        config.connection(name)?;
    }
    let state = StateFolder::new(&config.state);
    let temporal = if args.offline { None } else { temporal(&config).await };
    let mut text = String::new();
    let mut results = Vec::new();
    let named = |name: &&String| args.name.as_ref().is_none_or(|wanted| wanted == *name);
    for name in config.connections.keys().filter(named) {
        let memory = state.read(name)?;
        match &memory.last {
            Some(last) => text.push_str(&format!("{}\n", sync::summary(last))),
            None => text.push_str(&format!("{name}: never crawled\n")),
        }
        if let Some(unfinished) = &memory.unfinished {
            let documents = unfinished.scopes.values().map(|scope| scope.documents).sum();
            text.push_str(&format!(
                "  interrupted after {}; `sheaf sync {name} --local` goes on with it\n",
                count(documents, "document")
            ));
        }
        let running = match &temporal {
            Some(client) => running(client, name).await,
            None => None,
        };
        if let Some(view) = &running {
            text.push_str(&format!("  {}\n", line(view)));
        }
        results.push(json!({
            "connection": name,
            "last": memory.last,
            "interrupted": memory.unfinished.is_some(),
            "running": running,
        }));
    }
    let summary = count(results.len() as u64, "connection");
    Ok(Report::new(summary, json!({ "connections": results })).text(text))
}
