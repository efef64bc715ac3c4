//! What a file is, found out without running or compiling it.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

use super::outline;
use crate::failure::{Failure, Kind, Result};
use crate::text::short_line;

/// The contract versions this host speaks, oldest first.
pub(crate) const CONTRACTS: &[&str] = &["0.1.0"];

const PACKAGE: &str = "sheaf:connector/";

/// Names that are longer than this are no contract's, and producers of which there are more are none.
const MAX_NAME: usize = 200;
const MOST_PRODUCERS: usize = 20;

/// What a component imports, exports and was made with. All of it are a stranger's words, to be shown.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inspection {
    pub contract: String,
    pub imports: Vec<String>,
    pub exports: Vec<String>,
    /// `language`, `processed-by` and `sdk` of the producers section, such as `Rust`.
    pub producers: Vec<String>,
}

/// Imports that are kept, and exports.
const MOST_NAMES: usize = 1_000;

impl Inspection {
    /// What another process found, as far as it is told.
    pub(crate) fn bounded(self) -> Self {
        let names =
            |names: Vec<String>, most| names.iter().take(most).map(|name| shown(name)).collect();
        Self {
            contract: shown(&self.contract),
            imports: names(self.imports, MOST_NAMES),
            exports: names(self.exports, MOST_NAMES),
            producers: names(self.producers, MOST_PRODUCERS),
        }
    }

    /// Whether this host speaks its contract.
    pub(crate) fn is_spoken(&self) -> bool {
        CONTRACTS.contains(&self.contract.as_str())
    }

    /// Whether it may tell who is who.
    pub(crate) fn has_identities(&self) -> bool {
        let identities = format!("{PACKAGE}identities@");
        self.exports.iter().any(|export| export.starts_with(&identities))
    }
}

/// Reads a component's outside. Anything but a connector of a spoken version is refused in one
/// sentence.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Inspection> {
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(refused("the file is native code, compiled by wasmtime already")
            .next("give the `.wasm` component it was compiled from"));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(refused("the file is not WebAssembly")
            .next("give a component: the `.wasm` that the connector's build wrote"));
    }
    if !Parser::is_component(bytes) {
        return Err(refused("the file is a core WebAssembly module, not a component")
            .next("build it for `wasm32-wasip2`, or wrap it with `wasm-tools component new`"));
    }
    outline::check(bytes)?;
    let mut found = Inspection::default();
    read(bytes, &mut found).map_err(|error| outline::damaged(&error))?;
    found.producers.sort();
    found.contract = contract(&found)?;
    Ok(found)
}

fn read(bytes: &[u8], found: &mut Inspection) -> wasmparser::Result<()> {
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                debug_assert!(depth > 1 || encoding == Encoding::Component);
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    found.imports.push(shown(import?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    found.exports.push(shown(export?.name.name));
                }
            }
            Payload::CustomSection(section) => {
                if let wasmparser::KnownCustom::Producers(fields) = section.as_known() {
                    for field in fields {
                        for value in field?.values {
                            let value = value?;
                            let both = format!("{} {}", value.name, value.version);
                            let producer = shown(both.trim_end());
                            let is_new = !found.producers.contains(&producer);
                            if is_new && found.producers.len() < MOST_PRODUCERS {
                                found.producers.push(producer);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn shown(name: &str) -> String {
    short_line(name, MAX_NAME)
}

/// The version both sides speak.
fn contract(found: &Inspection) -> Result<String> {
    let version = |interface: &str| {
        let prefix = format!("{PACKAGE}{interface}@");
        found.exports.iter().find_map(|name| name.strip_prefix(&prefix).map(str::to_owned))
    };
    let Some(connector) = version("connector") else {
        return Err(refused(
            "the component is not a connector: it does not export `sheaf:connector/connector`",
        )
        .next("build it against the world `document-connector` of Sheaf's `wit/`"));
    };
    let spoken = CONTRACTS.join(", ");
    if !CONTRACTS.contains(&connector.as_str()) {
        return Err(refused(format!(
            "the connector speaks contract {connector}, and this host speaks {spoken}"
        ))
        .next("upgrade Sheaf, or rebuild the connector with an SDK of a spoken version"));
    }
    match version("documents") {
        Some(documents) if documents == connector => Ok(connector),
        Some(documents) => Err(refused(format!(
            "the connector mixes contract versions {connector} and {documents}"
        ))
        .next("rebuild it against one version of Sheaf's `wit/`")),
        None => Err(refused(
            "the connector delivers no documents: it does not export `sheaf:connector/documents`",
        )
        .next("build it against the world `document-connector` of Sheaf's `wit/`")),
    }
}

fn refused(what: impl Into<String>) -> Failure {
    Failure::new(Kind::Contract, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> String {
        inspect(bytes).expect_err("refused").what
    }

    #[test]
    fn what_is_not_a_connector_is_refused_in_one_sentence() {
        assert_eq!(message(b"hello"), "the file is not WebAssembly");
        assert_eq!(
            message(b"\0asm\x01\0\0\0"),
            "the file is a core WebAssembly module, not a component"
        );
        assert!(message(b"\0asm\x0d\0\x01\0").starts_with("the component is not a connector"));
        assert!(message(b"\0asm\x0d\0\x01\0\x07\xff").starts_with("the component is damaged"));
    }

    #[test]
    fn names_in_a_component_cannot_steer_a_terminal() {
        assert_eq!(shown("wasi:x/y@1\u{1b}[2J\u{202e}\n"), r"wasi:x/y@1\u{1b}[2J\u{202e} ");
        assert_eq!(shown(&"x".repeat(100_000)).chars().count(), MAX_NAME + 1);
    }

    #[test]
    fn another_contract_version_is_named_with_ours() {
        let found = Inspection {
            exports: vec!["sheaf:connector/connector@0.9.0".into()],
            ..Inspection::default()
        };
        let failure = contract(&found).expect_err("refused");
        assert_eq!(failure.what, "the connector speaks contract 0.9.0, and this host speaks 0.1.0");
        assert_eq!(failure.kind, Kind::Contract);
    }
}
