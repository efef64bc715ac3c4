//! What registries, and whoever stands between, may do to somebody who adds a connector: each is refused by its name,
//! and the version before runs on.

use std::process::Command;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use sheaf::connector::Digest;
use sheaf_tests::registries::{Ours, says};
use sheaf_tests::{Ended, Site, odd, root};

use crate::publishing::{publish, trust, trusting, version, well};

/// A registry with two signed versions, and a site that runs the first one.
struct Case {
    registry: Ours,
    site: Site,
    place: String,
}

impl Case {
    async fn new() -> Self {
        let registry = Ours::start().await;
        let place = format!("oci://{}/odd", registry.address);
        let site = trusting(&odd("pages = 1"), &place).await;
        for number in ["0.1.0", "0.1.1"] {
            let file = version(&site, "odd", number, false);
            publish(&site, &file, &place, Some("sheaf.key")).await;
        }
        well(&site, &["add", &format!("{place}:0.1.0")]).await;
        Self { registry, site, place }
    }

    async fn add(&self) -> Ended {
        self.site.sheaf(&["add", &format!("{}:0.1.1", self.place)]).await
    }

    /// It is refused, in these words, and what was locked runs on.
    async fn refused(&self, words: &str) {
        let ended = self.add().await;
        assert_ne!(ended.code, 0, "{words}: {ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
        assert_eq!(self.site.sync("odd", 0).await["connector"], "odd 0.1.0");
    }

    fn manifest(&self) -> Value {
        let bytes = self.registry.manifest("odd", "0.1.1");
        serde_json::from_slice(&bytes).expect("a manifest")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_gives_is_believed_by_its_digest_only() {
    let case = Case::new().await;
    let manifest = case.manifest();
    let layer = manifest["layers"][0].clone();
    let wasm = case.registry.blob(layer["digest"].as_str().expect("a digest"));
    let blob = format!("/v2/odd/blobs/{}", layer["digest"].as_str().expect("a digest"));
    // The file.
    let mut changed = wasm.to_vec();
    *changed.last_mut().expect("a byte") ^= 1;
    let (short, long) = (wasm[..1000].to_vec(), [&wasm[..], b"more"].concat());
    for (bytes, words) in [
        (changed, "its file is another than its manifest says"),
        (short, "its file has 1000 bytes or more"),
        (long, "or more, and its manifest says"),
    ] {
        let path = blob.clone();
        case.registry.lie(move |asked| {
            (asked.method == Method::GET && asked.path == path)
                .then(|| says(StatusCode::OK, &[], bytes.clone()))
        });
        case.refused(words).await;
    }
    // What is attached: its manifest is asked for by its digest.
    case.registry.lie(|asked| {
        (asked.path.contains("/manifests/sha256:"))
            .then(|| says(StatusCode::OK, &[], "{\"schemaVersion\":2}"))
    });
    case.refused("another manifest than was asked for").await;
    case.registry.be_honest();
    // A manifest that was changed is one that nobody signed.
    let mut two = manifest.clone();
    two["layers"] = json!([layer, layer]);
    case.registry.put_manifest("odd", "0.1.1", two.to_string());
    case.refused("it has 2 layers, and a connector has one").await;
    let mut other = manifest.clone();
    other["annotations"]["x"] = "y".into();
    case.registry.put_manifest("odd", "0.1.1", other.to_string());
    case.refused("it is not signed").await;
    // The tag of the version that runs is moved: it runs on, and that is told.
    case.registry.put_manifest("odd", "0.1.0", other.to_string());
    let audit = case.site.sheaf(&["audit"]).await;
    assert!(audit.code == 5 && audit.stdout.contains("its tag 0.1.0 was moved"), "{audit:?}");
    assert_eq!(case.site.sync("odd", 0).await["connector"], "odd 0.1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_statement_about_this_manifest_by_a_trusted_key_authorises() {
    let case = Case::new().await;
    let (first, second) =
        (case.registry.manifest("odd", "0.1.0"), case.registry.manifest("odd", "0.1.1"));
    let bundle_of = |manifest: &[u8]| {
        let key = std::fs::read_to_string(case.site.path("sheaf.key")).expect("a key");
        let key = sheaf::registry::trust::PrivateKey::from_pem(&key).expect("a key");
        sheaf::registry::trust::sign(&key, &Digest::of(manifest)).expect("signed")
    };
    // Garbage beside a good one hides nothing.
    case.registry.attach("odd", "0.1.1", b"{\"mediaType\":\"x\"}");
    case.refused("a signature of it cannot be read").await;
    case.registry.detach();
    case.refused("it is not signed").await;
    case.registry.attach("odd", "0.1.1", &bundle_of(&first));
    // The one that runs has its own signature in the store.
    case.refused("its signature is that of another manifest").await;
    case.registry.detach();
    // What the right key says of the right manifest, but not that it may be used.
    let signed_as = |kind: &str| {
        let digest = Digest::of(&second).to_string();
        let script = root().join("tests/sigstore/sign.js");
        let mut node = Command::new("node");
        node.arg(script).arg(case.site.path("sheaf.key")).args([&digest, kind]);
        let ended = node.output().expect("node runs");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        ended.stdout
    };
    case.registry.attach("odd", "0.1.1", &signed_as("https://spdx.dev/Document"));
    case.refused("what its publisher attached is of another kind (https://spdx.dev/Document)")
        .await;
    // It hides no signature, and makes none of a stranger's.
    let stranger = sheaf::registry::trust::PrivateKey::generate().expect("a key").0;
    let by_stranger =
        sheaf::registry::trust::sign(&stranger, &Digest::of(&second)).expect("signed");
    case.registry.attach("odd", "0.1.1", &by_stranger);
    case.refused("it is signed by a key that is not trusted for it").await;
    // A good one beside them is good, whoever's program made it.
    case.registry.attach("odd", "0.1.1", &signed_as("https://sigstore.dev/cosign/sign/v1"));
    assert_eq!(case.add().await.code, 0);
    // The key is not trusted any more: what runs is refused at its next load.
    std::fs::write(case.site.path("stranger.pub"), stranger.public().to_pem()).expect("written");
    trust(&case.site, &odd("pages = 1"), &case.place, "stranger.pub");
    let ended = case.site.sheaf(&["sync", "odd", "--local"]).await;
    // Both have signed it: but it was another that was agreed to.
    assert!(ended.code == 2 && ended.stderr.contains("not trusted"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_the_registry_and_to_nobody_else() {
    let case = Case::new().await;
    let elsewhere = Ours::start().await;
    let registry = case.registry.address;
    let login = json!({ "auths": { registry.to_string(): { "auth": "dXNlcjpwYXNzd29yZA==" } } });
    case.site.write("docker/config.json", &login.to_string());
    let mut site = case.site;
    let folder = site.path("docker").display().to_string();
    site.environment.push(("DOCKER_CONFIG".into(), folder));
    let case = Case { site, ..case };
    // Whoever gives tokens is not the registry's own.
    let realm = "Bearer realm=\"https://evil.example.com/token\",service=\"x\"";
    case.registry.lie(move |asked| {
        let is_known = asked.authorization.is_some();
        (!is_known).then(|| says(StatusCode::UNAUTHORIZED, &[("www-authenticate", realm)], ""))
    });
    case.refused("sends us to another host, https://evil.example.com").await;
    // It wants a name and a password, and sends us for the file to another place.
    let other = format!("http://{}/v2/odd/blobs/", elsewhere.address);
    let layer = case.manifest()["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    elsewhere.put_blob(case.registry.blob(&layer));
    let to = other.clone();
    case.registry.lie(move |asked| {
        if asked.authorization.as_deref() != Some("Basic dXNlcjpwYXNzd29yZA==") {
            return Some(says(
                StatusCode::UNAUTHORIZED,
                &[("www-authenticate", "Basic realm=\"x\"")],
                "",
            ));
        }
        let name = asked.path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_file = asked.path.contains("/blobs/") && name == layer;
        is_file.then(|| {
            let to = format!("{to}{name}");
            says(StatusCode::TEMPORARY_REDIRECT, &[("location", &to)], "")
        })
    });
    assert_eq!(case.add().await.code, 0);
    let asked = elsewhere.asked();
    assert!(!asked.is_empty() && asked.iter().all(|one| one.authorization.is_none()), "{asked:?}");
    // A manifest comes from the registry, or not at all.
    let to = format!("http://{}/v2/odd/manifests/0.1.1", elsewhere.address);
    case.registry.lie(move |asked| {
        asked
            .path
            .contains("/manifests/")
            .then(|| says(StatusCode::TEMPORARY_REDIRECT, &[("location", &to)], ""))
    });
    let ended = case.add().await;
    assert!(ended.code == 2 && ended.stderr.contains("sends us to another host"), "{ended:?}");
    // Ones that are wrong are not the same as none.
    let basic = [("www-authenticate", "Basic realm=\"x\"")];
    case.registry.lie(move |_| Some(says(StatusCode::UNAUTHORIZED, &basic, "")));
    let ended = case.add().await;
    let words = "did not take the credentials that are kept for it";
    assert!(ended.code == 4 && ended.stderr.contains(words), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_says_no_or_not_now_is_told_in_its_words() {
    let case = Case::new().await;
    for (status, words) in [
        (StatusCode::UNAUTHORIZED, "does not answer as a registry does: it wants credentials"),
        (StatusCode::FORBIDDEN, "does not let us have the manifest `0.1.1` (403 Forbidden)"),
        (StatusCode::NOT_FOUND, "there is no oci://"),
        (StatusCode::TOO_MANY_REQUESTS, "answers 429"),
        (StatusCode::INTERNAL_SERVER_ERROR, "answers 500"),
        (StatusCode::IM_A_TEAPOT, "refused the manifest `0.1.1` (418"),
    ] {
        case.registry.lie(move |asked| {
            asked.path.contains("/manifests/").then(|| says(status, &[("retry-after", "0")], "{}"))
        });
        case.refused(words).await;
    }
    // What is attached cannot be asked for: that is not the same as nothing.
    case.registry.lie(|asked| {
        asked.path.contains("/referrers/").then(|| says(StatusCode::FORBIDDEN, &[], ""))
    });
    case.refused("the list of what is attached (403").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_by_hand_in_the_lock_or_the_store_is_refused() {
    let case = Case::new().await;
    let path = case.site.path("sheaf.lock");
    let lock = std::fs::read_to_string(&path).expect("a lock");
    let other = Digest::of(b"another").to_string();
    let digest_of = |key: &str| {
        let line = lock.lines().find(|line| line.starts_with(key)).expect(key);
        line.split('"').nth(1).expect("a digest").to_owned()
    };
    let refused = async |words: &str| {
        let ended = case.site.sheaf(&["sync", "odd", "--local"]).await;
        assert!(ended.code == 2 && ended.stderr.contains(words), "{words}: {ended:?}");
    };
    for (from, to, words) in [
        (digest_of("wasm"), other.clone(), "is locked with a file that it does not have"),
        (digest_of("manifest"), other.clone(), "the store does not have it"),
        (digest_of("signer"), other.clone(), "not trusted for it"),
        (case.place.clone(), "oci://evil.example.com/odd".into(), "the store does not have it"),
        (
            "folders = false".into(),
            "folders = true".into(),
            "something else than what was agreed to",
        ),
    ] {
        std::fs::write(&path, lock.replace(&from, &to)).expect("written");
        refused(words).await;
    }
    std::fs::write(&path, &lock).expect("written");
    let wasm = digest_of("wasm");
    let hex = wasm.strip_prefix("sha256:").expect("a digest");
    let stored = case.site.path(&format!(".sheaf/connectors/{hex}.wasm"));
    std::fs::write(&stored, b"\0asm").expect("written");
    refused("fetches what is locked").await;
    let hex = digest_of("manifest").replace("sha256:", "");
    let mut published = walk(&case.site.path(".sheaf/connectors/published"));
    let kept = published.find(|path| path.ends_with(format!("{hex}.json"))).expect("a manifest");
    std::fs::write(&stored, wasm_of(&case)).expect("written");
    std::fs::write(&kept, b"{}").expect("written");
    refused("what the store keeps of it was changed there").await;
}

/// The file of the version that is locked.
fn wasm_of(case: &Case) -> Vec<u8> {
    let manifest: Value =
        serde_json::from_slice(&case.registry.manifest("odd", "0.1.0")).expect("a manifest");
    case.registry.blob(manifest["layers"][0]["digest"].as_str().expect("a digest")).to_vec()
}

fn walk(folder: &std::path::Path) -> impl Iterator<Item = std::path::PathBuf> + use<> {
    let folders = std::fs::read_dir(folder).expect("a folder").flatten();
    folders.flat_map(|folder| {
        std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.path())
    })
}
