//! The connector for any JSON API, against real servers (a `MediaWiki` and a Roundup, by the configurations
//! in `examples/`), and against lists that change while they are read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use serde_json::{Value, json};
use sheaf_tests::Site;
use sheaf_tests::servers::Server;

async fn sync(site: &Site, connection: &str, arguments: &[&str]) -> Value {
    let ended = site.sheaf(&[&["sync", connection, "--local", "--json"], arguments].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()["result"].clone()
}

/// What Glean has, by id.
async fn documents(site: &Site, datasource: &str) -> BTreeMap<String, Value> {
    let documents = site.glean.documents(datasource).await.expect("documents").into_iter();
    documents.map(|(id, text)| (id, serde_json::from_str(&text).expect("JSON"))).collect()
}

async fn document(site: &Site, datasource: &str, id: &str) -> Value {
    documents(site, datasource).await.remove(id).unwrap_or_else(|| panic!("no document {id}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_mediawiki_is_crawled_with_its_changes_and_its_restricted_pages() {
    let Some(server) = Server::start("mediawiki.sh").await else { return };
    let toml = server.connections("rest_mediawiki", "127.0.0.1:8088");
    // So few categories in one answer that pages come in parts.
    let toml = toml.replace("cllimit = \"max\"", "cllimit = \"10\"");
    assert_eq!(toml.matches("cllimit = \"10\"").count(), 2);
    let site = Site::new(&format!(
        "{toml}\n[connections.wiki.limits]\nhost_requests_per_second = 1000.0\n"
    ))
    .await
    .connector("sheaf_rest");
    let checked = site.sheaf(&["check", "wiki"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    let result = sync(&site, "wiki", &[]).await;
    // 112 articles, of which one is a redirect.
    assert_eq!(result["documents"], 111, "{result}");
    assert_eq!(result["quarantined"], 0, "{result}");
    let pages = documents(&site, "wiki").await;
    let text = |page: &Value| page["title"].as_str().unwrap_or_default().to_owned();
    let titles: BTreeSet<_> = pages.values().map(text).collect();
    assert!(titles.contains("Überblick – 東京オフィス"), "{titles:?}");
    let groups = |page: &Value| page["permissions"]["allowedGroups"].clone();
    let restricted = pages.values().filter(|page| groups(page) == serde_json::json!(["staff"]));
    assert_eq!(restricted.count(), 5);
    let open = pages.values().find(|page| text(page) == "C++/Coding style v1.2").expect("there");
    assert_eq!(open["permissions"]["allowAnonymousAccess"], true, "{open:?}");
    assert!(open["body"]["textContent"].as_str().unwrap_or_default().contains("<p>"), "{open:?}");

    server.change("mediawiki-change.sh").await;
    let result = sync(&site, "wiki", &["--incremental"]).await;
    assert_eq!(result["mode"], "incremental", "{result}");
    let after: BTreeSet<_> = site.ids("wiki").await.into_iter().collect();
    assert!(!after.contains("4"), "a page that was deleted");
    assert!(after.contains("122") && after.contains("123"), "{after:?}");
    assert_eq!(document(&site, "wiki", "10").await["title"], "Travel guide nine");
    let restricted = documents(&site, "wiki").await;
    let restricted =
        restricted.values().filter(|page| groups(page) == serde_json::json!(["staff"]));
    assert_eq!(restricted.count(), 5, "one became open, and a new one is restricted");
    // A full crawl finds the same.
    sync(&site, "wiki", &[]).await;
    assert_eq!(site.ids("wiki").await.into_iter().collect::<BTreeSet<_>>(), after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_issue_tracker_is_crawled_with_its_changes_and_its_private_issues() {
    let Some(server) = Server::start("roundup.sh").await else { return };
    let toml = server.connections("rest_roundup", "127.0.0.1:8089");
    let mut site = Site::new(&format!(
        "{toml}\n[connections.issues.limits]\nhost_requests_per_second = 1000.0\n"
    ))
    .await
    .connector("sheaf_rest");
    site.environment.push(("ROUNDUP_PASSWORD".into(), "not-a-secret-crawler".into()));
    let result = sync(&site, "issues", &[]).await;
    assert_eq!(result["documents"], 148, "{result}");
    let private = document(&site, "issues", "10").await;
    let roles = json!(["Staff", "Crawler", "Admin"]);
    assert_eq!(private["permissions"]["allowedGroups"], roles, "{private}");
    assert!(private["permissions"]["allowedUsers"][0]["email"].is_string(), "{private}");
    let open = document(&site, "issues", "9").await;
    assert_eq!(open["permissions"]["allowAnonymousAccess"], true);
    assert!(open["body"]["textContent"].as_str().unwrap_or_default().len() > 100_000);
    assert!(open["createdAt"].is_i64(), "{open}");

    server.change("roundup-change.sh").await;
    let result = sync(&site, "issues", &["--incremental"]).await;
    assert_eq!(result["mode"], "incremental", "{result}");
    assert_eq!(
        site.ids("issues").await.len(),
        150,
        "two are new, and a retired one is still there"
    );
    let became = document(&site, "issues", "3").await;
    assert_eq!(became["permissions"]["allowedGroups"], roles);
    sync(&site, "issues", &[]).await;
    assert_eq!(site.ids("issues").await.len(), 149, "a full crawl notices what was retired");

    // A wrong password is told as what it is.
    site.environment.clear();
    site.environment.push(("ROUNDUP_PASSWORD".into(), "not-the-password".into()));
    let ended = site.sheaf(&["sync", "issues", "--local"]).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("wants another credential"), "{ended:?}");
    site.environment.clear();
    let ended = site.sheaf(&["sync", "issues", "--local"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("ROUNDUP_PASSWORD is not set"), "{ended:?}");
}

/// An API that lists rows by 50 a page, whose rows go while somebody reads.
#[derive(Clone)]
struct Rows(Arc<Mutex<Listed>>);

struct Listed {
    rows: Vec<u32>,
    /// So many of the first rows go with each of the next requests but the first.
    goes: Vec<usize>,
    requests: Vec<String>,
}

impl Rows {
    async fn start() -> (Self, String) {
        let listed = Listed { rows: (1..=300).collect(), goes: Vec::new(), requests: Vec::new() };
        let rows = Self(Arc::new(Mutex::new(listed)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
        let routes = axum::Router::new().route("/rows", get(Self::page)).with_state(rows.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        (rows, url)
    }

    // A handler is async.
    #[allow(clippy::unused_async)]
    async fn page(
        State(Self(listed)): State<Self>,
        Query(query): Query<BTreeMap<String, String>>,
    ) -> Json<Value> {
        let mut listed = listed.lock().expect("rows");
        let page: usize = query.get("page").map_or(1, |page| page.parse().expect("a number"));
        listed.requests.push(page.to_string());
        let of_page = listed.rows.chunks(50).nth(page - 1).unwrap_or_default();
        let items: Vec<_> = of_page.iter().map(|row| json!({ "id": row })).collect();
        let mut answer = json!({ "items": items, "total": listed.rows.len() });
        if page * 50 < listed.rows.len() {
            let host = query.get("host").map_or("", String::as_str);
            answer["next"] = format!("{host}/rows?page={}", page + 1).into();
        }
        let goes = listed.goes.pop().unwrap_or_default().min(listed.rows.len());
        listed.rows.drain(..goes);
        Json(answer)
    }

    fn change(&self, change: impl FnOnce(&mut Listed)) {
        change(&mut self.0.lock().expect("rows"));
    }

    fn living(&self) -> BTreeSet<String> {
        self.0.lock().expect("rows").rows.iter().map(u32::to_string).collect()
    }
}

/// A connection `rows`.
fn rows(url: &str, query: &str, paging: &str) -> String {
    format!(
        r#"[connections.rows]
connector = "rest"
datasource = "rows"
[connections.rows.grants]
hosts = ["{url}"]
[connections.rows.limits]
host_requests_per_second = 1000.0
[connections.rows.settings]
base_url = "{url}"
[[connections.rows.settings.endpoints]]
name = "rows"
path = "rows"
items = "items"
access = "everyone"
query = {{ {query} }}
paging = {{ {paging} }}
document = {{ id = "{{id}}", url = "{url}/row/{{id}}" }}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_go_while_their_list_is_read_take_no_others_with_them() {
    for (paging, readings) in [
        (r#"kind = "page-number", parameter = "page""#, 3),
        (r#"kind = "page-number", parameter = "page", total = "total""#, 2),
        // Counted by the source, which comes to the same.
        (r#"kind = "next-url", value = "next""#, 3),
    ] {
        let (api, url) = Rows::start().await;
        let site = Site::new(&rows(&url, "", paging)).await.connector("sheaf_rest");
        site.sync("rows", 0).await;
        assert_eq!(site.ids("rows").await.len(), 300, "{paging}");
        // After the first page, ten that were not read go with those that were, and fifty move up.
        api.change(|listed| {
            listed.goes = vec![60];
            listed.requests.clear();
        });
        let result = site.sync("rows", 0).await;
        assert_eq!(result["outcome"], "complete", "{paging}: {result}");
        let there: BTreeSet<_> = site.ids("rows").await.into_iter().collect();
        assert!(there.is_superset(&api.living()), "{paging}: {there:?}");
        assert_eq!(there.len(), 290, "{paging}: what went before it was read is deleted");
        api.change(|listed| {
            let first = listed.requests.iter().filter(|page| *page == "1").count();
            assert_eq!(first, readings, "{paging}: {:?}", listed.requests);
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_changes_with_each_page_is_partial_and_the_setting_that_helps_is_named() {
    let (api, url) = Rows::start().await;
    let toml = rows(&url, "", r#"kind = "page-number", parameter = "page""#);
    let site = Site::new(&toml).await.connector("sheaf_rest");
    site.sync("rows", 0).await;
    api.change(|listed| listed.goes = vec![1; 100]);
    let ended = site.sheaf(&["sync", "rows", "--local"]).await;
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(format!("{}{}", ended.stdout, ended.stderr).contains("`total`"), "{ended:?}");
    assert_eq!(site.ids("rows").await.len(), 300, "nothing is deleted on doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_that_finds_no_next_page_is_an_error_unless_the_settings_say_that_one_is_all() {
    let (api, url) = Rows::start().await;
    let wrong = r#"kind = "next-url", value = "nxt""#;
    let site = Site::new(&rows(&url, "", wrong)).await.connector("sheaf_rest");
    for command in [&["check", "rows"][..], &["sync", "rows", "--local"]] {
        let ended = site.sheaf(command).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("`one_page = true`"), "{ended:?}");
        insta::assert_snapshot!(ended.told());
    }
    site.configure(&rows(&url, "", r#"kind = "next-url", value = "next""#));
    let checked = site.sheaf(&["check", "rows"]).await;
    assert!(
        checked.stdout.contains("50 items on its first page, and names a next page"),
        "{checked:?}"
    );
    api.change(|listed| listed.rows.truncate(30));
    site.configure(&rows(&url, "", r#"kind = "next-url", value = "next", one_page = true"#));
    let checked = site.sheaf(&["check", "rows"]).await;
    assert!(
        checked.stdout.contains("30 items on its first page, and names no next page"),
        "{checked:?}"
    );
    site.sync("rows", 0).await;
    assert_eq!(site.ids("rows").await.len(), 30);
    // A parameter that turns no page.
    site.configure(&rows(&url, "", r#"kind = "offset", parameter = "start""#));
    let ended = site.sheaf(&["sync", "rows", "--local"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("name what turns the page"), "{ended:?}");
    insta::assert_snapshot!(ended.told());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_page_on_another_host_is_refused_with_the_setting_that_helps() {
    let (_api, url) = Rows::start().await;
    let query = r#"host = "http://behind.example.com:8080""#;
    let paging = r#"kind = "next-url", value = "next""#;
    let site = Site::new(&rows(&url, query, paging)).await.connector("sheaf_rest");
    let ended = site.sheaf(&["sync", "rows", "--local"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("http://behind.example.com:8080"), "{ended:?}");
    assert!(ended.stderr.contains("`keep_host = true`"), "{ended:?}");
    insta::assert_snapshot!(ended.told());
    site.configure(&rows(&url, query, &format!("{paging}, keep_host = true")));
    site.sync("rows", 0).await;
    assert_eq!(site.ids("rows").await.len(), 300);
}
