//! `sheaf publish FILE oci://registry/name`: a connector goes out, and `sheaf yank` takes it back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args as ClapArgs;
use semver::Version;
use serde_json::json;

use super::output::Report;
use super::transfer::Transfer;
use crate::cell::{Loader, Program, cache_folder};
use crate::clock::Timestamp;
use crate::connector::Manifest;
use crate::failure::{Failure, Kind, Result};
use crate::registry::contract::publish_contract;
use crate::registry::oci::Reference;
use crate::registry::publish::{Done, Wish, publish, yank};
use crate::registry::trust::PrivateKey;
use crate::secret::Source;
use crate::text::{count, one_line};

#[derive(ClapArgs)]
pub(super) struct Args {
    /// The connector's `.wasm` file.
    file: PathBuf,
    /// Where to: `oci://registry.example.com/name`; its version is the connector's.
    to: Reference,
    /// Sign it with this private key: a file, `env:NAME`, or `command:PROGRAM ARGUMENT…`.
    #[arg(long, value_name = "KEY")]
    sign: Option<String>,
    /// Where its source is, for people.
    #[arg(long, value_name = "URL", value_parser = source)]
    source: Option<String>,
    /// Its licence, as an SPDX expression.
    #[arg(long, value_name = "LICENCE")]
    license: Option<String>,
}

#[derive(ClapArgs)]
pub(super) struct ContractArgs {
    /// Where to: `oci://registry.example.com/sheaf/connector`.
    to: Reference,
    /// Sign it with this private key: a file, `env:NAME`, or `command:PROGRAM ARGUMENT…`.
    #[arg(long, value_name = "KEY")]
    sign: Option<String>,
}

#[derive(ClapArgs)]
pub(super) struct YankArgs {
    /// The version that is taken back: `oci://registry.example.com/name:1.2.0`.
    version: Reference,
    /// Why, for those who run it.
    #[arg(long, default_value = "")]
    reason: String,
}

pub(super) async fn run(args: Args) -> Result<Report> {
    let key = args.sign.as_deref().map(key).transpose()?;
    let loader = Loader::new(Program::this(), cache_folder()?)?;
    let candidate = loader.read(&args.file).await?;
    let wasm = candidate.bytes().clone();
    let connector = loader.load(candidate).await?;
    check(&connector.manifest).map_err(|it| it.at(args.file.display().to_string()))?;
    let created = created()?;
    let wish = Wish {
        to: &args.to,
        connector: &connector,
        wasm: wasm.clone(),
        source: args.source.as_deref(),
        license: args.license.as_deref(),
        created: &created,
        key: key.as_ref(),
    };
    let transfer = Transfer::new("publishes", wasm.len() as u64);
    let done = publish(&wish, Arc::new(transfer.progress())).await?;
    drop(transfer);
    let mut report = told(&done);
    report.result["wasm"] = json!(connector.digest);
    Ok(report)
}

/// The contract as a package of WIT, for `wkg` and others who read it.
pub(super) async fn run_contract(args: ContractArgs) -> Result<Report> {
    let key = args.sign.as_deref().map(key).transpose()?;
    let done = publish_contract(&args.to, &created()?, key.as_ref()).await?;
    Ok(told(&done))
}

fn told(done: &Done) -> Report {
    let did = if done.existed { "was there already" } else { "is published" };
    let signed = match &done.signed_by {
        Some(id) => format!("\n  signed by {id}"),
        None if done.signatures > 0 => {
            format!("\n  has {} already", count(done.signatures as u64, "signature"))
        }
        None => "\n  not signed: `--sign KEY` lets others know that it is yours".to_owned(),
    };
    let result = json!({
        "reference": done.reference.to_string(),
        "manifest": done.digest,
        "existed": done.existed,
        "stays": done.stays,
        "yanked": done.yanked,
        "signatures": done.signatures,
        "signer": done.signed_by,
    });
    let mut summary = format!("{} {did}\n  manifest  {}{signed}", done.reference, done.digest);
    if let Some(words) = &done.stays {
        summary.push_str(&format!("\n  what was said of it first stays: {words}"));
    }
    match done.yanked.as_deref() {
        None => {}
        Some("") => summary.push_str("\n  it was taken back: nobody begins with it"),
        Some(why) => summary.push_str(&format!("\n  it was taken back: {}", one_line(why))),
    }
    Report::new(summary, result)
}

pub(super) async fn run_yank(args: YankArgs) -> Result<Report> {
    let reference = &args.version;
    let Some(tag) = &reference.tag else {
        return Err(Failure::settings("it is not said which version is taken back")
            .at(reference.to_string())
            .next("name it behind a `:`, as in oci://registry.example.com/name:1.2.0"));
    };
    let was = yank(reference, tag, &args.reason).await?;
    let did = match was.as_deref() {
        None => "is taken back".to_owned(),
        Some("") => "was taken back before, and no reason was given".to_owned(),
        Some(before) => {
            format!("was taken back before, and its reason stays ({})", one_line(before))
        }
    };
    let summary = format!(
        "{reference} {did}: `sheaf add` and `sheaf update` take it no more, and `sheaf audit` names it where it runs"
    );
    Ok(Report::new(
        summary,
        json!({
            "reference": reference.to_string(), "was_yanked": was.is_some(),
            "reason": was.as_deref().unwrap_or(&args.reason),
        }),
    ))
}

/// People follow it.
fn source(text: &str) -> std::result::Result<String, String> {
    let is_web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let url = text.parse().ok().filter(is_web);
    url.map(|_| text.to_owned()).ok_or_else(|| "give a URL such as https://example.com/wiki".into())
}

/// What everybody reads of it must be there.
fn check(manifest: &Manifest) -> Result<()> {
    let wrong = |what: String, next: &str| Err(Failure::new(Kind::Contract, what).next(next));
    if Version::parse(&manifest.version).is_err() {
        let what = format!("its version, `{}`, is none of semantic versioning", manifest.version);
        return wrong(what, "let its manifest say three numbers, such as 1.2.0");
    }
    if manifest.description.trim().is_empty() {
        return wrong("it does not say what it is".into(), "give its manifest a description");
    }
    Ok(())
}

/// In seconds since 1970: no later time has four digits for its year.
const YEAR_10000: u64 = 253_402_300_800;

/// When it was made, as whoever builds it says; never the clock's word, as then the same file would be another each
/// time.
fn created() -> Result<String> {
    let seconds = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            let seconds = text.trim().parse().ok().filter(|seconds| *seconds < YEAR_10000);
            seconds.ok_or_else(|| {
                Failure::settings(
                    "the environment variable SOURCE_DATE_EPOCH is no number of seconds",
                )
                .next("unset it, or set it to whole seconds since 1970")
            })?
        }
        Err(_) => 0,
    };
    Ok(Timestamp::from_seconds(seconds).to_string())
}

fn key(named: &str) -> Result<PrivateKey> {
    let source = match named.split_once(':') {
        Some(("env", name)) => Source::Env(name.to_owned()),
        Some(("command", command)) => {
            Source::Command(command.split_whitespace().map(str::to_owned).collect())
        }
        _ => Source::File(named.into()),
    };
    let secret = source.read(Path::new(""), &|name| std::env::var(name).ok())?;
    PrivateKey::from_pem(&secret.reveal()).map_err(|failure| failure.at(format!("--sign {named}")))
}
