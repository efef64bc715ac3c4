//! `sheaf sync NAME --identities`, how users and groups stand, and a person's word on what of them is held.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::connect;
use super::output::{Report, bounded_reason};
use super::{live, shifts, signals};
use crate::config::Config;
use crate::crawl::CrawlView;
use crate::crawl::connection_state::ConnectionState;
use crate::crawl::identities::{HeldIdentities, IdentityResult, LeftOut, Objection, Standing};
use crate::crawl::lease::Coordinator;
use crate::crawl::local_identities;
use crate::crawl::result::Outcome;
use crate::crawl::status::{State, of_identities};
use crate::crawl::tell_identities::{no_identities, nothing_waits};
use crate::failure::{Failure, Result};
use crate::temporal::identities;
use crate::text::{count, grouped, lines, one_line};

/// One crawl of a connection's users and groups, in this process or on Temporal.
pub(super) async fn sync(
    config: &Config,
    name: &str,
    coordinator: Coordinator,
    restart: bool,
    verbose: u8,
) -> Result<Report> {
    let cancel = signals::token();
    let (view, views) = watch::channel(CrawlView::default());
    view.send_modify(|view| view.connection = name.into());
    let shown = tokio::spawn(live::show(views));
    let ended = match coordinator {
        Coordinator::Process => {
            let crawler = config.crawler()?;
            Box::pin(local_identities::run(&crawler, name, restart, None, &cancel, &view)).await
        }
        Coordinator::Temporal => Box::pin(on_temporal(config, name, restart, &cancel, &view)).await,
    };
    drop(view);
    let _ = shown.await;
    Ok(report(&ended?.ok_or_else(|| no_identities(name))?, verbose))
}

async fn on_temporal(
    config: &Config,
    name: &str,
    restart: bool,
    cancel: &CancellationToken,
    view: &watch::Sender<CrawlView>,
) -> Result<Option<IdentityResult>> {
    let client = connect(config).await?;
    let wanted = identities::wanted(config.deployment(), name, config.digest(name), restart);
    identities::run(&client, wanted, view, cancel).await
}

/// What it came to.
fn report(result: &IdentityResult, verbose: u8) -> Report {
    let summary = format!("{}: {}{}", result.connection, did(result), outcome(result));
    let mut text = summary.clone();
    for reason in &result.held {
        text.push_str(&format!("\n  held: {}", objection(reason, verbose)));
        text.push_str(&shifts::of_held(reason, "\n    ", verbose));
    }
    if let Some(held_as) = &result.held_as {
        text.push_str(&format!("\n{}", word(&result.connection, held_as)));
    }
    text.push_str(&not_whole(result, verbose));
    let code = signals::code().unwrap_or(result.outcome.exit_code());
    Report::new(summary, json!(result)).text(text).exit_code(code)
}

pub(super) fn did(result: &IdentityResult) -> String {
    let IdentityResult { users, groups, memberships, counts, .. } = result;
    let mut text = format!(
        "{}, {} and {} in {} ({:.1} s)",
        count(*users, "user"),
        count(*groups, "group"),
        count(*memberships, "membership"),
        result.datasource,
        result.seconds
    );
    let mut changes = Vec::new();
    for (number, what) in [
        (counts.new_users, "new user"),
        (counts.gone_users, "deleted user"),
        (counts.changed_users, "changed user"),
        (counts.new_groups, "new group"),
        (counts.gone_groups, "deleted group"),
    ] {
        if number > 0 {
            changes.push(count(number, what));
        }
    }
    if counts.changed_groups > 0 {
        changes.push(format!("{} with other members", count(counts.changed_groups, "group")));
    }
    if counts.told_again > 0 {
        changes.push(format!("{} told again", count(counts.told_again, "group")));
    }
    if changes.is_empty() && result.held.is_empty() {
        text.push_str(": nothing has changed");
    } else if changes.is_empty() {
        text.push_str(": nothing was told");
    } else {
        text.push_str(&format!(": {}", changes.join(", ")));
    }
    text
}

/// The same of a crawl that only might be.
pub(super) fn would_do(result: &IdentityResult, verbose: u8) -> String {
    let mut text = format!("users and groups would be told: {}{}", did(result), outcome(result));
    for reason in &result.held {
        text.push_str(&format!("\n    would be held: {}", objection(reason, verbose)));
        text.push_str(&shifts::of_held(reason, "\n      ", verbose));
    }
    text.push_str(&shifts::of_all(&result.shifts, verbose));
    text.push_str(&not_whole(result, verbose).replace("\n  ", "\n    "));
    text
}

pub(super) fn outcome(result: &IdentityResult) -> String {
    match result.outcome {
        Outcome::Complete => String::new(),
        other => format!("; {other}"),
    }
}

/// What was not read, not told, or refused.
pub(super) fn not_whole(result: &IdentityResult, verbose: u8) -> String {
    let mut text = String::new();
    if let Some(reason) = &result.partial {
        text.push_str(&format!("\n  the rest was not read: {}", bounded_reason(reason, verbose)));
    }
    for (what, left) in [
        ("could not be read, and keeps its members", &result.unreadable),
        ("refused by Glean, and tried again", &result.refused),
        ("left out", &result.left_out),
        ("no user of the source, and told by e-mail", &result.strangers),
    ] {
        text.push_str(&samples(what, left, verbose));
    }
    text
}

fn samples(what: &str, left: &LeftOut, verbose: u8) -> String {
    let shown = if verbose > 0 { left.samples.len() } else { 3 };
    let mut text = String::new();
    for one in left.samples.iter().take(shown) {
        text.push_str(&format!("\n  {what}: {}", one_line(one)));
    }
    let more = left.count.saturating_sub(shown.min(left.samples.len()) as u64);
    if more > 0 {
        text.push_str(&format!("\n  … and {} more", grouped(more)));
    }
    text
}

/// Why it is held, as long as it may be.
pub(super) fn objection(objection: &Objection, verbose: u8) -> String {
    bounded_reason(&objection.to_string(), verbose).into_owned()
}

fn word(name: &str, upload_id: &str) -> String {
    format!(
        "  `sheaf reject {name} --identities` leaves it, and this does it:\n  {}",
        command(name, upload_id)
    )
}

fn command(name: &str, upload_id: &str) -> String {
    format!("sheaf approve {name} --identities --upload {upload_id}")
}

/// How a connection's users and groups stand, in lines for `sheaf status`; nothing where it has none.
pub(super) fn standing(standing: &Standing, name: &str, max_age: Duration, verbose: u8) -> String {
    let mut text = String::new();
    if let Some(failing) = &standing.failing {
        let said = bounded_reason(&failing.failure.what, verbose);
        let since = match failing.times {
            1 => format!("failed at {}", failing.at),
            times => format!("fail since {}, {times} times, last at {}", failing.since, failing.at),
        };
        text.push_str(&format!("  users and groups {since}: {said}\n"));
        if let Some(next) = &failing.failure.next {
            text.push_str(&format!("    next: {next}\n"));
        }
    }
    if let Some(last) = &standing.last {
        let outcome = match standing.rejected {
            Some(at) => format!("; held, and rejected at {at}: the next crawl looks again"),
            None => outcome(last),
        };
        text.push_str(&format!(
            "  users and groups: {}{outcome}, ended {}",
            did(last),
            last.ended_at
        ));
        text.push_str(&not_whole(last, verbose).replace("\n  ", "\n    "));
        text.push('\n');
    }
    if let Some(held) = &standing.held {
        for reason in &held.reasons {
            let said = objection(reason, verbose);
            let groups = shifts::of_held(reason, "\n      ", verbose);
            text.push_str(&format!("    held since {}: {said}{groups}\n", held.since));
        }
        text.push_str(&format!("{}\n", word(name, &held.upload_id)));
    }
    if let Some(approved) = &standing.approved {
        for reason in approved {
            let said = objection(reason, verbose);
            let groups = shifts::of_held(reason, "\n      ", verbose);
            text.push_str(&format!("    approved, and not done yet: {said}{groups}\n"));
        }
        text.push_str(&format!(
            "  the next crawl does it, unless `sheaf reject {name} --identities` takes it back\n"
        ));
    }
    if let Some(at) = standing.as_of {
        text.push_str(&format!("    read and told as a whole as of {at}"));
        if standing.is_old(max_age) {
            let most = humantime::format_duration(max_age);
            text.push_str(&format!(", and that may not be older than {most}"));
        }
        text.push('\n');
    }
    text
}

/// What is to be said of it at once.
pub(super) fn headline(standing: &Standing, max_age: Duration) -> Option<&'static str> {
    match of_identities(standing, max_age) {
        State::Failing => Some("users and groups fail"),
        State::Waits if standing.held.is_some() => Some("users and groups wait for approval"),
        State::Waits => Some("users and groups are old"),
        State::Partial => Some("users and groups are partial"),
        _ => None,
    }
}

/// What is held, and that it is what is meant.
fn waiting(standing: &Standing, name: &str, upload: Option<&str>) -> Result<HeldIdentities> {
    match (&standing.held, upload) {
        (Some(held), Some(meant)) if held.upload_id != meant => Err(overtaken(name, meant)),
        (Some(held), _) => Ok(held.clone()),
        (None, _) => Err(nothing_waits(name)),
    }
}

async fn standing_of(config: &Config, name: &str) -> Result<Standing> {
    Ok(config.offline_crawler()?.states.of(name).await?.identities)
}

/// A person says no: nothing is done.
pub(super) async fn reject(
    config: &Config,
    name: &str,
    upload: Option<&str>,
    dry_run: bool,
) -> Result<Report> {
    let before = standing_of(config, name).await?;
    if before.held.is_none() && upload.is_none() && before.approved.is_some() {
        return take_back(config, name, &before, dry_run).await;
    }
    let held = waiting(&before, name, upload)?;
    let result = json!({ "held": held });
    if dry_run {
        let summary = format!("{name}: users and groups wait for approval since {}", held.since);
        return Ok(Report::new(summary, result));
    }
    let mut is_done = false;
    let reject = |state: &mut ConnectionState| {
        is_done = state.identities.reject(Some(&held.upload_id));
    };
    config.offline_crawler()?.states.update(name, reject).await?;
    if !is_done {
        return Err(overtaken(name, &held.upload_id));
    }
    let summary = format!("{name}: rejected, nothing was changed; the next crawl looks again");
    Ok(Report::new(summary, result))
}

/// What was approved, and is not done yet.
async fn take_back(
    config: &Config,
    name: &str,
    before: &Standing,
    dry_run: bool,
) -> Result<Report> {
    let result = json!({ "approved": before.approved });
    if dry_run {
        let summary = format!("{name}: users and groups were approved, and that is not done yet");
        return Ok(Report::new(summary, result));
    }
    let mut is_done = false;
    let reject = |state: &mut ConnectionState| is_done = state.identities.reject(None);
    config.offline_crawler()?.states.update(name, reject).await?;
    if !is_done {
        return Err(nothing_waits(name));
    }
    Ok(Report::new(format!("{name}: the approval is taken back, nothing was changed"), result))
}

fn overtaken(name: &str, upload_id: &str) -> Failure {
    Failure::settings(format!("nothing of `{upload_id}` waits for approval"))
        .at(name)
        .next(format!("look at what waits: `sheaf approve {name} --identities --dry-run`"))
}

/// A person has looked: the source is read once more, and just this is done.
pub(super) async fn approve(
    config: &Config,
    name: &str,
    upload: Option<&str>,
    dry_run: bool,
    json: bool,
    verbose: u8,
) -> Result<Report> {
    let held = waiting(&standing_of(config, name).await?, name, upload)?;
    let command = command(name, &held.upload_id);
    let shown =
        |reason: &Objection| format!("  {reason}{}", shifts::of_held(reason, "\n    ", verbose));
    let shown: Vec<_> = held.reasons.iter().map(shown).collect();
    let summary = format!("{name}: users and groups wait for approval since {}", held.since);
    if dry_run {
        let text = format!("{summary}\n{}\n  this does it: {command}", shown.join("\n"));
        let result = json!({ "held": held, "command": command });
        return Ok(Report::new(summary, result).text(text));
    }
    match upload {
        Some(_) => {}
        None if json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() => {
            let what = format!("an approval names what it approves: users and groups of `{name}`");
            let next = format!("look at it with `--dry-run`; this approves it: {command}");
            return Err(Failure::settings(what).next(next));
        }
        None => {
            eprintln!("{summary}\n{}", lines(&shown.join("\n")));
            eprint!("Do it? Type yes: ");
            let _ = std::io::stderr().flush();
            let mut answer = String::new();
            let read = std::io::stdin().lock().read_line(&mut answer);
            if read.is_err() || !answer.trim().eq_ignore_ascii_case("yes") {
                let summary = format!("{name}: not approved, nothing changed; it still waits");
                let code = Outcome::Held.exit_code();
                return Ok(Report::new(summary, json!(held)).exit_code(code));
            }
        }
    }
    let states = config.offline_crawler()?.states;
    let mut is_done = false;
    let approve = |state: &mut ConnectionState| is_done = state.identities.approve(&held.upload_id);
    states.update(name, approve).await?;
    if !is_done {
        return Err(overtaken(name, &held.upload_id));
    }
    let done = Box::pin(sync(config, name, held.coordinator, false, verbose)).await;
    done.map_err(|failure| Failure {
        what: format!("approved, and not done yet: {}", failure.what),
        next: Some(format!(
            "{}; the next crawl does what was approved, unless `sheaf reject {name} --identities` \
             takes it back",
            failure.next.as_deref().unwrap_or("see `sheaf status`")
        )),
        ..failure
    })
}
