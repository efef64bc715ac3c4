//! Users and groups through the connector for any JSON API, out of real servers: whom Glean lets find a document is
//! held against whom the server itself lets read it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sheaf_tests::servers::Server;
use sheaf_tests::{Site, http};

/// Which documents each may read, by e-mail.
type Readers = BTreeMap<String, BTreeSet<String>>;

async fn told(site: &Site, connection: &str, code: i32) -> Value {
    let ended = site.sheaf(&["sync", connection, "--identities", "--local", "--json"]).await;
    assert_eq!(ended.code, code, "{ended:?}");
    ended.json()["result"].clone()
}

/// Glean lets everybody find what the source lets them read, and nothing else. `changed`: documents that were changed
/// since they were crawled.
async fn holds(site: &Site, (datasource, kind): (&str, &str), source: &Readers, changed: &[&str]) {
    let ids = site.ids(datasource).await;
    assert!(source.len() > 3 && ids.len() > 100, "{source:?}");
    let mut restricted = 0;
    for id in ids.iter().filter(|id| !changed.contains(&id.as_str())) {
        for (email, reads) in source {
            let sees = site.sees(email, datasource, kind, id).await;
            assert_eq!(sees, reads.contains(id), "{email}, {id}");
        }
        // Nor does somebody whom the source does not know.
        let is_open = source.values().all(|reads| reads.contains(id));
        let sees = site.sees("mallory@example.com", datasource, kind, id).await;
        assert!(is_open || !sees, "{id}");
        restricted += usize::from(!sees);
    }
    assert!(restricted > 3, "{restricted}");
}

/// What the wiki's own permissions say.
async fn wiki_readers(server: &Server) -> Readers {
    let said: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(&server.asked("mediawiki-readers.sh").await).expect("readers");
    said.into_iter()
        .map(|(name, pages)| (format!("{}@example.com", name.to_lowercase()), pages))
        .collect()
}

const PAGES: (&str, &str) = ("wiki", "Page");

#[tokio::test(flavor = "multi_thread")]
async fn a_real_mediawiki_s_restricted_pages_are_found_by_whom_it_lets_read_them() {
    let Some(server) = Server::start("mediawiki.sh").await else { return };
    let toml = server.connections("rest_mediawiki", "127.0.0.1:8088");
    let limits = "\n[connections.wiki.limits]\nhost_requests_per_second = 1000.0\n";
    // So few users on a page that there are several.
    let toml = toml.replace("aulimit = \"max\"", "aulimit = \"2\"");
    assert!(toml.contains("aulimit = \"2\""));
    let site = Site::new(&format!("{toml}{limits}")).await.connector("sheaf_rest");
    let checked = site.sheaf(&["check", "wiki"]).await;
    assert!(checked.stdout.contains("users has 2 items on its first page"), "{checked:?}");
    // A full crawl begins with the users and groups.
    site.sync("wiki", 0).await;
    let readers = wiki_readers(&server).await;
    assert_ne!(readers["linus@example.com"], readers["ada@example.com"], "{readers:?}");
    holds(&site, PAGES, &readers, &[]).await;
    let again = told(&site, "wiki", 0).await;
    assert_eq!((&again["users"], &again["changed_groups"]), (&4.into(), &0.into()), "{again}");

    server.change("mediawiki-change.sh").await;
    let result = told(&site, "wiki", 0).await;
    assert_eq!(result["changed_groups"], 1, "{result}");
    let after = wiki_readers(&server).await;
    let lost = |who: &str| readers[who].difference(&after[who]).any(|id| id != "4");
    assert!(lost("grace@example.com") && !lost("linus@example.com"), "{after:?}");
    // What was deleted, and what became open.
    holds(&site, PAGES, &after, &["4", "21"]).await;
    site.sync("wiki", 0).await;
    holds(&site, PAGES, &after, &[]).await;

    // The same, asked for by group. MediaWiki lists everybody where it does not know a group.
    let (before, _) = toml.split_once("# Who is in which group").expect("identities");
    site.configure(&format!("{before}{BY_GROUP}{limits}"));
    // Two groups are in the rows of users only: whether they may go is for a person to say.
    let by_group = told(&site, "wiki", 5).await;
    assert_eq!(by_group["held"].as_array().map(Vec::len), Some(1), "{by_group}");
    assert_eq!((&by_group["users"], &by_group["left_out"]["count"]), (&4.into(), &1.into()));
    let named = by_group["left_out"]["samples"][0].as_str().unwrap_or_default();
    assert!(named.contains("mediawiki default@example.com"), "{by_group}");
    holds(&site, PAGES, &after, &[]).await;
}

const BY_GROUP: &str = r#"
[[connections.wiki.settings.identities]]
name = "users"
path = "api.php"
query = { action = "query", format = "json", formatversion = "2", list = "allusers", aulimit = "max" }
items = "query.allusers"
error = "error.info"
user = { email = "{lower(name)}@example.com", id = "{userid}", name = "{name}" }

[[connections.wiki.settings.identities]]
name = "groups"
path = "api.php"
query = { action = "query", format = "json", formatversion = "2", meta = "siteinfo", siprop = "usergroups" }
items = "query.usergroups"
skip = "contains(['*', 'user', 'autoconfirmed'], name)"

[connections.wiki.settings.identities.group]
name = "{name}"

[connections.wiki.settings.identities.group.members]
path = "api.php"
query = { action = "query", format = "json", formatversion = "2", list = "allusers", augroup = "{name}", aulimit = "1" }
items = "query.allusers"
paging = { kind = "parameters", value = "continue", one_page = true }
error = "error.info || warnings.allusers.warnings"
user_ids = ["{userid}"]
"#;

/// What Roundup lists to each user, asked as that user.
async fn issue_readers(server: &Server) -> Readers {
    let mut readers = Readers::new();
    for name in ["admin", "ada", "grace", "linus", "margaret", "renee", "crawler"] {
        let url = format!(
            "http://127.0.0.1:{}/demo/rest/data/issue?@page_size=1000&@fields=id",
            server.port
        );
        let asked = http().get(url).basic_auth(name, Some(format!("not-a-secret-{name}"))).send();
        let answer: Value = asked.await.expect("an answer").json().await.expect("JSON");
        let issues = answer["data"]["collection"].as_array().expect("issues").iter();
        let ids = issues.map(|issue| issue["id"].as_str().expect("an id").to_owned());
        readers.insert(format!("{name}@example.com"), ids.collect());
    }
    readers
}

const ISSUES: (&str, &str) = ("issues", "Issue");

#[tokio::test(flavor = "multi_thread")]
async fn a_real_issue_tracker_s_private_issues_are_found_by_whom_it_lets_read_them() {
    let Some(server) = Server::start("roundup.sh").await else { return };
    let toml = server.connections("rest_roundup", "127.0.0.1:8089");
    let limits = "\n[connections.issues.limits]\nhost_requests_per_second = 1000.0\n";
    let users = "[connections.issues.settings.identities.query]\n\"@page_size\" = \"50\"";
    assert!(toml.contains(users));
    let mut site =
        Site::new(&format!("{}{limits}", toml.replace(users, &users.replace("50", "3"))))
            .await
            .connector("sheaf_rest");
    site.environment.push(("ROUNDUP_PASSWORD".into(), "not-a-secret-crawler".into()));
    site.sync("issues", 0).await;
    let readers = issue_readers(&server).await;
    assert!(readers["linus@example.com"].len() < readers["ada@example.com"].len());
    holds(&site, ISSUES, &readers, &[]).await;
    let again = told(&site, "issues", 0).await;
    assert_eq!((&again["users"], &again["changed_groups"]), (&7.into(), &0.into()), "{again}");
    assert_eq!(again["left_out"]["count"], 0, "{again}");

    server.change("roundup-change.sh").await;
    let result = told(&site, "issues", 0).await;
    assert_eq!(result["changed_groups"], 1, "{result}");
    let after = issue_readers(&server).await;
    assert!(!readers["ada@example.com"].is_subset(&after["ada@example.com"]), "{after:?}");
    assert!(readers["linus@example.com"].len() < after["linus@example.com"].len());
    // What became private, what became open, and what was retired.
    holds(&site, ISSUES, &after, &["3", "20", "4"]).await;
    site.sync("issues", 0).await;
    holds(&site, ISSUES, &after, &[]).await;

    // Who has no e-mail address is told of.
    site.configure(&format!("{}{limits}", toml.replace("skip = \"roles == 'Anonymous'\"", "")));
    let result = told(&site, "issues", 0).await;
    let named = result["left_out"]["samples"][0].as_str().unwrap_or_default();
    assert!(named.contains("(no e-mail: 2)"), "{result}");
    holds(&site, ISSUES, &after, &[]).await;
}
