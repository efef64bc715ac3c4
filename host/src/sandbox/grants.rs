//! What an operator lets a connection's connector use.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::credentials;
use super::egress::Tls;
use super::folders::FolderGrant;
use super::policy::{Methods, Pattern};

/// What the operator grants; what the connector asks for is not in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Granted {
    pub folders: Vec<FolderGrant>,
    pub hosts: Vec<Pattern>,
    pub networks: Vec<IpNet>,
    pub methods: Methods,
    pub tls: Tls,
    pub credentials: BTreeMap<String, credentials::Grant>,
}
