//! What is kept in a bucket, which is far away and answers as buckets do: late, not at all, or with an error after the
//! effect.

use std::collections::BTreeMap;

use futures::future::join_all;
use sheaf_tests::bucket::{Bucket, Fault, Kind, What};
use sheaf_tests::servers::Server;
use sheaf_tests::{Site, odd};

/// Each fault happens at so many requests of a crawl, spread over it.
const PLACES: usize = 6;

/// A connection in a bucket of its own, which was crawled once. Nothing, where there is no S3 server.
async fn crawled() -> Option<(Site, Bucket, String)> {
    let bucket = Bucket::start().await?;
    let mut site = Site::new("").await.connector("guest_odd");
    let store = bucket.keeps(&mut site, "state");
    configure(&site, &store, "first");
    assert_eq!(site.sync("odd", 0).await["documents"], 600);
    Some((site, bucket, store))
}

/// Of six batches.
fn configure(site: &Site, store: &str, salt: &str) {
    let glean = site.glean.url();
    let limits = "requests_per_second = 1000.0\nbatch_documents = 100\n";
    let odd = odd(&format!("pages = 60, salt = \"{salt}\""));
    site.write("sheaf.toml", &format!("{store}[glean]\nserver_url = \"{glean}\"\n{limits}\n{odd}"));
}

/// Whether each document is there, in the version of this crawl.
async fn is_whole(site: &Site, salt: &str) -> bool {
    let documents = site.glean.documents("odd").await.expect("documents");
    documents.len() == 600 && documents.iter().all(|(_, json)| json.contains(salt))
}

async fn happens(fault: Fault) {
    let Some((site, bucket, store)) = crawled().await else { return };
    bucket.requests();
    configure(&site, &store, "second");
    site.sync("odd", 0).await;
    let places = Bucket::places(fault, &bucket.requests());
    assert!(places > 0, "{fault:?}");
    let mut happened = 0;
    for number in 0..PLACES.min(places) {
        let place = number * places / PLACES.min(places);
        let salt = format!("{fault:?} at {place}");
        configure(&site, &store, &salt);
        bucket.arm(fault, place);
        let ended = site.sheaf(&["sync", "odd", "--local", "--json"]).await;
        // A crawl that is quicker has fewer commits.
        happened += usize::from(bucket.has_happened());
        assert_eq!(ended.code, 0, "{salt} of {places}: {ended:?}");
        let result = ended.json()["result"].clone();
        assert_eq!(result["outcome"], "complete", "{salt}: {result}");
        assert_eq!(result["changed"], 600, "{salt}: {result}");
        assert!(is_whole(&site, &salt).await, "{salt}");
    }
    assert!(happened * 2 > PLACES.min(places), "{fault:?}: {happened} times");
    assert_eq!(site.status().await["last"]["outcome"], "complete", "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_fails_at_any_request_leaves_the_same_index() {
    join_all(Fault::ALL.map(happens)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_crawl_at_once_through_a_bucket_one_is_told_of_the_other() {
    let Some((site, bucket, store)) = crawled().await else { return };
    for fault in [None, Some(Fault::SentTwice), Some(Fault::Conflict), Some(Fault::FailedAfter)] {
        let salt = format!("with {fault:?}");
        configure(&site, &store, &salt);
        // As another machine, with a folder of its own for its locks.
        let other = site.path("other.toml");
        let text = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
        std::fs::write(&other, format!("state_folder = \"elsewhere\"\n{text}")).expect("written");
        if let Some(fault) = fault {
            bucket.arm(fault, 1);
        }
        let arguments = ["sync", "odd", "--local", "--json"];
        let config = ["--config", "other.toml"];
        let there = [&arguments[..], &config[..]].concat();
        let (one, two) = tokio::join!(site.sheaf(&arguments), site.sheaf(&there));
        let codes = [one.code, two.code];
        assert!(codes.contains(&0), "{salt}: {one:?} {two:?}");
        for ended in [&one, &two] {
            let kind = ended.json()["error"]["kind"].clone();
            assert!(ended.code == 0 || kind == "Busy", "{salt}: {ended:?}");
        }
        assert!(is_whole(&site, &salt).await, "{salt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_azure_keeps_what_crawls_know_and_keeps_them_apart() {
    let Some(server) = Server::start("azurite.sh").await else { return };
    let key = server.asked("azurite-container.mjs").await;
    let mut site = Site::new("").await.connector("guest_odd");
    for (name, value) in [
        ("AZURE_STORAGE_ENDPOINT", format!("http://127.0.0.1:{}/sheaf", server.port).as_str()),
        ("AZURE_ALLOW_HTTP", "true"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "sheaf"),
        ("AZURE_STORAGE_ACCOUNT_KEY", key.trim()),
    ] {
        site.environment.push((name.into(), value.into()));
    }
    let store = "state_store = \"az://sheaf/state\"\n\n";
    for (salt, added) in [("first", 600), ("second", 0)] {
        configure(&site, store, salt);
        let result = site.sync("odd", 0).await;
        assert_eq!((&result["outcome"], &result["added"]), (&"complete".into(), &added.into()));
        assert!(is_whole(&site, salt).await, "{salt}");
    }
    // As another machine, with a folder of its own for its locks.
    configure(&site, store, "third");
    let text = std::fs::read_to_string(site.path("sheaf.toml")).expect("a file");
    site.write("other.toml", &format!("state_folder = \"elsewhere\"\n{text}"));
    let arguments = ["sync", "odd", "--local", "--json"];
    let there = [&arguments[..], &["--config", "other.toml"]].concat();
    let (one, two) = tokio::join!(site.sheaf(&arguments), site.sheaf(&there));
    assert!([one.code, two.code].contains(&0), "{one:?} {two:?}");
    for ended in [&one, &two] {
        let kind = ended.json()["error"]["kind"].clone();
        assert!(ended.code == 0 || kind == "Busy", "{ended:?}");
    }
    assert!(is_whole(&site, "third").await);
}

/// Requests that write, by what they are about.
fn written(requests: &[What]) -> BTreeMap<String, usize> {
    let mut written = BTreeMap::new();
    for what in requests.iter().filter(|what| matches!(what.kind, Kind::Put | Kind::Parts)) {
        let parts: Vec<_> = what.path.split('/').skip(3).collect();
        let about = match parts.as_slice() {
            ["connections", _, _, "crawls", _, "scopes", ..] => "commits",
            ["connections", _, _, about, ..] | [about, ..] => about,
            [] => "",
        };
        *written.entry(about.trim_end_matches(".now").to_owned()).or_default() += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_of_a_hundred_batches_writes_few_objects() {
    let Some(bucket) = Bucket::start().await else { return };
    let mut site = Site::new("").await.connector("guest_odd");
    let store = bucket.keeps(&mut site, "state");
    let glean = site.glean.url();
    // As many batches as a hundred thousand documents are by default.
    let limits = "requests_per_second = 1000.0\nbatch_documents = 100\n";
    let odd = odd("pages = 1000");
    site.write("sheaf.toml", &format!("{store}[glean]\nserver_url = \"{glean}\"\n{limits}\n{odd}"));
    let result = site.sync("odd", 0).await;
    assert_eq!((&result["documents"], &result["batches"]), (&10_000.into(), &100.into()));
    let requests = bucket.requests();
    let (written, seconds) = (written(&requests), result["seconds"].as_f64().expect("seconds"));
    eprintln!("{} requests in {seconds:.1} s, of which write: {written:?}", requests.len());
    let all: usize = written.values().sum();
    // Whoever takes longer says more often that it is still there, and keeps what it has done.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let in_time = (seconds / 10.0) as usize;
    assert!(written["commits"] <= 4 + in_time, "{written:?} in {seconds} s");
    assert!(all <= 20 + 4 * in_time, "{written:?} in {seconds} s");
}
