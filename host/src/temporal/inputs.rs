//! What activities are given: it stands in histories, which must go on to be read.

use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::crawl::request::CrawlRequest;
use crate::crawl::{CrawlPolicy, CrawlRef, Decision};
use crate::name::{ConnectionName, UploadId};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConfigureInput {
    #[serde(flatten)]
    pub request: CrawlRequest,
    #[serde(default)]
    pub by: String,
    pub upload_id: UploadId,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<CrawlPolicy>,
    /// What whoever started the crawl has.
    #[serde(default)]
    pub glean: String,
    #[serde(default)]
    pub connection_digest: Option<String>,
    /// Whether the workflow crawls ranges of scopes. Those of earlier versions crawl each by its name.
    #[serde(default)]
    pub ranges: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecideInput {
    pub connection: ConnectionName,
    pub upload_id: UploadId,
    pub decision: Decision,
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<CrawlPolicy>,
}

/// Which scopes to crawl.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScopesInput {
    #[serde(alias = "plan")]
    pub crawl: CrawlRef,
    /// By their numbers, from 0.
    #[serde(default)]
    pub scopes: Range<usize>,
    /// The one scope that a workflow of an earlier version asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Failures in a row that end a scope, or the crawl where they are none of the scopes'.
    pub attempts: u32,
    /// How long to wait after each. Where an earlier version said nothing, the server knows.
    #[serde(default)]
    pub policy: Option<CrawlPolicy>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CompleteInput {
    #[serde(alias = "plan")]
    pub crawl: CrawlRef,
    pub seconds: f64,
    #[serde(default)]
    pub attempts: u32,
    #[serde(default)]
    pub policy: Option<CrawlPolicy>,
}

/// How long a crawl's claim is to count while nobody works on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimInput {
    pub crawl: CrawlRef,
    /// Nothing: it is given back.
    pub lasts: Option<Duration>,
}

/// Whose users and groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IdentitiesInput {
    pub connection: ConnectionName,
    pub by: String,
    pub policy: CrawlPolicy,
    /// What whoever started the crawl has.
    #[serde(default)]
    pub glean: String,
    #[serde(default)]
    pub connection_digest: Option<String>,
    /// Tell everything again.
    #[serde(default)]
    pub restart: bool,
    /// The crawl of documents that waits for it.
    #[serde(default)]
    pub beside: Option<UploadId>,
}

/// Of which connection it is asked what a full crawl would do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ForecastInput {
    pub connection: ConnectionName,
    pub by: String,
    pub policy: CrawlPolicy,
    /// What whoever asks has.
    pub glean: String,
    #[serde(default)]
    pub connection_digest: Option<String>,
    /// Read everything again.
    #[serde(default)]
    pub restart: bool,
}
