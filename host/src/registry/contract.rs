//! The contract itself as a package of WIT, published where `wkg` and others who read WIT look for it.

use std::sync::Arc;

use bytes::Bytes;

use super::oci::{About, Artifact, Reference};
use super::publish::{Done, put};
use super::trust::PrivateKey;
use crate::connector::Digest;
use crate::failure::{Failure, Result};

const NAME: &str = "connector";
const VERSION: &str = "0.1.0";
/// As `wasm-tools component wit --wasm` writes it. Kept, and not made anew, so that it is the same for ever.
const PACKAGE: &[u8] = include_bytes!("../../../wit/encoded/connector-0.1.0.wasm");
const WORLDS_AND_INTERFACES: [&str; 8] = [
    "base",
    "connector",
    "document",
    "document-and-identity-connector",
    "document-connector",
    "documents",
    "host",
    "identities",
];
/// Where it is looked for: its namespace and its name, below whatever the registry has above them.
const PLACE: &str = "sheaf/connector";

/// Publishes the contract that this program hosts.
pub async fn publish_contract(
    to: &Reference,
    created: &str,
    key: Option<&PrivateKey>,
) -> Result<Done> {
    let name = &to.repository.name;
    let is_right = name == PLACE || name.ends_with(&format!("/{PLACE}"));
    if !is_right || to.tag.as_ref().is_some_and(|tag| tag != VERSION) {
        let what = format!("the contract is published as `…/{PLACE}:{VERSION}`, and nothing else");
        return Err(Failure::settings(what)
            .at(to.to_string())
            .next("`wkg` looks for it under its namespace and its name: let the place end so"));
    }
    let exports = WORLDS_AND_INTERFACES.map(|name| format!("sheaf:{NAME}/{name}@{VERSION}"));
    let about = About {
        name: NAME,
        version: VERSION,
        description: "The contract between Sheaf and a connector.",
        source: None,
        license: Some("Apache-2.0"),
        imports: &[],
        exports: &exports,
        created,
    };
    let artifact = Artifact::new(&about, &Digest::of(PACKAGE), PACKAGE.len() as u64)?;
    let (repository, tag) = (to.repository.clone(), Some(VERSION.to_owned()));
    put(
        Reference { repository, tag },
        &artifact,
        Bytes::from_static(PACKAGE),
        key,
        Arc::new(|_| {}),
    )
    .await
}
