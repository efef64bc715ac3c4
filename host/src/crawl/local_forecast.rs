//! A forecast from its beginning to its end, in this process or in an activity. A source that is away is tried again by
//! the policy; what was read before is not read again.

use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::blame::interrupted;
use super::crawler::Crawler;
use super::forecast::{Asking, Forecast};
use super::local::{Again, crawl_all_scopes};
use super::plan::Plan;
use super::view::CrawlView;
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
    let plan = tokio::select! {
        plan = begin => plan?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    let claims = aside.states.claims(&plan.connection);
    let read = tokio::select! {
        read = Box::pin(read(crawler, &aside, &plan, view, cancel)) => read,
        failure = claims.renew_until_it_fails(asking.who, &plan.upload_id) => Err(failure),
    };
    match read {
        Ok(mut forecast) => {
            forecast.seconds = (started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
            aside.end_forecast(&plan, asking.who).await?;
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
    plan: &Plan,
    view: &watch::Sender<CrawlView>,
    cancel: &CancellationToken,
) -> Result<Forecast> {
    let identities = tokio::select! {
        told = Box::pin(aside.foresee_identities(crawler, plan)) => told,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    let again = Again { crawler: aside, name: &plan.connection, view, cancel };
    Box::pin(crawl_all_scopes(&again, &plan.travels())).await?;
    let mut forecast = tokio::select! {
        forecast = Box::pin(aside.foretold(crawler, plan)) => forecast?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    forecast.with_identities(identities);
    Ok(forecast)
}
