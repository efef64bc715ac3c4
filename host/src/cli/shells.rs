//! `sheaf completions`, and the pages of the manual: the command line, described for shells and for `man`.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Command};
use clap_complete::Shell;
use serde_json::json;

use super::context::Context;
use super::output::Report;
use crate::failure::{Failure, Result};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// Whose completions: `source <(sheaf completions bash)`, or a file where the shell looks for them.
    shell: Shell,
}

#[derive(ClapArgs)]
pub(super) struct ManualArgs {
    /// A folder that is there.
    folder: PathBuf,
}

/// A script, and nothing else on stdout.
pub(super) fn run(args: &Args, described: &Command, context: &Context) -> Result<Report> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut shown(described), "sheaf", &mut script);
    let shell = args.shell.to_string();
    let summary = format!("completions for {shell}");
    if context.json {
        let script = String::from_utf8_lossy(&script);
        return Ok(Report::new(summary, json!({ "shell": shell, "script": script })));
    }
    // As it is: a shell reads it. Half of one that is written to a full disk would be no success.
    let mut out = std::io::stdout().lock();
    match out.write_all(&script).and_then(|()| out.flush()) {
        // Someone who reads only the beginning.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let what = format!("the completions cannot be written: {error}");
            Err(Failure::internal(what).next("see that there is room where they are written"))
        }
        _ => Ok(Report::new(summary, json!(null)).text(String::new())),
    }
}

/// A page for `sheaf`, and one for each command.
pub(super) fn run_manual(args: &ManualArgs, described: Command) -> Result<Report> {
    let folder = &args.folder;
    clap_mangen::generate_to(with_version(described), folder).map_err(|error| {
        Failure::settings(format!("the pages of the manual cannot be written: {error}"))
            .at(folder.display().to_string())
            .next("name a folder that is there and may be written to")
    })?;
    let summary = format!("the pages of the manual are in {}", folder.display());
    Ok(Report::new(summary, json!({ "folder": folder })))
}

/// The same without hidden commands, which would be offered like any other.
fn shown(described: &Command) -> Command {
    let commands = described.get_subcommands().filter(|command| !command.is_hide_set());
    Command::new("sheaf")
        .version(env!("CARGO_PKG_VERSION"))
        .args(described.get_arguments().cloned())
        .subcommands(commands.cloned())
}

/// Each page ends with the version, also that of a command which has no `--version` of its own.
fn with_version(described: Command) -> Command {
    described.mut_subcommands(|command| {
        let command = command.version(env!("CARGO_PKG_VERSION")).disable_version_flag(true);
        with_version(command)
    })
}
