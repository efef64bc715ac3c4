//! Crawls some of a crawl's scopes, one after the other.
//!
//! What a process needs for all of them it gets once. A scope that fails stops no other: those that may
//! still succeed are tried again when all others had their turn. How often each was tried is in the
//! journal, so that it counts whichever worker goes on.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::begin::Begun;
use super::changes::Keeper;
use super::check::Rules;
use super::fault::{self, Stopped};
use super::pipeline::{Pipeline, interrupted};
use super::plan::{CrawlRef, ModeName};
use super::progress::{Attempts, FailedScope, ScopeProgress};
use super::steps::{Crawler, Journal};
use super::view::{RangeProgress, ScopeState, ScopeView};
use crate::config::Connection;
use crate::connector::Connector;
use crate::document::{Crawl, Mode, PageLimits, Scope};
use crate::failure::{Failure, Kind};
use crate::ledger::ScopeJournal;
use crate::text::bounded_str;

/// A source whose checkpoints never last is given up after so many new beginnings of a scope.
const MAX_RESTARTS: u32 = 3;

/// How often it is said what a crawl waits for.
const LOOK: Duration = Duration::from_millis(500);

/// Of so many scopes that failed the log tells, in a row; all of them are counted, and in the result.
const TOLD: usize = 10;

/// What all scopes of a range share.
struct Work {
    begun: Begun,
    journal: Journal,
    connection: Arc<Connection>,
    connector: Arc<Connector>,
    rules: OnceCell<Rules>,
}

/// A range under way.
struct Under<'a> {
    progress: RangeProgress,
    report: &'a watch::Sender<RangeProgress>,
}

impl Under<'_> {
    /// Shows a scope that is being crawled.
    fn running(&self, scope: &Scope, progress: &ScopeProgress) {
        let mut shown = self.progress.clone();
        shown.total.add(progress);
        shown.show(ScopeView::new(scope, ScopeState::Running, progress));
        self.report.send_replace(shown);
    }

    fn ended(&mut self, scope: &Scope, progress: &ScopeProgress) {
        self.progress.done += 1;
        self.progress.total.add(&progress.numbers());
        self.progress.show(ScopeView::new(scope, ScopeState::Done, progress));
        self.report.send_replace(self.progress.clone());
    }

    /// A scope that failed, for good or until it is tried again.
    fn failed(&mut self, scope: &Scope, progress: &ScopeProgress, told: &Failure, last: bool) {
        self.progress.total.add(&progress.numbers());
        let state = if last { ScopeState::Failed } else { ScopeState::Retrying };
        if last {
            self.progress.failed += 1;
            let first = Failure { detail: None, ..told.clone() };
            self.progress.failure.get_or_insert(first);
        }
        self.progress.show(ScopeView::new(scope, state, progress).noted(&told.what));
        self.report.send_replace(self.progress.clone());
    }
}

impl Crawler {
    /// Crawls the scopes of a range from where the journal left them. `allowed`: how many failures like
    /// this one, in a row, are a scope's last. What is in the answer is crawled or has failed for good; a
    /// scope's failure instead of it says that some are to be tried again.
    pub async fn crawl_range(
        &self,
        crawl: &CrawlRef,
        range: Range<usize>,
        allowed: &(dyn Fn(&Failure) -> u32 + Sync),
        report: &watch::Sender<RangeProgress>,
        cancel: &CancellationToken,
    ) -> fault::Result<RangeProgress> {
        self.check_glean(crawl)?;
        let begun = self.begun(crawl).await?;
        let who = Self::stands(&begun, crawl)?.clone();
        self.check_begun(&begun).await?;
        let connection = self.crawled(&begun.plan)?;
        let connector = self.registry.pinned(&begun.plan.digest).await?;
        self.guests.check(&connection, &connector).await?;
        let journal = self.journal(&crawl.connection, &crawl.upload_id);
        let work = Work { begun, journal, connection, connector, rules: OnceCell::new() };
        let claims = self.memories.claims(&crawl.connection);
        let ended = tokio::select! {
            ended = self.crawl_each(&work, range, allowed, report, cancel) => ended,
            failure = claims.keep(&who, &crawl.upload_id) => Err(failure.into()),
        };
        ended
            .map_err(|stopped| stopped.map(|failure| failure.at_least(|| crawl.connection.clone())))
    }

    async fn crawl_each(
        &self,
        work: &Work,
        range: Range<usize>,
        allowed: &(dyn Fn(&Failure) -> u32 + Sync),
        report: &watch::Sender<RangeProgress>,
        cancel: &CancellationToken,
    ) -> fault::Result<RangeProgress> {
        let kept_failed = work.journal.failed_scopes().await?;
        let progress = RangeProgress {
            from: range.start,
            attempts: report.borrow().attempts.clone(),
            ..RangeProgress::default()
        };
        let mut under = Under { progress, report };
        let scopes = &work.begun.plan.scopes;
        let scopes = scopes.get(range.start..range.end.min(scopes.len())).unwrap_or_default();
        let mut again: Option<Failure> = None;
        let mut failures = 0;
        for scope in scopes {
            let (part, kept) = work.journal.scope(&scope.id).await?;
            let kept = kept.unwrap_or_default();
            if kept.ending.is_some() {
                under.ended(scope, &kept);
                continue;
            }
            let before: Option<FailedScope> =
                work.journal.failed_scope(&kept_failed, &scope.id).await?;
            let before = before.unwrap_or_default();
            if let Some(told) = &before.for_good {
                failures += 1;
                under.failed(scope, &kept, told, true);
                continue;
            }
            let start = ScopeProgress {
                scope: scope.id.clone(),
                opened: kept.opened || work.begun.plan.opened,
                in_flight: 0,
                waiting: None,
                waiting_since: None,
                ..kept
            };
            if start.pages > 0 {
                tracing::info!(
                    connection = work.connection.name,
                    scope = scope.id,
                    page = start.pages,
                    documents = start.documents,
                    checkpoint = bounded_str(start.checkpoint.as_deref().unwrap_or_default(), 200),
                    "the scope goes on where it was"
                );
            }
            let (one, progress) = watch::channel(start.clone());
            let crawl = Box::pin(self.crawl_scope(work, part, start, &one, cancel));
            let ended = self.watched(crawl, work, scope, progress, &mut under).await;
            let progress = one.borrow().clone();
            let failure = match ended {
                Ok(()) => {
                    under.progress.attempts = Attempts::default();
                    under.ended(scope, &progress);
                    continue;
                }
                Err(Stopped::Crawl(failure)) => {
                    under.running(scope, &progress);
                    return Err(failure.into());
                }
                Err(Stopped::Scope(failure)) => failure,
            };
            failures += 1;
            if failures <= TOLD {
                tracing::warn!(connection = work.connection.name, scope = scope.id, "{failure}");
            } else {
                tracing::debug!(connection = work.connection.name, scope = scope.id, "{failure}");
            }
            let failed = before.again(&progress, failure.clone(), allowed(&failure));
            work.journal.keep_failed_scope(&scope.id, &failed).await?;
            let told = failed.for_good.as_ref().unwrap_or(&failure);
            under.failed(scope, &progress, told, failed.for_good.is_some());
            if failed.for_good.is_none() {
                under.progress.again = under.progress.again.max(failed.failures());
                // Whoever asked for the longest pause is heard.
                let longest = |again: &Failure| again.retry_after < failure.retry_after;
                if again.as_ref().is_none_or(longest) {
                    again = Some(failure);
                }
            }
        }
        match again {
            Some(failure) => {
                report.send_replace(under.progress);
                Err(Stopped::Scope(failure))
            }
            None => Ok(under.progress),
        }
    }

    /// Shows a scope's crawl until it ends.
    async fn watched(
        &self,
        crawl: impl Future<Output = fault::Result<()>>,
        work: &Work,
        scope: &Scope,
        mut progress: watch::Receiver<ScopeProgress>,
        under: &mut Under<'_>,
    ) -> fault::Result<()> {
        let mut crawl = std::pin::pin!(crawl);
        let mut looks = tokio::time::interval(LOOK);
        let begun = progress.borrow().clone();
        loop {
            tokio::select! {
                ended = &mut crawl => return ended,
                Ok(()) = progress.changed() => {}
                _ = looks.tick() => {}
            }
            let mut now = progress.borrow_and_update().clone();
            if now.checkpoint != begun.checkpoint || now.ending.is_some() {
                under.progress.attempts = Attempts::default();
            }
            now.wait(self.waiting(&work.connection.name));
            under.running(scope, &now);
        }
    }

    /// Crawls one scope. `report` always holds what is acknowledged and kept. The scope is begun anew
    /// where its connector asks for it.
    async fn crawl_scope(
        &self,
        work: &Work,
        part: ScopeJournal,
        start: ScopeProgress,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> fault::Result<()> {
        let scope = start.scope.clone();
        let opened = start.opened;
        let failure = match self.crawl_from(work, start, part, report, cancel).await {
            Err(Stopped::Scope(failure)) if failure.kind == Kind::StartOver => failure,
            ended => return ended,
        };
        let restarts = report.borrow().restarts + 1;
        if restarts > MAX_RESTARTS {
            let what = format!("the connector wants to start over for the {restarts}th time");
            return Err(Stopped::Scope(
                Failure::new(Kind::SourceGaveUp, what)
                    .at(work.connection.name.clone())
                    .next("ask whoever maintains the connector")
                    .detail(failure.what),
            ));
        }
        tracing::warn!(scope, "{failure}; the scope is crawled from its beginning");
        let anew = ScopeProgress {
            scope: scope.clone(),
            opened: report.borrow().opened || opened,
            restarts,
            ..ScopeProgress::default()
        };
        // Kept before it is begun: whoever goes on must not go back to the old checkpoint.
        let (mut part, _) = work.journal.scope(&scope).await?;
        part.commit(&[], &anew).await?;
        report.send_replace(anew.clone());
        self.crawl_from(work, anew, part, report, cancel).await
    }

    async fn crawl_from(
        &self,
        work: &Work,
        start: ScopeProgress,
        journal: ScopeJournal,
        report: &watch::Sender<ScopeProgress>,
        cancel: &CancellationToken,
    ) -> fault::Result<()> {
        let Work { connection, connector, .. } = work;
        let plan = &work.begun.plan;
        let usage = self.guests.usage(&plan.upload_id, Duration::from_millis(start.cpu_ms));
        let mut guest = tokio::select! {
            guest = self.guests.start_checked(connection, connector, usage.clone()) => guest?,
            () = cancel.cancelled() => return Err(interrupted().into()),
        };
        let rules = work
            .rules
            .get_or_try_init(async || guest.datasource().await.map(|config| Rules::of(&config)))
            .await?;
        // A scope that was begun anew has no bookmark: the source no longer accepts it.
        let mode = if start.restarts == 0 { plan.scope_mode(&start.scope) } else { Mode::Full };
        // The budget of computing is the whole crawl's.
        let whose = |stopped: Stopped| match stopped {
            Stopped::Scope(failure)
                if failure.kind == Kind::Limit
                    && usage.of_whole_crawl() >= connection.limits.cpu_per_crawl =>
            {
                Stopped::Crawl(failure)
            }
            stopped => stopped,
        };
        let cursor = guest
            .open(Crawl { mode, scope: start.scope.clone(), resume: start.checkpoint.clone() })
            .await
            .map_err(|failure| whose(Stopped::of_guest(failure)))?;
        let limits = &connection.limits;
        // A scope that is new to an incremental crawl is read in full, outside a session.
        let sent_as = match plan.mode {
            ModeName::Full => Mode::Full,
            ModeName::Incremental => Mode::Incremental { bookmark: String::new() },
        };
        let changes = match plan.mode {
            ModeName::Full => None,
            ModeName::Incremental => Some(Keeper::new(&self.memories, plan)),
        };
        let pipeline = Pipeline {
            upload: &self.upload(plan),
            changes: changes.as_ref(),
            mode: &sent_as,
            rules,
            tolerance: &connection.quarantine,
            window: &self.config.window,
            page: PageLimits { documents: limits.page_documents, bytes: limits.page_bytes },
            report,
            cancel,
            journal: Some(journal),
            usage: usage.clone(),
        };
        pipeline.run(cursor, start).await.map(drop).map_err(whose)
    }
}
