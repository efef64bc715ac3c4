//! A forecast from its beginning to its end, in this process or in an activity. A source that is away is tried again by
//! the policy; what was read before is not read again.

use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::blame::interrupted;
use super::crawler::Crawler;
use super::forecast::{Asking, Forecast};
use super::identities::IdentityResult;
use super::local::{Again, crawl_all_scopes};
use super::plan::{Begun, Plan};
use super::progress::Attempts;
use super::view::CrawlView;
use crate::clock::to_milliseconds;
use crate::failure::Result;

pub async fn run(
    crawler: &Crawler,
    asking: Asking<'_>,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<Forecast> {
    let aside = crawler.aside();
    let started = Instant::now();
    let again = Again { crawler: &aside, name: asking.connection, view, cancel };
    let mut attempts = Attempts::default();
    let begun = loop {
        let begin = Box::pin(aside.begin_forecast(crawler, asking));
        let begun = tokio::select! {
            begun = begin => begun,
            () = cancel.cancelled() => return Err(interrupted()),
        };
        match begun {
            Ok(begun) => break begun,
            Err(failure) => {
                let (failure, pause) = again.borne(failure, &mut attempts)?;
                again.wait(&failure, pause).await?;
            }
        }
    };
    let plan = &begun.plan;
    let claims = aside.states.claims(&plan.connection);
    let read = tokio::select! {
        read = Box::pin(read(crawler, &aside, &begun, view, cancel)) => read,
        failure = claims.renew_until_it_fails(asking.who, &plan.upload_id) => Err(failure),
    };
    match read {
        Ok(mut forecast) => {
            forecast.seconds = to_milliseconds(started.elapsed().as_secs_f64());
            aside.end_forecast(plan, asking.who).await?;
            Ok(forecast)
        }
        Err(failure) => {
            aside.rest(&plan.travels(), None).await?;
            Err(failure)
        }
    }
}

/// What users and groups would come to. What fails there for good fails nothing else.
async fn identities(
    crawler: &Crawler,
    plan: &Plan,
    again: &Again<'_>,
) -> Result<Result<Option<IdentityResult>>> {
    let Again { crawler: aside, view, cancel, .. } = *again;
    let say = |progress| {
        view.send_modify(|view| {
            view.connection = plan.connection.clone();
            view.identities = Some(progress);
        });
    };
    let mut attempts = Attempts::default();
    loop {
        let told = tokio::select! {
            told = Box::pin(aside.foresee_identities(crawler, plan, &say)) => told,
            () = cancel.cancelled() => return Err(interrupted()),
        };
        view.send_modify(|view| view.identities = None);
        match told.map_err(|failure| again.borne(failure, &mut attempts)) {
            Ok(told) => return Ok(Ok(told)),
            Err(Err(failure)) => return Ok(Err(failure)),
            // What was read is kept.
            Err(Ok((failure, pause))) => again.wait(&failure, pause).await?,
        }
    }
}

async fn read(
    crawler: &Crawler,
    aside: &Crawler,
    begun: &Begun,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<Forecast> {
    let plan = &begun.plan;
    let again = Again { crawler: aside, name: &plan.connection, view, cancel };
    let identities = identities(crawler, plan, &again).await?;
    Box::pin(crawl_all_scopes(&again, &plan.travels())).await?;
    let mut forecast = tokio::select! {
        forecast = Box::pin(aside.foretold(crawler, begun)) => forecast?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    forecast.with_identities(identities);
    Ok(forecast)
}
