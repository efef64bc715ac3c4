//! What guests are given when they are started.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sandbox::egress::{Egress, Permit, Requests};
use crate::sandbox::folders::FolderGrant;
use crate::sandbox::limits::{Limits, Usage};

/// What one connection lets all guests of its connector use. It can be sent to the process that runs them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grants {
    pub connection: String,
    /// JSON.
    pub settings: String,
    pub folders: Vec<FolderGrant>,
    pub limits: Limits,
    /// Their way out; without one they reach nobody.
    pub permit: Option<Permit>,
    /// The credentials that the connector asks for.
    pub credentials: Vec<String>,
}

impl Grants {
    pub fn none(connection: &str, limits: Limits) -> Self {
        Self {
            connection: connection.into(),
            settings: "{}".into(),
            folders: Vec::new(),
            limits,
            permit: None,
            credentials: Vec::new(),
        }
    }
}

/// What one guest is given: its connection's grants, with what becomes of them in this process.
pub(crate) struct Given {
    pub(crate) grants: Arc<Grants>,
    /// What the permit allows; nothing where there is none.
    pub(crate) egress: Option<Arc<Egress>>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) requests: Arc<Requests>,
}
