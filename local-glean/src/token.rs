//! The token, where one is set: all that is asked for needs it, but for the empty search page, which asks
//! its reader for it.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::App;
use crate::answer::Refusal;

pub(crate) async fn needed(State(app): State<App>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|sent| sent.strip_prefix("Bearer "));
    let passes = match &app.token {
        Some(token) => sent == Some(token) || request.uri().path() == "/",
        None => true,
    };
    if passes {
        return next.run(request).await;
    }
    Refusal(StatusCode::UNAUTHORIZED, "the token is not valid".into()).into_response()
}
