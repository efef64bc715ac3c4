//! What decides what a connection may do over HTTP.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::sandbox::credentials;
use crate::sandbox::limits::HttpLimits;
use crate::sandbox::policy::Policy;

/// Certificates, from PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// This client's certificate and its key.
    pub client_certificate: Option<PathBuf>,
}

/// Two connections with the same grant may do the same; another grant needs another [`super::Egress`], and another
/// [`super::Broker`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    pub policy: Policy,
    pub limits: HttpLimits,
    pub tls: Tls,
    pub credentials: BTreeMap<String, credentials::Grant>,
}
