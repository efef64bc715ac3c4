//! What Glean says of who may find a document. Glean: "Troubleshooting" in its Indexing API; all of it is marked beta, and
//! is read with care.

use serde::Serialize;
use serde_json::{Value, json};

use super::client::Client;
use super::error::Result;
use crate::wire::permissions::Allowed;

/// `POST /debug/{datasource}/document`, as far as access goes by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DocumentInGlean {
    /// `UPLOADED`, `NOT_UPLOADED` or `STATUS_UNKNOWN`.
    pub upload_status: Option<String>,
    /// In ISO 8601.
    pub last_uploaded_at: Option<String>,
    /// `INDEXED`, `NOT_INDEXED` or `STATUS_UNKNOWN`.
    pub indexing_status: Option<String>,
    /// Whether the users and groups that it names were uploaded.
    pub permission_identity_status: Option<String>,
    /// Who may find it, as it was uploaded.
    pub permissions: Option<Allowed>,
}

/// `POST /debug/{datasource}/user`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserInGlean {
    /// `UPLOADED`, `NOT_UPLOADED` or `STATUS_UNKNOWN`.
    pub upload_status: Option<String>,
    pub active: Option<bool>,
    /// As they were uploaded; Glean leaves open whether those are among them that a group is in.
    pub groups: Vec<String>,
}

impl DocumentInGlean {
    /// Whether Glean says that it does not have it.
    pub fn is_missing(&self) -> bool {
        says(self.upload_status.as_deref(), "NOT_UPLOADED")
    }

    /// Whether it says that it has it.
    pub fn is_there(&self) -> bool {
        says(self.upload_status.as_deref(), "UPLOADED")
    }

    pub fn is_not_indexed(&self) -> bool {
        says(self.indexing_status.as_deref(), "NOT_INDEXED")
    }

    /// Whether Glean was not told of somebody whom it names.
    pub fn names_unknown(&self) -> bool {
        says(self.permission_identity_status.as_deref(), "NOT_UPLOADED")
    }
}

impl From<&Value> for DocumentInGlean {
    fn from(said: &Value) -> Self {
        let status = |field: &str| text(&said["status"][field]);
        Self {
            upload_status: status("uploadStatus"),
            last_uploaded_at: status("lastUploadedAt"),
            indexing_status: status("indexingStatus"),
            permission_identity_status: status("permissionIdentityStatus"),
            permissions: serde_json::from_value(said["uploadedPermissions"].clone()).ok(),
        }
    }
}

impl UserInGlean {
    /// Whether Glean says that it was not told of them.
    pub fn is_missing(&self) -> bool {
        says(self.upload_status.as_deref(), "NOT_UPLOADED")
    }
}

impl From<&Value> for UserInGlean {
    fn from(said: &Value) -> Self {
        let groups = said["uploadedGroups"].as_array().into_iter().flatten();
        Self {
            upload_status: text(&said["status"]["uploadStatus"]),
            active: said["status"]["isActiveUser"].as_bool(),
            groups: groups.filter_map(|group| text(&group["name"])).collect(),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn says(status: Option<&str>, what: &str) -> bool {
    status == Some(what)
}

impl Client {
    /// Whether a datasource knows users by their e-mails, as it is registered.
    pub async fn knows_users_by_email(&self, datasource: &str) -> Result<bool> {
        let config = self.datasource_config(datasource).await?;
        Ok(config["isUserReferencedByEmail"].as_bool().unwrap_or(false))
    }

    /// Whether somebody, by e-mail, finds a document. A document that is not there may be refused.
    pub async fn check_access(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
        email: &str,
    ) -> Result<bool> {
        let body = json!({
            "datasource": datasource, "objectType": object_type, "docId": id, "userEmail": email,
        });
        // Glean: true "if user has access". It does not promise that it says so where they have none.
        let is = |said: &Value| {
            said.is_object() && (said["hasAccess"].is_null() || said["hasAccess"].is_boolean())
        };
        let said = self.ask("/checkdocumentaccess", &body, is).await?;
        Ok(said["hasAccess"].as_bool().unwrap_or(false))
    }

    /// What Glean was told of a document.
    pub async fn uploaded_document(
        &self,
        datasource: &str,
        object_type: &str,
        id: &str,
    ) -> Result<DocumentInGlean> {
        let said = self.document_status(datasource, object_type, id).await?;
        Ok(DocumentInGlean::from(&said))
    }

    /// What Glean was told of somebody, by e-mail.
    pub async fn user_status(&self, datasource: &str, email: &str) -> Result<UserInGlean> {
        let path = format!("/debug/{datasource}/user");
        let said = self.ask(&path, &json!({ "email": email }), Value::is_object).await?;
        Ok(UserInGlean::from(&said))
    }
}
