//! A bucket behind a proxy: a real S3 server, as far away as another data centre, that does on demand what stores do on
//! bad days.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Router, http};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::forward::carry_out;
use crate::servers::Server;
use crate::{Site, http};

/// How far away it is.
const LATENCY: Duration = Duration::from_millis(30);
/// How long a list takes that is slow.
const SLOW: Duration = Duration::from_millis(1_500);

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out, and the answer is 503.
    FailedAfter,
    /// It is not carried out, and the answer is 500.
    FailedBefore,
    /// It is carried out, and the connection ends without an answer.
    LostAnswer,
    /// A conditional put is not carried out, because another was under way: 409.
    Conflict,
    /// A conditional put is carried out, and sent again on its way, so that its answer is 412.
    SentTwice,
    SlowList,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::FailedAfter,
        Self::FailedBefore,
        Self::LostAnswer,
        Self::Conflict,
        Self::SentTwice,
        Self::SlowList,
    ];

    fn is_of(self, what: &What) -> bool {
        match self {
            Self::FailedAfter | Self::FailedBefore | Self::LostAnswer => true,
            Self::Conflict | Self::SentTwice => what.conditional,
            Self::SlowList => what.kind == Kind::List,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Put,
    Get,
    List,
    Delete,
    /// What makes one of several parts.
    Parts,
}

/// What was requested.
#[derive(Clone, Debug)]
pub struct What {
    pub kind: Kind,
    pub conditional: bool,
    pub path: String,
    pub bytes: usize,
}

impl What {
    fn of(method: &Method, uri: &http::Uri, headers: &HeaderMap, bytes: usize) -> Self {
        let query = uri.query().unwrap_or_default();
        let kind = match method.as_str() {
            "POST" if query.starts_with("delete") => Kind::Delete,
            "POST" => Kind::Parts,
            "PUT" => Kind::Put,
            "DELETE" => Kind::Delete,
            _ if query.contains("list-type") => Kind::List,
            _ => Kind::Get,
        };
        let conditional = kind == Kind::Put && headers.contains_key("if-none-match");
        Self { kind, conditional, path: uri.path().to_owned(), bytes }
    }
}

/// It ends when it is dropped.
pub struct Bucket {
    pub port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
    _server: Server,
}

struct Shared {
    behind: String,
    inner: Mutex<Inner>,
    /// One conditional put of each name at a time: the server looks first, and writes then.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Inner {
    requests: Vec<What>,
    /// What happens after so many more requests that it can happen to.
    fault: Option<(Fault, usize)>,
}

impl Bucket {
    /// Nothing, where the server can be neither found nor installed.
    pub async fn start() -> Option<Self> {
        let server = Server::start("moto.sh").await?;
        let behind = format!("http://127.0.0.1:{}", server.port);
        let created = http().put(format!("{behind}/sheaf")).send().await.expect("an answer");
        assert!(created.status().is_success(), "{created:?}");
        let (inner, turns) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { behind, inner, turns });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let routes = Router::new().fallback(pass).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves");
        });
        Some(Self { port, shared, serving, _server: server })
    }

    /// What the site's commands need to keep their state in a folder of it: the line for `sheaf.toml`.
    pub fn keeps(&self, site: &mut Site, folder: &str) -> String {
        for (name, value) in [
            ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", self.port).as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ] {
            site.environment.push((name.into(), value.into()));
        }
        format!("state_store = \"s3://sheaf/{folder}\"\n\n")
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.shared.inner.lock().expect("the proxy")
    }

    /// After so many more requests that it can happen to, this happens, once.
    pub fn arm(&self, fault: Fault, skip: usize) {
        self.inner().fault = Some((fault, skip));
    }

    /// Whether what was armed has happened.
    pub fn has_happened(&self) -> bool {
        self.inner().fault.is_none()
    }

    /// What was requested since it was asked last.
    pub fn requests(&self) -> Vec<What> {
        std::mem::take(&mut self.inner().requests)
    }

    /// To how many of these a fault can happen.
    pub fn places(fault: Fault, requests: &[What]) -> usize {
        requests.iter().filter(|what| fault.is_of(what)).count()
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    /// The fault that this request meets, if any.
    fn meet(&self, what: What) -> Option<Fault> {
        let mut inner = self.inner.lock().expect("the proxy");
        let met = match &mut inner.fault {
            Some((fault, 0)) if fault.is_of(&what) => Some(*fault),
            Some((fault, skip)) if fault.is_of(&what) => {
                *skip -= 1;
                None
            }
            _ => None,
        };
        if met.is_some() {
            inner.fault = None;
        }
        inner.requests.push(what);
        met
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let what = What::of(&parts.method, &parts.uri, &parts.headers, body.len());
    let turn = what.conditional.then(|| {
        let mut turns = shared.turns.lock().expect("the turns");
        turns.entry(what.path.clone()).or_default().clone()
    });
    tokio::time::sleep(LATENCY).await;
    let fault = shared.meet(what);
    match fault {
        Some(Fault::FailedBefore) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Some(Fault::Conflict) => {
            let said = "<Error><Code>ConditionalRequestConflict</Code></Error>";
            return (StatusCode::CONFLICT, said).into_response();
        }
        Some(Fault::SlowList) => tokio::time::sleep(SLOW).await,
        _ => {}
    }
    // It is carried out to its end, whether or not whoever asked for it is still there.
    let answer = tokio::spawn(async move {
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        carry_out(&shared.behind, parts.method, &parts.uri, &parts.headers, body).await
    });
    let answer = answer.await.expect("carried out");
    match fault {
        Some(Fault::FailedAfter) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Fault::SentTwice) => {
            let said = "<Error><Code>PreconditionFailed</Code></Error>";
            (StatusCode::PRECONDITION_FAILED, said).into_response()
        }
        // Without a word, as nothing here is wrong with this program.
        Some(Fault::LostAnswer) => resume_unwind(Box::new("the connection ends")),
        _ => answer,
    }
}
