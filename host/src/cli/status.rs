//! `sheaf status`: each connection's last crawl, and what is under way.

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::{Context, Report, sync};
use crate::crawl::state::StateFolder;
use crate::failure::Result;
use crate::observe::numbers::count;

#[derive(ClapArgs)]
pub struct Args {
    /// Only this connection.
    name: Option<String>,
}

pub async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    if let Some(name) = &args.name {
        config.connection(name)?;
    }
    let state = StateFolder::new(&config.state);
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
        results.push(json!({
            "connection": name,
            "last": memory.last,
            "interrupted": memory.unfinished.is_some(),
            "running": Value::Null,
        }));
    }
    let summary = count(results.len() as u64, "connection");
    Ok(Report::new(summary, json!({ "connections": results })).text(text))
}
