//! Whether somebody may find a document: what `sheaf access` says here, what Glean says, and why they differ.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Uri;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use sheaf_local_glean::Fault;
use sheaf_tests::{Ended, Site, files, http, odd};

const PEOPLE: &str = r#"
[[users]]
email = "Ann@x.com"
id = "ann"

[[users]]
email = "bob@x.com"

[[users]]
email = "cid@x.com"
active = false

[groups]
hr = ["ann", "group:ring"]
staff = ["group:hr"]
ring = ["group:staff"]
"Site Owners" = ["group:staff"]
"#;

const RULES: [(&str, &str); 6] = [
    ("named", "{ users = [\"ann@x.com\"] }"),
    ("hr", "{ groups = [\"hr\"] }"),
    ("owners", "{ groups = [\"Site Owners\"] }"),
    ("source", "\"source-users\""),
    ("none", "{ groups = [\"none\"] }"),
    ("all", "\"everyone\""),
];

pub(super) fn settings(rules: &[(&str, &str)]) -> String {
    let rules = rules
        .iter()
        .map(|(folder, access)| format!("{{ glob = \"{folder}/**\", access = {access} }}"));
    let rules: Vec<_> = rules.collect();
    files(&format!("people = \"people.toml\"\naccess_rules = [{}]", rules.join(", ")))
}

/// A document for each rule, all of it told.
pub(super) async fn firm() -> Site {
    let site = Site::new(&settings(&RULES)).await.connector("sheaf_files");
    for (folder, _) in RULES {
        site.write(&format!("docs/{folder}/one.md"), "# One");
    }
    site.write("docs/people.toml", PEOPLE);
    site.sync("docs", 0).await;
    site
}

pub(super) async fn ask(site: &Site, connection: &str, id: &str, user: &str) -> Ended {
    site.sheaf(&["access", connection, id, "--as", user]).await
}

pub(super) async fn told(site: &Site, connection: &str, id: &str, user: &str) -> Value {
    let ended = site.sheaf(&["access", connection, id, "--as", user, "--json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()["result"].clone()
}

/// Something else than Sheaf tells Glean.
pub(super) async fn others_tell(site: &Site, path: &str, body: Value) {
    let url = format!("{}/api/index/v1{path}", site.glean.url());
    let answer = http().post(url).json(&body).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_and_its_path_are_the_same_here_and_in_glean() {
    let site = firm().await;
    for (folder, user, may, why) in [
        ("named", "ANN@x.com", true, "the document names Ann@x.com"),
        ("named", "bob@x.com", false, "only ann@x.com may read it"),
        ("hr", "ann", true, "Ann@x.com is in hr, and hr may read it"),
        (
            "owners",
            "ann@x.com",
            true,
            "Ann@x.com is in hr, hr is in staff, staff is in Site Owners, and Site Owners may read it",
        ),
        (
            "owners",
            "bob@x.com",
            false,
            "only group Site Owners may read it; bob@x.com is in no group",
        ),
        (
            "source",
            "bob@x.com",
            true,
            "every user of the datasource may read it, and bob@x.com is one",
        ),
        ("source", "cid@x.com", false, "cid@x.com is inactive"),
        ("source", "dot@x.com", false, "Glean was told of no user dot@x.com"),
        ("none", "ann@x.com", false, "Glean was told of no group none, so nobody is in it"),
        ("all", "dot@x.com", true, "everyone may read it"),
    ] {
        let answer = told(&site, "docs", &format!("{folder}/one.md"), user).await;
        let (here, glean) = (&answer["here"], &answer["glean"]);
        assert_eq!((&here["allowed"], &glean["allowed"]), (&json!(may), &json!(may)), "{answer}");
        assert!(here["why"].as_str().is_some_and(|said| said.contains(why)), "{why}: {answer}");
        assert_eq!(here["permissions_from"], "source", "{answer}");
        assert_eq!(
            (&answer["differs"], &answer["reasons"]),
            (&json!(false), &json!([])),
            "{answer}"
        );
    }
    let path = &told(&site, "docs", "owners/one.md", "ann").await["here"]["paths"];
    assert_eq!(path, &json!([["Ann@x.com", "hr", "staff", "Site Owners"]]));
    let yes = ask(&site, "docs", "https://docs.example.com/hr/one.md", "ann@x.com").await;
    for part in [
        "docs: yes, Ann@x.com may read hr/one.md",
        "Glean      yes",
        "as the source has it now; last crawled 2",
        "as Glean was told until 2",
    ] {
        assert!(yes.stdout.contains(part), "{part}: {yes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_differ_say_why_and_what_to_do() {
    let site = firm().await;
    let gone = json!({ "datasource": "docs", "membership": { "groupName": "hr", "memberUserId": "Ann@x.com" } });
    others_tell(&site, "/deletemembership", gone).await;
    let differs = ask(&site, "docs", "hr/one.md", "ann").await;
    assert_eq!(differs.code, 0, "{differs:?}");
    for part in [
        "docs: here yes, in Glean no: Ann@x.com and hr/one.md",
        "probably   Glean does not say that Ann@x.com is in hr",
        "sheaf sync docs --identities --restart",
    ] {
        assert!(differs.stdout.contains(part), "{part}: {differs:?}");
    }
    let again = site.sheaf(&["sync", "docs", "--identities", "--local", "--restart"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(told(&site, "docs", "hr/one.md", "ann").await["differs"], false);
    // The source has widened it since, which makes no difference to Ann.
    let mut rules = RULES;
    rules[1].1 = "{ groups = [\"hr\", \"staff\"] }";
    site.configure(&settings(&rules));
    let same = ask(&site, "docs", "hr/one.md", "ann").await;
    for part in ["docs: yes, Ann@x.com", "besides    the source has changed who may read it"] {
        assert!(same.stdout.contains(part), "{part}: {same:?}");
    }
    // It has narrowed it; and has not, as far as it was uploaded.
    rules[1].1 = "{ groups = [\"none\"] }";
    site.configure(&settings(&rules));
    let differs = ask(&site, "docs", "hr/one.md", "ann").await;
    for part in [
        "here no, in Glean yes",
        "the source has changed who may read it",
        "next: sheaf sync docs\n",
    ] {
        assert!(differs.stdout.contains(part), "{part}: {differs:?}");
    }
    let arguments = ["access", "docs", "hr/one.md", "--as", "ann", "--read-for", "0s", "--json"];
    let uploaded = site.sheaf(&arguments).await.json()["result"].clone();
    assert_eq!(uploaded["here"]["permissions_from"], "uploaded", "{uploaded}");
    assert_eq!(uploaded["differs"], false, "{uploaded}");
    site.configure(&settings(&RULES));
    others_tell(&site, "/deleteuser", json!({ "datasource": "docs", "email": "bob@x.com" })).await;
    let differs = ask(&site, "docs", "source/one.md", "bob@x.com").await;
    assert!(differs.stdout.contains("Glean knows no user bob@x.com"), "{differs:?}");
    let all = json!({ "datasource": "docs", "objectType": "File", "id": "all/one.md" });
    others_tell(&site, "/deletedocument", all).await;
    let differs = ask(&site, "docs", "all/one.md", "bob@x.com").await;
    assert!(differs.stdout.contains("Glean does not have the document"), "{differs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_here_and_is_in_glean_all_the_same_is_said_to_be_that() {
    let site = firm().await;
    for number in 0..20 {
        site.write(&format!("docs/all/{number}.md"), "# More");
    }
    site.sync("docs", 0).await;
    std::fs::remove_file(site.path("docs/all/one.md")).expect("removed");
    site.sync("docs", 0).await;
    let document = json!({
        "datasource": "docs", "objectType": "File", "id": "all/one.md",
        "viewURL": "https://docs.example.com/all/one.md",
        "permissions": { "allowAnonymousAccess": true },
    });
    others_tell(&site, "/indexdocument", json!({ "document": document })).await;
    let differs = ask(&site, "docs", "all/one.md", "ann").await;
    for part in [
        "docs: here no, in Glean yes",
        "probably   Glean has the document all the same: here it was deleted",
    ] {
        assert!(differs.stdout.contains(part), "{part}: {differs:?}");
    }
    assert_eq!(differs.stdout.matches("probably").count(), 1, "{differs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_person_is_told_beside_the_answer() {
    let site = firm().await;
    site.write("docs/people.toml", "");
    let held = site.sheaf(&["sync", "docs", "--identities", "--local"]).await;
    assert_eq!(held.code, 5, "{held:?}");
    let answer = ask(&site, "docs", "hr/one.md", "ann").await;
    for part in [
        "docs: yes, Ann@x.com may read hr/one.md",
        "besides    a change of users and groups waits for approval since",
        "next: sheaf approve docs --identities --dry-run",
    ] {
        assert!(answer.stdout.contains(part), "{part}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_document_an_unknown_id_and_a_glean_that_is_away_are_told() {
    let site = firm().await;
    let unknown = ask(&site, "docs", "none.md", "ann").await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stdout.contains("no crawl has seen `none.md`"), "{unknown:?}");
    let unknown = ask(&site, "docs", "hr/one.md", "dot").await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stdout.contains("`dot` is no e-mail, and nobody's id"), "{unknown:?}");
    let unknown = ask(&site, "wiki", "hr/one.md", "ann").await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(unknown.stderr.contains("there is no connection `wiki`"), "{unknown:?}");
    // What was deleted, and what is not delivered any more.
    std::fs::remove_file(site.path("docs/all/one.md")).expect("removed");
    let answer = told(&site, "docs", "all/one.md", "ann").await;
    let why = answer["here"]["not_from_source"].as_str().unwrap_or_default();
    assert!(why.contains("does not deliver it any more"), "{answer}");
    assert_eq!(answer["here"]["permissions_from"], "uploaded", "{answer}");
    let config = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    let fast = config.replace("[glean]\n", "[glean]\npatience = \"1s\"\n");
    site.write("sheaf.toml", &fast);
    let fault = Fault { times: 1_000, status: Some(503), ..Fault::default() };
    site.glean.drill().add(fault);
    let away = ask(&site, "docs", "hr/one.md", "ann").await;
    assert_eq!(away.code, 3, "{away:?}");
    assert!(away.stdout.contains("Ann@x.com is in hr, and hr may read it"), "{away:?}");
    assert!(away.stdout.contains("Glean      not known"), "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_users_and_groups_it_is_not_known_here_and_glean_is_asked() {
    let site = Site::new(&odd("pages = 1, misdeed = \"everything\", after = 0")).await;
    let site = site.connector("guest_odd");
    site.sync("odd", 0).await;
    for group in ["g2", "g3"] {
        others_tell(
            &site,
            "/indexgroup",
            json!({ "datasource": "odd", "group": { "name": group } }),
        )
        .await;
        let membership = json!({ "groupName": group, "memberUserId": "ann@x.com" });
        others_tell(
            &site,
            "/indexmembership",
            json!({ "datasource": "odd", "membership": membership }),
        )
        .await;
    }
    let answer = told(&site, "odd", "odd-1", "ann@x.com").await;
    assert_eq!(
        (&answer["here"]["allowed"], &answer["glean"]["allowed"]),
        (&json!(null), &json!(true))
    );
    let asked = ask(&site, "odd", "odd-1", "bob@x.com").await;
    for part in [
        "odd: no, bob@x.com may not read odd-1",
        "not known: only group g1, whoever is in all of g2, g3 may read it; who is who, and in what, is not known here",
        "this connection has told Glean of no users and groups; others may have",
    ] {
        assert!(asked.stdout.contains(part), "{part}: {asked:?}");
    }
    let nobody = ask(&site, "odd", "odd-3", "ann@x.com").await;
    assert!(nobody.stdout.contains("nobody may read it"), "{nobody:?}");
}

/// In front of the local Glean: it says that it has no document, and somebody may read it.
async fn odd_glean(site: &Site) {
    let url = site.glean.url();
    let missing = || async { Json(json!({ "status": { "uploadStatus": "NOT_UPLOADED" } })) };
    let may = || async { Json(json!({ "hasAccess": true })) };
    let forward = move |uri: Uri, body: Bytes| async move {
        let request = http().post(format!("{url}{}", uri.path()));
        let request = request.header("content-type", "application/json").body(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        (status, answer.bytes().await.expect("a body"))
    };
    let routes = Router::new()
        .route("/api/index/v1/debug/docs/document", post(missing))
        .route("/api/index/v1/checkdocumentaccess", post(may))
        .fallback(forward);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let config = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    site.write("sheaf.toml", &config.replace(&site.glean.url(), &url));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_glean_says_of_an_upload_does_not_stand_for_its_answer() {
    let site = Site::new(&settings(&RULES)).await.connector("sheaf_files");
    odd_glean(&site).await;
    site.write("docs/hr/one.md", "# One");
    site.write("docs/people.toml", PEOPLE);
    site.sync("docs", 0).await;
    let answer = told(&site, "docs", "hr/one.md", "ann").await;
    assert_eq!(answer["glean"]["document"]["upload_status"], "NOT_UPLOADED", "{answer}");
    assert_eq!(answer["glean"]["allowed"], true, "{answer}");
    assert_eq!(answer["differs"], false, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_glean_does_not_say_of_uploads_takes_nothing_from_its_answer() {
    let site = firm().await;
    for status in [400, 429] {
        for path in ["/debug/docs/document", "/debug/docs/user"] {
            let fault =
                Fault { path: path.into(), times: 1_000, status: Some(status), ..Fault::default() };
            site.glean.drill().add(fault);
        }
        let answer = told(&site, "docs", "hr/one.md", "ann").await;
        site.glean.drill().clear();
        let (here, glean) = (&answer["here"]["allowed"], &answer["glean"]);
        assert_eq!((here, &glean["allowed"]), (&json!(true), &json!(true)), "{answer}");
        assert_eq!((&glean["document"], &glean["user"]), (&json!(null), &json!(null)), "{answer}");
        let beside = answer["beside"].to_string();
        for of in ["the document", "the user"] {
            let part = format!("Glean does not say what it was told of {of}: ");
            assert!(beside.contains(&part), "{part}: {answer}");
        }
    }
    // Glean keeps a connection, and says nothing.
    site.glean.drill().add(Fault { times: 1_000, delay_ms: 50_000, ..Fault::default() });
    let began = Instant::now();
    let silent = ask(&site, "docs", "hr/one.md", "ann").await;
    assert!(began.elapsed() < Duration::from_secs(25), "{silent:?}");
    assert_eq!(silent.code, 3, "{silent:?}");
    assert!(silent.stdout.contains("Ann@x.com is in hr, and hr may read it"), "{silent:?}");
    assert!(silent.stdout.contains("Glean      not known: "), "{silent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_a_document_names_counts_where_glean_knows_users_by_id() {
    let site = firm().await;
    let permissions = json!({ "allowedUsers": [{ "datasourceUserId": "ann" }] });
    let document = json!({
        "datasource": "docs", "objectType": "File", "id": "named/one.md", "permissions": permissions,
    });
    others_tell(&site, "/updatepermissions", document).await;
    let arguments = ["access", "docs", "named/one.md", "--as", "ann", "--read-for", "0s"];
    let by_email = site.sheaf(&arguments).await;
    for part in ["here       not known: only ann may read it", "Glean knows users by e-mail"] {
        assert!(by_email.stdout.contains(part), "{part}: {by_email:?}");
    }
    let by_id = json!({
        "name": "docs", "displayName": "Docs", "datasourceCategory": "KNOWLEDGE_HUB",
        "urlRegex": "https://docs.example.com/.*", "isUserReferencedByEmail": false,
    });
    others_tell(&site, "/adddatasource", by_id).await;
    let by_id = site.sheaf(&arguments).await;
    assert!(by_id.stdout.contains("here       yes: the document names Ann@x.com"), "{by_id:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_source_does_not_deliver_now_is_told_as_what_it_is() {
    let good = "pages = 2";
    let site = Site::new(&odd(good)).await.connector("guest_odd");
    site.sync("odd", 0).await;
    for (misdeed, id, why) in [
        ("partial", "odd-15", "it had not come when scope `0` broke off: the source stopped"),
        ("unreadable", "odd-9", "the source has it, and cannot read it: it is locked"),
        ("foreign-url", "odd-3", "as the source has it now, it would be quarantined: "),
        ("nameless", "odd-4", "now, unless it is among 4 documents that could not be read and"),
        ("empty", "odd-4", "the source does not deliver it any more in scope `0`"),
    ] {
        site.configure(&odd(&format!("{good}, misdeed = \"{misdeed}\"")));
        let answer = told(&site, "odd", id, "ann@x.com").await;
        let said = answer["here"]["not_from_source"].as_str().unwrap_or_default();
        assert!(said.contains(why), "{misdeed}: {answer}");
        assert_eq!(answer["here"]["permissions_from"], "uploaded", "{misdeed}: {answer}");
        assert_eq!(answer["here"]["allowed"], true, "{misdeed}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_e_mail_that_a_document_names_may_be_whose_id_is_asked() {
    // Nobody has told of users and groups.
    let site = Site::new(&odd("pages = 1, misdeed = \"everything\"")).await.connector("guest_odd");
    site.sync("odd", 0).await;
    let named = json!({ "allowedUsers": [{ "email": "ann@x.com" }] });
    let document =
        json!({ "datasource": "odd", "objectType": "Page", "id": "odd-1", "permissions": named });
    others_tell(&site, "/updatepermissions", document).await;
    let asked = site.sheaf(&["access", "odd", "odd-1", "--as", "7", "--read-for", "0s"]).await;
    assert_eq!(asked.code, 1, "{asked:?}");
    assert!(asked.stdout.contains("it is not known whether 7 may read odd-1"), "{asked:?}");
}
