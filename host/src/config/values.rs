//! Values as people write them: `"30s"`, `"4 MiB"`, `{ env = "NAME" }`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

use crate::failure::{Failure, Result};

/// A duration such as `"30s"`, `"5m"` or `"2h"`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match humantime::parse_duration(&text) {
            Ok(duration) if !duration.is_zero() => Ok(Self(duration)),
            _ => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"a duration such as \"30s\", \"5m\" or \"2h\"",
            )),
        }
    }
}

/// A number of bytes such as `"4 MiB"`.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        bytesize::ByteSize::from_str(&text)
            .ok()
            .and_then(|size| usize::try_from(size.as_u64()).ok())
            .filter(|size| *size > 0)
            .map(Self)
            .ok_or_else(|| {
                D::Error::invalid_value(
                    Unexpected::Str(&text),
                    &"a size such as \"512 KiB\" or \"4 MiB\"",
                )
            })
    }
}

/// Where a secret comes from. Its value never stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum SecretSource {
    Env(String),
    File(PathBuf),
}

/// A secret's value, which does not show itself.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(value: &str) -> Self {
        Self(value.trim().into())
    }

    /// For the one place that sends it.
    pub fn reveal(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl SecretSource {
    pub fn read(
        &self,
        base: &std::path::Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Secret> {
        match self {
            Self::Env(name) => env(name).map(|value| Secret::new(&value)).ok_or_else(|| {
                Failure::settings(format!("the environment variable {name} is not set"))
                    .next(format!("set {name}, or change where the secret comes from"))
            }),
            Self::File(path) => {
                let path = base.join(path);
                std::fs::read_to_string(&path).map(|value| Secret::new(&value)).map_err(|error| {
                    Failure::settings(format!("cannot read the secret: {error}"))
                        .at(path.display().to_string())
                })
            }
        }
    }
}

/// How Temporal retries and times a crawl: `[temporal.policy]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyConfig {
    /// Failures in a row, without an acknowledged page between them, that end a crawl.
    pub attempts: u32,
    pub initial_interval: Duration,
    pub backoff: f64,
    pub max_interval: Duration,
    pub start_to_close: Duration,
    pub heartbeat_timeout: Duration,
    /// Scopes of one crawl that run at the same time.
    pub parallel_scopes: usize,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            attempts: 3,
            initial_interval: Duration::from_secs(30),
            backoff: 2.0,
            max_interval: Duration::from_secs(300),
            start_to_close: Duration::from_secs(2 * 3600),
            heartbeat_timeout: Duration::from_secs(30),
            parallel_scopes: 4,
        }
    }
}
