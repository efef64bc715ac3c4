//! What is signed, and what becomes of signatures and of credentials in registries that are shared with others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sheaf::connector::Digest;
use sheaf_tests::registries::{Asked, Ours, says};
use sheaf_tests::{Ended, Site};

use crate::publishing::{publish, trusting, version, well};

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry, a site with a key, and where `odd` goes.
async fn begin() -> (Ours, Site, String) {
    let registry = Ours::start().await;
    let place = format!("oci://{}/odd", registry.address);
    let site = trusting("", &place).await;
    (registry, site, place)
}

fn writes_a_list(asked: &Asked) -> bool {
    asked.method == Method::PUT && asked.path.contains("/manifests/sha256-")
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_signature_another_one_overwrote_signs_again_and_the_others_stays() {
    let (registry, site, place) = begin().await;
    registry.be_plain();
    let file = version(&site, "odd", "0.1.0", false);
    publish(&site, &file, &place, None).await;
    let manifest = registry.manifest("odd", "0.1.0");
    let list = Digest::of(&manifest).to_string().replace(':', "-");
    let others = Digest::of(b"another's").to_string();
    let other = json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": others, "size": 9 });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [other] });
    // Another signer has read the list before we wrote it, and writes theirs after us: twice.
    let left = Arc::new(AtomicUsize::new(2));
    let (by_another, tag, writes) = (registry.clone(), list.clone(), left.clone());
    registry.lie(move |asked| {
        let is_lost = writes_a_list(asked)
            && writes
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        is_lost.then(|| {
            by_another.put_manifest("odd", &tag, index.to_string());
            says(StatusCode::CREATED, &[], "")
        })
    });
    publish(&site, &file, &place, Some("sheaf.key")).await;
    assert_eq!(left.load(Ordering::SeqCst), 0);
    let index: Value = serde_json::from_slice(&registry.manifest("odd", &list)).expect("a list");
    let entries = index["manifests"].as_array().expect("a list");
    assert_eq!(entries.len(), 2, "{index}");
    assert!(entries[0]["digest"] == others && entries[1]["artifactType"] == BUNDLE, "{index}");
    // One that loses every time says so, and is not told that it has signed.
    publish(&site, &version(&site, "odd", "0.1.1", false), &place, None).await;
    registry.lie(|asked| writes_a_list(asked).then(|| says(StatusCode::CREATED, &[], "")));
    let file = site.path("odd-0.1.1.wasm").display().to_string();
    let lost = site.sheaf(&["publish", &file, &place, "--sign", "sheaf.key"]).await;
    assert!(lost.code != 0 && lost.stderr.contains("ours was lost 10 times"), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_attached_no_more_is_read_than_a_publisher_attaches() {
    let (registry, site, place) = begin().await;
    publish(&site, &version(&site, "odd", "0.1.0", false), &place, Some("sheaf.key")).await;
    let before = registry.asked().len();
    registry.lie(|asked| {
        let page = json!({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": vec![json!({ "mediaType": INDEX, "digest": Digest::of(b"one").to_string(), "size": 3 }); 60],
        });
        let next = format!("<{}?more>; rel=\"next\"", asked.path);
        asked.path.contains("/referrers/").then(|| says(StatusCode::OK, &[("link", &next)], page.to_string()))
    });
    let refused = site.sheaf(&["add", &place]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("more than 100 things are attached to it"), "{refused:?}");
    let asked = registry.asked().split_off(before);
    let pages = asked.iter().filter(|asked| asked.path.contains("/referrers/"));
    assert_eq!(pages.count(), 2, "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stands_for_nothing_that_its_owner_did_not_say() {
    let (registry, site, place) = begin().await;
    let file = version(&site, "odd", "0.1.0", false).display().to_string();
    well(&site, &["publish", &file, &place, "--license", "MIT"]).await;
    let sign = async |more: &[&str]| {
        let arguments = [&["publish", &file, &place, "--sign", "sheaf.key"], more].concat();
        site.sheaf(&arguments).await
    };
    let is_refused = |ended: &Ended, words: &str| {
        assert!(ended.code == 2 && ended.stderr.contains(words), "{words}: {ended:?}");
        let unsigned = registry
            .asked()
            .iter()
            .all(|asked| asked.method != Method::PUT || !asked.path.contains("sha256:"));
        assert!(unsigned, "nothing was attached");
    };
    is_refused(&sign(&[]).await, "its licence there is `MIT`, and none now");
    // Whoever may write there has put the same file into a manifest of their own.
    let ours = registry.manifest("odd", "0.1.0");
    let mut theirs: Value = serde_json::from_slice(&ours).expect("a manifest");
    theirs["annotations"]["org.opencontainers.image.url"] = "https://evil.example.com".into();
    registry.put_manifest("odd", "0.1.0", theirs.to_string());
    is_refused(&sign(&["--license", "MIT"]).await, "another manifest than would be signed");
    registry.put_manifest("odd", "0.1.0", ours);
    let signed = sign(&["--license", "MIT"]).await;
    assert!(signed.code == 0 && signed.stdout.contains("was there already"), "{signed:?}");
    well(&site, &["add", &place]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_another_host_only_where_they_are_kept_for_it_too() {
    let (registry, mut site, place) = begin().await;
    publish(&site, &version(&site, "odd", "0.1.0", false), &place, Some("sheaf.key")).await;
    let tokens = Ours::start().await;
    tokens.lie(|_| Some(says(StatusCode::OK, &[], json!({ "token": "a-token" }).to_string())));
    // Another name than the registry's.
    let host = format!("localhost:{}", tokens.address.port());
    let realm = format!("Bearer realm=\"http://{host}/token\",service=\"x\"");
    registry.lie(move |asked| {
        let is_known = asked.authorization.as_deref() == Some("Bearer a-token");
        (!is_known).then(|| says(StatusCode::UNAUTHORIZED, &[("www-authenticate", &realm)], ""))
    });
    let folder = site.path("docker").display().to_string();
    site.environment.push(("DOCKER_CONFIG".into(), folder));
    let (ours, others) =
        (json!({ "auth": "dXNlcjpwYXNzd29yZA==" }), json!({ "auth": "dXNlcjpvdGhlcg==" }));
    let registry = registry.address.to_string();
    for auths in [json!({ &registry: ours }), json!({ &registry: ours, &host: others })] {
        site.write("docker/config.json", &json!({ "auths": auths }).to_string());
        let refused = site.sheaf(&["add", &place]).await;
        assert!(refused.stderr.contains(&format!("another host, http://{host}")), "{refused:?}");
        assert!(tokens.asked().is_empty(), "{:?}", tokens.asked());
    }
    let auths = json!({ &registry: ours, &host: ours });
    site.write("docker/config.json", &json!({ "auths": auths }).to_string());
    well(&site, &["add", &place]).await;
    assert!(tokens.asked().iter().all(|asked| asked.authorization.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_cannot_be_read_are_not_the_same_as_none() {
    let (registry, mut site, place) = begin().await;
    let folder = site.path("docker");
    site.environment.push(("DOCKER_CONFIG".into(), folder.display().to_string()));
    // What is there in their place cannot be read by anybody.
    std::fs::create_dir_all(folder.join("config.json")).expect("a folder");
    let ended = site.sheaf(&["add", &place]).await;
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("the credentials for registries cannot be read"), "{ended:?}");
    assert!(ended.stderr.contains("docker/config.json"), "{ended:?}");
    assert!(registry.asked().is_empty(), "nobody was asked");
}
