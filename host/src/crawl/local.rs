//! A whole crawl in this process, without Temporal. Its checkpoint is a file: run again after an
//! interruption, it goes on in the same upload session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::progress::ScopeProgress;
use super::state::Unfinished;
use super::steps::{CrawlResult, Crawler, ModeName, Plan};
use super::view::{CrawlView, ScopeState};
use crate::connector::Digest;
use crate::failure::Result;

/// How often the checkpoint is written at most.
const SAVE_EVERY: Duration = Duration::from_secs(1);

pub async fn run(
    crawler: &Crawler,
    name: &str,
    mode: ModeName,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<CrawlResult> {
    let connection = crawler.config.connection(name)?;
    let _lock = crawler.state.lock(name)?;
    let started = Instant::now();
    let settings = Digest::of(connection.settings.to_string().as_bytes()).to_string();
    let resumed = resumable(crawler, name, mode, &settings).await?;
    let (plan, mut scopes) = if let Some(unfinished) = resumed {
        (unfinished.plan, unfinished.scopes)
    } else {
        let id = upload_id(name);
        (unless(cancel, crawler.configure(name, mode, &id, None)).await?, BTreeMap::new())
    };
    let saved_as = Saved { crawler, plan: &plan, asked: mode, settings: &settings };
    saved_as.save(&scopes)?;
    view.send_replace(CrawlView::of(&plan));
    for scope in &plan.scopes {
        let start: ScopeProgress = scopes.get(&scope.id).cloned().unwrap_or_default();
        let (report, mut reports) = watch::channel(start.clone());
        let crawl = crawler.crawl_scope(&plan, &scope.id, start, &report, cancel);
        let mut crawl = std::pin::pin!(crawl);
        view.send_modify(|view| view.set_state(&scope.id, ScopeState::Running));
        let mut saved = Instant::now();
        let ended = loop {
            tokio::select! {
                ended = &mut crawl => break ended,
                Ok(()) = reports.changed() => {
                    let progress = reports.borrow_and_update().clone();
                    view.send_modify(|view| view.set_progress(&scope.id, progress.clone()));
                    if saved.elapsed() >= SAVE_EVERY {
                        saved = Instant::now();
                        scopes.insert(scope.id.clone(), progress);
                        saved_as.save(&scopes)?;
                    }
                }
            }
        };
        let last = report.borrow().clone();
        scopes.insert(scope.id.clone(), last.clone());
        view.send_modify(|view| {
            view.set_progress(&scope.id, last);
            view.set_state(
                &scope.id,
                if ended.is_ok() { ScopeState::Done } else { ScopeState::Failed },
            );
        });
        saved_as.save(&scopes)?;
        ended?;
    }
    unless(cancel, crawler.complete(&plan, &scopes, started.elapsed().as_secs_f64())).await
}

/// Work that a cancellation ends where it is.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(super::pipeline::interrupted()),
    }
}

/// What an interrupted crawl is remembered by.
struct Saved<'a> {
    crawler: &'a Crawler,
    plan: &'a Plan,
    asked: ModeName,
    settings: &'a str,
}

impl Saved<'_> {
    fn save(&self, scopes: &BTreeMap<String, ScopeProgress>) -> Result<()> {
        let glean = self.crawler.client.server_url();
        self.crawler.state.update(&self.plan.connection, glean, |memory| {
            memory.unfinished = Some(Unfinished {
                plan: self.plan.clone(),
                asked: self.asked,
                settings: self.settings.to_owned(),
                scopes: scopes.clone(),
            });
        })
    }
}

/// An interrupted crawl of the same kind, with the same settings, whose connector is still there.
async fn resumable(
    crawler: &Crawler,
    name: &str,
    mode: ModeName,
    settings: &str,
) -> Result<Option<Unfinished>> {
    let memory = crawler.state.of(name, crawler.client.server_url())?;
    let Some(unfinished) = memory.unfinished else {
        return Ok(None);
    };
    let connection = crawler.config.connection(name)?;
    let connector = crawler.registry.find(&connection.connector).await?;
    let same = unfinished.settings == settings
        && unfinished.asked == mode
        && unfinished.plan.digest == connector.digest
        && unfinished.plan.glean == crawler.client.server_url();
    if !same {
        tracing::info!(
            connection = name,
            "an interrupted crawl is not continued: its settings, mode, connector or Glean differ"
        );
        return Ok(None);
    }
    let opened = unfinished.plan.opened || unfinished.scopes.values().any(|scope| scope.opened);
    if opened && !crawler.session_is_open(&unfinished.plan).await? {
        tracing::info!(
            connection = name,
            "an interrupted crawl is not continued: its session is gone"
        );
        return Ok(None);
    }
    tracing::info!(
        connection = name,
        upload_id = unfinished.plan.upload_id,
        "going on with an interrupted crawl"
    );
    Ok(Some(unfinished))
}

/// Never the same twice, and readable in Glean's history.
pub fn upload_id(connection: &str) -> String {
    let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
    let stamp: String = now.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("sheaf-{connection}-{stamp}-{:08x}", rand::random::<u32>())
}
