//! `[observe]`: where a worker is looked at.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use super::locate::{Locate, without_user};
use super::values::{Secrets, rotating};
use crate::failure::Result;
use crate::observe::settings::Settings;
use crate::secret;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Section {
    address: Option<String>,
    token: Option<secret::Source>,
    traces: Option<String>,
}

impl Section {
    /// Where traces are sent.
    pub(super) fn traces(&self, locate: &Locate<'_>) -> Result<Option<String>> {
        let Some(collector) = &self.traces else { return Ok(None) };
        let url = url::Url::parse(collector).ok();
        let is_right = |url: &url::Url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        };
        if !url.as_ref().is_some_and(is_right) {
            let wrong = format!("`{}` is not the address of a collector", without_user(collector));
            return Err(locate
                .failure(&["observe", "traces"], wrong)
                .next("write it like \"http://collector:4318\": OTLP over HTTP"));
        }
        Ok(Some(collector.clone()))
    }

    /// Nothing where nothing is to be served.
    pub(super) fn validate(
        self,
        base: &Path,
        locate: &Locate<'_>,
        secrets: Secrets<'_>,
    ) -> Result<Option<Settings>> {
        let token = self.token.map(|source| {
            rotating(source, base, secrets)
                .map_err(|failure| failure.at_least(|| locate.place(&["observe", "token"])))
        });
        let token = token.transpose()?;
        let Some(address) = self.address else {
            return match token {
                Some(_) => Err(locate
                    .failure(&["observe", "token"], "there is no `address` to show it at")
                    .next("add `address = \"127.0.0.1:9464\"` to [observe]")),
                None => Ok(None),
            };
        };
        let address: SocketAddr = address.parse().map_err(|_| {
            locate
                .failure(
                    &["observe", "address"],
                    format!("`{address}` is not an address and a port"),
                )
                .next(
                    "write it like \"127.0.0.1:9464\", or \"0.0.0.0:9464\" for other machines, too",
                )
        })?;
        Ok(Some(Settings { address, token }))
    }
}
