//! What goes wrong, as status codes. Glean declares no shape for error bodies: ours are text.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

/// A refusal: a status and one sentence.
#[derive(Debug)]
pub(crate) struct Refusal(pub StatusCode, pub String);

pub(crate) type Answer<T = ()> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn bad(what: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, what.into())
    }

    pub(crate) fn conflict(what: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, what.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        tracing::debug!(status = self.0.as_u16(), "{}", self.1);
        (self.0, self.1).into_response()
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("the database failed: {error}"))
    }
}

/// Reads a request, refusing fields that the API does not have.
pub(crate) fn read<T: DeserializeOwned>(body: &Bytes) -> Answer<T> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the request cannot be read: {error}")))
}

/// Reads a request whose body may be left out.
pub(crate) fn read_or_default<T: DeserializeOwned + Default>(body: &Bytes) -> Answer<T> {
    if body.is_empty() || body.as_ref() == b"null" { Ok(T::default()) } else { read(body) }
}

/// Endpoints that Glean's `OpenAPI` text marks with a day of removal that has passed.
pub const REMOVED: [(&str, &str); 4] = [
    ("/bulkindexemployees", "2026-10-15"),
    ("/getdocumentcount", "2026-10-15"),
    ("/getdocumentstatus", "2026-10-15"),
    ("/getusercount", "2026-10-15"),
];

pub(crate) async fn unknown_endpoint(uri: axum::http::Uri) -> Refusal {
    let path = uri.path();
    if let Some((_, day)) = REMOVED.iter().find(|(removed, _)| *removed == path) {
        // Glean says nothing of what it answers then: the least that a server says.
        tracing::warn!("{path} was called, which Glean removed on {day}");
        return Refusal(StatusCode::NOT_FOUND, "Not Found".into());
    }
    Refusal(StatusCode::NOT_FOUND, format!("there is no endpoint {path}"))
}
