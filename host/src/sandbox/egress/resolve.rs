//! Names become addresses here, as the system knows them.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

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
