//! A connection to Temporal: `TEMPORAL_*` and `temporal.toml` as the SDK reads them, with `[temporal]`
//! of sheaf.toml where the environment says nothing.

use std::time::Duration;

use temporalio_client::NamespacedClient as _;
use temporalio_client::envconfig::LoadClientConfigProfileOptions;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, TlsOptions};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;
use temporalio_common::telemetry::metrics::TemporalMeter;
use url::Url;

use super::api_key;
use super::settings::Settings;
use crate::failure::{Failure, Kind, Result};
use crate::machine::host_name;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub async fn connect(settings: &Settings) -> Result<Client> {
    connect_counted(settings, None).await
}

/// The same, and its requests are counted.
pub async fn connect_counted(settings: &Settings, meter: Option<TemporalMeter>) -> Result<Client> {
    let wrong = |what: String| {
        Failure::settings(what)
            .next("correct [temporal], the TEMPORAL_* variables, or temporal.toml")
    };
    let options = LoadClientConfigProfileOptions::builder()
        .maybe_config_file_profile(settings.profile.clone());
    let (mut connection, mut client) = ClientOptions::load_from_config(options.build())
        .map_err(|error| wrong(format!("Temporal's configuration is not right: {error}")))?;
    let from_environment = |name: &str| std::env::var_os(name).is_some();
    let key = settings.api_key.clone().filter(|_| !from_environment("TEMPORAL_API_KEY"));
    connection.metrics_meter = meter;
    if let Some(address) = &settings.address
        && !from_environment("TEMPORAL_ADDRESS")
    {
        // Whoever names a key or certificates means encryption; the client would leave it out without this.
        let encrypted = key.is_some() || connection.tls_options.is_some();
        connection.target = target(address, encrypted)
            .ok_or_else(|| wrong(format!("`{address}` is not the address of a Temporal server")))?;
    }
    if let Some(namespace) = &settings.namespace
        && !from_environment("TEMPORAL_NAMESPACE")
    {
        client.namespace.clone_from(namespace);
    }
    let shown = key.is_some() || connection.api_key.is_some();
    if shown && connection.target.scheme() == "http" {
        let what = format!("an API key is not sent to {} without encryption", connection.target);
        return Err(wrong(what).next("write the address with https://, or leave the key out"));
    }
    let Some(key) = key else { return connect_with(connection, client).await };
    let sent = key.get().await?;
    connection.api_key = Some(sent.reveal().to_string());
    connection.tls_options.get_or_insert_with(TlsOptions::default);
    let client = connect_with(connection, client).await?;
    tokio::spawn(api_key::keep_fresh(client.clone(), key, sent));
    Ok(client)
}

/// The server at this address and no other, whatever the environment says.
pub async fn connect_to(address: &str) -> Result<Client> {
    let target = target(address, false)
        .ok_or_else(|| Failure::internal(format!("`{address}` is not an address")))?;
    let connection = ConnectionOptions::new(target).build();
    connect_with(connection, ClientOptions::new("default").build()).await
}

async fn connect_with(mut connection: ConnectionOptions, client: ClientOptions) -> Result<Client> {
    connection.identity = format!("sheaf-{}@{}", std::process::id(), host_name());
    connection.connect_timeout = Some(CONNECT_TIMEOUT);
    let at = connection.target.to_string();
    let unreachable = |what: String| {
        Failure::new(Kind::Unreachable, what).at(at.clone()).next(
            "start one with `sheaf dev` or `temporal server start-dev`, correct `address` in \
             [temporal], or crawl without it: `sheaf sync NAME --local`",
        )
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect(connection)).await;
    let connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            return Err(unreachable("Temporal does not answer".into()).detail(format!("{error:?}")));
        }
        Err(_) => {
            return Err(unreachable(format!("Temporal did not answer within {CONNECT_TIMEOUT:?}")));
        }
    };
    Client::new(connection, client)
        .map_err(|error| Failure::internal(format!("no Temporal client: {error}")))
}

/// Where no scheme is written, it is what else is said of encryption.
fn target(address: &str, encrypted: bool) -> Option<Url> {
    let scheme = if encrypted { "https" } else { "http" };
    let with_scheme =
        if address.contains("://") { address.to_owned() } else { format!("{scheme}://{address}") };
    Url::parse(&with_scheme).ok().filter(|url| url.host().is_some())
}

/// What tells a namespace from those of the same name in other clusters.
pub async fn namespace_id(client: &Client) -> Result<String> {
    let request = DescribeNamespaceRequest { namespace: client.namespace(), ..Default::default() };
    let mut service = client.connection().workflow_service();
    let described = service.describe_namespace(request.into_request()).await;
    let described = described.map_err(|status| {
        Failure::new(
            Kind::Unreachable,
            format!("Temporal does not describe its namespace: {}", status.message()),
        )
        .next("check [temporal]; `sheaf doctor` tries it")
    })?;
    let info = described.into_inner().namespace_info.unwrap_or_default();
    Ok(format!("{}/{}", info.name, info.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme() {
        let url = target("127.0.0.1:7233", false).expect("an address");
        assert_eq!((url.host_str(), url.port()), (Some("127.0.0.1"), Some(7233)));
        let scheme =
            |address, encrypted| target(address, encrypted).map(|url| url.scheme().to_owned());
        assert_eq!(scheme("127.0.0.1:7233", false).as_deref(), Some("http"));
        assert_eq!(scheme("acme.tmprl.cloud:7233", true).as_deref(), Some("https"));
        assert_eq!(scheme("http://127.0.0.1:7233", true).as_deref(), Some("http"));
        assert!(target("", true).is_none());
    }
}
