//! The steps of a crawl as activities.
//!
//! `execute_indexing` resumes from the crawl's journal, on any worker, and heartbeats how far it is for
//! people to see. The journal counts the failures of scopes. Those that are no scope's are counted in
//! the heartbeat: progress forgives them, and the policy's last one ends the crawl, with the first
//! one's words.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use temporalio_macros::activities;
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::attempt::{Allowed, counted, failed, heartbeating, is_final, pause, small};
use super::inputs::{
    ClaimInput, CompleteInput, ConfigureInput, DecideInput, ForecastInput, IdentitiesInput,
    ScopesInput,
};
use crate::crawl::agreement::Expected;
use crate::crawl::approval::Decided;
use crate::crawl::blame::Stopped;
use crate::crawl::complete::Completed;
use crate::crawl::forecast::{Asking, Forecast};
use crate::crawl::history::CrawlRun;
use crate::crawl::identities::IdentityResult;
use crate::crawl::lease::{BETWEEN_ATTEMPTS, Coordinator, Who};
use crate::crawl::request::Start;
use crate::crawl::result::Outcome;
use crate::crawl::tell_identities::Wanted;
use crate::crawl::{
    CrawlRef, CrawlResult, CrawlView, Crawler, Decision, RangeProgress, local_forecast,
};
use crate::failure::{Failure, Kind};
use crate::traces::about;

/// How long a crawl of identities waits for another one of the connection to end.
const TURN: Duration = Duration::from_secs(5);

pub struct Activities {
    pub crawler: Crawler,
    /// Which Temporal this is: its cluster and namespace.
    pub temporal: String,
}

/// How long a claim that is kept in between waits for the store.
const KEEP: Duration = Duration::from_secs(20);
/// How long a hand-over waits for the store: the claim is forgotten by itself.
const REST: Duration = Duration::from_secs(10);

/// Failures in a row of an attempt that was replaced and has not heard of it yet.
const PATIENCE: u32 = 10;

#[activities]
impl Activities {
    async fn configured(
        &self,
        context: ActivityContext,
        input: ConfigureInput,
    ) -> Result<CrawlRef, ActivityError> {
        let ConfigureInput { request, by, upload_id, .. } = input;
        let (connection, mode) = (request.connection.clone(), request.mode);
        let traced = upload_id.clone();
        let expected = Expected { glean: &input.glean, digest: input.connection_digest.as_deref() };
        let configure = async {
            self.crawler.check_expected(&connection, expected).await?;
            let start = Start { request, upload_id, by, who: self.who(&context) };
            let plan = Box::pin(self.crawler.configure(start)).await?;
            let crawl = plan.travels();
            small(if input.ranges { crawl } else { crawl.listing(plan.scopes) })
        };
        let allowed = Allowed { attempts: input.attempts, policy: input.policy.as_ref() };
        let waiting = self.waits(&connection);
        let run = run(&context);
        let attempt = CrawlRun {
            connection: &connection,
            mode,
            run: &run,
            coordinator: Coordinator::Temporal,
        };
        let remember = async |failure: Failure| {
            if self.crawler.remember_failure(attempt, &failure).await {
                let (since, outcome) = (since(&context), Outcome::Failed.name());
                self.crawler.trace_whole(&connection, &traced, since, outcome).await;
            }
        };
        let crawl = Box::pin(counted(&context, allowed, configure, waiting, remember)).await?;
        tracing::info!(
            connection = connection.as_str(),
            datasource = crawl.datasource,
            connector = crawl.connector,
            digest = crawl.digest.short(),
            scopes = crawl.scopes.count(),
            "the datasource is configured"
        );
        Ok(crawl)
    }

    async fn indexed(
        &self,
        context: ActivityContext,
        input: ScopesInput,
    ) -> Result<RangeProgress, ActivityError> {
        let ScopesInput { crawl, scopes, scope, attempts, policy } = input;
        let tried = context.heartbeat_details().deserialize::<RangeProgress>();
        let attempts_before = tried.ok().flatten().unwrap_or_default().attempts;
        let attempt = context.info().attempt;
        tracing::info!(
            connection = crawl.connection.as_str(),
            scope,
            ?scopes,
            attempt,
            "crawling scopes"
        );
        let begin = RangeProgress {
            from: scopes.start,
            attempts: attempts_before,
            ..RangeProgress::default()
        };
        let (report, reports) = watch::channel(begin);
        let allowed = Allowed { attempts, policy: policy.as_ref() };
        let cancel = CancellationToken::new();
        let of_scope = |failure: &Failure| allowed.of(failure);
        let work = async {
            let range = match &scope {
                Some(scope) => self.crawler.number_of(&crawl, scope).await?,
                None => scopes.clone(),
            };
            self.crawler.crawl_range(&crawl, range, &of_scope, &report, &cancel).await
        };
        match Box::pin(heartbeating(&context, &reports, &cancel, work)).await? {
            // Whoever knows one scope only knows no other way to hear that it failed.
            Ok(RangeProgress { failure: Some(failure), .. }) if scope.is_some() => {
                self.rest(&crawl, None).await;
                self.remember(&context, &crawl, &failure).await;
                Err(failed(failure, true, None))
            }
            Ok(progress) => {
                tracing::info!(
                    connection = crawl.connection.as_str(),
                    ?scopes,
                    documents = progress.total.counts.documents,
                    failed = progress.failed,
                    "the scopes are crawled"
                );
                Ok(progress)
            }
            Err(Stopped::Crawl(failure)) if failure.kind == Kind::Interrupted => {
                let progress = report.borrow().clone();
                context.record_heartbeat(progress.clone()).await?;
                self.rest(&crawl, Some(BETWEEN_ATTEMPTS)).await;
                tracing::info!(connection = crawl.connection.as_str(), ?scopes, "handed over");
                Err(ActivityError::cancelled_with_details(progress))
            }
            Err(stopped) => {
                let progress = report.borrow().clone();
                Err(self.stopped(&context, &crawl, stopped, progress, allowed).await?)
            }
        }
    }

    #[activity(name = "configure_datasource")]
    pub async fn configure_datasource(
        self: Arc<Self>,
        context: ActivityContext,
        input: ConfigureInput,
    ) -> Result<CrawlRef, ActivityError> {
        let about = about(&input.request.connection, &input.upload_id);
        self.configured(context, input).instrument(about).await
    }

    #[activity(name = "execute_indexing")]
    pub async fn execute_indexing(
        self: Arc<Self>,
        context: ActivityContext,
        input: ScopesInput,
    ) -> Result<RangeProgress, ActivityError> {
        let about = about(&input.crawl.connection, &input.crawl.upload_id);
        Box::pin(self.indexed(context, input).instrument(about)).await
    }

    #[activity(name = "crawl_identities")]
    pub async fn crawl_identities(
        self: Arc<Self>,
        context: ActivityContext,
        input: IdentitiesInput,
    ) -> Result<Option<IdentityResult>, ActivityError> {
        let IdentitiesInput { connection, by, policy, glean, connection_digest, restart, beside } =
            input;
        let expected = Expected { glean: &glean, digest: connection_digest.as_deref() };
        // What is cancelled is dropped where it is.
        let cancel = CancellationToken::new();
        let run = run(&context);
        let progress = watch::Sender::new(None);
        let say = |now| progress.send_modify(|progress| *progress = Some(now));
        let crawl = async {
            self.crawler.check_expected(&connection, expected).await?;
            let (who, beside, say) = (self.who(&context), beside.as_ref(), &say);
            let (connection, by, run, cancel) = (&connection, &by, &run, &cancel);
            let wanted = Wanted { connection, who, by, run, restart, beside, cancel, say };
            loop {
                match self.crawler.crawl_identities(&wanted).await {
                    // The other one began earlier: what changed since may not be in it.
                    Err(failure) if failure.kind == Kind::Busy && beside.is_none() => {
                        tokio::time::sleep(TURN).await;
                    }
                    ended => {
                        if let (Err(_), Some(beside)) = (&ended, beside) {
                            // The crawl that waits is still one until the next attempt.
                            let claims = self.crawler.states.claims(connection);
                            claims.renew(&wanted.who, beside, BETWEEN_ATTEMPTS).await?;
                        }
                        return ended;
                    }
                }
            }
        };
        let allowed = Allowed { attempts: policy.attempts, policy: Some(&policy) };
        let waiting = |tried: &mut RangeProgress| {
            tried.total.live.wait(self.crawler.waiting(&connection));
            if let Some(progress) = *progress.borrow() {
                tried.identities = Some(progress);
            }
        };
        let remember = async |failure: Failure| {
            self.crawler.remember_failed_identities(&connection, &run, &failure).await;
        };
        let result = Box::pin(counted(&context, allowed, crawl, waiting, remember)).await?;
        if let Some(result) = &result {
            tracing::info!(
                connection = connection.as_str(),
                users = result.users,
                groups = result.groups,
                changed = result.counts.changed_groups,
                "users and groups: {}",
                result.outcome
            );
        }
        Ok(result)
    }

    #[activity(name = "forecast")]
    pub async fn forecast(
        self: Arc<Self>,
        context: ActivityContext,
        input: ForecastInput,
    ) -> Result<Forecast, ActivityError> {
        let ForecastInput { connection, by, policy, glean, connection_digest, restart } = input;
        let expected = Expected { glean: &glean, digest: connection_digest.as_deref() };
        let (cancel, who) = (CancellationToken::new(), self.who(&context));
        // Whoever asked for everything anew has it with the first attempt.
        let restart = restart && context.info().attempt <= 1;
        let asking = Asking { connection: &connection, who: &who, by: &by, restart };
        let (report, reports) = watch::channel(RangeProgress::default());
        let (view, mut views) = watch::channel(CrawlView::default());
        let forecast = async {
            self.crawler.check_expected(&connection, expected).await?;
            local_forecast::run(&self.crawler, asking, &view, &cancel).await
        };
        let mut forecast = std::pin::pin!(forecast);
        let watched = async {
            loop {
                tokio::select! {
                    ended = &mut forecast => return ended,
                    Ok(()) = views.changed() => {
                        let view = views.borrow_and_update();
                        let (total, identities) = (view.total.clone(), view.identities);
                        drop(view);
                        report.send_modify(|report| {
                            (report.total, report.identities) = (total, identities);
                        });
                    }
                }
            }
        };
        match Box::pin(heartbeating(&context, &reports, &cancel, watched)).await? {
            Ok(forecast) => Ok(forecast),
            Err(failure) if failure.kind == Kind::Interrupted => Err(ActivityError::cancelled()),
            // It tried again by itself, what can be.
            Err(failure) => {
                let last = !matches!(failure.kind, Kind::Busy | Kind::TakenOver);
                let pause = pause(&failure, 1, Some(&policy));
                tracing::warn!(connection = connection.as_str(), last, "{failure}");
                Err(failed(failure, last, pause))
            }
        }
    }

    #[activity(name = "decide_deletion")]
    pub async fn decide_deletion(
        self: Arc<Self>,
        context: ActivityContext,
        input: DecideInput,
    ) -> Result<Option<CrawlResult>, ActivityError> {
        let DecideInput { connection, upload_id, decision, attempts, policy } = input;
        let decide = async {
            match self.crawler.decide(&connection, &upload_id, decision).await? {
                Decided::Ended(result) => Ok(Some(*result)),
                // Nobody asked, and nothing waits any more.
                Decided::Overtaken(_) if decision == Decision::Expire => Ok(None),
                Decided::Overtaken(failure) => Err(failure),
            }
        };
        let allowed = Allowed { attempts, policy: policy.as_ref() };
        let waiting = self.waits(&connection);
        Box::pin(counted(&context, allowed, decide, waiting, async |_| {})).await
    }

    /// Others are kept from a crawl that rests; or are so no longer, because it was cancelled.
    #[activity(name = "keep_claim")]
    pub async fn keep_claim(
        self: Arc<Self>,
        context: ActivityContext,
        input: ClaimInput,
    ) -> Result<(), ActivityError> {
        let ClaimInput { crawl, lasts } = input;
        // What is later than the server waits for it would be about another time.
        let keep = async {
            match lasts {
                Some(lasts) => self.crawler.hold(&crawl, lasts).await,
                None => self.crawler.rest(&crawl, None).await,
            }
        };
        let kept = tokio::time::timeout(KEEP, keep).await;
        let kept = kept.unwrap_or_else(|_| Err(Failure::internal("the store does not answer")));
        if kept.is_ok() && lasts.is_none() {
            let since = since(&context);
            let whole =
                self.crawler.trace_whole(&crawl.connection, &crawl.upload_id, since, "cancelled");
            let _ = tokio::time::timeout(KEEP, whole).await;
        }
        kept.map_err(|failure| {
            tracing::warn!(
                connection = crawl.connection.as_str(),
                "its claim is not kept: {failure}"
            );
            failed(failure, false, None)
        })
    }

    #[activity(name = "complete_upload")]
    pub async fn complete_upload(
        self: Arc<Self>,
        context: ActivityContext,
        input: CompleteInput,
    ) -> Result<CrawlResult, ActivityError> {
        let about = about(&input.crawl.connection, &input.crawl.upload_id);
        self.completed(context, input).instrument(about).await
    }
}

impl Activities {
    async fn completed(
        &self,
        context: ActivityContext,
        input: CompleteInput,
    ) -> Result<CrawlResult, ActivityError> {
        let CompleteInput { crawl, seconds, attempts, policy } = input;
        let complete = self.crawler.complete(&crawl, seconds);
        let waiting = self.waits(&crawl.connection);
        let allowed = Allowed { attempts, policy: policy.as_ref() };
        let remember = async |failure: Failure| self.remember(&context, &crawl, &failure).await;
        let completed = Box::pin(counted(&context, allowed, complete, waiting, remember)).await?;
        let result = match completed {
            Completed::Ended(result) => *result,
            Completed::InVain(failure) => {
                self.remember(&context, &crawl, &failure).await;
                return Err(failed(failure, true, None));
            }
        };
        tracing::info!(
            connection = result.connection.as_str(),
            documents = result.documents,
            deleted = result.deleted,
            "the crawl ended {}",
            result.outcome
        );
        Ok(result)
    }

    /// The crawl's workflow, which keeps others of its connection out.
    fn who(&self, context: &ActivityContext) -> Who {
        Who::Workflow {
            temporal: self.temporal.clone(),
            workflow: context.info().workflow_id.clone().unwrap_or_default(),
        }
    }

    /// What a step waits for.
    fn waits(&self, connection: &str) -> impl Fn(&mut RangeProgress) {
        move |tried| tried.total.live.wait(self.crawler.waiting(connection))
    }

    /// What the server is told of a failure that ends an attempt: whether another follows, and when.
    async fn stopped(
        &self,
        context: &ActivityContext,
        crawl: &CrawlRef,
        stopped: Stopped,
        mut progress: RangeProgress,
        allowed: Allowed<'_>,
    ) -> Result<ActivityError, ActivityError> {
        match stopped {
            Stopped::Crawl(failure) => {
                // That one was too slow to hear that it is replaced says nothing of the source.
                let replaced = failure.kind == Kind::TakenOver;
                let attempts = allowed.of(&failure);
                let attempts = if replaced { attempts.max(PATIENCE) } else { attempts };
                let (failure, last) = progress.attempts.failed(failure, attempts);
                let failures = progress.attempts.failures;
                let again = !is_final(&failure, last);
                let pause = pause(&failure, failures, allowed.policy);
                let lease = BETWEEN_ATTEMPTS + pause.unwrap_or_default();
                self.rest(crawl, again.then_some(lease)).await;
                tracing::warn!(connection = crawl.connection.as_str(), failures, last, "{failure}");
                context.record_heartbeat(progress).await?;
                if !again {
                    self.remember(context, crawl, &failure).await;
                }
                Ok(failed(failure, last, pause))
            }
            // The journal counts these, for each scope.
            Stopped::Scope(failure) => {
                let pause = pause(&failure, progress.again, allowed.policy);
                self.rest(crawl, Some(BETWEEN_ATTEMPTS + pause.unwrap_or_default())).await;
                context.record_heartbeat(progress).await?;
                Ok(failed(failure, false, pause))
            }
        }
    }

    /// Another worker may take a while to take over: until then the crawl is still one.
    async fn rest(&self, crawl: &CrawlRef, pause: Option<Duration>) {
        match tokio::time::timeout(REST, self.crawler.rest(crawl, pause)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::debug!("{failure}"),
            Err(_) => tracing::debug!("the store does not answer"),
        }
    }

    /// Keeps that the crawl failed, for `sheaf status`.
    async fn remember(&self, context: &ActivityContext, crawl: &CrawlRef, failure: &Failure) {
        let run = run(context);
        let attempt = CrawlRun {
            connection: &crawl.connection,
            mode: crawl.mode,
            run: &run,
            coordinator: Coordinator::Temporal,
        };
        // Of one that was replaced the other tells.
        if self.crawler.remember_failure(attempt, failure).await && failure.kind != Kind::TakenOver
        {
            let (since, outcome) = (since(context), Outcome::Failed.name());
            self.crawler.trace_whole(&crawl.connection, &crawl.upload_id, since, outcome).await;
        }
    }
}

/// When the step was first asked for.
fn since(context: &ActivityContext) -> SystemTime {
    context.info().scheduled_time.unwrap_or_else(SystemTime::now)
}

/// The run of the crawl's workflow.
fn run(context: &ActivityContext) -> String {
    context.info().workflow_run_id.clone().unwrap_or_default()
}
