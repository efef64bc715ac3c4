//! The search page: one file, and the JSON it asks for.

use axum::extract::{Query, State};
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::{App, documents, search};

const PAGE: &str = include_str!("page.html");

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/api/search", get(find))
        .route("/api/overview", get(overview))
        .route("/api/document", get(document))
        .route("/api/access", post(documents::explain_access))
}

async fn find(State(app): State<App>, Query(query): Query<search::Query>) -> Answer<Json<Value>> {
    app.store.with(move |database| search::search(database, &query)).await.map(Json)
}

async fn overview(State(app): State<App>) -> Answer<Json<Value>> {
    app.store.with(search::overview).await.map(Json)
}

#[derive(Deserialize)]
struct Asked {
    datasource: String,
    id: String,
}

async fn document(State(app): State<App>, Query(asked): Query<Asked>) -> Answer<Json<Value>> {
    app.store
        .with(move |database| search::document(database, &asked.datasource, &asked.id))
        .await
        .map(Json)
}
