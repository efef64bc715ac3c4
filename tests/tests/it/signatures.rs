//! What we sign, as others see it: Sigstore's own verifier, which knows nothing of Sheaf (`tests/sigstore/verify.js`).

use std::process::Stdio;

use sheaf::connector::Digest;
use sheaf_tests::registries::{Maker, Real};
use sheaf_tests::{Site, root};
use tokio::process::Command;

use crate::publishing::{publish, version, well};

/// What the verifier says; what it refuses is an error.
async fn verified(arguments: &[&str]) -> Result<String, String> {
    let folder = root().join("tests/sigstore");
    let is_there = folder.join("node_modules").is_dir();
    assert!(is_there, "Sigstore's verifier is not there: run ./test, which gets it");
    let mut command = Command::new("node");
    command.arg(folder.join("verify.js")).args(arguments).stdin(Stdio::null());
    let ended = command.output().await.expect("node runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if ended.status.success() { Ok(text(&ended.stdout)) } else { Err(text(&ended.stderr)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigstores_own_verifier_accepts_what_we_signed_and_nothing_else() {
    for maker in [Maker::Debian, Maker::Distribution] {
        verifies(&Real::start(maker).await).await;
    }
}

async fn verifies(registry: &Real) {
    let site = Site::new("").await;
    for key in ["ours", "strangers"] {
        well(&site, &["keys", "new", key]).await;
    }
    let place = format!("oci://{}/team/odd", registry.address);
    let file = version(&site, "odd", "0.1.0", false);
    let published = publish(&site, &file, &place, Some("ours.key")).await;
    let api = format!("http://{}/v2/team/odd", registry.address);
    let [ours, strangers] = ["ours.pub", "strangers.pub"].map(|name| site.path(name));
    let [ours, strangers] = [&ours, &strangers].map(|path| path.display().to_string());
    let said = verified(&[&api, "0.1.0", &ours]).await.expect("accepted");
    let digest = said.split_once(" is signed").expect("a digest").0.to_owned();
    assert!(published.stdout.contains(&digest), "{said}: {published:?}");
    let refused = verified(&[&api, "0.1.0", &strangers]).await.expect_err("refused");
    assert!(refused.contains("signature verification failed"), "{refused}");
    let other = Digest::of(b"another manifest").to_string();
    let refused = verified(&[&api, "0.1.0", &ours, &other]).await.expect_err("refused");
    assert!(refused.contains(&format!("it is of {digest}, and of nothing else")), "{refused}");
    // What nobody signed is not signed.
    publish(&site, &version(&site, "odd", "0.1.1", false), &place, None).await;
    let refused = verified(&[&api, "0.1.1", &ours]).await.expect_err("refused");
    assert!(refused.contains("nothing is attached"), "{refused}");
}
