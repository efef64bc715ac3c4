//! Outgoing HTTP of guests.
//!
//! Each request passes, in this order: one parse into a [`Target`], which is also what is requested;
//! the [`Policy`]: what the operator granted, hosts and methods, of what the connector asks for; then, and
//! only then, credentials take the place of their stand-ins; and last the connection's own resolver, which
//! drops addresses that are not public unless they were granted, and whose answer is what is dialled.
//!
//! An [`Egress`] is where the guest is, with a [`Permit`]. What it needs of the world it asks the
//! [`Outside`] for: the [`Broker`], which has the whole [`Grant`], decides again what may be reached, dials, and
//! holds what is secret.
//!
//! Redirects go back to the guest, and the environment's proxies are not used. A connection has one pool, which ends
//! with its grants.
//!
//! What is refused is an error to the guest and a [`Failure`] to the operator, with the line that
//! would allow it.
//!
//! `hooks` is where wasmtime hands a request over, `request` its way from there; `client` is what a
//! connection's requests share.
//!
//! [`Target`]: super::policy::Target
//! [`Policy`]: super::policy::Policy
//! [`Failure`]: crate::failure::Failure

mod body;
mod broker;
mod certificates;
mod client;
mod connect;
mod dial;
mod error;
mod grant;
mod guest;
mod hooks;
mod hosts;
mod incidents;
mod lookups;
mod manners;
mod outside;
mod pem;
mod permit;
mod request;
mod requested;
mod resolve;
mod sender;
mod substitutions;
#[cfg(test)]
mod tests;

pub use broker::Broker;
pub use certificates::{Certificates, ClientCertificate};
pub use client::Egress;
pub use grant::{Grant, Tls};
pub(crate) use hooks::Hooks;
pub(crate) use incidents::Incidents;
pub use outside::{Outside, Undialled};
pub use permit::Permit;
pub(crate) use requested::Requests;
pub use requested::{MOST_REQUESTED, Requested};
