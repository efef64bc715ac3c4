//! What we sign, as others see it: Sigstore's own verifier, which knows nothing of Sheaf (`tests/sigstore/verify.js`).

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;
use sheaf::connector::Digest;
use sheaf_tests::registries::{Maker, Real};
use sheaf_tests::{Site, root};
use tokio::process::Command;
use wit_component::{DecodedWasm, OutputToString, WitPrinter};
use wit_parser::{PackageId, Resolve};

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

/// What a package of WIT says, however it is written.
fn printed(resolve: &Resolve, package: PackageId) -> String {
    let mut printer = WitPrinter::<OutputToString>::default();
    printer.print(resolve, package, &[]).expect("it can be printed");
    printer.output.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_is_published_as_a_package_of_wit_that_says_what_is_frozen() {
    let registry = Real::start(Maker::Distribution).await;
    let site = Site::new("").await;
    well(&site, &["keys", "new"]).await;
    let place = format!("oci://{}/team/sheaf/connector", registry.address);
    let arguments = ["publish-contract", &place, "--sign", "sheaf.key"];
    let published = well(&site, &arguments).await;
    assert!(published.stdout.contains("/team/sheaf/connector:0.1.0 is published"), "{published:?}");
    assert!(well(&site, &arguments).await.stdout.contains("was there already"));
    let api = format!("http://{}/v2/team/sheaf/connector", registry.address);
    verified(&[&api, "0.1.0", &site.path("sheaf.pub").display().to_string()])
        .await
        .expect("signed");
    // As `wkg` takes it: the tag is the version, and the first layer the package.
    let get = async |path: &str| {
        let asked = reqwest::Client::new().get(format!("{api}/{path}"));
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let response = asked.header("accept", kind).send().await.expect("an answer");
        response.error_for_status().expect("it is there").bytes().await.expect("bytes")
    };
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
    let manifest = json(&get("manifests/0.1.0").await);
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/wasm");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    let blob = |of: &Value| format!("blobs/{}", of["digest"].as_str().expect("a digest"));
    let package = get(&blob(layer)).await;
    let config = json(&get(&blob(&manifest["config"])).await);
    let DecodedWasm::WitPackage(decoded, id) = wit_component::decode(&package).expect("WIT") else {
        panic!("it is a component");
    };
    let mut frozen = Resolve::default();
    let (contract, _) = frozen.push_dir(root().join("wit/0.1.0")).expect("the contract");
    assert_eq!(decoded.id_of_name(id, "host"), "sheaf:connector/host@0.1.0");
    let hash = |resolve, package| Digest::of(printed(resolve, package).as_bytes());
    assert_eq!(hash(&decoded, id), hash(&frozen, contract), "it says something else");
    let package = &frozen.packages[contract];
    let all = package.interfaces.keys().chain(package.worlds.keys());
    let all: BTreeSet<_> = all.map(|name| frozen.id_of_name(contract, name)).collect();
    let exports = config["component"]["exports"].as_array().expect("a list");
    assert_eq!(
        exports.iter().map(|one| one.as_str().expect("a name").to_owned()).collect::<BTreeSet<_>>(),
        all
    );
    // It is no connector, whoever signed it.
    let refused = site.sheaf(&["add", &place]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    let elsewhere = format!("oci://{}/team/contract", registry.address);
    let refused = site.sheaf(&["publish-contract", &elsewhere]).await;
    assert!(refused.stderr.contains("let the place end so"), "{refused:?}");
}
