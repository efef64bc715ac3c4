//! Values as people write them: `"30s"`, `"4 MiB"`, `{ env = "NAME" }`.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::failure::Result;
use crate::secret::{self, Rotating};

/// A duration such as `"30s"`, `"5m"` or `"2h"`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub Duration);

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
pub(super) struct Size(pub usize);

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

/// The environment.
pub(super) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// When the secrets of a configuration are read.
#[derive(Clone, Copy)]
pub(super) enum Secrets<'a> {
    /// At once, so that what is wrong with one is said at once; and again later.
    Now(Env<'a>),
    /// When they are needed first: some commands need none.
    Later,
}

pub(super) fn rotating(
    source: secret::Source,
    base: &Path,
    secrets: Secrets<'_>,
) -> Result<Arc<Rotating>> {
    Ok(Arc::new(match secrets {
        Secrets::Now(env) => {
            let secret = source.read(base, env)?;
            Rotating::with(source, base, secret)
        }
        Secrets::Later => Rotating::new(source, base),
    }))
}
