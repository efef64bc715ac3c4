//! Crawls some of a crawl's scopes, one after the other.
//!
//! What a process needs for all of them it gets once. A scope that fails stops no other: those that may
//! still succeed are tried again when all others had their turn. How often each was tried is in the
//! journal, so that it counts whichever worker resumes it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use super::blame::{self, Stopped, interrupted};
use super::connection::Connection;
use super::crawler::{Crawler, Journal};
use super::kept_changes::KeptChanges;
use super::metered::Metered;
use super::pipeline::{Delivery, Pipeline, Report};
use super::plan::{Begun, CrawlRef};
use super::progress::{Attempts, Counts, FailedScope, Frontier, Live, ScopeHead, Shown};
use super::request::ModeName;
use super::undefined::Defined;
use super::view::{RangeProgress, ScopeState, ScopeView};
use crate::cell::{ConnectionCell, Connector};
use crate::document::{Crawl, Mode, PageLimits, Scope};
use crate::failure::{Failure, Kind, Result};
use crate::ledger::ScopeJournal;
use crate::text::bounded_str;
use crate::traces::Step;

/// A source whose checkpoints never last is given up after so many restarts of a scope.
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
    /// What the connector registers, which has rules for its documents.
    datasource: OnceCell<Value>,
    /// What Glean had been told of users and groups when the first scope began.
    defined: OnceCell<Defined>,
    /// It runs from the first scope to the last.
    _cell: Arc<ConnectionCell>,
}

/// A range under way.
struct RangeUnderWay<'a> {
    /// Scopes that failed.
    failures: usize,
    progress: RangeProgress,
    report: &'a watch::Sender<RangeProgress>,
}

impl RangeUnderWay<'_> {
    /// Adds what is done of a scope.
    fn done(&mut self, counts: &Counts) -> Shown {
        let done = Shown { counts: counts.without_samples(), live: Live::default() };
        self.progress.total.add(&done);
        done
    }

    /// Shows a scope that is being crawled.
    fn running(&self, scope: &Scope, now: Shown) {
        let now = Shown { counts: now.counts.without_samples(), ..now };
        let mut shown = self.progress.clone();
        shown.total.add(&now);
        shown.show(ScopeView::new(scope, ScopeState::Running, now));
        self.report.send_replace(shown);
    }

    fn ended(&mut self, scope: &Scope, counts: &Counts) {
        let done = self.done(counts);
        self.progress.done += 1;
        self.progress.show(ScopeView::new(scope, ScopeState::Done, done));
        self.report.send_replace(self.progress.clone());
    }

    /// Tells of a scope that failed now, unless too many did.
    fn log(&self, work: &Work, scope: &Scope, failure: &Failure) {
        let (connection, scope) = (work.connection.name.as_str(), scope.id.as_str());
        if self.failures < TOLD {
            tracing::warn!(connection, scope, "{failure}");
        } else {
            tracing::debug!(connection, scope, "{failure}");
        }
    }

    /// A scope that failed, for good or until it is tried again.
    fn failed(&mut self, scope: &Scope, counts: &Counts, told: &Failure, last: bool) {
        let done = self.done(counts);
        self.failures += 1;
        let state = if last { ScopeState::Failed } else { ScopeState::Retrying };
        if last {
            self.progress.failed += 1;
            let first = Failure { detail: None, ..told.clone() };
            self.progress.failure.get_or_insert(first);
        }
        self.progress.show(ScopeView::new(scope, state, done).noted(&told.what));
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
    ) -> blame::Result<RangeProgress> {
        let step = Step::of_crawl(&crawl.connection, &crawl.upload_id, "crawl scopes");
        step.run(self.crawl_range_once(crawl, range, allowed, report, cancel)).await
    }

    async fn crawl_range_once(
        &self,
        crawl: &CrawlRef,
        range: Range<usize>,
        allowed: &(dyn Fn(&Failure) -> u32 + Sync),
        report: &watch::Sender<RangeProgress>,
        cancel: &CancellationToken,
    ) -> blame::Result<RangeProgress> {
        self.check_glean(crawl)?;
        let _working = self.client.working();
        let begun = self.begun(crawl).await?;
        let who = Self::check_owner(&begun, crawl)?.clone();
        self.check_begun(&begun).await?;
        let connection = self.connection_of(&begun.plan)?;
        let connector = self.registry.pinned(&begun.plan.digest).await?;
        let cell = self.guests.check(&connection, &connector).await?;
        let journal = self.journal(&crawl.connection, &crawl.upload_id);
        let (datasource, defined) = (OnceCell::new(), OnceCell::new());
        let work = Work { begun, journal, connection, connector, datasource, defined, _cell: cell };
        let claims = self.states.claims(&crawl.connection);
        let ended = tokio::select! {
            ended = self.crawl_each(&work, range, allowed, report, cancel) => ended,
            failure = claims.renew_until_it_fails(&who, &crawl.upload_id) => Err(failure.into()),
        };
        ended.map_err(|stopped| {
            stopped.map(|failure| failure.at_least(|| crawl.connection.to_string()))
        })
    }

    async fn crawl_each(
        &self,
        work: &Work,
        range: Range<usize>,
        allowed: &(dyn Fn(&Failure) -> u32 + Sync),
        report: &watch::Sender<RangeProgress>,
        cancel: &CancellationToken,
    ) -> blame::Result<RangeProgress> {
        let kept_failed = work.journal.failed_scopes().await?;
        let progress = RangeProgress {
            from: range.start,
            attempts: report.borrow().attempts.clone(),
            ..RangeProgress::default()
        };
        let mut under = RangeUnderWay { progress, report, failures: 0 };
        let scopes = &work.begun.plan.scopes;
        let scopes = scopes.get(range.start..range.end.min(scopes.len())).unwrap_or_default();
        let mut again: Option<Failure> = None;
        for scope in scopes {
            let (part, kept) = work.journal.scope(&scope.id).await?;
            let kept = kept.unwrap_or_default();
            if kept.frontier.ending.is_some() {
                under.ended(scope, &kept.counts);
                continue;
            }
            let before: Option<FailedScope> =
                work.journal.failed_scope(&kept_failed, &scope.id).await?;
            let before = before.unwrap_or_default();
            if let Some(told) = &before.for_good {
                under.failed(scope, &kept.counts, told, true);
                continue;
            }
            let ended = self.crawl_one(work, scope, part, kept, &mut under, cancel).await?;
            let (head, failure) = match ended {
                (_, None) => continue,
                (head, Some(failure)) => (head, failure),
            };
            under.log(work, scope, &failure);
            let failed = before.again(&head.frontier, failure.clone(), allowed(&failure));
            work.journal.keep_failed_scope(&scope.id, &failed).await?;
            let told = failed.for_good.as_ref().unwrap_or(&failure);
            under.failed(scope, &head.counts, told, failed.for_good.is_some());
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

    /// Crawls a scope from where it was left. How far it is then, and why it failed, if it did.
    async fn crawl_one(
        &self,
        work: &Work,
        scope: &Scope,
        part: ScopeJournal,
        kept: ScopeHead,
        under: &mut RangeUnderWay<'_>,
        cancel: &CancellationToken,
    ) -> blame::Result<(ScopeHead, Option<Failure>)> {
        let opened = kept.frontier.opened || work.begun.plan.opened;
        let frontier = Frontier { opened, ..kept.frontier };
        let start = ScopeHead { scope: scope.id.clone(), frontier, counts: kept.counts };
        if start.counts.pages > 0 {
            let checkpoint = start.frontier.checkpoint.as_deref();
            tracing::info!(
                connection = work.connection.name.as_str(),
                scope = scope.id,
                page = start.counts.pages,
                documents = start.counts.documents,
                checkpoint = bounded_str(checkpoint.unwrap_or_default(), 200),
                "the scope is resumed"
            );
        }
        let (report, reports) = watch::channel(Report { head: start.clone(), in_flight: 0 });
        let step = Step::of_scope(&work.connection.name, &work.begun.plan.upload_id, &scope.id);
        let crawl = Box::pin(step.run(self.crawl_scope(work, part, start, &report, cancel)));
        let ended = self.watched(crawl, work, scope, reports, under).await;
        let head = report.borrow().head.clone();
        match ended {
            Ok(()) => {
                under.progress.attempts = Attempts::default();
                under.ended(scope, &head.counts);
                Ok((head, None))
            }
            Err(Stopped::Scope(failure)) => Ok((head, Some(failure))),
            Err(Stopped::Crawl(failure)) => {
                under.running(scope, Shown { counts: head.counts, live: Live::default() });
                Err(failure.into())
            }
        }
    }

    /// Shows a scope's crawl until it ends.
    async fn watched(
        &self,
        crawl: impl Future<Output = blame::Result<()>>,
        work: &Work,
        scope: &Scope,
        mut reports: watch::Receiver<Report>,
        under: &mut RangeUnderWay<'_>,
    ) -> blame::Result<()> {
        let mut crawl = std::pin::pin!(crawl);
        let mut looks = tokio::time::interval(LOOK);
        // A forecast sends nothing.
        let is_sent = !work.begun.plan.planned;
        let before = reports.borrow().head.counts.clone();
        let mut metered = is_sent.then(|| Metered::new(&work.connection.name, &before));
        let mut count = |counts: &Counts| {
            if let Some(metered) = &mut metered {
                metered.now(counts);
            }
        };
        let begun = reports.borrow().head.frontier.checkpoint.clone();
        loop {
            tokio::select! {
                ended = &mut crawl => {
                    count(&reports.borrow().head.counts);
                    return ended;
                }
                Ok(()) = reports.changed() => {}
                _ = looks.tick() => {}
            }
            let Report { head, in_flight } = reports.borrow_and_update().clone();
            count(&head.counts);
            if head.frontier.checkpoint != begun || head.frontier.ending.is_some() {
                under.progress.attempts = Attempts::default();
            }
            let mut live = Live { in_flight, ..Live::default() };
            live.wait(self.waiting(&work.connection.name));
            under.running(scope, Shown { counts: head.counts, live });
        }
    }

    /// Crawls one scope. `report` always holds what is acknowledged and kept. The scope is restarted
    /// where its connector asks for it.
    async fn crawl_scope(
        &self,
        work: &Work,
        part: ScopeJournal,
        start: ScopeHead,
        report: &watch::Sender<Report>,
        cancel: &CancellationToken,
    ) -> blame::Result<()> {
        let scope = start.scope.clone();
        let opened = start.frontier.opened;
        let from_there = Box::pin(self.crawl_from(work, start, part, report, cancel));
        let failure = match from_there.await {
            Err(Stopped::Scope(failure)) if failure.kind == Kind::StartOver => failure,
            ended => return ended,
        };
        let before = report.borrow().head.frontier.clone();
        let restarts = before.restarts + 1;
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
        let opened = before.opened || opened;
        let frontier = Frontier { opened, restarts, ..Frontier::default() };
        let restarted = ScopeHead { frontier, ..ScopeHead::new(&scope) };
        // Kept before it begins: whoever resumes the crawl must not return to the old checkpoint.
        let (mut part, _) = work.journal.scope(&scope).await?;
        part.commit(&[], &restarted).await?;
        report.send_replace(Report { head: restarted.clone(), in_flight: 0 });
        Box::pin(self.crawl_from(work, restarted, part, report, cancel)).await
    }

    /// The groups and users that Glean was told of.
    async fn defined(&self, connection: &Connection, datasource: &Value) -> Result<Defined> {
        let known = self.kept_identities(&connection.name).known(&connection.datasource).await?;
        let by_email = datasource["isUserReferencedByEmail"].as_bool().unwrap_or(false);
        Ok(known.ok().flatten().unwrap_or_default().roster.defined(by_email))
    }

    async fn crawl_from(
        &self,
        work: &Work,
        start: ScopeHead,
        journal: ScopeJournal,
        report: &watch::Sender<Report>,
        cancel: &CancellationToken,
    ) -> blame::Result<()> {
        let Work { connection, connector, .. } = work;
        let plan = &work.begun.plan;
        let computed =
            self.guests.usage(&plan.upload_id, Duration::from_millis(start.counts.cpu_ms));
        let usage = computed.usage.clone();
        let mut guest = tokio::select! {
            guest = self.guests.start_checked(connection, connector, computed) => guest?,
            () = cancel.cancelled() => return Err(interrupted().into()),
        };
        let datasource = work.datasource.get_or_try_init(|| guest.datasource()).await?;
        let defined = work.defined.get_or_try_init(|| self.defined(connection, datasource));
        let defined = defined.await?;
        // A scope that was restarted has no bookmark: the source no longer accepts it.
        let mode =
            if start.frontier.restarts == 0 { plan.scope_mode(&start.scope) } else { Mode::Full };
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
        let opened = guest
            .open(
                Crawl {
                    mode,
                    scope: start.scope.clone(),
                    resume: start.frontier.checkpoint.clone(),
                },
                datasource,
            )
            .await
            .map_err(|failure| whose(Stopped::of_guest(failure)))?;
        let limits = &connection.limits;
        // A scope that is new to an incremental crawl is read in full, outside a session.
        let upload = self.upload(plan);
        let delivery = match plan.mode {
            ModeName::Full if plan.planned => Delivery::nowhere(upload),
            ModeName::Full => Delivery::session(upload),
            ModeName::Incremental => {
                Delivery::changes(upload, KeptChanges::new(&self.states, plan))
            }
        };
        let uploads = &self.settings.uploads;
        let page = PageLimits { documents: limits.page_documents, bytes: limits.page_bytes };
        let source = opened.read(delivery.reading(page, uploads, &start)).await;
        let source = source.map_err(Stopped::of_guest)?;
        let pipeline = Pipeline {
            tolerance: &connection.quarantine,
            limits: uploads,
            report,
            cancel,
            journal: Some(journal),
            defined,
            usage: usage.clone(),
        };
        pipeline.run(source, delivery, start).await.map(drop).map_err(whose)
    }
}
