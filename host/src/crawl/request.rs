//! A crawl as it is asked for.

use serde::{Deserialize, Serialize};

use super::lease::Who;
use crate::clock::Timestamp;
use crate::name::{ConnectionName, UploadId};

/// Which crawl is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    #[default]
    Full,
    Incremental,
}

impl std::fmt::Display for ModeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}

/// Which crawl of which connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlRequest {
    pub connection: ConnectionName,
    #[serde(default)]
    pub mode: ModeName,
    /// Another connector than the connection's: a name, a file, or `sha256:…`. Which file that is the
    /// worker finds out when the crawl begins.
    #[serde(default)]
    pub connector: Option<String>,
    /// Do not resume an interrupted crawl.
    #[serde(default, rename = "anew")]
    pub restart: bool,
}

impl CrawlRequest {
    pub fn new(connection: &str, mode: ModeName) -> Self {
        Self { connection: connection.into(), mode, connector: None, restart: false }
    }
}

/// A crawl that is about to begin, and who runs it.
#[derive(Clone, Debug)]
pub struct Start {
    pub request: CrawlRequest,
    pub upload_id: UploadId,
    /// Who crawls, for people.
    pub by: String,
    pub who: Who,
}

/// What a person, or nobody, said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    Approve,
    Reject,
    /// Nobody answered in time.
    Expire,
}

/// Never the same twice, and readable in Glean's history.
pub fn upload_id(connection: &str) -> String {
    let stamp: String =
        Timestamp::now().to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("sheaf-{connection}-{stamp}-{:08x}", rand::random::<u32>())
}
