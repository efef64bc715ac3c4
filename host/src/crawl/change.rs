//! A deletion or a change of access of one document, as Glean is asked for it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::audience::Audience;
use crate::clock::Timestamp;
use crate::document::{Access, key};
use crate::failure::{Failure, Result};
use crate::glean::{self, Client};
use crate::name::UploadId;
use crate::text::bounded;
use crate::wire::document::Permissions;

/// A change of one document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub id: String,
    pub object_type: String,
    pub want: Want,
    /// Who may find the document then, for the ledger.
    #[serde(skip_serializing_if = "Audience::is_none", default)]
    pub audience: Audience,
    /// Why Glean refused it last; nothing where it passed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<String>,
    /// The session that was open meanwhile: after its end the change is done once more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub beside: Option<UploadId>,
    /// The crawl that reported it.
    pub upload_id: UploadId,
    pub since: Timestamp,
    pub attempts: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    Delete,
    /// The permissions, as Glean takes them.
    Access(Value),
}

impl Change {
    pub fn key(&self) -> u128 {
        key(&self.id)
    }

    /// What was wanted, for people.
    pub fn wanted(&self) -> &'static str {
        match &self.want {
            Want::Delete => "deletion",
            Want::Access(_) => "change of access",
        }
    }

    pub(super) async fn send(&self, client: &Client, datasource: &str) -> Result<(), glean::Error> {
        let Self { id, object_type, .. } = self;
        match &self.want {
            Want::Delete => client.delete_document(datasource, object_type, id).await,
            Want::Access(access) => {
                client.update_permissions(datasource, object_type, id, access).await
            }
        }
    }

    pub(super) fn refused_with(&self, error: &glean::Error) -> Self {
        let reason = bounded(error.to_string(), 300);
        Self { refused: Some(reason), attempts: self.attempts + 1, ..self.clone() }
    }
}

/// The permissions as Glean takes them.
pub fn wanted_access(access: &Access) -> Result<Want> {
    serde_json::to_value(Permissions::new(access))
        .map(Want::Access)
        .map_err(|error| Failure::internal(format!("permissions are no JSON: {error}")))
}
