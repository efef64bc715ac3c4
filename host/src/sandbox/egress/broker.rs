//! What an egress has of the world, in the process that may have it: the worker.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use futures::future::BoxFuture;
use http::HeaderValue;
use tokio::sync::OnceCell;
use url::Url;

use super::certificates::Certificates;
use super::dial::dial;
use super::grant::Grant;
use super::lookups::Lookups;
use super::manners::{MOST_HEADERS, POOL_IDLE, USER_AGENT, header_bytes};
use super::outside::{Outside, Undialled};
use super::pem;
use super::resolve::{Names, System};
use crate::failure::{Failure, Kind, Result};
use crate::sandbox::credentials::{Credentials, Refused};
use crate::sandbox::policy::{Allowed, Denied, Target};

/// One connection's: it decides again what may be reached, and holds what is secret.
pub struct Broker {
    connection: String,
    grant: Grant,
    credentials: Credentials,
    lookups: Lookups,
    certificates: OnceCell<Certificates>,
    /// For tokens, from the addresses that the operator wrote down.
    tokens: OnceCell<reqwest::Client>,
}

impl Broker {
    pub fn new(connection: &str, grant: Grant) -> Self {
        Self::with_names(connection, grant, Arc::new(System))
    }

    pub(super) fn with_names(connection: &str, grant: Grant, names: Arc<dyn Names>) -> Self {
        Self {
            connection: connection.to_owned(),
            credentials: Credentials::new(&grant.credentials),
            grant,
            lookups: Lookups::new(names),
            certificates: OnceCell::new(),
            tokens: OnceCell::new(),
        }
    }

    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whether everything that was granted is really there.
    pub async fn check(&self) -> Result<()> {
        if !self.grant.policy.granted.is_empty() {
            self.read_certificates().await?;
        }
        for credential in self.credentials.all() {
            credential.check().await?;
        }
        Ok(())
    }

    /// Whether a URL could be requested, and by which grant.
    pub fn allows(&self, url: &str) -> Result<(Url, Target, Allowed), Denied> {
        self.grant.policy.allows_url(url)
    }

    /// Where a name that is allowed leads now.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>> {
        self.found(target).await.map_err(|why| match why {
            Undialled::Blocked(denied) => {
                denied.failure(&self.connection, &self.grant.policy.granted)
            }
            why => Failure::new(Kind::Source, format!("{} cannot be resolved: {why}", target.host)),
        })
    }

    /// Resolves and filters in one step: a name cannot lead elsewhere between the check and the dialling.
    async fn found(&self, target: &Target) -> Result<Vec<IpAddr>, Undialled> {
        // It was granted itself.
        if let Some(address) = target.address() {
            return Ok(vec![address]);
        }
        let name = target.host.to_string();
        let found = self.lookups.addresses(&name).await.map_err(Undialled::Unresolved)?;
        let kept = self.grant.policy.dialled(&name, &Allowed::name(&name), found);
        kept.map_err(Undialled::Blocked)
    }

    async fn connect(&self, url: &str) -> Result<TcpStream, Undialled> {
        let (_, target, _) = self.allows(url).map_err(Undialled::Blocked)?;
        let mut is_resolved = false;
        let connected = tokio::time::timeout(self.grant.limits.connect_timeout, async {
            let addresses = self.found(&target).await?;
            is_resolved = true;
            dial(addresses, target.port).await.map_err(|error| undialled(&error))
        });
        match connected.await {
            Ok(connected) => connected,
            Err(_) if is_resolved => Err(Undialled::TimedOut),
            Err(_) => Err(Undialled::Unresolved("the name was not resolved in time".into())),
        }
    }

    /// Read when they are needed first.
    async fn read_certificates(&self) -> Result<&Certificates> {
        let read = || async {
            let (tls, connection) = (self.grant.tls.clone(), self.connection.clone());
            let read = tokio::task::spawn_blocking(move || pem::read(&tls, &connection));
            read.await
                .map_err(|error| Failure::internal(format!("a background task failed: {error}")))?
        };
        self.certificates.get_or_try_init(read).await
    }

    async fn tokens(&self) -> Result<&reqwest::Client> {
        let build = || async {
            let limits = &self.grant.limits;
            let certificates = self.read_certificates().await?;
            let config = certificates.config();
            let mut tls = config.map_err(|error| pem::no_client(&error, &self.connection))?;
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let client = reqwest::Client::builder()
                .connect_timeout(limits.connect_timeout)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .retry(reqwest::retry::never())
                .pool_idle_timeout(POOL_IDLE)
                .http1_max_headers(MOST_HEADERS)
                .http2_max_header_list_size(header_bytes(limits))
                .user_agent(USER_AGENT)
                .tls_backend_preconfigured(tls);
            client.build().map_err(|error| pem::no_client(&error, &self.connection))
        };
        self.tokens.get_or_try_init(build).await
    }

    async fn value(&self, name: &str) -> Result<HeaderValue> {
        let Some(credential) = self.credentials.get(name) else {
            return Err(Failure::new(
                Kind::Denied,
                "a credential was asked for that is not granted",
            ));
        };
        credential.value(self.tokens().await?).await
    }
}

fn undialled(error: &io::Error) -> Undialled {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Undialled::Refused,
        io::ErrorKind::TimedOut => Undialled::TimedOut,
        _ => Undialled::Other(error.to_string()),
    }
}

impl Outside for Broker {
    fn dial<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<TcpStream, Undialled>> {
        Box::pin(self.connect(url))
    }

    fn credential<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<HeaderValue>> {
        Box::pin(self.value(name))
    }

    fn forget<'a>(
        &'a self,
        name: &'a str,
        sent: &'a HeaderValue,
        refused: Refused,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.credentials.get(name) {
                Some(credential) => credential.forget(sent, refused).await,
                None => false,
            }
        })
    }

    fn helped<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Some(credential) = self.credentials.get(name) {
                credential.helped().await;
            }
        })
    }

    fn certificates(&self) -> BoxFuture<'_, Result<Certificates>> {
        Box::pin(async { self.read_certificates().await.cloned() })
    }
}
