//! Names become addresses here, and only those that the policy lets through are ever dialled.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::sandbox::policy::{Allowed, Denied, Policy};

/// Names that are looked up at once in this process.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

/// Where addresses come from.
pub(super) trait Names: Send + Sync {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's own: its hosts file, its search domains, its DNS servers.
#[derive(Debug)]
pub(super) struct System;

impl Names for System {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            // A lookup that is given up goes on in its thread, and keeps its turn so long.
            let turn = LOOKUPS.acquire().await.map_err(io::Error::other)?;
            let lookup = move || {
                let _turn = turn;
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok(found.map(|address| address.ip()).collect())
            };
            tokio::task::spawn_blocking(lookup).await.map_err(io::Error::other)?
        })
    }
}

/// Resolves and filters in one step: a name cannot lead elsewhere between the check and the dialling.
pub(super) struct Filtered {
    pub(super) policy: Arc<Policy>,
    pub(super) names: Arc<dyn Names>,
    pub(super) timeout: Duration,
}

impl Resolve for Filtered {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        let names = self.names.clone();
        let timeout = self.timeout;
        Box::pin(async move {
            let name = name.as_str();
            let found = tokio::time::timeout(timeout, names.lookup(name)).await;
            let found =
                found.map_err(|_| Unresolved("the name was not resolved in time".into()))?;
            let found = found.map_err(|error| Unresolved(error.to_string()))?;
            if found.is_empty() {
                return Err(Unresolved("the name has no addresses".into()).into());
            }
            // Only names that passed the policy come here.
            let kept = policy.dialled(name, &Allowed::name(name), found).map_err(Blocked)?;
            Ok(Box::new(kept.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}

/// All of a name's addresses were refused.
#[derive(Debug)]
pub(super) struct Blocked(pub(super) Denied);

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name's addresses may not be reached")
    }
}

impl std::error::Error for Blocked {}

#[derive(Debug)]
pub(super) struct Unresolved(pub(super) String);

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unresolved {}
