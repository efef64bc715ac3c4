//! What may be done from the page, by whoever has shown the token.

use std::time::Duration;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, COOKIE as COOKIES, HOST, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::page::{self, May};
use super::served::{Served, Shared};
use super::session::{COOKIE, LASTS_SECONDS, grant, is_granted, is_token};
use super::settings::Settings;
use crate::clock::Timestamp;
use crate::failure::{Failure, Kind, Result};
use crate::temporal::settings::Deployment;
use crate::temporal::{cancel, pause};

/// Whoever guesses is slow.
const AFTER_A_WRONG_TOKEN: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
pub(super) struct SignIn {
    token: String,
}

/// A wrong token costs time, and those who guess wait for each other.
async fn guessed() {
    static ONE: Mutex<()> = Mutex::const_new(());
    let _one = ONE.lock().await;
    tokio::time::sleep(AFTER_A_WRONG_TOKEN).await;
}

/// What the sender of a request may do.
pub(super) async fn may(settings: &Settings, headers: &HeaderMap) -> May {
    let Some(token) = &settings.token else { return May::Look };
    let Ok(token) = token.get().await else { return May::Look };
    let token = token.reveal();
    let bearer = header(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let is_shown = bearer.is_some_and(|shown| is_token(token.as_bytes(), shown.as_bytes()));
    if bearer.is_some() && !is_shown {
        guessed().await;
    }
    let is_known = is_shown
        || cookies(headers).any(|value| is_granted(token.as_bytes(), value, Timestamp::now()));
    if is_known { May::Act } else { May::SignIn }
}

pub(super) async fn sign_in(
    State(served): Shared,
    headers: HeaderMap,
    Form(SignIn { token: shown }): Form<SignIn>,
) -> Response {
    match signed_in(&served.settings, &headers, &shown).await {
        Ok(cookie) => ([(SET_COOKIE, cookie)], Redirect::to("/")).into_response(),
        Err(failure) => refused(&failure),
    }
}

async fn signed_in(settings: &Settings, headers: &HeaderMap, shown: &str) -> Result<String> {
    check_origin(headers)?;
    let token = settings.token.as_ref().ok_or_else(no_token)?.get().await?.reveal();
    if !is_token(token.as_bytes(), shown.trim().as_bytes()) {
        guessed().await;
        return Err(Failure::new(Kind::Denied, "that is not the token")
            .next("it is what `token` in [observe] of sheaf.toml names"));
    }
    let granted = grant(token.as_bytes(), Timestamp::now());
    let lasts = LASTS_SECONDS;
    Ok(format!("{COOKIE}={granted}; Max-Age={lasts}; Path=/; HttpOnly; SameSite=Strict"))
}

pub(super) async fn act(
    State(served): Shared,
    Path((connection, action)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match acted(&served, &headers, &connection, &action).await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(failure) => refused(&failure),
    }
}

async fn acted(served: &Served, headers: &HeaderMap, connection: &str, action: &str) -> Result<()> {
    check_origin(headers)?;
    match may(&served.settings, headers).await {
        May::Act => {}
        May::SignIn => {
            return Err(Failure::new(Kind::Denied, "who you are is not known any more")
                .next("go back, and sign in"));
        }
        May::Look => return Err(no_token()),
    }
    let observer = &served.observer;
    observer.crawler.connections.now().connection(connection)?;
    let glean = observer.crawler.client.server_url();
    let deployment = Deployment { settings: &observer.settings, glean };
    tracing::info!(connection, action, "asked for on the status page");
    let by = "the status page";
    match action {
        "pause" => pause::pause(&observer.client, deployment, connection, by).await?,
        "resume" => pause::resume(&observer.client, deployment, connection).await?,
        // The page shows when it has ended.
        "cancel" => drop(cancel::ask(&observer.client, deployment, connection).await?),
        _ => {
            return Err(Failure::settings(format!("a crawl cannot be asked to `{action}`"))
                .next("it can be asked to pause, resume or cancel"));
        }
    }
    observer.forget_live().await;
    Ok(())
}

fn no_token() -> Failure {
    Failure::new(Kind::Denied, "this page only shows")
        .next("name a `token` in [observe] of sheaf.toml: whoever has it may act")
}

/// Another site's form must not act for whoever has signed in here.
fn check_origin(headers: &HeaderMap) -> Result<()> {
    let Some(origin) = header(headers, &ORIGIN) else { return Ok(()) };
    let host = header(headers, &HOST).unwrap_or_default();
    match origin.split_once("://") {
        Some((_, from)) if from == host => Ok(()),
        _ => Err(Failure::new(Kind::Denied, "this was asked for by another site's page").next(
            "open the status page itself; a proxy before it has to hand on the host that was asked for",
        )),
    }
}

fn refused(failure: &Failure) -> Response {
    let status = match failure.kind {
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Settings => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    };
    (status, page::failed(failure)).into_response()
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(COOKIES).into_iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}
