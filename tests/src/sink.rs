//! A Glean for drills of very many documents: it keeps one bit of each, so that it costs the machine little.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use memchr::memmem::Finder;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Each document's id is this and its number.
const ID: &[u8] = b"\"id\":\"document-";

/// It ends when it is dropped.
pub struct Sink {
    pub url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    datasources: Mutex<HashMap<String, Bytes>>,
    seen: Mutex<Seen>,
    /// Something was uploaded.
    more: Notify,
}

#[derive(Default)]
struct Seen {
    /// A bit for each number.
    numbers: Vec<u64>,
    uploaded: u64,
    distinct: u64,
}

impl Seen {
    fn add(&mut self, number: usize) {
        let (word, bit) = (number / 64, 1 << (number % 64));
        if self.numbers.len() <= word {
            self.numbers.resize(word + 1, 0);
        }
        self.distinct += u64::from(self.numbers[word] & bit == 0);
        self.numbers[word] |= bit;
        self.uploaded += 1;
    }
}

impl Sink {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = Arc::default();
        let routes = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves");
        });
        Self { url, shared, serving }
    }

    /// How many documents there are, and how many were uploaded.
    pub fn documents(&self) -> (u64, u64) {
        let seen = self.shared.seen.lock().expect("the sink");
        (seen.distinct, seen.uploaded)
    }

    /// Waits until there are so many.
    pub async fn has(&self, documents: u64) {
        while self.documents().0 < documents {
            self.shared.more.notified().await;
        }
    }

    /// As if nothing had been uploaded.
    pub fn forget(&self) {
        *self.shared.seen.lock().expect("the sink") = Seen::default();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, body: Bytes) -> Response {
    let what = uri.path().rsplit('/').next().unwrap_or_default();
    match what {
        "adddatasource" => {
            let told: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let name = told["name"].as_str().expect("a name").to_owned();
            shared.datasources.lock().expect("the sink").insert(name, body);
            "{}".into_response()
        }
        "getdatasourceconfig" => {
            let asked: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let name = asked["datasource"].as_str().expect("a name");
            match shared.datasources.lock().expect("the sink").get(name) {
                Some(told) => told.clone().into_response(),
                None => (StatusCode::BAD_REQUEST, "no such datasource").into_response(),
            }
        }
        "bulkindexdocuments" => {
            let numbers: Vec<usize> = Finder::new(ID)
                .find_iter(&body)
                .map(|at| {
                    let digits = body[at + ID.len()..].iter().take_while(|byte| **byte != b'"');
                    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
                })
                .collect();
            for number in numbers {
                shared.seen.lock().expect("the sink").add(number);
            }
            // Who comes to wait a moment later is told, too.
            shared.more.notify_one();
            "{}".into_response()
        }
        "status" => r#"{"documents":{}}"#.into_response(),
        _ => "{}".into_response(),
    }
}
