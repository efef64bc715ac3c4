//! One connection's HTTP, which all its guests share.

use std::sync::Arc;

use tokio::sync::OnceCell;
use url::Url;

use super::hosts::Hosts;
use super::outside::Outside;
use super::permit::Permit;
use super::sender::Sender;
use crate::failure::{Failure, Result, cause};
use crate::pace::Wait;
use crate::sandbox::limits::over;
use crate::sandbox::policy::{Allowed, Denied, Target};
use crate::text::bytes;

/// A connection's way out: what is permitted, and what its requests share.
pub struct Egress {
    pub(super) connection: String,
    pub(super) permit: Permit,
    pub(super) outside: Arc<dyn Outside>,
    pub(super) hosts: Hosts,
    sender: OnceCell<Sender>,
}

impl Egress {
    pub fn new(connection: &str, permit: Permit, outside: Arc<dyn Outside>) -> Self {
        Self {
            connection: connection.to_owned(),
            permit,
            outside,
            hosts: Hosts::new(connection),
            sender: OnceCell::new(),
        }
    }

    /// What requests wait for now, for people.
    pub fn waiting(&self) -> Option<Wait> {
        self.hosts.waiting()
    }

    pub(super) fn allows(&self, url: &str) -> Result<(Url, Target, Allowed), Denied> {
        self.permit.policy.allows_url(url)
    }

    /// Built when it is needed first.
    pub(super) async fn sender(&self) -> Result<&Sender> {
        let build = || async {
            let certificates = self.outside.certificates().await?;
            let sender = Sender::new(self.outside.clone(), &certificates, &self.permit.limits);
            sender.map_err(|error| {
                Failure::settings(format!("no HTTP client: {}", cause(&error)))
                    .at(self.connection.clone())
            })
        };
        self.sender.get_or_try_init(build).await
    }

    pub(super) fn denied(&self, denied: &Denied) -> Failure {
        denied.failure(&self.connection, &self.permit.policy.granted)
    }

    /// What the operator reads of a limit: how much it was, and its key.
    pub(super) fn over(&self, what: &str, key: &str) -> Failure {
        over(&self.connection, what, key)
    }

    pub(super) fn too_much(&self, which: &str, most: u64) -> Failure {
        self.over(&format!("{} in one {which}", bytes(most)), &format!("{which}_bytes"))
    }

    pub(super) fn too_many_headers(&self) -> Failure {
        let most = bytes(self.permit.limits.response_header_bytes as u64);
        self.over(&format!("{most} of headers in one response"), "response_header_bytes")
    }
}
