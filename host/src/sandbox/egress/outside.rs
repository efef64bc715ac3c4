//! What an egress needs of the world.

use std::fmt;
use std::net::TcpStream;

use futures::future::BoxFuture;
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use super::certificates::Certificates;
use crate::failure;
use crate::sandbox::credentials::Refused;
use crate::sandbox::policy::Denied;

/// What a connection's requests need of the world, and cannot have where they are made.
pub trait Outside: Send + Sync {
    /// A connection to the host and port of this URL (`scheme://host:port`), which the policy must let
    /// through. Its reads and writes do not block.
    fn dial<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<TcpStream, Undialled>>;

    /// What stands in a credential's header, all of it.
    fn credential<'a>(&'a self, name: &'a str) -> BoxFuture<'a, failure::Result<HeaderValue>>;

    /// The source refused what was sent. Whether another value may be had.
    fn forget<'a>(
        &'a self,
        name: &'a str,
        sent: &'a HeaderValue,
        refused: Refused,
    ) -> BoxFuture<'a, bool>;

    /// What was sent after a 403 was taken.
    fn helped<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()>;

    /// Who is trusted, and who this client is.
    fn certificates(&self) -> BoxFuture<'_, failure::Result<Certificates>>;
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Undialled {
    /// The policy refuses it, or all addresses of its name.
    Blocked(Denied),
    Unresolved(String),
    Refused,
    TimedOut,
    Other(String),
}

impl fmt::Display for Undialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked(_) => f.write_str("it may not be reached"),
            Self::Refused => f.write_str("the connection was refused"),
            Self::TimedOut => f.write_str("it was not connected in time"),
            Self::Unresolved(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Undialled {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::egress::certificates::ClientCertificate;

    #[test]
    fn what_comes_from_outside_is_the_same_after_it_was_sent() {
        let address = Denied::Address {
            host: "wiki.example.com".into(),
            address: "fd00::1".parse().expect("an address"),
            why: "a private address".into(),
            metadata: false,
        };
        let method = Denied::Method { method: "PUT".into(), host: String::new(), grant: None };
        for why in [
            Undialled::Blocked(address),
            Undialled::Blocked(method),
            Undialled::Unresolved("why".into()),
            Undialled::Refused,
            Undialled::TimedOut,
            Undialled::Other("why".into()),
        ] {
            let sent = postcard::to_stdvec(&why).expect("it can be sent");
            assert_eq!(postcard::from_bytes(&sent), Ok(why));
        }
        let client = ClientCertificate { chain: vec![vec![1]], key: vec![77, 78] };
        for client in [None, Some(client)] {
            let certificates = Certificates { authorities: vec![vec![2], vec![3]], client };
            assert!(!format!("{certificates:?}").contains("77"), "the key is not shown");
            let sent = postcard::to_stdvec(&certificates).expect("it can be sent");
            assert_eq!(postcard::from_bytes(&sent), Ok(certificates));
        }
        let sent = postcard::to_stdvec(&Refused::Forbidden).expect("it can be sent");
        assert_eq!(postcard::from_bytes(&sent), Ok(Refused::Forbidden));
    }
}
