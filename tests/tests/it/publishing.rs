//! A connector goes out, comes in, is locked, and stays what it was.

use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use serde_json::{Value, json};
use sheaf_tests::registries::{Maker, Ours, Real, says};
use sheaf_tests::temporal::{QUICK, server, worker_and_log};
use sheaf_tests::{Ended, Site, guest, odd};

/// The guest `odd`, which calls itself another version; and `rest`, which asks for another host.
pub(super) fn version(site: &Site, of: &str, version: &str, other_host: bool) -> PathBuf {
    let bytes = std::fs::read(guest(if of == "odd" { "guest_odd" } else { "sheaf_rest" }));
    let mut bytes = bytes.expect("a guest");
    replace(&mut bytes, &format!("{of}0.1.0"), &format!("{of}{version}"));
    if other_host {
        replace(&mut bytes, "{base_url}apito read", "{evil_url}apito read");
    }
    let path = site.path(&format!("{of}-{version}.wasm"));
    std::fs::write(&path, bytes).expect("written");
    path
}

fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let found = memchr::memmem::find(bytes, from.as_bytes()).expect(from);
    bytes[found..found + to.len()].copy_from_slice(to.as_bytes());
}

pub(super) async fn well(site: &Site, arguments: &[&str]) -> Ended {
    let ended = site.sheaf(arguments).await;
    assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    ended
}

pub(super) async fn publish(site: &Site, file: &Path, to: &str, key: Option<&str>) -> Ended {
    let file = file.display().to_string();
    let mut arguments = vec!["publish", &file, to];
    arguments.extend(key.map(|key| ["--sign", key]).into_iter().flatten());
    well(site, &arguments).await
}

/// A site that trusts its own key for `place`.
pub(super) async fn trusting(connections: &str, place: &str) -> Site {
    let site = Site::new("").await;
    well(&site, &["keys", "new"]).await;
    trust(&site, connections, place, "sheaf.pub");
    site
}

pub(super) fn trust(site: &Site, connections: &str, place: &str, key: &str) {
    site.configure(&format!("[connectors.trust]\n\"{place}\" = \"{key}\"\n\n{connections}"));
}

async fn there_and_back(registry: &str) {
    let place = format!("oci://{registry}/team/odd");
    let site = trusting(&odd("pages = 1"), &place).await;
    let [first, second] = ["0.1.0", "0.1.1"].map(|number| version(&site, "odd", number, false));
    let published = publish(&site, &first, &place, Some("sheaf.key")).await;
    // Twice is once.
    let again = publish(&site, &first, &place, Some("sheaf.key")).await;
    assert!(again.stdout.contains("was there already"), "{again:?}");
    assert!(published.stdout.contains("signed by sha256:"), "{published:?}");
    let added = well(&site, &["add", &place, "--json"]).await.json()["result"][0].clone();
    assert_eq!((&added["version"], &added["name"]), (&json!("0.1.0"), &json!("odd")), "{added}");
    assert!(published.stdout.contains(added["manifest"].as_str().expect("a digest")), "{added}");
    assert_eq!(site.sync("odd", 0).await["documents"], 10);
    // A newer one of the same asks and signer is taken, and no registry is needed to run it.
    publish(&site, &second, &place, Some("sheaf.key")).await;
    let updated = well(&site, &["update"]).await;
    assert!(updated.stdout.contains("odd 0.1.0: now 0.1.1"), "{updated:?}");
    let crawl = site.sync("odd", 0).await;
    assert_eq!(crawl["connector"], "odd 0.1.1", "{crawl}");
    // Where there is no registry.
    well(&site, &["bundle", "out.tar"]).await;
    let apart = Site::new("").await;
    for file in ["sheaf.pub", "out.tar"] {
        std::fs::copy(site.path(file), apart.path(file)).expect("copied");
    }
    trust(&apart, &odd("pages = 1"), &place, "sheaf.pub");
    well(&apart, &["add", "out.tar"]).await;
    let lock = |site: &Site| std::fs::read_to_string(site.path("sheaf.lock")).expect("a lock");
    assert_eq!(lock(&apart), lock(&site));
    assert_eq!(apart.sync("odd", 0).await["connector"], "odd 0.1.1");
    // It is taken back: nobody begins with it, and whoever runs it is told.
    let of = format!("{place}:0.1.1");
    well(&site, &["yank", &of, "--reason", "it loses pages"]).await;
    let audit = site.sheaf(&["audit"]).await;
    assert!(audit.code == 5 && audit.stdout.contains("took it back: it loses pages"), "{audit:?}");
    let refused = apart.sheaf(&["add", &of]).await;
    assert!(refused.code == 2 && refused.stderr.contains("it loses pages"), "{refused:?}");
    // Without a version an older one is not what is meant.
    let refused = apart.sheaf(&["add", &place]).await;
    assert!(refused.stderr.contains("it is version 0.1.0, and 0.1.1 is locked"), "{refused:?}");
    let older = well(&apart, &["add", &place, "--accept", "--json"]).await;
    assert_eq!(older.json()["result"][0]["version"], "0.1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_goes_out_and_comes_in_through_debians_registry() {
    let registry = Real::start(Maker::Debian).await;
    there_and_back(&registry.address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_goes_out_and_comes_in_through_the_current_registry() {
    let registry = Real::start(Maker::Distribution).await;
    there_and_back(&registry.address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_goes_out_and_comes_in_through_a_registry_that_lists_what_is_attached() {
    there_and_back(&Ours::start().await.address.to_string()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_what_it_runs_and_takes_another_lock_with_the_next_crawl() {
    let registry = Ours::start().await.address;
    let place = format!("oci://{registry}/odd");
    let connections = format!("{QUICK}{}", odd("pages = 1"));
    let mut site = trusting(&connections, &place).await;
    for number in ["0.1.0", "0.1.1"] {
        let file = version(&site, "odd", number, false);
        publish(&site, &file, &place, Some("sheaf.key")).await;
    }
    well(&site, &["add", &format!("{place}:0.1.0")]).await;
    let server = server(&mut site).await;
    let (_worker, log) = worker_and_log(&site).await;
    let said = log.lock().expect("a log").clone();
    let line = said.lines().find(|line| line.contains("runs odd 0.1.0")).expect("what it runs");
    assert!(line.contains(&place) && line.contains("signer="), "{line}");
    let crawl = async || well(&site, &["sync", "odd", "--json"]).await.json()["result"].clone();
    assert_eq!(crawl().await["connector"], "odd 0.1.0");
    well(&site, &["update"]).await;
    assert_eq!(crawl().await["connector"], "odd 0.1.1");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_asks_for_more_or_has_another_signer_waits_for_a_person() {
    let registry = Ours::start().await.address;
    let place = format!("oci://{registry}/rest");
    let site = trusting("", &place).await;
    let first = version(&site, "rest", "0.1.0", false);
    publish(&site, &first, &place, Some("sheaf.key")).await;
    well(&site, &["add", &place]).await;
    let wider = version(&site, "rest", "0.1.1", true);
    publish(&site, &wider, &place, Some("sheaf.key")).await;
    let waits = site.sheaf(&["update"]).await;
    assert_eq!(waits.code, 5, "{waits:?}");
    assert!(waits.stdout.contains("it asks for the host {evil_url}"), "{waits:?}");
    let locked = || {
        let text = std::fs::read_to_string(site.path("sheaf.lock")).expect("a lock");
        if text.contains("version = \"0.1.0\"") { "0.1.0" } else { "another" }
    };
    assert_eq!(locked(), "0.1.0");
    let taken = well(&site, &["update", "rest", "--accept"]).await;
    assert!(taken.stdout.contains("it asks for the host {evil_url}"), "{taken:?}");
    assert_eq!(locked(), "another");
    // Another key that is trusted, too: who signs is another all the same.
    well(&site, &["keys", "new", "other"]).await;
    let third = version(&site, "rest", "0.1.2", true);
    publish(&site, &third, &place, Some("other.key")).await;
    site.configure(&format!("[connectors.trust]\n\"{place}\" = [\"sheaf.pub\", \"other.pub\"]\n"));
    let waits = site.sheaf(&["update"]).await;
    assert!(waits.code == 5 && waits.stdout.contains("it is signed by sha256:"), "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_calls_itself_otherwise_or_is_older_is_no_update() {
    let registry = Ours::start().await;
    let place = format!("oci://{}/odd", registry.address);
    let site = trusting("", &place).await;
    for number in ["0.1.0", "0.1.1"] {
        publish(&site, &version(&site, "odd", number, false), &place, Some("sheaf.key")).await;
    }
    well(&site, &["add", &place]).await;
    let lock = || std::fs::read_to_string(site.path("sheaf.lock")).expect("a lock");
    let locked = lock();
    // Well signed, and in the right place.
    publish(&site, &version(&site, "rest", "0.1.2", false), &place, Some("sheaf.key")).await;
    let renamed = site.sheaf(&["update"]).await;
    assert_eq!((renamed.code, lock()), (5, locked.clone()), "{renamed:?}");
    assert!(
        renamed.stdout.contains("calls itself `rest` now, and is locked as `odd`"),
        "{renamed:?}"
    );
    let renamed = site.sheaf(&["add", &place]).await;
    assert!(renamed.stderr.contains("is locked as `odd`, and calls itself `rest`"), "{renamed:?}");
    // A registry that hides the newer ones.
    registry.lie(|asked| {
        let tags = json!({ "tags": ["0.1.0"] }).to_string();
        asked.path.ends_with("/tags/list").then(|| says(StatusCode::OK, &[], tags))
    });
    let older = site.sheaf(&["add", &place]).await;
    assert!(older.stderr.contains("it is version 0.1.0, and 0.1.1 is locked"), "{older:?}");
    assert_eq!(lock(), locked);
    well(&site, &["add", &format!("{place}:0.1.0")]).await;
    // Two files of one name are two connectors.
    for (folder, of) in [("a", "odd"), ("b", "rest")] {
        let file = version(&site, of, "0.1.0", false);
        std::fs::create_dir(site.path(folder)).expect("a folder");
        std::fs::copy(file, site.path(&format!("{folder}/connector.wasm"))).expect("copied");
    }
    well(&site, &["add", "a/connector.wasm", "--accept"]).await;
    let other = site.sheaf(&["add", "b/connector.wasm"]).await;
    assert!(other.code == 2 && other.stderr.contains("is locked as `odd`"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_file_with_a_familiar_name_gets_nobodys_grants() {
    let site = Site::new(&odd("pages = 1")).await.connector("guest_odd");
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    let stranger = version(&site, "odd", "9.0.0", false);
    std::fs::copy(&stranger, site.path("connectors/stranger.wasm")).expect("copied");
    let refused = site.sheaf(&["sync", "odd", "--local"]).await;
    assert!(
        refused.code == 2 && refused.stderr.contains("2 files call themselves `odd`"),
        "{refused:?}"
    );
    // Once it is locked, it is that one, whatever lies beside it and whatever its file becomes.
    well(&site, &["add", "guest_odd.wasm"]).await;
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    std::fs::copy(&stranger, site.path("connectors/guest_odd.wasm")).expect("copied");
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 0.1.0");
    let registry = Ours::start().await.address;
    let place = format!("oci://{registry}/odd");
    publish(&site, &stranger, &place, None).await;
    let refused = site.sheaf(&["add", &place]).await;
    assert!(
        refused.code == 2 && refused.stderr.contains("`odd` is locked to file:guest_odd.wasm"),
        "{refused:?}"
    );
    well(&site, &["add", &place, "--accept"]).await;
    assert_eq!(site.sync("odd", 0).await["connector"], "odd 9.0.0");
    // What is denied runs nowhere, locked or not.
    let lock = well(&site, &["audit", "--json"]).await.json();
    let digest = lock["result"][0]["locked"]["wasm"].clone();
    site.configure(&format!("[connectors]\ndeny = [{digest}]\n\n{}", odd("pages = 1")));
    let denied = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
    assert_eq!((denied.code, &denied.json()["error"]["kind"]), (2, &Value::from("Untrusted")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_never_published_over_another() {
    let registry = Ours::start().await.address;
    let place = format!("oci://{registry}/rest");
    let site = Site::new("").await;
    publish(&site, &version(&site, "rest", "0.1.0", false), &place, None).await;
    let first = version(&site, "rest", "0.1.0", false).display().to_string();
    let said = ["publish", &first, &place, "--license", "MIT", "--source"];
    let again = well(&site, &[&said[..], &["https://example.com/rest"]].concat()).await;
    assert!(again.stdout.contains("what was said of it first stays: its licence"), "{again:?}");
    let refused = site.sheaf(&[&said[..], &["rest"]].concat()).await;
    assert!(refused.code == 2 && refused.stderr.contains("give a URL such as"), "{refused:?}");
    let refused = site.sheaf(&["yank", &place]).await;
    assert!(refused.stderr.contains("not said which version is taken back"), "{refused:?}");
    well(&site, &["yank", &format!("{place}:0.1.0"), "--reason", "too slow"]).await;
    let again = publish(&site, Path::new(&first), &place, None).await;
    assert!(again.stdout.contains("it was taken back: too slow"), "{again:?}");
    let other = version(&site, "rest", "0.1.0", true).display().to_string();
    let refused = site.sheaf(&["publish", &other, &place]).await;
    assert!(
        refused.code == 2 && refused.stderr.contains("exists with other content"),
        "{refused:?}"
    );
    let tagged = format!("{place}:2.0.0");
    let refused = site.sheaf(&["publish", &other, &tagged]).await;
    assert!(
        refused.stderr.contains("its tag is `2.0.0`, and it calls itself 0.1.0"),
        "{refused:?}"
    );
}
