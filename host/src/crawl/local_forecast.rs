//! A forecast from its beginning to its end, in this process or in an activity. A source that is away is tried again by
//! the policy; what was read before is not read again.

use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::blame::interrupted;
use super::crawler::Crawler;
use super::forecast::{Asking, Forecast};
use super::local::{Again, crawl_all_scopes};
use super::plan::Begun;
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
    let begin = Box::pin(aside.begin_forecast(crawler, asking));
    let begun = tokio::select! {
        begun = begin => begun?,
        () = cancel.cancelled() => return Err(interrupted()),
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

async fn read(
    crawler: &Crawler,
    aside: &Crawler,
    begun: &Begun,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<Forecast> {
    let plan = &begun.plan;
    let identities = tokio::select! {
        told = Box::pin(aside.foresee_identities(crawler, plan)) => told,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    let again = Again { crawler: aside, name: &plan.connection, view, cancel };
    Box::pin(crawl_all_scopes(&again, &plan.travels())).await?;
    let mut forecast = tokio::select! {
        forecast = Box::pin(aside.foretold(crawler, begun)) => forecast?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    forecast.with_identities(identities);
    Ok(forecast)
}
