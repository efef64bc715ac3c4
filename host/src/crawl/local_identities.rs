//! A crawl of users and groups in this process, without Temporal. A source that is away is tried again by the policy.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::blame::interrupted;
use super::crawler::Crawler;
use super::identities::IdentityResult;
use super::lease::Who;
use super::request::upload_id;
use super::tell_identities::{Wanted, lock_of};
use super::view::CrawlView;
use crate::failure::Result;
use crate::name::UploadId;

/// Nothing where the connection has no identities.
pub async fn run(
    crawler: &Crawler,
    name: &str,
    restart: bool,
    beside: Option<&UploadId>,
    cancel: &CancellationToken,
    view: &watch::Sender<CrawlView>,
) -> Result<Option<IdentityResult>> {
    crawler.connections.now().connection(name)?;
    let _lock = crawler.states.machine.lock(&lock_of(name))?;
    let who = Who::Process { machine: crawler.states.machine.id()? };
    let by = format!("process {}", std::process::id());
    let run = upload_id(name);
    let say = |progress| {
        view.send_modify(|view| {
            view.connection = name.into();
            view.identities = Some(progress);
        });
    };
    let say = &say;
    let wanted = Wanted { connection: name, who, by: &by, run: &run, restart, beside, cancel, say };
    let ended = tried(crawler, &wanted).await;
    view.send_modify(|view| view.identities = None);
    ended
}

async fn tried(crawler: &Crawler, wanted: &Wanted<'_>) -> Result<Option<IdentityResult>> {
    let Wanted { connection: name, run, beside, cancel, .. } = *wanted;
    let policy = &crawler.settings.policy;
    let mut failures = 0;
    loop {
        let failure = match crawler.crawl_identities(wanted).await {
            Ok(result) => return Ok(result),
            Err(failure) => failure,
        };
        failures += 1;
        if !failure.kind.is_away() || failures >= policy.allowed(&failure) {
            crawler.remember_failed_identities(name, run, &failure).await;
            return Err(failure);
        }
        let pause = policy.pause_after(&failure, failures);
        tracing::warn!(connection = name, ?pause, "tries again: {failure}");
        let claims = crawler.states.claims(name);
        let renewed = async {
            match beside {
                Some(beside) => claims.renew_until_it_fails(&wanted.who, beside).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            failure = renewed => return Err(failure),
            () = cancel.cancelled() => return Err(interrupted()),
        }
    }
}
