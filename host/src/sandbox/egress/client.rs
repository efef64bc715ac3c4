//! One connection's HTTP, which all its guests of this process share.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use reqwest::Url;

use super::clients::Clients;
use super::grant::Grant;
use super::hosts::Hosts;
use super::resolve::{Names, System};
use crate::failure::{Failure, Kind, Result};
use crate::pace::Wait;
use crate::sandbox::credentials::Credentials;
use crate::sandbox::limits::over;
use crate::sandbox::policy::{Allowed, Denied, Target};
use crate::text::bytes;

/// A connection's way out: what is granted, and what its requests share.
pub struct Egress {
    pub(super) connection: String,
    pub grant: Grant,
    pub(super) credentials: Credentials,
    pub(super) hosts: Hosts,
    clients: OnceLock<Result<Clients>>,
    names: Arc<dyn Names>,
}

impl Egress {
    pub fn new(connection: &str, grant: Grant) -> Self {
        Self::with_names(connection, grant, Arc::new(System))
    }

    pub(super) fn with_names(connection: &str, grant: Grant, names: Arc<dyn Names>) -> Self {
        Self {
            connection: connection.to_owned(),
            credentials: Credentials::new(&grant.credentials),
            hosts: Hosts::new(connection),
            grant,
            clients: OnceLock::new(),
            names,
        }
    }

    /// What requests wait for now, for people.
    pub fn waiting(&self) -> Option<Wait> {
        self.hosts.waiting()
    }

    /// Whether everything that was granted is really there.
    pub async fn check(&self) -> Result<()> {
        if !self.grant.policy.granted.is_empty() {
            self.clients()?;
        }
        for name in self.grant.credentials.keys() {
            if let Some(credential) = self.credentials.get(name) {
                credential.check().await?;
            }
        }
        Ok(())
    }

    /// Whether a URL could be requested, and by which grant.
    pub fn allows(&self, url: &str) -> Result<(Url, Target, Allowed), Denied> {
        let (url, target) = Target::parse(url)?;
        let allowed = self.grant.policy.allows(&target)?;
        Ok((url, target, allowed))
    }

    /// Where a name that is allowed leads now.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>> {
        if let Some(address) = target.address() {
            return Ok(vec![address]);
        }
        let name = target.host.to_string();
        let found = self.names.lookup(&name).await.map_err(|error| {
            Failure::new(Kind::Source, format!("{name} cannot be resolved: {error}"))
        })?;
        self.grant
            .policy
            .dialled(&name, &Allowed::name(&name), found)
            .map_err(|denied| self.denied(&denied))
    }

    /// Built when they are needed first.
    pub(super) fn clients(&self) -> Result<&Clients> {
        let build = || Clients::build(&self.connection, &self.grant, &self.names);
        self.clients.get_or_init(build).as_ref().map_err(Clone::clone)
    }

    pub(super) fn denied(&self, denied: &Denied) -> Failure {
        denied.failure(&self.connection, &self.grant.policy.granted)
    }

    /// What the operator reads of a limit: how much it was, and its key.
    pub(super) fn over(&self, what: &str, key: &str) -> Failure {
        over(&self.connection, what, key)
    }

    pub(super) fn too_much(&self, which: &str, most: u64) -> Failure {
        self.over(&format!("{} in one {which}", bytes(most)), &format!("{which}_bytes"))
    }

    pub(super) fn too_many_headers(&self) -> Failure {
        let most = bytes(self.grant.limits.response_header_bytes as u64);
        self.over(&format!("{most} of headers in one response"), "response_header_bytes")
    }
}
