//! Registries for the tests: real ones, and one of ours that keeps a list of what is attached and lies where a
//! test wants it to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Value, json};
use sheaf::connector::Digest;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Child;

use crate::root;
use crate::wait::until;

/// Whose. Neither has a list of what is attached.
#[derive(Clone, Copy, Debug)]
pub enum Maker {
    /// `docker-registry`, of distribution's generation 2.
    Debian,
    /// The current one.
    Distribution,
}

impl Maker {
    fn program(self) -> String {
        match self {
            Self::Debian => "docker-registry".to_owned(),
            Self::Distribution => {
                let mut find = std::process::Command::new(root().join("tools/distribution.sh"));
                let found = find.arg("find").output().expect("it runs");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
                assert!(found.status.success(), "{}", text(&found.stderr));
                text(&found.stdout)
            }
        }
    }
}

/// A registry as people run it.
pub struct Real {
    pub address: String,
    _process: Child,
    _folder: TempDir,
}

impl Real {
    pub async fn start(maker: Maker) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::new().expect("a folder");
        // A port that was free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let config = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\nlog:\n  level: error\n",
            folder.path().join("data").display()
        );
        let file = folder.path().join("config.yml");
        std::fs::write(&file, config).expect("written");
        let program = maker.program();
        let mut command = tokio::process::Command::new(&program);
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.kill_on_drop(true).spawn().unwrap_or_else(|error| {
            panic!("{program} is not there ({error}): install the package of that name; ./test does where it may")
        });
        let url = format!("http://{address}/v2/");
        until("the registry answers", async || reqwest::get(&url).await.is_ok()).await;
        Self { address, _process: process, _folder: folder }
    }
}

/// What a test answers in the registry's place; nothing where the registry answers itself.
pub type Lie = Arc<dyn Fn(&Asked) -> Option<Response> + Send + Sync>;

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub authorization: Option<String>,
}

#[derive(Default)]
struct Kept {
    /// By their digests.
    blobs: BTreeMap<String, Bytes>,
    /// By repository, and tag or digest.
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    asked: Vec<Asked>,
    lie: Option<Lie>,
    /// Whether it has no list of what is attached, as Debian's has none.
    is_plain: bool,
}

/// A registry in this process.
#[derive(Clone)]
pub struct Ours {
    pub address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

impl Ours {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let ours = Self { address, kept: Arc::default() };
        let app = axum::Router::new()
            .fallback(answer)
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(ours.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        ours
    }

    /// From now on it answers so.
    pub fn lie(&self, lie: impl Fn(&Asked) -> Option<Response> + Send + Sync + 'static) {
        self.with(|kept| kept.lie = Some(Arc::new(lie)));
    }

    pub fn be_honest(&self) {
        self.with(|kept| kept.lie = None);
    }

    /// From now on it keeps no list of what is attached.
    pub fn be_plain(&self) {
        self.with(|kept| kept.is_plain = true);
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.with(|kept| kept.asked.clone())
    }

    /// A manifest by a tag or digest.
    pub fn manifest(&self, repository: &str, name: &str) -> Bytes {
        let key = (repository.to_owned(), name.to_owned());
        self.with(|kept| kept.manifests.get(&key).expect("a manifest").1.clone())
    }

    pub fn put_manifest(&self, repository: &str, name: &str, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let read: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let kind = read["mediaType"].as_str().unwrap_or(MANIFEST).to_owned();
        self.with(|kept| {
            for name in [name.to_owned(), Digest::of(&bytes).to_string()] {
                kept.manifests.insert((repository.to_owned(), name), (kind.clone(), bytes.clone()));
            }
        });
    }

    pub fn put_blob(&self, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes).to_string();
        self.with(|kept| kept.blobs.insert(digest.clone(), bytes));
        digest
    }

    pub fn blob(&self, digest: &str) -> Bytes {
        self.with(|kept| kept.blobs.get(digest).expect("a blob").clone())
    }

    /// Attaches a bundle to a manifest.
    pub fn attach(&self, repository: &str, to: &str, bundle: &[u8]) {
        let kind = "application/vnd.dev.sigstore.bundle.v0.3+json";
        let of = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
        let (subject, empty) = (self.manifest(repository, to), b"{}");
        self.put_blob(bundle.to_vec());
        self.put_blob(empty.to_vec());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind,
            "config": of("application/vnd.oci.empty.v1+json", empty),
            "layers": [of(kind, bundle)], "subject": of(MANIFEST, &subject),
        });
        let bytes = manifest.to_string().into_bytes();
        self.put_manifest(repository, &Digest::of(&bytes).to_string(), bytes);
    }

    /// Takes away all that is attached to anything.
    pub fn detach(&self) {
        self.with(|kept| {
            kept.manifests.retain(|_, (_, bytes)| {
                let read: Value = serde_json::from_slice(bytes).unwrap_or_default();
                read["subject"].is_null()
            });
        });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An answer with a body.
pub fn says(status: StatusCode, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).expect("an answer")
}

async fn answer(
    State(ours): State<Ours>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    let authorization = authorization.map(str::to_owned);
    let asked = Asked { method: method.clone(), path: uri.path().to_owned(), authorization };
    let lie = ours.with(|kept| {
        kept.asked.push(asked.clone());
        kept.lie.clone()
    });
    if let Some(answer) = lie.and_then(|lie| lie(&asked)) {
        return answer;
    }
    let nothing = || says(StatusCode::NOT_FOUND, &[], "{}");
    let path = uri.path().strip_prefix("/v2/").unwrap_or_default().to_owned();
    for part in ["/manifests/", "/blobs/uploads/", "/blobs/", "/referrers/", "/tags/list"] {
        let Some((repository, name)) = path.split_once(part) else { continue };
        return match part {
            "/manifests/" => ours.manifests(&method, repository, name, body),
            "/blobs/uploads/" => ours.uploads(&method, &uri, repository, body),
            "/blobs/" => match ours.with(|kept| kept.blobs.get(name).cloned()) {
                Some(bytes) if method == Method::HEAD => {
                    says(StatusCode::OK, &[("content-length", &bytes.len().to_string())], "")
                }
                Some(bytes) => says(StatusCode::OK, &[], bytes),
                None => nothing(),
            },
            "/referrers/" => ours.referrers(repository, name),
            _ => ours.tags(repository),
        };
    }
    nothing()
}

impl Ours {
    fn manifests(&self, method: &Method, repository: &str, name: &str, body: Bytes) -> Response {
        if method == Method::PUT {
            let read: Value = serde_json::from_slice(&body).unwrap_or_default();
            let subject = read["subject"]["digest"].as_str().unwrap_or_default().to_owned();
            self.put_manifest(repository, name, body);
            let listed = [("oci-subject", subject.as_str())];
            let is_plain = subject.is_empty() || self.with(|kept| kept.is_plain);
            let listed = if is_plain { &[][..] } else { &listed[..] };
            return says(StatusCode::CREATED, listed, "");
        }
        let key = (repository.to_owned(), name.to_owned());
        match self.with(|kept| kept.manifests.get(&key).cloned()) {
            Some((kind, bytes)) => says(StatusCode::OK, &[("content-type", &kind)], bytes),
            None => says(StatusCode::NOT_FOUND, &[], "{}"),
        }
    }

    fn uploads(&self, method: &Method, uri: &Uri, repository: &str, body: Bytes) -> Response {
        if method == Method::POST {
            let to = format!("/v2/{repository}/blobs/uploads/one?state=x");
            return says(StatusCode::ACCEPTED, &[("location", &to)], "");
        }
        let wanted = uri.query().unwrap_or_default().replace("%3A", ":");
        let digest = self.put_blob(body);
        let is_right = wanted.contains(&format!("digest={digest}"));
        says(if is_right { StatusCode::CREATED } else { StatusCode::BAD_REQUEST }, &[], "")
    }

    fn referrers(&self, repository: &str, of: &str) -> Response {
        if self.with(|kept| kept.is_plain) {
            return says(StatusCode::NOT_FOUND, &[], "{}");
        }
        let manifests = self.with(|kept| {
            let ours = kept.manifests.iter().filter(|((place, name), (_, bytes))| {
                let read: Value = serde_json::from_slice(bytes).unwrap_or_default();
                place == repository && name.starts_with("sha256:") && read["subject"]["digest"] == of
            });
            let one = |((_, name), (kind, bytes)): (&(String, String), &(String, Bytes))| {
                json!({ "mediaType": kind, "digest": name, "size": bytes.len() })
            };
            ours.map(one).collect::<Vec<_>>()
        });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        says(StatusCode::OK, &[("content-type", INDEX)], index.to_string())
    }

    fn tags(&self, repository: &str) -> Response {
        let tags = self.with(|kept| {
            let ours = kept.manifests.keys().filter(|(place, _)| place == repository);
            ours.map(|(_, name)| name.clone())
                .filter(|name| !name.contains(':'))
                .collect::<Vec<_>>()
        });
        says(StatusCode::OK, &[], json!({ "name": repository, "tags": tags }).to_string())
    }
}
