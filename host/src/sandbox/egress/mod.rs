//! Outgoing HTTP of guests.
//!
//! Each request passes, in this order: one parse into a [`Target`], which is also what is requested;
//! the [`Policy`]: what the operator granted, of what the connector asks for; the connection's own
//! resolver, which drops addresses that are not public unless they were granted, and whose answer is
//! what is dialled; then, and only then, credentials take the place of their stand-ins. Redirects go
//! back to the guest, and the environment's proxies are not used. A connection has one pool, which
//! ends with its grants.
//!
//! What is refused is an error to the guest and a [`Failure`] to the operator, with the line that
//! would allow it.

mod address;
mod body;
mod client;
mod error;
mod hooks;
mod resolve;
mod rules;
mod target;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use client::{Egress, Grant, Limits, Tls};
pub use hooks::Hooks;
pub use rules::{Allowed, Pattern, Policy};
pub use target::Target;

use crate::failure::{Failure, Kind};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    Invalid {
        url: String,
        why: String,
    },
    NotGranted {
        host: String,
    },
    NotAsked {
        host: String,
    },
    Address {
        host: String,
        address: IpAddr,
        why: &'static str,
        metadata: bool,
    },
    /// A credential where it must not go.
    Credential {
        name: String,
        host: String,
        why: String,
    },
}

impl Denied {
    /// What the operator reads; `granted` is what they granted so far.
    pub fn failure(&self, connection: &str, granted: &[Pattern]) -> Failure {
        let key = |name: &str| format!("in [connections.{connection}.grants] write: {name}");
        let (what, next) = match self {
            Self::Invalid { url, why } => (
                format!(
                    "the connector asked for `{url}`, which is no URL that can be granted: {why}"
                ),
                "tell the connector's author, or correct the URL in its settings".to_owned(),
            ),
            Self::NotGranted { host } => {
                let mut hosts: Vec<_> = granted.iter().map(|host| format!("\"{host}\"")).collect();
                hosts.push(format!("\"{host}\""));
                (
                    format!("the connector may not reach {host}: the host is not granted"),
                    key(&format!("hosts = [{}]", hosts.join(", "))),
                )
            }
            Self::NotAsked { host } => (
                format!("the connector may not reach {host}: it does not ask for the host"),
                "use a version of it whose manifest names the host; `sheaf inspect` shows it"
                    .into(),
            ),
            Self::Address { host, address, why, metadata: true } => (
                format!("the connector may not reach {host}: {address} is {why}"),
                "find out why that name leads there; nothing but the address itself in `hosts` \
                 would allow it"
                    .into(),
            ),
            Self::Address { host, address, why, metadata: false } => (
                format!("the connector may not reach {host}: {address} is {why}"),
                format!(
                    "if this is where {host} should be, {}",
                    key(&format!("networks = [\"{}\"]", ipnet::IpNet::from(*address)))
                ),
            ),
            Self::Credential { name, host, why } => (
                format!("the credential `{name}` was not sent to {host}: {why}"),
                "tell the connector's author".into(),
            ),
        };
        Failure::new(Kind::Denied, what).at(connection).next(next)
    }
}

/// What went wrong with a call's requests: it is what a fault follows from.
#[derive(Clone, Debug, Default)]
pub struct Incidents(Arc<Mutex<Call>>);

#[derive(Debug, Default)]
struct Call {
    /// The first that was refused.
    first: Option<Failure>,
    /// What may help where it was merely slow.
    hint: Option<String>,
    told: u32,
}

/// A guest that tries again and again fills no log.
const TOLD: u32 = 5;

impl Incidents {
    pub fn record(&self, failure: Failure) {
        let mut call = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        call.told += 1;
        if call.told <= TOLD {
            tracing::warn!("{failure}; {}", failure.next.as_deref().unwrap_or_default());
        }
        call.first.get_or_insert(failure);
    }

    /// A timeout: the limit's key, and what it is.
    pub fn slow(&self, key: &str, limit: Duration) {
        let mut call = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        call.hint = Some(format!("`{key}` in the connection's limits is {limit:?}"));
    }

    pub fn take(&self) -> Option<Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first.take()
    }

    pub fn take_hint(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hint.take()
    }

    /// A new call begins.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Call::default();
    }
}
