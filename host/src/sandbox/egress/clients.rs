//! The HTTP clients of one connection, built of its grant.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::grant::Grant;
use super::resolve::{Filtered, Names};
use crate::failure::{Failure, Result, cause};

/// Headers of one response.
const MOST_HEADERS: usize = 256;

pub(super) struct Clients {
    /// For guests: it reaches only what the policy allows.
    pub(super) guests: reqwest::Client,
    /// For tokens, from the addresses that the operator wrote down.
    pub(super) tokens: reqwest::Client,
}

impl Clients {
    pub(super) fn build(connection: &str, grant: &Grant, names: &Arc<dyn Names>) -> Result<Self> {
        let resolver = Filtered {
            policy: Arc::new(grant.policy.clone()),
            names: names.clone(),
            timeout: grant.limits.connect_timeout,
        };
        let guests = builder(grant)?.dns_resolver(resolver);
        let unusable = |error: reqwest::Error| {
            Failure::settings(format!("no HTTP client: {}", cause(&error)))
                .at(connection)
                .next("see the certificates in `tls` of the connection's grants")
        };
        let guests = guests.build().map_err(unusable)?;
        let tokens = builder(grant)?.build().map_err(unusable)?;
        Ok(Self { guests, tokens })
    }
}

fn builder(grant: &Grant) -> Result<reqwest::ClientBuilder> {
    crate::tls::choose_provider();
    let limits = &grant.limits;
    let header_bytes = u32::try_from(limits.response_header_bytes).unwrap_or(u32::MAX);
    let builder = reqwest::Client::builder()
        .connect_timeout(limits.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .pool_idle_timeout(Duration::from_secs(60))
        .http1_max_headers(MOST_HEADERS)
        .http2_max_header_list_size(header_bytes)
        .user_agent(concat!("sheaf/", env!("CARGO_PKG_VERSION")));
    certificates(builder, grant)
}

fn certificates(
    mut builder: reqwest::ClientBuilder,
    grant: &Grant,
) -> Result<reqwest::ClientBuilder> {
    let unusable = |path: &PathBuf, why: &str| {
        Failure::settings(format!("the certificate cannot be used: {why}"))
            .at(path.display().to_string())
            .next("give a PEM file; a client's holds its certificate and its key")
    };
    if let Some(path) = &grant.tls.ca {
        let text = std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))?;
        let found = reqwest::Certificate::from_pem_bundle(&text)
            .map_err(|error| unusable(path, &cause(&error)))?;
        if found.is_empty() {
            return Err(unusable(path, "there is none in it"));
        }
        builder = builder.tls_certs_merge(found);
    }
    if let Some(path) = &grant.tls.client_certificate {
        let text = std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))?;
        let identity =
            reqwest::Identity::from_pem(&text).map_err(|error| unusable(path, &cause(&error)))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}
