//! A connector as the CNCF's wasm OCI artifact: a manifest, its configuration, and one layer. The same file gives the
//! same bytes whenever it is published.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::refusal::Refusal;
use crate::connector::Digest;
use crate::failure::{Failure, Result};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(super) const EMPTY_BYTES: &[u8] = b"{}";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const WASM: &str = "application/wasm";

const VERSION: &str = "org.opencontainers.image.version";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const SOURCE: &str = "org.opencontainers.image.source";
const LICENSES: &str = "org.opencontainers.image.licenses";
const TITLE: &str = "org.opencontainers.image.title";

pub type Annotations = BTreeMap<String, String>;

/// What another object is called by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: Annotations,
}

impl Descriptor {
    pub fn of(media_type: &str, bytes: &[u8]) -> Self {
        Self::known(media_type, &Digest::of(bytes), bytes.len() as u64)
    }

    /// The same of bytes whose digest is known.
    pub fn known(media_type: &str, digest: &Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: digest.to_string(),
            size,
            artifact_type: None,
            annotations: Annotations::new(),
        }
    }
}

/// A manifest of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_type: Option<String>,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub annotations: Annotations,
}

/// A list of manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default)]
    pub media_type: String,
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
}

impl Index {
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self { schema_version: 2, media_type: INDEX.to_owned(), manifests }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    created: &'a str,
    architecture: &'static str,
    os: &'static str,
    layer_digests: [String; 1],
    component: Component<'a>,
}

#[derive(Serialize)]
struct Component<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

/// What is said of a connector besides its bytes.
pub struct About<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub description: &'a str,
    pub source: Option<&'a str>,
    pub license: Option<&'a str>,
    pub imports: &'a [String],
    pub exports: &'a [String],
    /// In RFC 3339; not the clock's, or the same file would have another digest each time.
    pub created: &'a str,
}

/// The objects of a connector, but for its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layer: Descriptor,
}

impl Artifact {
    /// Of a file of this digest and size.
    pub fn new(about: &About<'_>, wasm: &Digest, size: u64) -> Result<Self> {
        let json = |error| Failure::internal(format!("a manifest is no JSON: {error}"));
        let mut layer = Descriptor::known(WASM, wasm, size);
        let config = Config {
            created: about.created,
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [layer.digest.clone()],
            component: Component { exports: about.exports, imports: about.imports },
        };
        let config = serde_json::to_vec(&config).map_err(json)?;
        // Without it `oras pull` writes no file.
        layer.annotations.insert(TITLE.to_owned(), format!("{}.wasm", about.name));
        let mut annotations = Annotations::new();
        annotations.insert(VERSION.to_owned(), about.version.to_owned());
        annotations.insert(DESCRIPTION.to_owned(), about.description.to_owned());
        annotations.extend(about.source.map(|text| (SOURCE.to_owned(), text.to_owned())));
        annotations.extend(about.license.map(|text| (LICENSES.to_owned(), text.to_owned())));
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: None,
            config: Descriptor::of(CONFIG, &config),
            layers: vec![layer.clone()],
            subject: None,
            annotations,
        };
        let manifest = serde_json::to_vec(&manifest).map_err(json)?;
        Ok(Self { manifest, config, layer })
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }
}

/// What a connector's manifest says, which is a stranger's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub config: Descriptor,
    pub wasm: Digest,
    pub size: u64,
    pub source: Option<String>,
    pub license: Option<String>,
}

/// Reads a connector's manifest. One of anything else is refused.
pub fn described(manifest: &[u8]) -> Result<Described, Refusal> {
    let no = |why: String| Refusal::NoConnector(why);
    let Manifest { schema_version, media_type, config, layers, mut annotations, .. } =
        serde_json::from_slice(manifest).map_err(|error| no(format!("its manifest: {error}")))?;
    if schema_version != 2 || !(media_type.is_empty() || media_type == MANIFEST) {
        return Err(no(format!("its manifest is of the kind `{media_type}`")));
    }
    if config.media_type != CONFIG {
        return Err(no(format!("its configuration is of the kind `{}`", config.media_type)));
    }
    let [layer] = layers.as_slice() else {
        return Err(no(format!("it has {} layers, and a connector has one", layers.len())));
    };
    if layer.media_type != WASM {
        return Err(no(format!("its layer is of the kind `{}`", layer.media_type)));
    }
    let digest = |text: &str| text.parse().map_err(|_| no(format!("`{text}` is no digest")));
    let _: Digest = digest(&config.digest)?;
    Ok(Described {
        wasm: digest(&layer.digest)?,
        size: layer.size,
        config,
        source: annotations.remove(SOURCE),
        license: annotations.remove(LICENSES),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about<'a>() -> About<'a> {
        About {
            name: "wiki",
            version: "1.2.0",
            description: "Reads a wiki.",
            source: Some("https://example.com/wiki"),
            license: None,
            imports: &[],
            exports: &[],
            created: "1970-01-01T00:00:00Z",
        }
    }

    #[test]
    fn the_same_file_gives_the_same_digest_and_is_described_as_it_was_written() {
        let artifact = Artifact::new(&about(), &Digest::of(b"\0asm"), 4).expect("an artifact");
        assert_eq!(
            Artifact::new(&about(), &Digest::of(b"\0asm"), 4).expect("an artifact"),
            artifact
        );
        assert_eq!(
            artifact.digest().to_string(),
            "sha256:416a2d65d98b58c38f6bedef89f062c7073d4cef8cf6d1d35db8caa9c9f8851d",
            "it is the one that was published before"
        );
        let described = described(&artifact.manifest).expect("a connector's");
        assert_eq!((described.wasm, described.size), (Digest::of(b"\0asm"), 4));
        assert_eq!(described.source.as_deref(), Some("https://example.com/wiki"));
    }

    #[test]
    fn a_manifest_of_anything_else_is_refused() {
        let artifact = Artifact::new(&about(), &Digest::of(b"\0asm"), 4).expect("an artifact");
        let text = String::from_utf8(artifact.manifest).expect("text");
        let good: Manifest = serde_json::from_str(&text).expect("a manifest");
        let two = Manifest { layers: [good.layers.clone(), good.layers.clone()].concat(), ..good };
        let two = serde_json::to_string(&two).expect("JSON");
        for (manifest, why) in [
            (two, "2 layers"),
            (text.replace(WASM, "application/x-sh"), "`application/x-sh`"),
            (text.replace(CONFIG, EMPTY), "its configuration"),
            (text.replace(MANIFEST, INDEX), "of the kind"),
            (text.replace("\"sha256:", "\"sha512:"), "no digest"),
            ("{}".to_owned(), "its manifest"),
        ] {
            let refusal = described(manifest.as_bytes()).expect_err(why);
            assert!(refusal.to_string().contains(why), "{refusal}");
        }
    }
}
