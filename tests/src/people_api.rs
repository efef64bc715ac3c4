//! An API of a source with users and groups, and the connection that reads it: for the connector for any JSON API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::temporal::QUICK;

/// An API that answers to each path and query as the test says.
#[derive(Clone, Default)]
pub struct Api(pub Arc<Mutex<Answers>>);

#[derive(Default)]
pub struct Answers {
    pub by_path: BTreeMap<String, (u16, Value)>,
    pub requests: Vec<String>,
    /// Which of the next requests fails, counted from 0.
    pub fails: Option<usize>,
    /// Which of the next requests is never answered, counted from 0.
    pub holds: Option<usize>,
    /// The path of which the next request is one too many.
    pub limited: Option<String>,
}

impl Api {
    pub async fn start() -> (Self, String) {
        let api = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
        let routes = axum::Router::new().fallback(Self::answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        (api, url)
    }

    async fn answer(State(api): State<Self>, uri: Uri) -> Response {
        match api.next(&uri) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    /// Nothing for a request that is held.
    fn next(&self, uri: &Uri) -> Option<Response> {
        let mut answers = self.0.lock().expect("answers");
        let asked = uri.path_and_query().expect("a path").to_string();
        answers.requests.push(asked.clone());
        if answers.holds == Some(answers.requests.len() - 1) {
            return None;
        }
        if answers.fails == Some(answers.requests.len() - 1) {
            let not_now = (StatusCode::INTERNAL_SERVER_ERROR, Json(json!("not now")));
            return Some(not_now.into_response());
        }
        if answers.limited.take_if(|path| *path == asked).is_some() {
            let slowly = (StatusCode::FORBIDDEN, [("retry-after", "1")], Json(json!("slowly")));
            return Some(slowly.into_response());
        }
        let (status, answer) =
            answers.by_path.get(&asked).cloned().unwrap_or((404, json!("nothing here")));
        Some((StatusCode::from_u16(status).expect("a status"), Json(answer)).into_response())
    }

    pub fn says(&self, path: &str, answer: Value) {
        self.answers(path, 200, answer);
    }

    pub fn answers(&self, path: &str, status: u16, answer: Value) {
        self.0.lock().expect("answers").by_path.insert(path.into(), (status, answer));
    }

    /// A list on several pages, each of which names the next.
    pub fn lists(&self, path: &str, pages: &[Vec<Value>]) {
        let at = |page: usize| match page {
            0 => format!("/{path}"),
            page => format!("/{path}?from=page-{page}"),
        };
        for (number, items) in pages.iter().enumerate() {
            let next = (number + 1 < pages.len()).then(|| at(number + 1));
            self.says(&at(number), json!({ "items": items, "next": next }));
        }
    }

    /// The requests since this was asked last. One of the next fails.
    pub fn requests(&self, fails: Option<usize>) -> Vec<String> {
        let mut answers = self.0.lock().expect("answers");
        answers.fails = fails;
        std::mem::take(&mut answers.requests)
    }
}

/// A connection `people`, with a document for each group.
pub fn people(url: &str, groups: &[&str], identities: &str) -> String {
    let items: Vec<_> = groups.iter().map(|group| format!("\"{group}\"")).collect();
    format!(
        r#"{QUICK}[connections.people]
connector = "rest"
datasource = "people"
[connections.people.grants]
hosts = ["{url}"]
[connections.people.limits]
host_requests_per_second = 1000.0
[connections.people.settings]
base_url = "{url}"
[[connections.people.settings.endpoints]]
name = "documents"
path = "documents"
items = '`[{items}]`'
access = {{ groups = ["{{@}}"] }}
document = {{ id = "{{@}}", url = "{url}/of/{{@}}" }}
{identities}"#,
        items = items.join(", ")
    )
}

pub const USERS: &str = r#"
[[connections.people.settings.identities]]
name = "users"
path = "users"
items = "items"
paging = { kind = "next-url", value = "next" }
user = { email = "{email}", id = "{id}", name = "{name}", active = "!gone" }
"#;

pub const GROUPS: &str = r#"
[[connections.people.settings.identities]]
name = "groups"
path = "groups"
items = "items"

[connections.people.settings.identities.group]
name = "{slug}"

[connections.people.settings.identities.group.members]
path = "groups/{slug}/members"
items = "items"
paging = { kind = "next-url", value = "next" }
users = ["{email}"]
user_ids = ["{[@][?type == 'user'].id}"]
groups = ["{[@][?type == 'group'].slug}"]
"#;

pub fn user(name: &str, id: u32) -> Value {
    json!({ "type": "user", "email": format!("{name}@x.com"), "id": id, "name": name })
}

pub fn by_id(id: u32) -> Value {
    json!({ "type": "user", "id": id })
}
