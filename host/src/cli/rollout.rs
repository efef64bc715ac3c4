//! `sheaf rollout`: says which build of the workers gets the work.

use clap::Args as ClapArgs;
use serde_json::json;

use super::context::{Context, connect};
use super::output::Report;
use crate::failure::{Failure, Result};
use crate::temporal::queue;
use crate::temporal::rollout::{self, Version};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The build; without one it is this program's, as `[worker]` names it.
    build_id: Option<String>,
}

pub(super) async fn run(args: Args, context: &Context) -> Result<Report> {
    let config = context.config()?;
    let ours = config.version.clone().ok_or_else(|| {
        Failure::settings("workers of this sheaf.toml have no versions")
            .at(config.place(&["worker"]))
            .next("set `deployment = \"sheaf\"` in [worker], and start the workers again")
    })?;
    let version = Version { build_id: args.build_id.unwrap_or(ours.build_id), ..ours };
    let client = connect(&config).await?;
    let before = rollout::set_current(&client, &version).await?;
    if !queue::has(&client, &config.temporal.task_queue, &version).await? {
        tracing::warn!("no worker of {} listens: crawls wait until one does", version.build_id);
    }
    let Version { deployment, build_id } = version;
    let summary = format!("{deployment}: work goes to {build_id}");
    let text = match &before {
        Some(before) if *before == build_id => format!("{summary}, as before"),
        Some(before) => {
            format!("{summary}\n  before: {before}; `sheaf rollout {before}` goes back to it")
        }
        None => summary.clone(),
    };
    let result = json!({ "deployment": deployment, "current": build_id, "before": before });
    Ok(Report::new(summary, result).text(text))
}
