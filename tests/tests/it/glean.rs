//! What the local Glean does, over HTTP: the strictest reading of what Glean documents, and its drills.

use serde_json::{Value, json};
use sheaf_local_glean::{Counts, Fault, LocalGlean, Options};
use sheaf_tests::http;
use sheaf_tests::wait::until;

/// A local Glean with the datasource `docs`.
struct Glean {
    glean: LocalGlean,
}

impl Glean {
    async fn start() -> Self {
        let glean = LocalGlean::start(Options::default()).await.expect("a local Glean");
        let glean = Self { glean };
        let config = json!({
            "name": "docs", "datasourceCategory": "KNOWLEDGE_HUB",
            "urlRegex": "https://docs\\.example\\.com/.*",
        });
        glean.post("/adddatasource", &config).await;
        glean
    }

    fn request(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let post = http().post(format!("{}{path}", self.glean.url()));
        post.header("content-type", "application/json").body(body.to_string())
    }

    async fn answer(&self, path: &str, body: &Value) -> (u16, String) {
        let path = format!("/api/index/v1{path}");
        let answer = self.request(&path, body).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// A request that passes.
    async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.answer(path, body).await;
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn drill(&self, order: &Value) -> Value {
        let answer = self.request("/drill", order).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    /// Sends a request that a drill holds, and goes away without its answer.
    async fn give_up(&self, path: &str, body: &Value) {
        let path = format!("/api/index/v1{path}");
        let is_held = until("it is held", async || self.glean.drill().held() > 0);
        tokio::select! {
            _ = self.request(&path, body).send() => panic!("the request was not held"),
            () = is_held => {}
        }
    }

    async fn page(&self, upload: &str, ids: &[&str], flags: &Value) {
        self.post("/bulkindexdocuments", &page(upload, ids, flags)).await;
    }

    async fn full(&self, upload: &str, ids: &[&str]) {
        self.page(upload, ids, &json!({ "isFirstPage": true, "isLastPage": true })).await;
    }

    async fn ids(&self) -> Vec<String> {
        let documents = self.glean.documents("docs").await.expect("documents");
        documents.into_iter().map(|(id, _)| id).collect()
    }

    async fn status(&self) -> Value {
        self.post("/debug/docs/status", &json!({})).await
    }

    /// The documents that the status counts, and the state of the newest upload.
    async fn counted(&self) -> (i64, String) {
        let status = self.status().await;
        let counts = status["documents"]["counts"]["uploaded"].as_array().expect("counts").iter();
        let state = &status["documents"]["bulkUploadHistory"][0]["processingState"];
        (
            counts.filter_map(|entry| entry["count"].as_i64()).sum(),
            state.as_str().unwrap_or_default().to_owned(),
        )
    }
}

fn document(id: &str) -> Value {
    json!({
        "datasource": "docs", "objectType": "Page", "id": id, "title": id,
        "viewURL": format!("https://docs.example.com/{id}"),
        "permissions": { "allowAnonymousAccess": true },
    })
}

fn documents(ids: &[&str]) -> Value {
    ids.iter().map(|id| document(id)).collect()
}

fn page(upload: &str, ids: &[&str], flags: &Value) -> Value {
    let mut page = json!({ "uploadId": upload, "datasource": "docs", "documents": documents(ids) });
    for (flag, value) in flags.as_object().expect("flags") {
        page[flag] = value.clone();
    }
    page
}

/// What a browser sends for a page: its name, its origin, and a body that it does not ask about first.
struct Sent {
    host: &'static str,
    origin: Option<&'static str>,
    kind: &'static str,
}

#[tokio::test]
async fn a_page_of_another_origin_deletes_no_document() {
    let glean = Glean::start().await;
    glean.full("a", &["one"]).await;
    let body = json!({ "datasource": "docs", "objectType": "Page", "id": "one" });
    let (evil, json) = (Some("https://evil.example.com"), "application/json");
    for (sent, status) in [
        (Sent { host: "rebound.example.com", origin: None, kind: json }, 421),
        (Sent { host: "127.0.0.1", origin: evil, kind: json }, 403),
        (Sent { host: "127.0.0.1", origin: None, kind: "text/plain" }, 415),
    ] {
        let url = glean.glean.url();
        let port = url.rsplit_once(':').expect("a port").1;
        let post = http().post(format!("{url}/api/index/v1/deletedocument"));
        let post = post.header("host", format!("{}:{port}", sent.host));
        let post = match sent.origin {
            Some(origin) => post.header("origin", origin),
            None => post,
        };
        let post = post.header("content-type", sent.kind).body(body.to_string());
        let answer = post.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{}", sent.host);
        assert_eq!(glean.ids().await, ["one"]);
    }
    glean.post("/deletedocument", &body).await;
    assert!(glean.ids().await.is_empty(), "its own users may");
}

#[tokio::test]
async fn where_a_token_is_set_all_but_the_empty_page_needs_it() {
    let options = Options { token: Some("right".into()), ..Options::default() };
    let glean = LocalGlean::start(options).await.expect("a local Glean");
    let http = http();
    for (path, open) in [
        ("/", true),
        ("/api/search?q=x", false),
        ("/api/overview", false),
        ("/api/document?datasource=docs&id=one", false),
        ("/drill", false),
        ("/api/index/v1/debug/docs/status", false),
    ] {
        let get = http.get(format!("{}{path}", glean.url()));
        let answer = get.try_clone().expect("no body").send().await.expect("an answer");
        assert_eq!(answer.status() == 401, !open, "{path}: {}", answer.status());
        let answer = get.bearer_auth("right").send().await.expect("an answer");
        assert_ne!(answer.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn counts_stand_still_or_lag_when_they_are_told_to() {
    let glean = Glean::start().await;
    glean.full("one", &["a", "b"]).await;
    assert_eq!(glean.counted().await.0, 2);
    glean.drill(&json!({ "counts": "frozen" })).await;
    glean.full("two", &["a", "b", "c"]).await;
    assert_eq!(glean.counted().await.0, 2);
    assert_eq!(glean.counted().await.0, 2);
    glean.drill(&json!({ "counts": "live" })).await;
    assert_eq!(glean.counted().await.0, 3);
    glean.glean.set_counts(Counts::Lagging(3)).await.expect("set");
    glean.full("three", &["a", "b", "c", "d"]).await;
    assert_eq!(glean.counted().await.0, 3);
    assert_eq!(glean.counted().await.0, 3);
    assert_eq!(glean.counted().await.0, 4);
}

#[tokio::test]
async fn a_deletion_is_paused_only_after_the_status_was_read_so_often() {
    let glean = Glean::start().await;
    glean.full("one", &["a", "b", "c", "d"]).await;
    glean.drill(&json!({ "staleCheckAfterReads": 2 })).await;
    glean.full("two", &["a"]).await;
    for _ in 0..2 {
        assert_eq!(glean.counted().await, (4, "UPLOAD COMPLETED".to_owned()));
    }
    assert_eq!(glean.counted().await, (4, "DELETION PAUSED".to_owned()));
    assert_eq!(glean.ids().await, ["a", "b", "c", "d"]);

    // What may be deleted is deleted as late.
    let flags = json!({
        "isFirstPage": true, "isLastPage": true, "disableStaleDocumentDeletionCheck": true,
    });
    glean.page("three", &["a"], &flags).await;
    assert_eq!(glean.ids().await, ["a", "b", "c", "d"]);
    for _ in 0..2 {
        assert_eq!(glean.counted().await, (4, "UPLOAD COMPLETED".to_owned()));
    }
    assert_eq!(glean.ids().await, ["a"]);
    assert_eq!(glean.counted().await, (1, "INDEXING COMPLETED".to_owned()));
}

#[tokio::test]
async fn what_comes_beside_an_open_session_is_no_part_of_it() {
    let glean = Glean::start().await;
    glean.full("one", &["a", "b", "c"]).await;
    glean.page("two", &["a"], &json!({ "isFirstPage": true })).await;
    // New, changed before the session brings it, changed after, and changed without being brought.
    let beside = json!({ "datasource": "docs", "documents": documents(&["new", "d", "a", "b"]) });
    glean.post("/indexdocuments", &beside).await;
    glean.post("/indexdocument", &json!({ "document": document("alone") })).await;
    assert_eq!(glean.ids().await, ["a", "alone", "b", "c", "d", "new"]);
    let flags = json!({ "isLastPage": true, "disableStaleDocumentDeletionCheck": true });
    glean.page("two", &["c", "d"], &flags).await;
    assert_eq!(glean.ids().await, ["a", "c", "d"]);

    // What comes after its end stays, also where the check comes later.
    glean.glean.drill().check_stale_after_reads(1);
    glean.full("three", &["a", "c", "d"]).await;
    let after = json!({ "datasource": "docs", "documents": documents(&["after"]) });
    glean.post("/indexdocuments", &after).await;
    glean.status().await;
    assert_eq!(glean.ids().await, ["a", "after", "c", "d"]);
}

#[tokio::test]
async fn users_that_come_beside_an_open_session_are_no_part_of_it() {
    let glean = Glean::start().await;
    let user = |name: &str| json!({ "email": format!("{name}@example.com"), "name": name });
    let page = |flag: &str, names: &[&str]| {
        let users: Value = names.iter().map(|name| user(name)).collect();
        json!({ "uploadId": "one", "datasource": "docs", "users": users, flag: true })
    };
    glean.post("/bulkindexusers", &page("isFirstPage", &["ann", "bob", "cas", "dan"])).await;
    glean.post("/indexuser", &json!({ "datasource": "docs", "user": user("eve") })).await;
    glean.post("/indexuser", &json!({ "datasource": "docs", "user": user("ann") })).await;
    glean.post("/bulkindexusers", &page("isLastPage", &[])).await;
    let state = async |name: &str| {
        let asked = json!({ "email": format!("{name}@example.com") });
        glean.post("/debug/docs/user", &asked).await["status"]["uploadStatus"].clone()
    };
    assert_eq!(
        (state("ann").await, state("eve").await),
        (json!("UPLOADED"), json!("NOT_UPLOADED"))
    );
}

#[tokio::test]
async fn a_request_that_timed_out_is_carried_out_later() {
    let glean = Glean::start().await;
    glean.full("one", &["a"]).await;
    let path = "/bulkindexdocuments".to_owned();
    glean.drill(&json!({ "path": path, "hold": 2 })).await;
    let flags = json!({ "isFirstPage": true, "forceRestartUpload": true });
    let first = page("two", &["b"], &flags);
    glean.give_up(&path, &first).await;
    assert_eq!(glean.ids().await, ["a"]);
    // Sent again; the copy that is late restarts the upload after the page that follows.
    glean.post(&path, &first).await;
    glean.page("two", &["a"], &json!({})).await;
    let status = glean.status().await;
    let history = status["documents"]["bulkUploadHistory"].as_array().expect("a list");
    assert_eq!(history[0]["processingState"], "UPLOAD STARTED");
    assert_eq!(history[0]["uploadId"], "two");
    // Thus the page before it is lost at the end.
    let flags = json!({ "isLastPage": true, "disableStaleDocumentDeletionCheck": true });
    glean.page("two", &["c"], &flags).await;
    assert_eq!(glean.ids().await, ["b", "c"]);
}

#[tokio::test]
async fn a_request_is_held_until_it_is_released() {
    let glean = Glean::start().await;
    let path = "/indexdocuments".to_owned();
    let held = Fault { path: path.clone(), times: 1, hold: Some(0), ..Fault::default() };
    glean.glean.drill().add(held);
    let body = json!({ "datasource": "docs", "documents": documents(&["a"]) });
    glean.give_up(&path, &body).await;
    glean.full("one", &["b"]).await;
    assert_eq!(glean.ids().await, ["b"]);
    assert_eq!(glean.drill(&json!({ "release": true })).await["released"], 1);
    assert_eq!(glean.ids().await, ["a", "b"]);
    assert_eq!(glean.drill(&json!({ "release": true })).await["released"], 0);
}
