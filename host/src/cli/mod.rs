//! The command line: parsing and printing only. One file a command.

mod access;
mod add;
mod all_identities;
mod approve;
mod audit;
mod bundle;
mod cancel;
mod check;
mod context;
mod dev;
mod doctor;
mod explain;
mod fetch;
mod identities;
mod inspect;
mod keys;
mod live;
mod local_glean;
mod logging;
mod new;
mod output;
mod pause;
mod plan;
mod preview;
mod publish;
mod quarantine;
mod reload;
mod rollout;
mod schedules;
mod shells;
mod shifts;
mod signals;
mod status;
mod sync;
mod transfer;
mod update;
mod version;
mod worker;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use context::Context;
use logging::redact_panics;

use crate::cell;
use crate::crawl::Decision;
use crate::failure::Failure;

/// Gets a company's own content into Glean's search, through connectors that run in a sandbox.
#[derive(Parser)]
#[command(name = "sheaf", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration; otherwise the nearest sheaf.toml from here upwards.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print exactly one JSON object on stdout.
    #[arg(long, global = true)]
    json: bool,
    /// Say more: details of failures, and debug logs when given twice.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// How log lines are written to stderr.
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: logging::Format,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: a local Glean, a Temporal dev server, the worker.
    Dev(dev::Args),
    /// Work for Temporal: crawl whatever is started on the task queue.
    Worker(worker::Args),
    /// Begin a connector: a project that builds and previews at once.
    New(new::Args),
    /// Crawl a connection into Glean.
    Sync(sync::Args),
    /// Check a connection: its settings, its grants, and whether its source answers.
    Check(check::Args),
    /// Show the first documents of a connection, without uploading anything.
    Preview(preview::Args),
    /// Say what a connector's file is, without granting it anything.
    Inspect(inspect::Args),
    /// Lock a connector: one that is published, a file, or what `sheaf bundle` wrote.
    Add(add::Args),
    /// Take the newest compatible versions of what is locked.
    Update(update::Args),
    /// Say of each connector in use who signed it, and what its publisher says of it now.
    Audit(audit::Args),
    /// Write what is locked into a tar, for where no registry can be reached.
    Bundle(bundle::Args),
    /// Put a connector into a registry.
    Publish(publish::Args),
    /// Put the contract into a registry as a package of WIT, where `wkg` finds it.
    #[command(hide = true)]
    PublishContract(publish::ContractArgs),
    /// Take a published version back: it stays there, and nobody begins with it any more.
    Yank(publish::YankArgs),
    /// Make keys to sign connectors with.
    Keys(keys::Args),
    /// Say what a full crawl would add, change and delete, and who would find what; nothing is uploaded.
    Plan(plan::Args),
    /// Show each connection's last crawl, and what is under way.
    Status(status::Args),
    /// End a crawl that is under way on Temporal; what it has done is kept.
    Cancel(cancel::Args),
    /// Let a crawl that is under way on Temporal rest; what it has done is kept.
    Pause(pause::Args),
    /// Let a paused crawl go on.
    Resume(pause::Args),
    /// Let a crawl that is held delete what it would.
    Approve(approve::Args),
    /// Let a crawl that is held end without deleting anything.
    Reject(approve::Args),
    /// Say which build of the workers gets the work: this one, or another.
    Rollout(rollout::Args),
    /// Crawl at set times: `[connections.X.schedules]` on the Temporal server.
    Schedules(schedules::Args),
    /// Show the documents that are quarantined, and try them again.
    Quarantine(quarantine::Args),
    /// Say all that is known of one document, here and in Glean.
    Explain(explain::Args),
    /// Say whether somebody may find a document, and why, here and in Glean.
    Access(access::Args),
    /// Find out what is wrong with this set-up.
    Doctor(doctor::Args),
    /// Run a local Glean with a search page, for trying out and for tests.
    LocalGlean(local_glean::Args),
    /// Say which build this is: its commit, its target, and what is in it.
    Version,
    /// Write completions of these commands for a shell.
    Completions(shells::Args),
    /// Write the pages of the manual into a folder.
    #[command(hide = true)]
    Manual(shells::ManualArgs),
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Dev(_) => "dev",
            Self::Worker(_) => "worker",
            Self::New(_) => "new",
            Self::Sync(_) => "sync",
            Self::Check(_) => "check",
            Self::Preview(_) => "preview",
            Self::Inspect(_) => "inspect",
            Self::Add(_) => "add",
            Self::Update(_) => "update",
            Self::Audit(_) => "audit",
            Self::Bundle(_) => "bundle",
            Self::Publish(_) => "publish",
            Self::PublishContract(_) => "publish-contract",
            Self::Yank(_) => "yank",
            Self::Keys(_) => "keys",
            Self::Plan(_) => "plan",
            Self::Status(_) => "status",
            Self::Cancel(_) => "cancel",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Approve(_) => "approve",
            Self::Reject(_) => "reject",
            Self::Rollout(_) => "rollout",
            Self::Schedules(_) => "schedules",
            Self::Quarantine(_) => "quarantine",
            Self::Explain(_) => "explain",
            Self::Access(_) => "access",
            Self::Doctor(_) => "doctor",
            Self::LocalGlean(_) => "local-glean",
            Self::Version => "version",
            Self::Completions(_) => "completions",
            Self::Manual(_) => "manual",
        }
    }

    /// Commands that run on and report by their log.
    fn is_service(&self) -> bool {
        matches!(self, Self::LocalGlean(_) | Self::Worker(_))
    }
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    // Before anything else: a cell takes nothing of this process but its program.
    if cell::is_asked_for() {
        return cell::main_of_a_cell();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if error.use_stderr() && std::env::args().any(|argument| argument == "--json") =>
        {
            let what = error.to_string();
            // All that is wrong, and not how the command is used.
            let what = what.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
            let failure = Failure::settings(what).next("see `sheaf --help`");
            return output::finish("sheaf", Err(failure), true, 0);
        }
        Err(error) => error.exit(),
    };
    let name = cli.command.name();
    redact_panics();
    logging::start(cli.verbose, cli.command.is_service(), cli.log_format);
    crate::machine::raise_descriptors();
    crate::machine::return_freed_memory();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("sheaf: no threads can be started: {error}");
            return ExitCode::from(1);
        }
    };
    let context = Context { file: cli.config, json: cli.json, verbose: cli.verbose };
    let report = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => Box::pin(dev::run(args, &context)).await,
            Command::Worker(args) => worker::run(args, &context).await,
            Command::New(args) => new::run(&args),
            Command::Sync(args) => Box::pin(sync::run(args, &context)).await,
            Command::Check(args) => check::run(args, &context).await,
            Command::Preview(args) => preview::run(args, &context).await,
            Command::Inspect(args) => inspect::run(args, &context).await,
            Command::Add(args) => Box::pin(add::run(args, &context)).await,
            Command::Update(args) => Box::pin(update::run(args, &context)).await,
            Command::Audit(args) => Box::pin(audit::run(args, &context)).await,
            Command::Bundle(args) => bundle::run(args, &context).await,
            Command::Publish(args) => Box::pin(publish::run(args)).await,
            Command::PublishContract(args) => publish::run_contract(args).await,
            Command::Yank(args) => Box::pin(publish::run_yank(args)).await,
            Command::Keys(args) => keys::run(args),
            Command::Plan(args) => Box::pin(plan::run(args, &context)).await,
            Command::Status(args) => status::run(args, &context).await,
            Command::Cancel(args) => Box::pin(cancel::run(args, &context)).await,
            Command::Pause(args) => pause::run(args, &context).await,
            Command::Resume(args) => pause::run_resume(args, &context).await,
            Command::Approve(args) => {
                Box::pin(approve::run(args, Decision::Approve, &context)).await
            }
            Command::Reject(args) => Box::pin(approve::run(args, Decision::Reject, &context)).await,
            Command::Rollout(args) => rollout::run(args, &context).await,
            Command::Schedules(args) => Box::pin(schedules::run(args, &context)).await,
            Command::Quarantine(args) => Box::pin(quarantine::run(args, &context)).await,
            Command::Explain(args) => explain::run(args, &context).await,
            Command::Access(args) => access::run(args, &context).await,
            Command::Doctor(args) => doctor::run(args, &context).await,
            Command::LocalGlean(args) => local_glean::run(args).await,
            Command::Version => Ok(version::run()),
            Command::Completions(args) => shells::run(&args, &Cli::command(), &context),
            Command::Manual(args) => shells::run_manual(&args, Cli::command()),
        }
    });
    // Blocking work that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    output::finish(name, report, cli.json, cli.verbose)
}
