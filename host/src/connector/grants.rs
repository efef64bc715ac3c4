//! What one guest is given when it is started.

use std::sync::Arc;

use crate::sandbox::egress::Egress;
use crate::sandbox::folders::FolderGrant;
use crate::sandbox::limits::{Limits, Usage};

/// What one connection lets its connector use.
pub struct Grants {
    pub connection: String,
    pub settings: Arc<str>,
    pub folders: Vec<FolderGrant>,
    pub limits: Limits,
    /// Its way out; there is none where it only describes itself.
    pub egress: Option<Arc<Egress>>,
    /// The credentials that the connector asks for.
    pub credentials: Vec<String>,
    pub usage: Arc<Usage>,
}

impl Grants {
    pub fn none(connection: &str, limits: Limits) -> Self {
        Self {
            connection: connection.into(),
            settings: "{}".into(),
            folders: Vec::new(),
            limits,
            egress: None,
            credentials: Vec::new(),
            usage: Arc::default(),
        }
    }
}
